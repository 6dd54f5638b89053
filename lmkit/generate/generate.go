// Package generate continues texts with a language model, token by token.
package generate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Config says how to choose each next token, and when to stop. The zero value takes the most likely token, 100 times.
//
// The filters apply in this order: temperature, TopK, TopP.
type Config struct {
	Tokens      int      // at most so many new tokens; 0: 100
	Temperature float64  // logits are divided by it; 0: greedy, the most likely token
	TopK        int      // choose among the k most likely tokens; 0: all
	TopP        float64  // then among the fewest of these that have this share of the probability (nucleus); 0 and 1: all
	Stop        []string // end before the first of these texts; they may span tokens
	Seed        uint64   // of the random choices; the same seed gives the same text
	PastEnd     bool     // go on after the model's end-of-text token ([lm.Model.Ends]), which else ends the text unseen

	// NoSlide makes a full context an error. Otherwise a Transformer whose context is full goes on from the last half
	// of it, which it reads again: one more reading of context/2 tokens for every context/2 new ones. What came
	// before is forgotten, as is the start of a prompt longer than the context.
	NoSlide bool

	// Edits are of all rows, and hold at the tokens of Part: see [lm.Model.Decode].
	Edits []lm.Edit
	Part  Part
}

// Part is a part of a text that is made.
type Part string

// The parts.
const (
	Whole     Part = ""        // every token
	OfPrompt  Part = "prompt"  // those of the prompt
	OfWritten Part = "written" // those that are written: the first of them is chosen before
)

// Parts lists the names of the parts that are not all of a text.
var Parts = []Part{OfPrompt, OfWritten}

// Validate reports every setting that makes no sense.
func (c Config) Validate() error {
	var errs []error
	if c.Tokens < 0 {
		errs = append(errs, fmt.Errorf("the number of tokens is %d: give 1 or more, or 0 for 100", c.Tokens))
	}
	if err := c.sampling(nil).Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.Part != Whole && !slices.Contains(Parts, c.Part) {
		errs = append(errs, fmt.Errorf("edits hold in no part %q of a text; the parts are %v", c.Part, Parts))
	}
	if slices.Contains(c.Stop, "") {
		errs = append(errs,
			errors.New("one of the stop texts is empty, which would end everything before it begins: remove it"))
	}
	return errors.Join(errs...)
}

// sampling returns the decoder's settings for rows. A row's n-th new token is drawn by the seed, the row's number and
// n alone, so that a text does not depend on its neighbours. (A row that still reads its prompt chooses nothing: n <
// 0.)
func (c Config) sampling(rows []*row) lm.Sampling {
	made := make([]int, len(rows))
	for k, r := range rows {
		made[k] = r.made - r.unread()
	}
	return lm.Sampling{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, Draw: func(k, n int) float64 {
		if made[k]+n < 0 {
			return 0
		}
		return rand.New(rand.NewPCG(c.Seed+uint64(rows[k].number), uint64(made[k]+n))).Float64()
	}}
}

// Token is a new token of the text.
type Token struct {
	ID token.ID
	// Text is what the token adds to the text: the texts of all tokens make up the whole. It is empty for a token that
	// ends inside a character, or inside what may become a stop text: what it holds back comes with a later token.
	// Bytes that no token completes to a character are U+FFFD. It is empty for a model without a tokenizer.
	Text    string
	LogProb float64 // of the token by the model, in nats, before temperature and filters
	End     bool    // the token ends the text, and is not part of it; Text is what the tokens before it held back
}

// Prompt is what a text begins with: text, or the IDs of its tokens.
type Prompt interface{ string | []token.ID }

// Stream continues a prompt. The text comes as it is made, the prompt not included; breaking the loop ends the
// generation and frees its memory. An error is the last thing to come; when ctx ends, it is that of ctx.
func Stream[P Prompt](ctx context.Context, m *lm.Model, prompt P, c Config) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		p, err := prepare(m, []P{prompt}, &c)
		if err == nil {
			err = together(ctx, m, p, c, func(_ int, t Token) bool { return yield(t, nil) })
		}
		if err != nil {
			yield(Token{}, fmt.Errorf("generate: %w", err))
		}
	}
}

// Text continues a prompt, and returns what was added.
func Text[P Prompt](ctx context.Context, m *lm.Model, prompt P, c Config) (string, error) {
	texts, err := Batch(ctx, m, []P{prompt}, c)
	if err != nil {
		return "", err
	}
	return texts[0], nil
}

