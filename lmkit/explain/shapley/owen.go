package shapley

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
)

// Owen shares a prediction out along a binary tree of the features: the two branches of a node get their Shapley values
// in the game of two that they play, and share these out among their own branches (Owen, Values of games with a priori
// unions, 1977). Outside of its own branch a feature is seen only together with the rest of the branch, so that the
// pieces of a word are seldom torn apart. About M² coalitions are enough for M features of a balanced tree. Where the
// budget ends before, the nodes with the least to share out give all their features the same.
type Owen struct {
	Budget int   `json:"budget"`         // coalitions to ask for at most; 0: 4096 up to 12 features, otherwise 2M + 2048
	Tree   *Tree `json:"tree,omitempty"` // nil: TokenTree of the features' texts
}

// Name implements explain.Method.
func (Owen) Name() string { return "owen" }

// Score implements explain.Method. Cost: Budget rows forward a baseline at most; about M² rows are enough.
func (o Owen) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	o = o.withTree(p)
	M := len(p.Features)
	p.Expect(min(M*M, cmp.Or(o.Budget, defaultBudget(M))) * len(p.Baselines))
	est, err := o.Play(ctx, p.Game())
	return scores(p, est, o), err
}

// withTree returns o with a tree: its own, or that of the features' texts where it has none.
func (o Owen) withTree(p *explain.Problem) Owen {
	if o.Tree == nil {
		o.Tree = TokenTree(pieces(p))
	}
	return o
}

// pieces returns the features' texts as they are in the prompt, with the white space around them.
func pieces(p *explain.Problem) []string {
	out := make([]string, len(p.Features))
	for i, f := range p.Features {
		out[i] = p.TextOf(f)
	}
	return out
}

// atOnce returns how many nodes are shared out in one call of the game, after the values of so many coalitions are
// known: enough to fill a batch of the model, and few against what is known, so that nearly always the nodes with the
// most to share out come first. Where the budget ends early, it has a part in which nodes are reached.
func atOnce(known int) int { return max(4, known/16) }

// Play finds the Owen values of any game. A game without texts needs a Tree, or gets a balanced one.
func (o Owen) Play(ctx context.Context, g explain.Game) (Estimate, error) {
	M := g.Features()
	if o.Tree == nil {
		o.Tree = TokenTree(make([]string, M))
	}
	if err := o.Tree.Validate(M); err != nil {
		return Estimate{}, fmt.Errorf("owen: %w", err)
	}
	budget, err := checkBudget(o.Name(), o.Budget, M, 2)
	if err != nil {
		return Estimate{}, err
	}
	s := &sharing{memo: explain.Remember(g), scores: make([]float64, M)}
	full, empty, err := ends(ctx, s.memo)
	if err != nil {
		return Estimate{}, err
	}
	s.add(&share{tree: o.Tree, before: make(explain.Coalition, M), without: empty, with: full, weight: 1})
	for len(s.open) > 0 {
		if next := s.take(budget); next == nil {
			break
		} else if err := s.split(ctx, next); err != nil {
			return Estimate{}, err
		}
	}
	est := Estimate{Scores: s.scores, Full: full, Empty: empty}
	if len(s.open) > 0 {
		est.Warnings = append(est.Warnings, s.shareRest())
	}
	est.Asked = s.memo.Asked()
	return est, nil
}

// share is what a branch of the tree has to share out in one situation: it joins the features in before, and the value
// goes from without to with.
type share struct {
	tree          *Tree             // the branch
	before        explain.Coalition // the features that are present when it joins
	without, with float64           // the value before and after it joins
	weight        float64           // of this situation, among all in which the branch joins
	number        int               // counts the shares in the order in which they were queued
}

// due returns what the share adds to the scores of its branch.
func (s *share) due() float64 { return (s.with - s.without) * s.weight }

// sharing is what is shared out so far, and what is not.
type sharing struct {
	memo   *explain.Memory
	scores []float64 // of the features that were reached
	open   queue     // the shares that are still to be divided
	added  int       // shares that were ever queued
}

// add gives a share to the feature of its leaf, or queues it where it belongs to a branch.
func (s *sharing) add(n *share) {
	if n.tree.Left == nil {
		s.scores[n.tree.Feature] += n.due()
		return
	}
	n.number = s.added
	s.added++
	heap.Push(&s.open, n)
}

// take removes from the queue the shares with the most to share out whose coalitions the budget still holds, atOnce at
// the most. It returns none when the budget has ended.
func (s *sharing) take(budget int) []*share {
	var next []*share
	fresh := map[string]bool{}
	for limit := atOnce(s.memo.Asked()); len(s.open) > 0 && len(next) < limit; {
		n := s.open[0]
		var unknown []string
		for _, c := range n.joins() {
			if !fresh[c.Key()] && !s.memo.Knows(c) {
				unknown = append(unknown, c.Key())
			}
		}
		if s.memo.Asked()+len(fresh)+len(unknown) > budget {
			break
		}
		for _, k := range unknown {
			fresh[k] = true
		}
		next = append(next, heap.Pop(&s.open).(*share))
	}
	return next
}

// joins returns the coalitions after the left branch alone has joined, and after the right one alone.
func (n *share) joins() [2]explain.Coalition {
	return [2]explain.Coalition{n.after(n.tree.Left), n.after(n.tree.Right)}
}

func (n *share) after(branch *Tree) explain.Coalition {
	c := n.before.Without()
	for _, f := range branch.features() {
		c[f] = true
	}
	return c
}

// split divides shares among the two branches of each, which join in both orders: the left one first, when it takes the
// value from without to that with it alone, and the right one the rest; and the other way round. Each order has half of
// the weight.
func (s *sharing) split(ctx context.Context, next []*share) error {
	var of []explain.Coalition
	for _, n := range next {
		j := n.joins()
		of = append(of, j[0], j[1])
	}
	values, err := s.memo.Values(ctx, of)
	if err != nil {
		return err
	}
	for i, n := range next {
		left, right, half := values[2*i], values[2*i+1], n.weight/2
		s.add(&share{tree: n.tree.Left, before: n.before, without: n.without, with: left, weight: half})
		s.add(&share{tree: n.tree.Right, before: n.before, without: n.without, with: right, weight: half})
		s.add(&share{tree: n.tree.Left, before: of[2*i+1], without: right, with: n.with, weight: half})
		s.add(&share{tree: n.tree.Right, before: of[2*i], without: left, with: n.with, weight: half})
	}
	return nil
}

// shareRest gives the features of each share that the budget did not reach equal parts, and returns a warning that says
// how much that was.
func (s *sharing) shareRest() string {
	most, at, groups := 0.0, "", map[string]float64{}
	for _, n := range s.open {
		features := n.tree.features()
		for _, f := range features {
			s.scores[f] += n.due() / float64(len(features))
		}
		name := strings.Trim(fmt.Sprint(features), "[]")
		groups[name] += math.Abs(n.due())
		if groups[name] > most || groups[name] == most && name < at {
			most, at = groups[name], name
		}
	}
	return fmt.Sprintf("the budget ended before all features were told apart: within some groups, of which there are "+
		"%d here, credit is shared equally (at most %.3g, for features %s); raise the budget", len(groups), most, at)
}

// queue is a heap of shares: the one with the most to share out is first, and of equal ones the older.
type queue []*share

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := math.Abs(q[i].due()), math.Abs(q[j].due())
	return a > b || a == b && q[i].number < q[j].number
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*share)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
