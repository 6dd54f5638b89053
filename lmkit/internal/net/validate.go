package net

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The most that a dimension and a number of layers may be.
const (
	maxDim    = 1 << 30
	maxLayers = 1 << 12
)

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var m mistakes
	m.least("the vocabulary size", c.Vocab)
	m.least("the embedding width", c.Width)
	m.least("the number of layers", c.Layers)
	if c.Layers > maxLayers {
		m.say("%d layers are more than the %d that lmkit takes", c.Layers, maxLayers)
	}
	if c.Dropout < 0 || c.Dropout >= 1 || math.IsNaN(c.Dropout) {
		m.say("dropout is %v; it must be at least 0 and below 1", c.Dropout)
	}
	switch c.Arch {
	case Transformer:
		c.validateAttention(&m)
		c.validatePositions(&m)
		c.validateBlocks(&m)
	case LSTM:
		m.least("the hidden width", c.Hidden)
		if c.Tied && c.Hidden != c.Width {
			m.say("a tied output matrix needs equal widths, but the embedding has %d and the hidden state %d",
				c.Width, c.Hidden)
		}
	default:
		m.say("there is no architecture %q; there are %s and %s", c.Arch, Transformer, LSTM)
	}
	return errors.Join(m...)
}

func (c Config) validateAttention(m *mistakes) {
	m.least("the number of heads", c.Heads)
	m.within("the number of heads of keys and values", c.KVHeads)
	m.within("the width of a head", c.HeadWidth)
	m.notNegative("the scale of the scores", c.Scale)
	m.notNegative("the cap of the scores", c.ScoreCap)
	m.oneOf("norm of queries and keys", c.QKNorm, EachHead, AllHeads)
	if c.Heads > 0 && c.HeadWidth == 0 && c.Width%c.Heads != 0 {
		m.say("the width %d is not a multiple of the %d heads", c.Width, c.Heads)
	}
	if c.Heads > 0 && c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		m.say("the %d heads of queries are not a multiple of the %d of keys and values", c.Heads, c.KVHeads)
	}
	if c.HeadWidth > 0 && c.Heads > maxDim/c.HeadWidth {
		m.say("%d heads of width %d are more than %d numbers", c.Heads, c.HeadWidth, maxDim)
	}
}

func (c Config) validatePositions(m *mistakes) {
	m.least("the context length", c.Context)
	m.within("the offset of the positions", c.PositionOffset)
	m.within("the window of attention", c.Window)
	m.oneOf("kind of positions", c.Positions, Learned, Rotary, NoPositions)
	d := c.WithDefaults()
	d.Rope.validate(m, d.HeadWidth)
	d.LocalRope.validate(m, d.HeadWidth)
	switch {
	case d.Positions == Rotary && d.Rope.Theta == 0:
		m.say("rotary positions need a theta, the base of their frequencies")
	case d.Positions != Rotary && d.Rope != Rope{}:
		m.say("positions are %s, and there is a rotation for rotary ones", d.Positions)
	case d.Rope == Rope{} && d.LocalRope != Rope{}:
		m.say("there is a rotation for the layers with a window, but none for the others")
	case d.Positions != Learned && d.PositionOffset != 0:
		m.say("positions are %s, and only those of a table can have an offset", d.Positions)
	}
	if c.Pattern == "" {
		return
	}
	if len(c.Pattern) != c.Layers {
		m.say("the pattern of the layers has %d letters for %d layers", len(c.Pattern), c.Layers)
	}
	strange := func(r rune) bool { return r != Full && r != Sliding && r != Unturned }
	if i := strings.IndexFunc(c.Pattern, strange); i >= 0 {
		m.say("the pattern of the layers has the letter %q; there are %c, %c and %c", c.Pattern[i], Full, Sliding, Unturned)
	}
	if strings.ContainsRune(c.Pattern, Sliding) && c.Window == 0 {
		m.say("layer %d reads a window, but there is no width of it", strings.IndexRune(c.Pattern, Sliding))
	}
}

