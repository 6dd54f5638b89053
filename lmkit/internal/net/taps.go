package net

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// TapInfo describes an activation that can be recorded, differentiated by, and replaced. Axes has a letter an axis: B
// rows, T tokens, H heads, G heads of keys and values, S tokens attended to, and "." for features. Sizes is how long
// each axis is: -1 where that depends on the rows and their tokens.
type TapInfo struct {
	Name  string
	Axes  string
	Sizes []int

	Readers int // where there is an axis G: how many heads of queries read each of its heads
}

// Heads returns how many heads the activation has, of queries or of keys and values; 0: it has no such axis.
func (t TapInfo) Heads() int {
	if k := strings.IndexAny(t.Axes, "HG"); k >= 0 {
		return t.Sizes[k]
	}
	return 0
}

// HeadName returns the number of head i of the activation. One of keys and values is called by the heads that share it:
// "3-5".
func (t TapInfo) HeadName(i int) string {
	if t.Readers < 2 {
		return strconv.Itoa(i)
	}
	return fmt.Sprintf("%d-%d", i*t.Readers, (i+1)*t.Readers-1)
}

// Shape returns the activation's shape for B rows of T tokens.
func (t TapInfo) Shape(B, T int) []int {
	d := make([]int, len(t.Sizes))
	for k, n := range t.Sizes {
		switch {
		case n >= 0:
			d[k] = n
		case t.Axes[k] == 'B':
			d[k] = B
		default:
			d[k] = T
		}
	}
	return d
}

// TokenAxis returns which axis has the tokens; below 0: none.
func (t TapInfo) TokenAxis() int { return strings.IndexByte(t.Axes, 'T') }

// tokenAxis is that of an activation by its name in the whole model, or in the part that it belongs to.
func (c Config) tokenAxis(tap string) int {
	for _, t := range c.Taps() {
		if _, name := PartOf(t.Name); t.Name == tap || name == tap {
			return t.TokenAxis()
		}
	}
	return -1
}

// Taps lists the activations of a model in the order in which they are computed.
func (c Config) Taps() []TapInfo {
	l := &tapList{Config: c.WithDefaults()}
	l.add("embed", "BT.", c.Embedding())
	if c.Recurrent() {
		l.lstm()
	} else {
		l.transformer()
	}
	l.add("head.in", "BT.", c.Out())
	return l.all
}

// tapList gathers activations.
type tapList struct {
	Config
	all []TapInfo
}

// add appends an activation; sizes are those of its last axes, and all axes before have the rows' and tokens'.
func (l *tapList) add(name, axes string, sizes ...int) {
	t := TapInfo{Name: name, Axes: axes, Sizes: make([]int, len(axes))}
	for k := range t.Sizes {
		t.Sizes[k] = -1
	}
	copy(t.Sizes[len(axes)-len(sizes):], sizes)
	if strings.Contains(axes, "G") {
		t.Readers = l.Config.Heads / l.KVHeads
	}
	l.all = append(l.all, t)
}

func (l *tapList) lstm() {
	for i := range l.Layers {
		p := fmt.Sprintf("lstm.%d.", i)
		l.add(p+"state.hidden", "B.", l.Hidden)
		l.add(p+"state.cell", "B.", l.Hidden)
		l.add(p+"pre", "BT.", 4*l.Hidden)
		for _, g := range []string{"i", "f", "g", "o"} {
			l.add(p+"gate."+g, "BT.", l.Hidden)
		}
		l.add(p+"cell", "BT.", l.Hidden)
		l.add(p+"hidden", "BT.", l.Hidden)
	}
}

func (l *tapList) transformer() {
	D := l.Width
	if l.Positions == Learned {
		l.add("pos_embed", "BT.", D)
	}
	for i := range l.Layers {
		p := fmt.Sprintf("block.%d.", i)
		l.add(p+"resid.pre", "BT.", D)
		l.norm(p+"ln1", l.normsBefore(), "BT.", D)
		l.attention(p+"attn.", l.Pattern[i])
		l.norm(p+"ln1_post", l.NormsAfter(), "BT.", D)
		if l.Residual == Sequential {
			l.add(p+"resid.mid", "BT.", D)
		}
		l.norm(p+"ln2", l.normsBefore() && l.Residual != ParallelOne, "BT.", D)
		if l.Gated {
			l.add(p+"mlp.gate", "BT.", l.Inner)
			l.add(p+"mlp.up", "BT.", l.Inner)
		} else {
			l.add(p+"mlp.pre", "BT.", l.Inner)
		}
		l.add(p+"mlp.post", "BT.", l.Inner)
		l.add(p+"mlp.out", "BT.", D)
		l.norm(p+"ln2_post", l.NormsAfter(), "BT.", D)
		l.add(p+"resid.post", "BT.", D)
	}
	l.norm("final", l.NormPlace != SumNorm, "BT.", D)
}

// attention adds the activations of a layer's attention. Queries and keys are q and k as they are projected, q_norm
// and k_norm where they are normalised, and q_rot and k_rot where they are turned.
func (l *tapList) attention(p string, kind byte) {
	H, G, K := l.Heads, l.KVHeads, l.HeadWidth
	kv := "BTH."
	if G != H {
		kv = "BTG."
	}
	l.add(p+"q", "BTH.", H, K)
	l.add(p+"k", kv, G, K)
	l.add(p+"v", kv, G, K)
	for _, x := range []struct {
		name, axes string
		heads      int
	}{{"q", "BTH.", H}, {"k", kv, G}} {
		if l.QKNorm == AllHeads {
			l.norm(p+x.name+"_norm", true, "BT.", x.heads*K)
		}
		l.norm(p+x.name+"_norm", l.QKNorm == EachHead, x.axes, x.heads, K)
		if l.RopeOf(kind).Theta != 0 {
			l.add(p+x.name+"_rot", x.axes, x.heads, K)
		}
	}
	l.add(p+"scores", "BHTS", H, -1, -1)
	l.add(p+"pattern", "BHTS", H, -1, -1)
	l.add(p+"z", "BTH.", H, K)
	l.add(p+"out", "BT.", l.Width)
}

// norm adds the activations of a norm over arrays of such axes and sizes, if there is one.
func (l *tapList) norm(name string, is bool, axes string, sizes ...int) {
	if !is {
		return
	}
	one := slices.Clone(sizes)
	one[len(one)-1] = 1
	l.add(name+".scale", axes, one...)
	l.add(name+".normalized", axes, sizes...)
}
