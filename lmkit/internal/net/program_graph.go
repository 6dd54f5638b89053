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

// Program says what one compiled forward pass computes. Everything else (rows, tokens, terms, how far an edit is
// broadcast) is a shape.
type Program struct {
	Taps, Wrt []string // activations to record; activations to differentiate the objective by
	Edits     []Slot
	Unit      string // of the objective: "" (none), Logit, LogProb or Prob
	Logits    string // "" (none), "last" (of each row's last token) or "all"
	Last      bool   // Transformer: only the last token is asked about, and nothing after the last layer's keys and values
	StateIn   bool   // LSTM: the recurrence starts from given states
	StateOut  bool   // LSTM: return the states after each row's last token
	Rules     Rules  // of the gradients
	Loops     bool   // the engine has While and DynamicSlice
}

// Slot is one kind of replacement at a tap: by another row's activation, or by given values.
type Slot struct {
	Tap string
	Row bool
}

// Key names the program among those of one model.
func (k Program) Key() string { return fmt.Sprintf("%+v", k) }

// Build is the whole program. Inputs: the weights in the order of c.Params(); ids [B, T]; length [B]; with an
// objective: pos, id, coef [B, K]; with StateIn: hidden, cell [L, B, H]; for every slot: weight [B, T, ...], and then
// donors [B] or values [.., T, ...]. Outputs: objective [B], logits [B, T or 1, V], hidden and cell [L, B, H], taps,
// gradients, and the gradient by one [B] (what constants took of each row's relevance, under rules that conserve it),
// as far as asked for.
func Build(c Config, k Program, in []*Node) (outs []*Node) {
	n := len(c.Params())
	w := NewWeights(c, in[:n])
	in = in[n:]
	take := func() *Node { n := in[0]; in = in[1:]; return n }
	ids, length := take(), take()
	var pos, id, coef *Node
	if k.Unit != "" {
		pos, id, coef = take(), take(), take()
	}
	p := &pass{config: c.WithDefaults(), weights: w, want: map[string]bool{}, seen: map[string]*Node{},
		edits: map[string][]edit{}, rules: k.Rules, loop: loopOf(k.Loops), state: &state{length: length}, cells: k.Rules != Ordinary}
	if k.Rules.Conserve() {
		p.one = leaf(Ones(ids.Graph(), shapes.Make(dtypes.Float32, ids.Shape().Dimensions[0])))
	}
	if k.Last {
		p.last = AddScalar(length, -1)
	}
	if k.StateIn {
		p.state.hidden, p.state.cell = unstack(take()), unstack(take())
	}
	for _, s := range k.Edits {
		p.edits[s.Tap] = append(p.edits[s.Tap], takeEdit(c, s, take))
	}
	for _, t := range append(append([]string{}, k.Taps...), k.Wrt...) {
		p.want[t] = true
		p.cells = p.cells || strings.HasPrefix(t, "lstm.") && !strings.Contains(t, ".state.")
	}

	h := forward(p, w.embed(ids)) // [B, T, D], or of the last token [B, 1, D]
	if k.Last && k.Unit != "" {
		pos = ZerosLike(pos)
	}
	if k.Unit != "" {
		outs = append(outs, objective(p, k.Unit, h, pos, id, coef))
	}
	switch {
	case k.Last && k.Logits == "last":
		outs = append(outs, p.output(h))
	case k.Logits == "last":
		outs = append(outs, p.output(ExpandAxes(pick(h, AddScalar(length, -1)), 1)))
	case k.Logits == "all":
		outs = append(outs, p.output(h))
	}
	if k.StateOut {
		outs = append(outs, Stack(p.state.lastHidden, 0), Stack(p.state.lastCell, 0))
	}
	for _, t := range k.Taps {
		outs = append(outs, rowMajor(c, t, p.recorded(t)))
	}
	if len(k.Wrt) > 0 {
		xs := make([]*Node, len(k.Wrt))
		for i, t := range k.Wrt {
			xs[i] = p.recorded(t)
		}
		if p.one != nil {
			xs = append(xs, p.one)
		}
		grads := Gradient(ReduceAllSum(outs[0]), xs...)
		for i, t := range k.Wrt {
			outs = append(outs, rowMajor(c, t, grads[i]))
		}
		if p.one != nil {
			outs = append(outs, grads[len(k.Wrt)])
		}
	}
	return outs
}

func (p *pass) recorded(tap string) *Node {
	x := p.seen[tap]
	if x == nil {
		panic(fmt.Errorf("the model has no activation %q", tap))
	}
	return x
}

func takeEdit(c Config, s Slot, take func() *Node) edit {
	weight := rowMajor(c, s.Tap, take())
	e := edit{keep: OneMinus(weight), weight: weight}
	if s.Row {
		e.donors = take()
	} else {
		e.add = Mul(weight, rowMajor(c, s.Tap, take()))
	}
	return e
}

// rowMajor exchanges the axes of rows and tokens of what lives inside an LSTM's recurrence (it is its own inverse).
func rowMajor(c Config, tap string, x *Node) *Node {
	if c.Recurrent() && strings.HasPrefix(tap, "lstm.") && x.Rank() == 3 {
		return TransposeAllDims(x, 1, 0, 2)
	}
	return x
}

// forward turns the embeddings of tokens [B, T, D] into the hidden states that the output matrix multiplies.
func forward(p *pass, x *Node) *Node {
	if p.config.Recurrent() {
		x = lstm(p, x)
	} else {
		x = transformer(p, x)
	}
	return p.tap("head.in", x)
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

// objective is sum_k coef * unit(token id_k at position pos_k): [B]. Only what it needs of the head is computed.
func objective(p *pass, unit string, h, pos, id, coef *Node) *Node {
	g := h.Graph()
	B, K := pos.Shape().Dimensions[0], pos.Shape().Dimensions[1]
	row := Iota(g, shapes.Make(dtypes.Int32, B, K, 1), 0)
	at := Gather(h, Concatenate([]*Node{row, ExpandAxes(pos, -1)}, -1)) // [B, K, D]
	matrix, bias := p.weights.head(p.config)
	columns := Gather(matrix, ExpandAxes(id, -1)) // [B, K, D]
	x := ReduceSum(Mul(at, columns), -1)          // [B, K]
	if bias != nil {
		x = p.plus(x, Gather(bias, ExpandAxes(id, -1)))
	}
	x = p.capped(p.linear(x), p.config.LogitCap)
	if unit != Logit {
		all := p.output(at) // [B, K, V]
		top := p.shared(StopGradient(ReduceAndKeep(all, ReduceMax, -1)))
		x = Sub(x, Add(p.act(Log, ReduceSum(p.act(Exp, Sub(all, top)), -1)), Reshape(top, B, K)))
	}
	if unit == Prob {
		x = p.act(Exp, x)
	}
	return ReduceSum(Mul(coef, x), -1)
}