func (c Config) validateBlocks(m *mistakes) {
	m.within("the width of token embeddings", c.EmbedWidth)
	m.within("the feed-forward width", c.Inner)
	m.oneOf("activation", c.Activation, GELUTanh, GELU, ReLU, SiLU)
	m.oneOf("norm", c.Norm, LayerNorm, RMSNorm, PlainNorm)
	m.oneOf("place of the norms", c.NormPlace, PreNorm, PostNorm, BothNorms, SumNorm)
	m.oneOf("kind of residual stream", c.Residual, Sequential, Parallel, ParallelOne)
	m.notNegative("the norm's epsilon", c.Epsilon)
	m.notNegative("the scale of the embeddings", c.EmbedScale)
	m.notNegative("the cap of the logits", c.LogitCap)
	if math.IsNaN(c.NormOffset) || math.IsInf(c.NormOffset, 0) {
		m.say("the offset of the norms' gains is %v; it must be a number", c.NormOffset)
	}
	if d := c.WithDefaults(); d.Residual == ParallelOne && d.NormPlace != PreNorm {
		m.say("a parallel block with one norm has it before, not %q", d.NormPlace)
	}
}

// validate checks a rotation of heads of a width.
func (r Rope) validate(m *mistakes, head int) {
	if r == (Rope{}) {
		return
	}
	m.notNegative("the rotation's theta", r.Theta)
	m.notNegative("what turns is multiplied by", r.Magnitude)
	m.oneOf("scaling of the rotation", r.Scaling, LinearScaling, Llama3Scaling, YarnScaling)
	if n := len(strings.Fields(r.Divisors)); n != 0 && (n != cmp.Or(r.Width, head)/2 || r.divisors() == nil) {
		m.say("a rotation of %d numbers of each head needs %d positive divisors of its frequencies, not %q",
			cmp.Or(r.Width, head), cmp.Or(r.Width, head)/2, r.Divisors)
	}
	if n := cmp.Or(r.Width, head); n < 2 || n > head || n%2 != 0 {
		m.say("%d numbers of each head turn; it must be an even number, at least 2 and at most the head's %d", n, head)
	}
	if r.Scaling != "" && !(r.Factor > 0) {
		m.say("the factor of the rotation's scaling is %v; it must be positive", r.Factor)
	}
	if (r.Scaling == Llama3Scaling || r.Scaling == YarnScaling) && !(r.Low > 0 && r.High > r.Low && r.Original > 0) {
		m.say("scaling from %v to %v of a context of %d: they must be positive, and the second above the first",
			r.Low, r.High, r.Original)
	}
}

// mistakes collects what is wrong with a configuration.
type mistakes []error

func (m *mistakes) say(format string, args ...any) { *m = append(*m, fmt.Errorf(format, args...)) }

// least reports a number that must be there, and is not or is too large.
func (m *mistakes) least(name string, v int) {
	if v < 1 || v > maxDim {
		m.say("%s is %d; it must be between 1 and %d", name, v, maxDim)
	}
}

// within reports a number that is negative or too large.
func (m *mistakes) within(name string, v int) {
	if v < 0 || v > maxDim {
		m.say("%s is %d; it must be between 0 and %d", name, v, maxDim)
	}
}

func (m *mistakes) notNegative(name string, v float64) {
	if !(v >= 0) || math.IsInf(v, 0) {
		m.say("%s is %v; it must be a positive number, or 0", name, v)
	}
}

// oneOf reports a switch that is set to something unknown.
func (m *mistakes) oneOf(name, v string, of ...string) {
	if v == "" || slices.Contains(of, v) {
		return
	}
	last := len(of) - 1
	m.say("the %s %q is not supported; there are %s and %s", name, v, strings.Join(of[:last], ", "), of[last])
}
