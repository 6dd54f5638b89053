package net

import (
	"fmt"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// pass is one walk through a model's forward function: where it stands (scope), which activations it records, which
// it replaces, and by which rules gradients go back. A pass of a model alone is plain inference: every method is then
// the identity or the ordinary operation, and the compiled program is the one without it.
type pass struct {
	// What runs, and where the walk stands.
	config  Config
	weights Weights
	scope   string // "block.2.attn."
	layer   int    // the number of the layer
	// bfloat16 says that products with weights take both factors as bfloat16.
	bfloat16 bool

	// What is recorded and replaced, and what gradients do.
	want  map[string]bool   // names to record; a set "*" records everything
	seen  map[string]*Node  // recorded: shared by all scopes of the walk
	edits map[string][]edit // replacements, by tap name
	// places are the tokens whose activations and gradients are returned [B, P]; nil: all.
	places *Node

	// coefficients are those of activations that the objective is linear in; of an LSTM's [T, B, ...].
	coefficients map[string]*Node
	rules        Rules             // how gradients pass what is not linear
	one          *Node             // [B] ones that constants are multiplied by where relevance is conserved: see bias
	from         int               // the first layer whose constants are counted
	tables       map[string]*Node  // constants of the program: see table
	known        map[string]*Node  // values that are not to be computed again; gradients go through to what they are of
	drop         func(*Node) *Node // dropout; nil: none

	// What is known of a text besides its tokens.
	cache *cache // generation: what earlier tokens left; nil: the whole text is there
	state *state // LSTM: where the recurrence starts, and where it ended
	last  *Node  // Transformer: int32 [B], the one token a row whose prediction is asked for; nil: all

	// LSTM.
	cells bool     // gates are recorded, or gradients go through them by rules (replay the recurrence)
	loop  loopFunc // how a recurrence runs: whileLoop or unrolledLoop
	rows  int      // the axis of rows: 0, or 1 in the time-major replay of an LSTM
}

// in enters a part of the model: p.in("attn").tap("pattern", x) is "block.2.attn.pattern" where p stands in block 2.
func (p *pass) in(name string) *pass {
	q := *p
	q.scope += name + "."
	return &q
}

// inLayer enters a layer: p.inLayer("block", 2) stands in "block.2.".
func (p *pass) inLayer(kind string, l int) *pass {
	q := p.in(fmt.Sprintf("%s.%d", kind, l))
	q.layer = l
	return q
}

// tap names an activation. What comes back is what the model goes on with: x, or its replacement.
func (p *pass) tap(name string, x *Node) *Node {
	name = p.scope + name
	for _, e := range p.edits[name] {
		x = e.apply(x, p.rows)
	}
	if v := p.known[name]; v != nil {
		x = customVJP([]*Node{x}, v, func(by *Node) []*Node { return []*Node{by} })
	}
	if p.want[name] || p.want["*"] {
		p.seen[name] = x
	}
	return x
}

func (p *pass) dropout(x *Node) *Node {
	if p.drop == nil {
		return x
	}
	return p.drop(x)
}

// edit puts a source into an activation: keep*x + weight*source, or x + weight*source where there is no keep. Weights
// 0 and 1 are exact. The source is given (add = weight*values), another row's activation, or x's own part along a
// direction.
type edit struct {
	keep, weight *Node // broadcast to the tap's shape; keep = 1-weight, or nil
	add          *Node // weight*values, or nil
	donors       *Node // int32 [B]: the row to copy from, or nil
	along        *Node // [D], of length 1, or nil
}

func (e edit) apply(x *Node, rowAxis int) *Node {
	put := e.add
	switch {
	case e.donors != nil:
		put = Mul(StopGradient(takeRows(x, e.donors, rowAxis)), e.weight)
	case e.along != nil:
		put = Mul(alongDirection(x, e.along), e.weight)
	}
	if e.keep != nil {
		x = Mul(x, e.keep)
	}
	return Add(x, put)
}

// alongDirection returns the part of x [..., D] along v [D] of length 1: (x.v) v.
func alongDirection(x, v *Node) *Node {
	D := v.Shape().Dimensions[0]
	y := Reshape(x, -1, D)
	v = Reshape(v, 1, D)
	size := Einsum("nd,md->nm", y, v) // [N, 1]
	return Reshape(Einsum("nm,md->nd", size, v), x.Shape().Dimensions...)
}

// at returns the edit at one step of a recurrence: its time axis (0) sliced away.
func (e edit) at(s step) edit {
	e.weight = s.of(e.weight)
	if e.keep != nil {
		e.keep = s.of(e.keep)
	}
	switch {
	case e.add != nil:
		e.add = s.of(e.add)
	case e.donors != nil:
		e.donors = s.bring(e.donors)
	default:
		e.along = s.bring(e.along)
	}
	return e
}

// at returns the pass inside a recurrence: edits sliced at the step, nothing recorded (the replay records).
func (p *pass) at(s step) *pass {
	q := *p.silent()
	q.rules, q.rows, q.edits = Ordinary, 0, map[string][]edit{}
	for name, es := range p.edits {
		if strings.HasPrefix(name, p.scope) && !strings.HasPrefix(name, p.scope+"state.") {
			for _, e := range es {
				q.edits[name] = append(q.edits[name], e.at(s))
			}
		}
	}
	return &q
}

// silent returns the same walk, recording nothing.
func (p *pass) silent() *pass {
	q := *p
	q.want = nil
	return &q
}

// replay returns the same walk over all steps of a recurrence at once.
func (p *pass) replay() *pass {
	q := *p
	q.rows = 1
	return &q
}

// takeRows returns x with row b replaced by row rows[b].
func takeRows(x, rows *Node, axis int) *Node {
	if axis != 0 {
		perm := make([]int, x.Rank())
		for i := range perm {
			perm[i] = i
		}
		perm[0], perm[axis] = axis, 0
		return TransposeAllDims(takeRows(TransposeAllDims(x, perm...), rows, 0), perm...)
	}
	return Gather(x, ExpandAxes(rows, -1))
}
