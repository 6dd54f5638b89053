package faithful

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Scoring says how methods are scored on texts whose causes are known. The zero value is the usual choice.
type Scoring struct {
	Baseline string // what an absent word is, as in explain.Question
	// Keep has the words that always stay and get no score, because they ask and do not tell. nil: "=>" and "?".
	Keep       []string
	Shares     []float64 // of the words, for comprehensiveness and sufficiency; nil: Bins
	Resampling           // of the confidence intervals; its seed is also that of the methods
	Memory     int64     // as in explain.Question
}

// Validate returns all mistakes.
func (s Scoring) Validate() error {
	err := s.Resampling.Validate()
	if s.Shares != nil {
		err = errors.Join(err, checkShares(s.Shares))
	}
	return err
}

// ItemScore is what was measured on one item.
type ItemScore struct {
	Item         int          // its index
	Verification Verification // by hiding the cause
	Verified     bool         // the model's answer is known to rest on the cause
	Methods      []MethodScore
}

// MethodScore is how one method did on one item.
type MethodScore struct {
	Method    explain.MethodInfo
	Reference bool    // a row to compare with: it does not look at the model
	Signed    Finding // by signed score
	Size      Finding // by |score|
	// Comprehensiveness and Sufficiency are those of the order by signed score, in probability of the label.
	Comprehensiveness, Sufficiency float64
	AddsUp                         *bool // whether the scores add up as the method promises; nil: it promises nothing
	Rows                           int   // forward and backward, with those that measure the attribution's own evidence
	Seconds                        float64
	Err                            error // the method failed on this item, or an earlier one; the rest means nothing
}

// Score runs every method on every item and tabulates how well it finds the planted cause, on all items and on those of
// which the cause is verified on the model. See Items and Tabulate.
func Score(ctx context.Context, m *lm.Model, items []plant.Item, methods []explain.Method, s Scoring) (*Table, error) {
	var scores []ItemScore
	for score, err := range s.Items(ctx, m, items, methods) {
		if err != nil {
			return nil, err
		}
		scores = append(scores, score)
	}
	return Tabulate(m, scores, s)
}

// Items scores the methods item by item. Features are the words of an item but those that always stay; the question
// is why the model predicts the item's label rather than its foil. After the methods come the rows to compare with:
// Random, Longest and Rarest (by the words of the items), unless they were given. A method that fails is not asked
// again, and its scores carry its error. Each item's scores depend on the item, its index and the seed alone, but for
// the seconds.
func (s Scoring) Items(
	ctx context.Context, m *lm.Model, items []plant.Item, methods []explain.Method,
) iter.Seq2[ItemScore, error] {
	return func(yield func(ItemScore, error) bool) {
		cases, err := s.pose(m, items)
		if err == nil {
			err = s.Validate()
		}
		if err != nil {
			yield(ItemScore{}, err)
			return
		}
		for score, err := range s.Cases(ctx, m, cases, methods) {
			if err != nil {
				err = fmt.Errorf("planted %w", err)
			}
			if !yield(score, err) {
				return
			}
		}
	}
}

// Cases scores the methods case by case, as Items does.
func (s Scoring) Cases(
	ctx context.Context, m *lm.Model, cases []Case, methods []explain.Method,
) iter.Seq2[ItemScore, error] {
	return func(yield func(ItemScore, error) bool) {
		counts, err := count(m, cases)
		if err = errors.Join(s.Validate(), err); err != nil {
			yield(ItemScore{}, err)
			return
		}
		rows := withReferences(methods, counts)
		for i, c := range cases {
			score, err := s.item(ctx, m, i, c, rows)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(ItemScore{}, fmt.Errorf("item %d: %w", i, err))
				return
			}
			if !yield(score, nil) {
				return
			}
		}
	}
}

// count returns how often each token is in the texts.
func count(m *lm.Model, cases []Case) (map[token.ID]int, error) {
	counts := map[token.ID]int{}
	for i, c := range cases {
		tokens, _, err := explain.Encode(m, c.Question)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		for _, t := range tokens {
			counts[token.ID(t.ID)]++
		}
	}
	return counts, nil
}

