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

// Owen shares a prediction out along a tree of the features: the two branches of a node get their Shapley values, and
// share these out among their own branches (Owen, Values of games with a priori unions, 1977). Features join the rest
// of the text only in whole branches, so a word's pieces are seldom torn apart, and about M² coalitions do for M
// features of a balanced tree. Where the budget ends first, the nodes with the least to share out share equally.
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

// withTree puts the tree of the features' texts in place of none.
func (o Owen) withTree(p *explain.Problem) Owen {
	if o.Tree == nil {
		o.Tree = TokenTree(pieces(p))
	}
	return o
}

// pieces is the features' texts as they are in the prompt, with the white space around them.
func pieces(p *explain.Problem) []string {
	out := make([]string, len(p.Features))
	for i, f := range p.Features {
		out[i] = p.TextOf(f)
	}
	return out
}

// atOnce is how many branches are shared out in one call of the game: enough to fill a batch, few against what is
// known already. It belongs to the method: with a budget that ends early, it has a part in which branches are reached.
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

// share is a branch that joins some features, and how much of the result hangs on it.
type share struct {
	tree          *Tree
	before        explain.Coalition // who is there already
	without, with float64           // the value before and after the branch joins
	weight        float64
	number        int // in the order of adding
}

func (s *share) due() float64 { return (s.with - s.without) * s.weight }

// sharing is the state of the recursion.
type sharing struct {
	memo   *explain.Memory
	scores []float64
	open   queue
	added  int
}

// add credits a leaf, and queues any other branch.
func (s *sharing) add(n *share) {
	if n.tree.Left == nil {
		s.scores[n.tree.Feature] += n.due()
		return
	}
	n.number = s.added
	s.added++
	heap.Push(&s.open, n)
}

// take removes the branches with the most to share out, as far as the budget reaches.
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

// joins is who is there after the left branch alone has joined, and after the right one alone.
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

// split lets the branches of each share join in both orders.
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

// shareRest shares out equally what the budget did not reach, and says how much that was.
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
	return fmt.Sprintf("the budget ended before %d groups of features were told apart: within them, credit is "+
		"shared equally (at most %.3g, for features %s); raise the budget", len(groups), most, at)
}

// queue is a heap of shares, the largest first; of equal ones, the older.
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
