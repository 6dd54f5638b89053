package net

import (
	"fmt"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// The units of an objective.
const (
	Logit   = "logit"
	LogProb = "logprob"
	Prob    = "prob"
)

// Prediction says what is asked about the tokens that come next.
type Prediction struct {
	Unit   string // of the objective: "" (none), Logit, LogProb or Prob
	Each   bool   // its terms are asked for one by one, too
	Logits string // "" (none), "last" (of each row's last token) or "all"
	Last   bool   // only the last token is asked about: a Transformer's last layer returns no other
}

// inputs lists what the head takes besides hidden states and Length.
func (q Prediction) inputs() (names []string) {
	if q.Unit != "" && !q.Last {
		names = append(names, Position)
	}
	if q.Unit != "" {
		names = append(names, Token, Share)
	}
	return names
}

func (q Prediction) outputs() (names []string) {
	if q.Unit != "" {
		names = append(names, Objective)
	}
	if q.Each {
		names = append(names, Terms)
	}
	if q.Logits != "" {
		names = append(names, Logits)
	}
	return names
}

// Normalised reports whether the objective depends on the logits of all tokens.
func (q Prediction) Normalised() bool { return q.Unit != "" && q.Unit != Logit }

// asked returns the hidden states that are asked about, of h [B, T, D], or of h [B, 1, D] of the last tokens: those of
// the terms [B, N, D], and the others whose logits are returned [B, T, D] or [B, 1, D]. What there is none of is nil.
func (q Prediction) asked(h *Node, in values) (terms, others *Node) {
	if q.Unit != "" {
		position := in[Position]
		if q.Last {
			position = ZerosLike(in[Token])
		}
		terms = pickMany(h, position)
	}
	switch {
	case q.Logits == "last" && !q.Last:
		others = ExpandAxes(pick(h, AddScalar(in[Length], -1)), 1)
	case q.Logits != "":
		others = h
	}
	return terms, others
}

// predict returns objective and logits of hidden states [B, T, D], or [B, 1, D] of the last tokens.
func (q Prediction) predict(p *pass, h *Node, in values) values {
	out := values{}
	terms, others := q.asked(h, in)
	q.answer(p, terms, others, p.output, in, out)
	return out
}

// answer adds objective and logits to the outputs, from the hidden states that are asked about; output returns the
// logits of either.
func (q Prediction) answer(p *pass, terms, others *Node, output func(h *Node) *Node, in, out values) {
	if terms != nil {
		each := q.each(p, terms, in[Token], output)
		out[Objective] = ReduceSum(Mul(in[Share], each), -1)
		if q.Each {
			out[Terms] = each
		}
	}
	if others != nil {
		out[Logits] = output(others)
	}
}

// Whole is the whole model as one program. Everything else (rows, tokens, terms, how far an edit is broadcast) is a
// shape.
type Whole struct {
	Opening
	Prediction
	StateIn  bool // LSTM: the recurrence starts from given states
	StateOut bool // LSTM: return the states after each row's last token
}

// Key names the program.
func (k Whole) Key() string { return fmt.Sprintf("whole %+v", k) }

// Signature lists all parameters, tokens, terms, states and edits; and as far as asked for objective, logits, states,
// activations, gradients, and ByOne.
func (k Whole) Signature(c Config) Signature {
	s := Signature{Params: c.paramsOf(func(Param) bool { return true }), Inputs: []string{IDs, Length}}
	s.Inputs = append(s.Inputs, k.Prediction.inputs()...)
	if k.StateIn {
		s.Inputs = append(s.Inputs, Hidden, Cell)
	}
	s.Inputs = append(s.Inputs, k.Opening.inputs()...)
	s.Outputs = k.Prediction.outputs()
	if k.Unit == "" && len(k.Linear) > 0 {
		s.Outputs = append(s.Outputs, Objective)
	}
	if k.StateOut {
		s.Outputs = append(s.Outputs, Hidden, Cell)
	}
	s.Outputs = append(s.Outputs, outputs(k.Taps, k.Wrt)...)
	if k.Rules.Conserve() && len(k.Wrt) > 0 {
		s.Outputs = append(s.Outputs, ByOne)
	}
	return s
}

func (k Whole) graph(p *pass, in values) values {
	ids, length := in[IDs], in[Length]
	p.open(k.Opening, in, ids.Graph(), ids.Shape().Dimensions[0])
	p.from = k.Lowest(p.config.Layers)
	p.state, p.cells = &state{length: length}, k.Rules != Ordinary
	for t := range p.want {
		p.cells = p.cells || strings.HasPrefix(t, "lstm.") && !strings.Contains(t, ".state.")
	}
	if k.StateIn {
		p.state.hidden, p.state.cell = unstack(in[Hidden]), unstack(in[Cell])
	}
	if k.Last {
		p.last = AddScalar(length, -1)
	}
	h := forward(p, p.weights.embed(ids))
	out := k.predict(p, h, in)
	if out[Objective] = p.read(k.Linear, out[Objective]); len(k.Linear) > 0 {
		// Gradients of recurrences are found on the way back from the end: see adjoint.
		out[Objective] = Add(out[Objective], MulScalar(ReduceSum(Reshape(h, h.Shape().Dimensions[0], -1), -1), 0))
	}
	if k.StateOut {
		out[Hidden], out[Cell] = Stack(p.state.lastHidden, 0), Stack(p.state.lastCell, 0)
	}
	p.record(k.Taps, out)
	if len(k.Wrt) > 0 {
		p.differentiate(out[Objective], k.Wrt, nil, out)
	}
	return out
}

func (p *pass) recorded(tap string) *Node {
	x := p.seen[tap]
	if x == nil {
		panic(fmt.Errorf("the model has no activation %q", tap))
	}
	return x
}

// rowMajor exchanges the axes of rows and tokens of what lives inside an LSTM's recurrence (it is its own inverse).
func (p *pass) rowMajor(tap string, x *Node) *Node {
	if p.config.Recurrent() && strings.HasPrefix(tap, "lstm.") && x.Rank() == 3 {
		return TransposeAllDims(x, 1, 0, 2)
	}
	return x
}

// forward turns the embeddings of tokens [B, T, D] into the hidden states that the output matrix multiplies.
func forward(p *pass, x *Node) *Node {
	if p.config.Recurrent() {
		return p.tap("head.in", lstm(p, x))
	}
	return transformer(p, x)
}

func loopOf(loops bool) loopFunc {
	if loops {
		return whileLoop
	}
	return unrolledLoop
}

func unstack(x *Node) []*Node {
	d := x.Shape().Dimensions
	xs := make([]*Node, d[0])
	for l := range xs {
		xs[l] = Reshape(Slice(x, AxisElem(l)), d[1:]...)
	}
	return xs
}

// each returns unit(token_k after at_k): [B, N], whose weighted sum is the objective, for hidden states at [B, N, D].
// Only what it needs of the head is computed.
func (q Prediction) each(p *pass, at, token *Node, output func(h *Node) *Node) *Node {
	B, N := token.Shape().Dimensions[0], token.Shape().Dimensions[1]
	matrix, bias := p.weights.head(p.config)
	x := ReduceSum(Mul(at, rows(matrix, token)), -1) // [B, N]
	if bias != nil {
		x = p.plus(x, Gather(bias, ExpandAxes(token, -1)))
	}
	x = p.capped(p.linear(x), p.config.LogitCap)
	if q.Normalised() {
		all := output(at) // [B, N, V]
		top := p.shared(StopGradient(ReduceAndKeep(all, ReduceMax, -1)))
		x = Sub(x, Add(p.act(Log, ReduceSum(p.act(Exp, Sub(all, top)), -1)), Reshape(top, B, N)))
	}
	if q.Unit == Prob {
		x = p.act(Exp, x)
	}
	return x
}

// pickMany returns h [B, T, ...] at positions [B, N] of each row: [B, N, ...].
func pickMany(h, position *Node) *Node {
	B, N := position.Shape().Dimensions[0], position.Shape().Dimensions[1]
	row := Iota(h.Graph(), shapes.Make(dtypes.Int32, B, N, 1), 0)
	return Gather(h, Concatenate([]*Node{row, ExpandAxes(position, -1)}, -1))
}