// Batch continues several prompts, and returns what was added to each. Prompt i is drawn with the seed c.Seed+i,
// and has the text that it has alone with that seed (unless a draw falls within rounding, about 1e-6, of the border
// between two tokens). So the same prompt n times gives n samples. Prompts of any lengths run together: those of a
// Transformer are read at once as far as the shortest goes, and the others token by token, while the shorter ones
// go on already.
func Batch[P Prompt](ctx context.Context, m *lm.Model, prompts []P, c Config) ([]string, error) {
	texts, err := batch(ctx, m, prompts, c)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	return texts, nil
}

func batch[P Prompt](ctx context.Context, m *lm.Model, prompts []P, c Config) ([]string, error) {
	if m.Tokenizer() == nil {
		return nil, errors.New("the model has no tokenizer, so there is no text: use Stream, which gives the IDs")
	}
	rows, err := prepare(m, prompts, &c)
	if err != nil {
		return nil, err
	}
	texts := make([]strings.Builder, len(rows))
	for _, some := range alike(m.Config(), rows, c.Tokens) {
		err := together(ctx, m, some, c, func(row int, t Token) bool {
			texts[row].WriteString(t.Text)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]string, len(rows))
	for i := range out {
		out[i] = texts[i].String()
	}
	return out, nil
}

// row is a text in the making.
type row struct {
	number int
	ids    []token.ID // the prompt and what came after it, or, of that, what the model still sees
	prompt int        // how many of these are of the prompt
	read   int        // how many of the ids the model has read
	made   int        // how many tokens were added
	text   *speller
	done   bool
}

func (r *row) unread() int { return len(r.ids) - r.read }

// prepare checks everything, fills in the defaults, and encodes the prompts.
func prepare[P Prompt](m *lm.Model, prompts []P, c *Config) ([]*row, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Tokens == 0 {
		c.Tokens = 100
	}
	if m.Tokenizer() == nil && len(c.Stop) > 0 {
		return nil, errors.New("the model has no tokenizer, so no text can stop it: leave Stop empty")
	}
	var rows []*row
	for i, p := range prompts {
		ids, err := encode(m, p)
		if err == nil && len(ids) == 0 {
			err = errors.New("it has no tokens: give some text to go on from")
		}
		if n := m.Config().Context; err == nil && n > 0 && len(ids) > n && !c.NoSlide {
			ids = ids[len(ids)-n:]
		}
		if err == nil {
			err = m.CheckRow(ids)
		}
		if err != nil && len(prompts) > 1 {
			return nil, fmt.Errorf("prompt %d: %w", i, err)
		}
		if err != nil {
			return nil, fmt.Errorf("the prompt: %w", err)
		}
		rows = append(rows, &row{number: i, ids: slices.Clone(ids), prompt: len(ids),
			text: &speller{tokenizer: m.Tokenizer(), before: ids[len(ids)-1], stop: c.Stop}})
	}
	return rows, nil
}

func encode[P Prompt](m *lm.Model, prompt P) ([]token.ID, error) {
	switch p := any(prompt).(type) {
	case []token.ID:
		return p, nil
	case string:
		if m.Tokenizer() == nil {
			return nil, errors.New("the model has no tokenizer: give the IDs of its tokens")
		}
		e, err := m.Tokenizer().Encode(p)
		return e.IDs, err
	}
	panic("unreachable")
}

// maxMemory bounds what the rows that run together take, about.
const maxMemory = 1 << 30

// alike groups rows that run together, not too many at once. A Transformer reads its rows in step, so that a longer
// prompt keeps its group waiting by as many steps as it is longer; a group of its own takes it as many as there are
// new tokens. The rows come from the shortest to the longest, and all of a group have room for its longest one.
func alike(c lm.Config, rows []*row, tokens int) [][]*row {
	if c.Attends() {
		rows = slices.SortedStableFunc(slices.Values(rows), func(a, b *row) int { return len(a.ids) - len(b.ids) })
	}
	var groups [][]*row
	for i, r := range rows {
		apart := c.Attends() && i > 0 && len(r.ids)-len(rows[i-1].ids) > tokens
		if i == 0 || apart || (len(groups[len(groups)-1])+1)*lm.RowBytes(c, len(r.ids), tokens) > maxMemory {
			groups = append(groups, nil)
		}
		g := &groups[len(groups)-1]
		*g = append(*g, r)
	}
	return groups
}

// together continues rows in step, until all are done or yield returns false.
func together(ctx context.Context, m *lm.Model, rows []*row, c Config, yield func(row int, t Token) bool) error {
	w := &window{model: m, rows: rows, config: c}
	if err := w.open(ctx); err != nil {
		return err
	}
	defer func() { w.decoder.Close() }() // whichever it is by then
	for {
		busy := false
		for k, next := range w.decoder.Choices() {
			r := rows[k]
			if r.unread() > 0 { // what comes next is given
				busy = true
				continue
			}
			r.ids, r.made = append(r.ids, next.ID), r.made+1
			if r.done { // it goes on unseen
				continue
			}
			more, err := w.add(r, next, yield)
			if err != nil || !more {
				return err
			}
			busy = busy || !r.done
		}
		if !busy {
			return nil
		}
		if err := w.push(ctx); err != nil {
			return err
		}
	}
}

// window is the part of the rows that the model sees.
type window struct {
	model   *lm.Model
	rows    []*row
	config  Config
	decoder *lm.Decoder
}

// add yields a new token of a row, and returns whether more are wanted.
func (w *window) add(r *row, next lm.Choice, yield func(row int, t Token) bool) (more bool, err error) {
	if next.LogProb != next.LogProb {
		return false,
			errors.New("the model predicts numbers that are not finite: its weights are too large, or its training diverged")
	}
	t := Token{ID: next.ID, LogProb: next.LogProb, End: !w.config.PastEnd && slices.Contains(w.model.Ends(), next.ID)}
	if t.End {
		r.done, t.Text = true, r.text.rest()
		return yield(r.number, t), nil
	}
	last := r.made == w.config.Tokens
	text, stopped, err := r.text.add(next.ID, last)
	if err != nil {
		return false, err
	}
	r.done, t.Text = stopped || last, text
	return yield(r.number, t), nil
}

// open shows the model the rows, as far as it can read them at once.
func (w *window) open(ctx context.Context) error {
	shortest := math.MaxInt
	if w.model.Config().Attends() {
		for _, r := range w.rows {
			shortest = min(shortest, len(r.ids))
		}
	}
	var read [][]token.ID
	room := 0
	for _, r := range w.rows {
		r.read = min(len(r.ids), shortest)
		read = append(read, r.ids[:r.read])
		room = max(room, r.unread()+w.config.Tokens-r.made-1)
	}
	d, err := w.model.Decode(ctx, read, room, w.config.sampling(w.rows), w.edits()...)
	if err != nil {
		return err
	}
	w.decoder = d
	return nil
}

// edits returns those of the configuration, at the positions of their part of each row.
func (w *window) edits() (all []lm.Edit) {
	if w.config.Part == Whole {
		return w.config.Edits
	}
	longest := 0
	of := map[int][]int{} // the rows with prompts of one length
	for k, r := range w.rows {
		longest = max(longest, len(r.ids)+w.config.Tokens-r.made)
		of[r.prompt] = append(of[r.prompt], k)
	}
	for prompt, rows := range of {
		from, to := 0, prompt
		if w.config.Part == OfWritten {
			from, to = prompt, longest
		}
		at := make([]int, to-from)
		for i := range at {
			at[i] = from + i
		}
		for _, e := range w.config.Edits {
			e.Rows, e.Positions = rows, at
			all = append(all, e)
		}
	}
	return all
}

// push shows the model one more token a row. A full Transformer forgets the first half of what it saw.
func (w *window) push(ctx context.Context) error {
	if w.decoder.Room() == 0 && !w.config.NoSlide {
		n := w.model.Config().Context
		for _, r := range w.rows {
			forgotten := len(r.ids) - max(1, n/2)
			r.ids, r.prompt = slices.Clone(r.ids[forgotten:]), max(0, r.prompt-forgotten)
		}
		w.decoder.Close()
		return w.open(ctx)
	}
	next := make([]token.ID, len(w.rows))
	for k, r := range w.rows {
		if next[k] = r.ids[r.read]; next[k] == w.decoder.Choices()[k].ID {
			next[k] = lm.Chosen // which is on the engine already
		}
		r.read++
	}
	return w.decoder.Push(ctx, next)
}
