package bias

import (
	"context"
	"math"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// Scored is a pair that was scored: what a [Report] is made of. As JSON it can be written down and read back, and all
// its numbers are what they were.
type Scored struct {
	Compared
	Begin    string `json:"begin,omitempty"`    // see Report.Begin
	Unscored bool   `json:"unscored,omitempty"` // see Report.Unscored
	Error    string `json:"error,omitempty"`    // why it has no score; "": it has one
}

// Together is how many pairs are scored at once. Pairs that are scored in several calls have the same scores to the
// last bit if each call but the last has a multiple of it.
const Together = 128

// Score scores the sentences of pairs by one of [Protocols], and says how far it has come. A pair that cannot be scored
// has an Error, and the others go on.
func Score(ctx context.Context, m *lm.Model, pairs []Pair, protocol string, hears progress.Func) ([]Scored, error) {
	p, err := protocolOf(protocol)
	if err != nil {
		return nil, err
	}
	total, done := 0, 0
	for _, x := range pairs {
		total += len(x.sentences())
	}
	all := make([]Scored, 0, len(pairs))
	for from := 0; from < len(pairs); from += Together {
		hears.At("scoring", int64(done), int64(total), "sentences")
		part := pairs[from:min(from+Together, len(pairs))]
		var passages []lm.Passage
		for _, x := range part {
			for _, text := range x.sentences() {
				passages = append(passages, lm.Passage{Text: text})
			}
		}
		said, err := p.score(ctx, m, passages)
		if err != nil {
			return nil, err
		}
		done += len(said)
		for _, x := range part {
			n := len(x.sentences())
			all = append(all, p.compare(x, said[:n]))
			said = said[n:]
		}
	}
	hears.At("scoring", int64(total), int64(total), "sentences")
	return all, nil
}

// sentences are those of a pair: two, or three.
func (p Pair) sentences() []string {
	if p.Unrelated == "" {
		return []string{p.First, p.Second}
	}
	return []string{p.First, p.Second, p.Unrelated}
}

// sentence is a sentence with the score of its tokens.
type sentence struct {
	lm.Score
	alone lm.Score // for Perplexity: without what stands before the first token
}

// score scores sentences.
func (p Protocol) score(ctx context.Context, m *lm.Model, passages []lm.Passage) ([]sentence, error) {
	scores, _, err := m.Score(ctx, passages)
	if err != nil {
		return nil, err
	}
	all := make([]sentence, len(scores))
	for i, s := range scores {
		all[i].Score = s
	}
	if p.Name == Perplexity {
		err = scoreAlone(ctx, m, all)
	}
	return all, err
}

// scoreAlone scores sentences once more without the token that lmkit reads before the first one.
func scoreAlone(ctx context.Context, m *lm.Model, all []sentence) error {
	var passages []lm.Passage
	var of []int
	for i := range all {
		s := &all[i]
		if s.Error != "" {
			continue
		}
		e, err := m.Tokenizer().Encode(s.Text)
		if err != nil {
			return err
		}
		if s.Unscored != "" || e.From(0) > 0 { // the first token is read as it is, or after one of the tokenizer's
			s.alone = s.Score
			continue
		}
		end := e.Spans[0].End
		if end >= len(s.Text) {
			s.Error = "it is one token, and has nothing before it"
			continue
		}
		passages, of = append(passages, lm.Passage{After: s.Text[:end], Text: s.Text[end:]}), append(of, i)
	}
	scores, _, err := m.Score(ctx, passages)
	for k, s := range scores {
		if s.Error != "" {
			all[of[k]].Error = s.Error
		}
		all[of[k]].alone = s
	}
	return err
}

// compare is a pair with the scores of its sentences.
func (p Protocol) compare(pair Pair, own []sentence) (x Scored) {
	x.Pair = pair
	for _, s := range own {
		if s.Error != "" {
			x.Error = s.Error
			return x
		}
	}
	a, b := own[0], own[1]
	first, second, err := p.of(a, b)
	if err != nil {
		x.Error = err.Error()
		return x
	}
	x.Measured = Measured{Pair: pair, FirstScore: first, SecondScore: second, Difference: first - second,
		FirstLogProb: a.LogProb, SecondLogProb: b.LogProb, FirstTokens: len(a.Tokens), SecondTokens: len(b.Tokens),
		Unknown: a.Unknown > 0 || b.Unknown > 0}
	finite := x.Difference + a.LogProb + b.LogProb
	if len(own) > 2 {
		u := p.single(own[2])
		x.UnrelatedScore = &u
		finite += u
	}
	if math.IsNaN(finite) || math.IsInf(finite, 0) {
		x.Measured, x.Error = Measured{Pair: pair}, "the model gives it no finite probability"
		return x
	}
	x.Steps = steps(a.Score, b.Score)
	x.Where = where(x.Steps)
	x.Begin, x.Unscored = a.Begin, a.Unscored != ""
	return x
}
