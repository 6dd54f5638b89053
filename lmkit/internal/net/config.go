// Package net is the mathematics of the models: graph functions from token IDs to hidden states, losses and
// objectives.
package net

import (
	"cmp"
	"math"
	"strings"
)

// The architectures.
const (
	Transformer = "transformer" // a causal decoder: GPT-2, Llama and their relatives, as the switches of Config say
	LSTM        = "lstm"        // PyTorch's nn.Embedding, nn.LSTM, nn.Linear
)

// The activations of a feed-forward layer.
const (
	GELUTanh = "gelu_new" // GELU by its tanh approximation
	GELU     = "gelu"     // GELU by the error function
	ReLU     = "relu"
	SiLU     = "silu" // x * sigmoid(x), which gates of Llama's kind use
)

// The norms, and where in a block they are.
const (
	LayerNorm = "layer" // (x - mean)/sd, times a gain, plus a bias
	RMSNorm   = "rms"   // x/sqrt(mean of x²), times a gain
	PlainNorm = "plain" // (x - mean)/sd

	PreNorm   = "pre"  // x + f(norm(x)), and a norm before the head
	PostNorm  = "post" // x + norm(f(x)), and a norm before the head
	BothNorms = "both" // x + norm(f(norm(x))), and a norm before the head
	SumNorm   = "sum"  // norm(x + f(x))
)

// How attention and feed-forward layer read the residual stream.
const (
	Sequential  = "sequential"   // the feed-forward layer reads what attention has added
	Parallel    = "parallel"     // both read the same stream, each through a norm of its own
	ParallelOne = "parallel-one" // both read the same stream through one norm
)

// What queries and keys are normalised over.
const (
	EachHead = "head"  // the K numbers of each head
	AllHeads = "whole" // all H*K numbers of a token
)

// How a Transformer knows where a token stands.
const (
	Learned     = "learned" // a table of embeddings, one a position
	Rotary      = "rotary"  // queries and keys turn with their position: Rope
	NoPositions = "none"    // only by what attention does not see
)

// The letters of Config.Pattern: what a layer's attention reads.
const (
	Full     = 'f' // all earlier tokens
	Sliding  = 's' // the last Window tokens, itself among them; turned by LocalRope
	Unturned = 'n' // all earlier tokens, and queries and keys are not turned
)

// Config is the shape of a model: numbers and switches, comparable with ==. It knows nothing of files, which are
// lm/format's. Widths count numbers a token.
type Config struct {
	Arch    string  // Transformer or LSTM
	Vocab   int     // V, entries of the vocabulary
	Width   int     // D, the token embedding
	Layers  int     // L
	Context int     // Transformer: the longest text it can read, in tokens; LSTM: 0, any length
	Hidden  int     // LSTM: the hidden state's width
	Tied    bool    // the output matrix is the embedding
	Dropout float64 // share of activations dropped in training

	// All that follows is a Transformer's. Its zero value is GPT-2.

	EmbedWidth int // of token embeddings and what the output matrix reads, if they are projected to D and back; 0: D

	Heads     int     // H, of queries
	KVHeads   int     // G, of keys and values, each read by H/G heads; 0: H
	HeadWidth int     // K; 0: D/H
	Scale     float64 // of the scores; 0: 1/sqrt(K)
	ScoreCap  float64 // scores s become cap*tanh(s/cap); 0: they stay
	QKNorm    string  // over what queries and keys are normalised: EachHead, AllHeads; "": they are not

	Positions      string // Learned (default without a Rope), Rotary (default with one) or NoPositions
	PositionOffset int    // Learned: entries of the table before that of the first position
	Rope           Rope   // of queries and keys
	LocalRope      Rope   // the same in Sliding layers; zero: Rope
	Window         int    // tokens that a Sliding layer reads
	Pattern        string // a letter a layer: Full, Sliding, Unturned; "": Sliding if there is a Window, else Full

	Inner      int    // F, the feed-forward width; 0: 4 D
	Activation string // GELUTanh (default), GELU, ReLU or SiLU
	Gated      bool   // the feed-forward layer is out(activation(gate(x)) * up(x)), not out(activation(pre(x)))

	Norm       string  // LayerNorm (default), RMSNorm or PlainNorm
	NormOffset float64 // added to the gains of all norms: 1 where the weights are what a gain differs from 1 by
	NormPlace  string  // PreNorm (default), PostNorm, BothNorms or SumNorm
	Epsilon    float64 // added to the mean square in a norm; 0: 1e-5
	Residual   string  // Sequential (default), Parallel or ParallelOne

	EmbedScale float64     // token embeddings are multiplied by it; 0: 1
	LogitCap   float64     // logits x become cap*tanh(x/cap); 0: they stay
	NoBias     Projections // which projections have no bias
	HeadBias   bool        // the output matrix has one
}