// row is a method that is scored, with the error of its first failure, after which it is not asked again.
type row struct {
	explain.Method
	reference bool
	err       error
}

func withReferences(methods []explain.Method, counts map[token.ID]int) []*row {
	var rows []*row
	for _, m := range methods {
		rows = append(rows, &row{Method: m})
	}
	for _, ref := range []explain.Method{Random{}, Longest{}, Rarest{Counts: counts}} {
		i := slices.IndexFunc(rows, func(r *row) bool { return r.Name() == ref.Name() })
		if i < 0 {
			i = len(rows)
			rows = append(rows, &row{Method: ref})
		}
		rows[i].reference = true
	}
	return rows
}

// item scores all methods on one case.
func (s Scoring) item(ctx context.Context, m *lm.Model, i int, c Case, rows []*row) (ItemScore, error) {
	q := c.Question
	q.Baseline, q.Memory, q.Seed = s.Baseline, s.Memory, rand.New(rand.NewPCG(s.Seed, uint64(i))).Uint64()
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return ItemScore{}, err
	}
	causes, err := c.causes(p)
	if err != nil {
		return ItemScore{}, err
	}
	margin := p.GameOfLogits(lead(p.Target[0]))
	if c.Followed { // the two answers are compared with each other alone
		margin = p.Game()
	}
	score := ItemScore{Item: i}
	if score.Verification, err = Verify(ctx, margin, causes); err != nil {
		return ItemScore{}, err
	}
	score.Verified = c.Followed || score.Verification.Holds()
	likely := explain.Remember(p.GameOf(lm.Objective{Unit: lm.Prob, Terms: []lm.Term{
		{Pos: -1, ID: p.Target[0], Weight: 1}}}))
	answers, err := answer(ctx, p, rows)
	if err != nil {
		return ItemScore{}, err
	}
	for k, r := range rows {
		out := MethodScore{Method: explain.MethodInfo{Name: r.Name()}, Reference: r.reference, Err: r.err}
		if a := answers[k]; a != nil {
			if err := out.judge(ctx, a, causes, likely, s.Shares); err != nil {
				return ItemScore{}, fmt.Errorf("%s: %w", r.Name(), err)
			}
		}
		score.Methods = append(score.Methods, out)
	}
	return score, nil
}

// answer asks all methods that have not failed yet about one problem. The answer of one that fails is nil.
func answer(ctx context.Context, p *explain.Problem, rows []*row) ([]*explain.Attribution, error) {
	var found []*explain.Scored
	var whose []int
	for k, r := range rows {
		if r.err != nil {
			continue
		}
		f, err := p.Score(ctx, r.Method)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r.err = err
			continue
		}
		found, whose = append(found, f), append(whose, k)
	}
	as, err := p.Attributions(ctx, found...)
	if err != nil {
		return nil, err
	}
	out := make([]*explain.Attribution, len(rows))
	for i, k := range whose {
		out[k] = as[i]
	}
	return out, nil
}

// judge fills in how well an attribution finds the causes, and how well its order of the features does in the game
// likely, whose value is the label's probability.
func (s *MethodScore) judge(
	ctx context.Context, a *explain.Attribution, causes []int, likely explain.Game, shares []float64,
) (err error) {
	s.Method, s.Rows, s.Seconds = a.Method, a.Cost.ForwardRows+a.Cost.BackwardRows, a.Cost.Seconds
	if held := a.Evidence.Completeness; held != nil {
		s.AddsUp = &held.Holds
	}
	if s.Signed, err = Find(a.Scores, causes); err != nil {
		return err
	}
	if s.Size, err = Find(Sizes(a.Scores), causes); err != nil {
		return err
	}
	e, err := Erase(ctx, likely, Order(a.Scores), shares)
	if err != nil {
		return err
	}
	s.Comprehensiveness, s.Sufficiency = e.Comprehensiveness(), e.Sufficiency()
	return nil
}
