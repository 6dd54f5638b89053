package lm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/token"
)

// Passage is a text whose probability is asked for.
type Passage struct {
	Text string `json:"text"`
	// After is what stands before the text: it is read, and not scored. The two are joined as they are, so that a
	// space between them must be in one of them.
	After string `json:"after,omitempty"`
	// Ended scores, after the text, the first of the model's end tokens, too: the text goes on no further.
	Ended bool `json:"ended,omitempty"`
}

// Score is how likely a model finds a passage: the probability of each token after all tokens before it.
type Score struct {
	Passage
	LogProb    float64      `json:"logprob"`            // nats, the sum over Tokens
	Perplexity float64      `json:"perplexity"`         // e^(-LogProb / len(Tokens))
	Tokens     []TokenScore `json:"tokens"`             // all that were scored, in their order
	Unknown    float64      `json:"unknown"`            // the share of Tokens that are the unknown token
	Begin      string       `json:"begin,omitempty"`    // the token that stands before the first one; "": none does
	Unscored   string       `json:"unscored,omitempty"` // a first token without a score, as nothing is before it
	// Windows is into how many overlapping parts the passage was cut because it is longer than the model can read: all
	// but the first half of each part are read only as context. 0: it was read whole.
	Windows int    `json:"windows,omitempty"`
	Error   string `json:"error,omitempty"` // why there is no score
}

// TokenScore is the log-probability of one token of a passage.
type TokenScore struct {
	Text    string   `json:"text"`
	ID      token.ID `json:"id"`
	LogProb float64  `json:"logprob"`           // nats
	Unknown bool     `json:"unknown,omitempty"` // it is the unknown token, whatever is written there
}

// Score scores passages, each by itself and whole, however short or long. The first token of a passage without a
// context is read after the token that the model's tokenizer puts at the beginning of every text, or else after its
// end-of-text token ([token.Begin]); where it has neither, the first token has no score. A passage that cannot be read
// has an Error in place of a score, and the others go on.
func (m *Model) Score(ctx context.Context, passages []Passage) ([]Score, Cost, error) {
	scores := make([]Score, len(passages))
	s := scoring{model: m}
	for i, p := range passages {
		scores[i].Passage = p
		if err := s.add(&scores[i]); err != nil {
			scores[i].Error = err.Error()
		}
	}
	if err := s.all(ctx); err != nil {
		return nil, Cost{}, err
	}
	for i := range scores {
		scores[i].sum()
	}
	return scores, s.cost, nil
}

// sum adds up the tokens.
func (s *Score) sum() {
	n := len(s.Tokens)
	if n == 0 {
		return
	}
	unknown := 0
	for _, t := range s.Tokens {
		s.LogProb += t.LogProb
		if t.Unknown {
			unknown++
		}
	}
	s.Unknown, s.Perplexity = float64(unknown)/float64(n), math.Exp(min(700, -s.LogProb/float64(n)))
}

// scoring is passages on their way.
type scoring struct {
	model  *Model
	rounds [][]*window // the first windows of all passages, the second ones, and so on
	cost   Cost
}

// window is a part of a passage that is read as one row.
type window struct {
	read    []token.ID
	first   int          // the position after which the first scored token comes
	targets []TokenScore // what comes after positions first, first + 1, ...: a part of the passage's
	state   State        // LSTM: what the window before left; the zero State before the first one
	more    *window      // LSTM: the window that goes on from this one
}

// LSTMs read long passages in parts of so many tokens, each of which goes on from the state that the one before left.
const scoredAtOnce = 512

// add cuts a passage into tokens and windows.
func (s *scoring) add(to *Score) error {
	ids, first, err := s.encode(to)
	if err != nil {
		return err
	}
	if len(to.Tokens) == 0 {
		return errors.New("there is nothing to score: it is the first token, and has nothing before it")
	}
	read := ids[:len(ids)-1]
	limit, step := len(read), len(read)
	c := s.model.config
	switch {
	case c.Recurrent():
		limit, step = scoredAtOnce, scoredAtOnce
	case c.Context > 0 && len(read) > c.Context:
		limit, step = c.Context, max(1, c.Context/2)
	}
	var last *window
	scored := 0
	for k, from := 0, 0; ; k, from = k+1, from+step {
		end := min(len(read), from+limit)
		if end > first {
			begin := max(first+scored, from) // where the first token is that no window before this one scored
			w := &window{read: read[from:end], first: begin - from, targets: to.Tokens[scored : end-first]}
			scored = end - first
			last = s.put(k, w, last)
			if c.Attends() && limit < len(read) {
				to.Windows++
			}
		} else if c.Recurrent() { // the context alone
			last = s.put(k, &window{read: read[from:end], first: end - from}, last)
		}
		if end == len(read) {
			return nil
		}
	}
}

