package net

import (
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// state is where an LSTM's recurrences start and end, a layer [B, H].
type state struct {
	hidden, cell         []*Node // where they start; nil: zeros
	length               *Node   // int32 [B]: the number of tokens of each row; nil: all T
	lastHidden, lastCell []*Node // filled by the forward pass: the values after each row's last token
}

// lstm returns a stack of PyTorch LSTM layers: x is the token embeddings [B, T, D], the result the last layer's hidden
// states [B, T, H].
func lstm(p *pass, x *Node) *Node {
	x = p.dropout(p.tap("embed", x))
	x = TransposeAllDims(x, 1, 0, 2) // [T, B, D]
	for l := range p.config.Layers {
		x = p.dropout(lstmLayer(p.inLayer("lstm", l), x))
	}
	return TransposeAllDims(x, 1, 0, 2) // [B, T, H]
}

// lstmLayer turns x [T, B, D] into hidden states [T, B, H]. It runs the recurrence once, forwards, without a gradient.
// When only the hidden states matter, their gradient is written out (adjoint). When gates or cells are recorded or
// differentiated, the layer is replayed, all steps at once, with every previous state known: ordinary graph code that
// records the taps and carries the gradients. What the replay cannot see, the gradient that comes back from later
// steps, is added by the same adjoint. docs/lstm-adjoint.md derives it.
func lstmLayer(p *pass, x *Node) *Node {
	T, B, H := x.Shape().Dimensions[0], x.Shape().Dimensions[1], p.config.Hidden
	wh := p.weight("hidden.weight") // [4H, H]
	bias := Add(p.weight("input.bias"), p.weight("hidden.bias"))
	in := Einsum("tbe,ge->tbg", x, p.weight("input.weight"))
	in = p.replay().bias(in, bias) // [T, B, 4H]
	h0, c0 := p.start(in, B, H)

	shape, gates := shapes.Make(x.DType(), B, H), shapes.Make(x.DType(), B, 4*H)
	inS, whS := StopGradient(in), StopGradient(wh)
	last, out := p.loop(T, false, []*Node{StopGradient(h0), StopGradient(c0)}, []shapes.Shape{shape, shape, gates},
		func(s step, prev []*Node) (next, emit []*Node) {
			z := Add(s.of(inS), Einsum("bh,gh->bg", prev[0], whS))
			h, cell := lstmCell(p.at(s), z, prev[1], nil)
			return []*Node{h, cell}, []*Node{h, cell, z}
		})
	p.finish(last, out)
	hPrev, cPrev := shifted(h0, out[0]), shifted(c0, out[1]) // [T, B, H]
	p = p.replay()
	adj := &adjoint{pass: p, wh: whS, z: out[2], cPrev: StopGradient(cPrev)}
	if !p.cells {
		return customVJP([]*Node{in, wh, h0, c0}, out[0], func(v *Node) []*Node {
			adj.run(v)
			return []*Node{adj.dz, Einsum("tbg,tbh->gh", adj.dz, StopGradient(hPrev)), adj.dh0, adj.dc0}
		})
	}
	z := Add(in, Einsum("tbh,gh->tbg", hPrev, wh)) // [T, B, 4H]
	h, _ := lstmCell(p, z, cPrev, adj)
	return h
}

// start returns the hidden state and cell before the first token [B, H].
func (p *pass) start(like *Node, B, H int) (h, c *Node) {
	if p.state != nil && p.state.hidden != nil {
		h, c = p.state.hidden[p.layer], p.state.cell[p.layer]
	} else {
		zero := Zeros(like.Graph(), shapes.Make(like.DType(), B, H))
		h, c = Identity(zero), Identity(zero)
	}
	q := p.in("state")
	return q.tap("hidden", h), q.tap("cell", c)
}

// finish keeps the state after each row's last token; out are the hidden states and cells [T, B, H].
func (p *pass) finish(last, out []*Node) {
	s := p.state
	if s == nil {
		return
	}
	if s.length != nil {
		last = []*Node{atLast(out[0], s.length), atLast(out[1], s.length)}
	}
	s.lastHidden, s.lastCell = append(s.lastHidden, last[0]), append(s.lastCell, last[1])
}

// atLast returns xs[length[b]-1, b] for xs [T, B, H]: [B, H].
func atLast(xs, length *Node) *Node {
	b := Iota(xs.Graph(), shapes.Make(length.DType(), length.Shape().Dimensions[0], 1), 0)
	return Gather(xs, Concatenate([]*Node{ExpandAxes(AddScalar(length, -1), -1), b}, 1))
}

// lstmCell turns pre-activations z [..., 4H] (gate order i, f, g, o) and the previous cell into hidden and cell.
// It serves one step [B, H] and the replay of all steps [T, B, H] alike.
func lstmCell(p *pass, z, cPrev *Node, later *adjoint) (h, cell *Node) {
	z = p.tap("pre", p.linear(z))
	gate := p.in("gate")
	i := gate.tap("i", p.act(Sigmoid, quarter(z, 0)))
	f := gate.tap("f", p.act(Sigmoid, quarter(z, 1)))
	g := gate.tap("g", p.act(Tanh, quarter(z, 2)))
	o := gate.tap("o", p.act(Sigmoid, quarter(z, 3)))
	cell = later.onCell(p.tap("cell", p.linear(Add(p.gated(f, cPrev), p.gated(i, g)))))
	h = later.onHidden(p.tap("hidden", p.gated(o, p.act(Tanh, cell))))
	return h, cell
}

// adjoint adds what comes back from later steps (docs/lstm-adjoint.md). The local derivatives of a cell are found by
// differentiating the cell itself, all steps at once; the recurrence over them is linear.
type adjoint struct {
	pass         *pass
	wh, z, cPrev *Node
	fromCell     *Node // gradient of each cell from the step after it [T, B, H], set by run
	dz           *Node // total gradient of the pre-activations before their edits [T, B, 4H], set by run
	dh0, dc0     *Node // gradient of the state before the first token [B, H], set by run
	local        bool  // while the local derivatives are taken:
	cellOut, cut *Node // the cell, and the cell as hidden sees it
}

func (a *adjoint) onCell(c *Node) *Node {
	if a == nil {
		return c
	}
	if a.local {
		a.cellOut, a.cut = c, leaf(c)
		return a.cut
	}
	return IdentityWithCustomGradient(c, func(_, v *Node) *Node { return Add(v, a.fromCell) })
}

func (a *adjoint) onHidden(h *Node) *Node {
	if a == nil || a.local {
		return h
	}
	return IdentityWithCustomGradient(h, func(_, v *Node) *Node { return a.run(v) })
}

// run takes the gradient of the hidden states from above [T, B, H], and returns it with what the later steps add.
func (a *adjoint) run(v *Node) *Node {
	z, cPrev := leaf(a.z), leaf(a.cPrev)
	l, q := &adjoint{local: true}, a.pass.reading()
	h, _ := lstmCell(q, z, cPrev, l)
	own := q.ownReads(z)
	byCell := Gradient(ReduceAllSum(l.cellOut), z, cPrev) // d cell/d z [T, B, 4H], d cell/d cPrev [T, B, H]
	byHidden := Gradient(ReduceAllSum(h), z, l.cut)       // d hidden/d z, d hidden/d cell
	// The cell depends on gates i, f, g; hidden, given the cell, on o alone: one array holds both.
	T, H := v.Shape().Dimensions[0], v.Shape().Dimensions[2]
	local := Concatenate([]*Node{SliceAxis(byCell[0], -1, AxisRange(0, 3*H)), quarter(byHidden[0], 3)}, -1)

	state := shapes.Make(v.DType(), v.Shape().Dimensions[1:]...)
	gates := shapes.Make(v.DType(), a.z.Shape().Dimensions[1:]...)
	zero := Zeros(v.Graph(), state)
	turn := func(s step, next []*Node) (carry, emit []*Node) {
		later := Add(s.of(v), next[0]) // what comes to the hidden state from above and from later steps
		dh := plusRead(later, s, own.hidden)
		dc := plusRead(Add(Mul(s.of(byHidden[1]), dh), next[1]), s, own.cell)
		dz := plusRead(Mul(s.of(local), Concatenate([]*Node{dc, dc, dc, dh}, -1)), s, own.gates)
		return []*Node{Einsum("bg,gh->bh", dz, a.wh), Mul(s.of(byCell[1]), dc)}, []*Node{later, next[1], dz}
	}
	first, out := a.pass.loop(T, true, []*Node{zero, zero}, []shapes.Shape{state, state, gates}, turn)
	a.fromCell, a.dz, a.dh0, a.dc0 = out[1], out[2], first[0], first[1]
	return out[0]
}

// ownReads is the gradient of what an objective reads inside a recurrence, by what is read itself. The replay passes it
// on to the layer below, and the adjoint to earlier steps.
type ownReads struct {
	hidden, cell *Node // [T, B, H]; nil: nothing is read there
	gates        *Node // by the pre-activations, of what is read of these and of gates [T, B, 4H]
}

// reading returns the same walk, recording no more than what the objective reads.
func (p *pass) reading() *pass {
	q := *p
	q.want, q.seen = map[string]bool{}, map[string]*Node{}
	for tap := range p.coefficients {
		q.want[tap] = true
	}
	return &q
}

// ownReads returns what is read in the layer where the pass stands, after a walk from pre-activations z.
func (p *pass) ownReads(z *Node) (own ownReads) {
	var inGates *Node
	for _, name := range []string{"pre", "gate.i", "gate.f", "gate.g", "gate.o"} {
		if x := p.seen[p.scope+name]; x != nil {
			x = ReduceAllSum(Mul(x, p.coefficients[p.scope+name]))
			if inGates != nil {
				x = Add(inGates, x)
			}
			inGates = x
		}
	}
	if inGates != nil {
		own.gates = Gradient(inGates, z)[0]
	}
	own.hidden, own.cell = p.coefficients[p.scope+"hidden"], p.coefficients[p.scope+"cell"]
	return own
}

// plusRead adds the step's part of what is read, if anything is.
func plusRead(x *Node, s step, read *Node) *Node {
	if read == nil {
		return x
	}
	return Add(x, s.of(read))
}

// quarter returns the k-th gate's part of z [..., 4H].
func quarter(z *Node, k int) *Node {
	H := z.Shape().Dimensions[z.Rank()-1] / 4
	return Slice(z, AxisRange().Spacer(), AxisRange(k*H, (k+1)*H))
}

// shifted is [first, xs[0], ..., xs[T-2]]: what each step of a recurrence started from. The gradient reaches first
// alone.
func shifted(first, xs *Node) *Node {
	T := xs.Shape().Dimensions[0]
	if T == 1 {
		return ExpandAxes(first, 0)
	}
	return Concatenate([]*Node{ExpandAxes(first, 0), StopGradient(Slice(xs, AxisRange(0, T-1)))}, 0)
}