// Projections is a set of a block's linear maps.
type Projections struct {
	QKV bool // to queries, keys and values
	Out bool // from the heads to the residual stream
	MLP bool // of the feed-forward layer
}

// Recurrent says whether the model reads a text by carrying a state from token to token.
func (c Config) Recurrent() bool { return c.Arch == LSTM }

// Attends says whether the model's tokens read each other by attention.
func (c Config) Attends() bool { return c.Arch == Transformer }

// Out returns the width of the hidden states that the output matrix multiplies.
func (c Config) Out() int {
	if c.Recurrent() {
		return c.Hidden
	}
	return c.Embedding()
}

// Embedding returns the width of token embeddings.
func (c Config) Embedding() int { return cmp.Or(c.EmbedWidth, c.Width) }

// hasHeadBias says whether the output matrix has a bias. An LSTM's always has one.
func (c Config) hasHeadBias() bool { return c.HeadBias || c.Recurrent() }

// Memory returns the shape of what is kept of earlier tokens, twice a layer, by a model that reads B rows on: the
// keys and values of S tokens [B, S, G, K], or the hidden state and the cell [B, H].
func (c Config) Memory(B, S int) []int {
	if c.Recurrent() {
		return []int{B, c.Hidden}
	}
	c = c.WithDefaults()
	return []int{B, S, c.KVHeads, c.HeadWidth}
}

// Activations returns about how many numbers a forward pass computes for each of T tokens, the logits not among them.
func (c Config) Activations(T int) int {
	if c.Recurrent() {
		return 2*c.Width + c.Layers*14*c.Hidden
	}
	c = c.WithDefaults()
	mlp := 3
	if c.Gated {
		mlp = 4
	}
	heads := 2 * (c.Heads + c.KVHeads) * c.HeadWidth
	return 2*c.Width + c.Layers*(8*c.Width+heads+mlp*c.Inner+3*c.Heads*T)
}

// WithDefaults returns c with the zero values that have a default filled in, and without what its architecture has
// not.
func (c Config) WithDefaults() Config {
	if c.Recurrent() {
		return Config{Arch: c.Arch, Vocab: c.Vocab, Width: c.Width, Layers: c.Layers, Hidden: c.Hidden, Tied: c.Tied,
			Dropout: c.Dropout}
	}
	if !c.Attends() {
		return c
	}
	c.Hidden = 0
	or(&c.EmbedWidth, c.Width)
	or(&c.KVHeads, c.Heads)
	if c.Heads > 0 && c.Width%c.Heads == 0 {
		or(&c.HeadWidth, c.Width/c.Heads)
	}
	if c.HeadWidth > 0 {
		or(&c.Scale, 1/math.Sqrt(float64(c.HeadWidth)))
	}
	or(&c.Positions, Learned)
	if c.Rope.Theta != 0 && c.Positions == Learned {
		c.Positions = Rotary
	}
	kind := Full
	if c.Window > 0 {
		kind = Sliding
	}
	if c.Layers > 0 && c.Layers <= maxLayers {
		or(&c.Pattern, strings.Repeat(string(kind), c.Layers))
	}
	or(&c.Inner, 4*c.Width)
	or(&c.Activation, GELUTanh)
	or(&c.Norm, LayerNorm)
	or(&c.NormPlace, PreNorm)
	or(&c.Epsilon, 1e-5)
	or(&c.Residual, Sequential)
	or(&c.EmbedScale, 1)
	return c
}

// or sets a value that is zero to its default.
func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