// put adds a window to its round.
func (s *scoring) put(round int, w, before *window) *window {
	for len(s.rounds) <= round {
		s.rounds = append(s.rounds, nil)
	}
	s.rounds[round] = append(s.rounds[round], w)
	if before != nil && s.model.config.Recurrent() {
		before.more = w
	}
	return w
}

// encode returns the tokens of a passage with what stands before them, and the position after which the first of those
// that it scores comes, which it lists.
func (s *scoring) encode(to *Score) (ids []token.ID, first int, err error) {
	tok := s.model.tokenizer
	if tok == nil {
		return nil, 0, errors.New("the model has no tokenizer, so it reads no text")
	}
	if to.Text == "" {
		return nil, 0, errors.New("the text is empty")
	}
	e, err := tok.Encode(to.After + to.Text)
	if err != nil {
		return nil, 0, err
	}
	start, end := e.From(len(to.After)), e.Written()
	if start >= end {
		return nil, 0, errors.New("the text has no tokens")
	}
	ids = e.IDs[:end]
	unknown, has := tok.Unknown()
	for i := start; i < end; i++ {
		t := TokenScore{Text: e.Piece(i), ID: ids[i], Unknown: has && ids[i] == unknown}
		if t.Text == "" {
			t.Text = tok.Token(t.ID)
		}
		to.Tokens = append(to.Tokens, t)
	}
	if to.Ended {
		ends := s.model.Ends()
		if len(ends) == 0 {
			return nil, 0, errors.New("the model has no token that ends a text")
		}
		ids = append(ids[:end:end], ends[0])
		to.Tokens = append(to.Tokens, TokenScore{Text: tok.Token(ends[0]), ID: ends[0]})
	}
	if start > 0 {
		if to.After == "" {
			to.Begin = tok.Token(ids[start-1])
		}
		return ids, start - 1, nil
	}
	if begin, ok := token.Begin(tok); ok {
		to.Begin = tok.Token(begin)
		return append([]token.ID{begin}, ids...), 0, nil
	}
	to.Unscored, to.Tokens = to.Tokens[0].Text, to.Tokens[1:]
	return ids, 0, nil
}

// all scores the windows, round after round.
func (s *scoring) all(ctx context.Context) error {
	for _, round := range s.rounds {
		slices.SortStableFunc(round, func(a, b *window) int { return len(a.read) - len(b.read) })
		for len(round) > 0 { // windows of about one length are one query, so that little of it is padding
			n, most := 1, s.model.paddedLength(len(round[0].read))
			for n < len(round) && n < enoughRows && len(round[n].read) <= most {
				n++
			}
			if err := s.query(ctx, round[:n]); err != nil {
				return err
			}
			round = round[n:]
		}
	}
	return nil
}

// mostTerms is how many tokens of windows that read the same are scored by one row at most: each of them takes memory
// in every row.
const mostTerms = 32

// query scores some windows. Those that read the same tokens, as labels of one token after one text do, are one row.
func (s *scoring) query(ctx context.Context, windows []*window) error {
	q := Query{Each: true}
	row, first := make([]int, len(windows)), make([]int, len(windows)) // of each window, and its first term there
	read := map[string]int{}
	for k, w := range windows {
		i, there := read[key(w.read)]
		there = there && !s.model.config.Recurrent() && len(q.Of[i].Terms)+len(w.targets) <= mostTerms // no state to carry
		if !there {
			i = len(q.Rows)
			read[key(w.read)] = i
			q.Rows, q.Of = append(q.Rows, w.read), append(q.Of, Objective{Unit: LogProb})
			q.Final = q.Final || w.more != nil
			if w.state.Hidden.Dims != nil {
				q.States = append(q.States, w.state)
			}
		}
		row[k], first[k] = i, len(q.Of[i].Terms)
		for n, t := range w.targets {
			q.Of[i].Terms = append(q.Of[i].Terms, Term{Pos: w.first + n, ID: t.ID, Weight: 1})
		}
	}
	a, err := s.model.Run(ctx, q)
	if err != nil {
		return fmt.Errorf("score: %w", err)
	}
	s.cost.Add(a.Cost)
	for k, w := range windows {
		for n := range w.targets {
			w.targets[n].LogProb = a.Each[row[k]][first[k]+n]
		}
		if w.more != nil {
			w.more.state = a.States[row[k]]
		}
	}
	return nil
}

// key names a row of tokens among others.
func key(ids []token.ID) string {
	b := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return string(b)
}
