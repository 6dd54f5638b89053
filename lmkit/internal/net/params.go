package net

import (
	"fmt"
	"math"
)

// Param is a trained tensor. Matrices are [out, in]: what they are applied to is contracted with their last axis.
type Param struct {
	Name string // as its place among the activations: "block.3.attn.q.weight"
	Dims []int
	Init Init
	Part string // what it belongs to: "embed", "block.3", "lstm.0" or "head"
}

// Size returns how many numbers the parameter has.
func (p Param) Size() int {
	n := 1
	for _, d := range p.Dims {
		n *= d
	}
	return n
}

// Init says how fresh numbers of a parameter are drawn: Value, plus Normal times a number of the standard normal
// distribution, plus a uniform one from -Uniform to Uniform.
type Init struct{ Value, Normal, Uniform float64 }

// Params lists the model's parameters, in a fixed order from the embedding to the head.
func (c Config) Params() []Param {
	l := &paramList{Config: c.WithDefaults()}
	if c.Recurrent() {
		l.lstm()
	} else {
		l.transformer()
	}
	return l.all
}

// Parts lists what parameters belong to, from the embedding to the head.
func (c Config) Parts() (parts []string) {
	for _, p := range c.Params() {
		if n := len(parts); n == 0 || parts[n-1] != p.Part {
			parts = append(parts, p.Part)
		}
	}
	return parts
}

// paramList gathers parameters of one part after the other.
type paramList struct {
	Config
	part string
	all  []Param
}

func (l *paramList) add(name string, init Init, dims ...int) {
	l.all = append(l.all, Param{name, dims, init, l.part})
}

// lstm adds the parameters that PyTorch's word language model has, drawn as it draws them: uniformly, from ±0.1 for
// the embedding and the output matrix, from ±1/sqrt(H) in the LSTM. Its four gates are in the order i, f, g, o.
func (l *paramList) lstm() {
	l.part = "embed"
	l.add("embed.weight", Init{Uniform: 0.1}, l.Vocab, l.Width)
	H, in := l.Hidden, l.Width
	inside := Init{Uniform: 1 / math.Sqrt(float64(H))}
	for i := range l.Layers {
		l.part = fmt.Sprintf("lstm.%d", i)
		l.add(l.part+".input.weight", inside, 4*H, in)
		l.add(l.part+".hidden.weight", inside, 4*H, H)
		l.add(l.part+".input.bias", inside, 4*H)
		l.add(l.part+".hidden.bias", inside, 4*H)
		in = H
	}
	l.head(Init{Uniform: 0.1})
}

// transformer adds the parameters of a decoder, drawn as GPT-2's: normal, 0.02, but those that write to the residual
// stream are smaller, since all 2L of them add up.
func (l *paramList) transformer() {
	D, K, F := l.Width, l.HeadWidth, l.Inner
	reads := Init{Normal: 0.02}
	writes := Init{Normal: 0.02 / math.Sqrt(float64(2*l.Layers))}
	l.part = "embed"
	l.add("embed.weight", reads, l.Vocab, l.EmbedWidth)
	if l.EmbedWidth != D {
		l.linear("embed_in", reads, false, D, l.EmbedWidth)
	}
	if l.Positions == Learned {
		l.add("pos_embed.weight", reads, l.Context+l.PositionOffset, D)
	}
	for i := range l.Layers {
		l.part = fmt.Sprintf("block.%d", i)
		b := l.part + "."
		l.norm(b+"ln1", l.normsBefore(), D)
		l.linear(b+"attn.q", reads, !l.NoBias.QKV, l.Heads*K, D)
		l.linear(b+"attn.k", reads, !l.NoBias.QKV, l.KVHeads*K, D)
		l.linear(b+"attn.v", reads, !l.NoBias.QKV, l.KVHeads*K, D)
		l.norm(b+"attn.q_norm", l.QKNorm != "", l.normed(l.Heads))
		l.norm(b+"attn.k_norm", l.QKNorm != "", l.normed(l.KVHeads))
		l.linear(b+"attn.out", writes, !l.NoBias.Out, D, l.Heads*K)
		l.norm(b+"ln1_post", l.NormsAfter(), D)
		l.norm(b+"ln2", l.normsBefore() && l.Residual != ParallelOne, D)
		if l.Gated {
			l.linear(b+"mlp.gate", reads, !l.NoBias.MLP, F, D)
			l.linear(b+"mlp.up", reads, !l.NoBias.MLP, F, D)
		} else {
			l.linear(b+"mlp.pre", reads, !l.NoBias.MLP, F, D)
		}
		l.linear(b+"mlp.out", writes, !l.NoBias.MLP, D, F)
		l.norm(b+"ln2_post", l.NormsAfter(), D)
	}
	l.part = "head"
	l.norm("final", l.NormPlace != SumNorm, D)
	if l.EmbedWidth != D {
		l.linear("head_in", reads, false, l.EmbedWidth, D)
	}
	l.head(reads)
}

// head adds the output matrix, unless it is the embedding, and its bias.
func (l *paramList) head(init Init) {
	l.part = "head"
	if !l.Tied {
		l.add("head.weight", init, l.Vocab, l.Out())
	}
	if l.hasHeadBias() {
		l.add("head.bias", Init{}, l.Vocab)
	}
}

func (l *paramList) linear(name string, init Init, bias bool, out, in int) {
	l.add(name+".weight", init, out, in)
	if bias {
		l.add(name+".bias", Init{}, out)
	}
}

// norm adds the gain and the bias of a norm over so many numbers, as far as it has them, if there is such a norm.
func (l *paramList) norm(name string, is bool, width int) {
	if !is || l.Norm == PlainNorm {
		return
	}
	l.add(name+".weight", Init{Value: 1 - l.NormOffset}, width)
	if l.Norm == LayerNorm {
		l.add(name+".bias", Init{}, width)
	}
}

// normsBefore says whether attention and feed-forward layer read the residual stream through norms.
func (c Config) normsBefore() bool { return c.NormPlace == PreNorm || c.NormPlace == BothNorms }

// NormsAfter says whether what attention and feed-forward layer write goes through norms.
func (c Config) NormsAfter() bool { return c.Attends() && c.WithDefaults().NormPlace != PreNorm }

// NormsSums says whether these norms are over the sums with the residual stream.
func (c Config) NormsSums() bool { return c.NormPlace == SumNorm }

// Centred says whether norms take the mean away.
func (c Config) Centred() bool { return c.WithDefaults().Norm != RMSNorm }

// normed returns how many numbers of a token's queries or keys are normalised together.
func (c Config) normed(heads int) int {
	if c.QKNorm == AllHeads {
		return heads * c.HeadWidth
	}
	return c.HeadWidth
}
