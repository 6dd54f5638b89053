// Package net is the mathematics of the models: graph functions from token IDs to hidden states, losses and objectives.
package net

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// The architectures.
const (
	Transformer = "transformer" // GPT-2: pre-LayerNorm, learned positions, causal attention
	LSTM        = "lstm"        // PyTorch's nn.Embedding, nn.LSTM, nn.Linear
)

// Config is the shape of a model. Widths count float32 numbers a token.
type Config struct {
	Arch       string  // Transformer or LSTM
	Vocab      int     // V, entries of the vocabulary
	Width      int     // D, the token embedding
	Layers     int     // L
	Context    int     // Transformer: the longest text it can read, in tokens; LSTM: 0, any length
	Heads      int     // H, Transformer; D must be a multiple
	Inner      int     // F, Transformer: the feed-forward width; 0: 4 D
	Hidden     int     // LSTM: the hidden state's width
	Activation string  // Transformer: gelu_new (default), gelu or relu
	Tied       bool    // the output matrix is the embedding
	Epsilon    float64 // Transformer: added to LayerNorm's variance; 0: 1e-5
	Dropout    float64 // share of activations dropped in training
}

// WithDefaults returns c with the zero values that have a default filled in.
func (c Config) WithDefaults() Config {
	if c.Arch == Transformer {
		if c.Inner == 0 {
			c.Inner = 4 * c.Width
		}
		if c.Activation == "" {
			c.Activation = "gelu_new"
		}
		if c.Epsilon == 0 {
			c.Epsilon = 1e-5
		}
	}
	return c
}

// Out is the width of the hidden states that the output matrix multiplies.
func (c Config) Out() int {
	if c.Arch == LSTM {
		return c.Hidden
	}
	return c.Width
}

const (
	maxDim    = 1 << 30
	maxLayers = 1 << 12
)

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	least := func(name string, v int) {
		if v < 1 || v > maxDim {
			say("%s is %d; it must be between 1 and %d", name, v, maxDim)
		}
	}
	least("the vocabulary size", c.Vocab)
	least("the embedding width", c.Width)
	least("the number of layers", c.Layers)
	if c.Layers > maxLayers {
		say("%d layers are more than the %d that lmkit takes", c.Layers, maxLayers)
	}
	if c.Dropout < 0 || c.Dropout >= 1 || math.IsNaN(c.Dropout) {
		say("dropout is %v; it must be at least 0 and below 1", c.Dropout)
	}
	switch c.Arch {
	case Transformer:
		least("the context length", c.Context)
		least("the number of heads", c.Heads)
		if c.Inner < 0 || c.Inner > maxDim {
			say("the feed-forward width is %d; it must be positive, or 0 for 4 times the width", c.Inner)
		}
		if c.Heads > 0 && c.Width%c.Heads != 0 {
			say("the width %d is not a multiple of the %d heads", c.Width, c.Heads)
		}
		if c.Epsilon < 0 || math.IsNaN(c.Epsilon) || math.IsInf(c.Epsilon, 0) {
			say("the LayerNorm epsilon is %v; it must be a positive number", c.Epsilon)
		}
		switch c.Activation {
		case "", "gelu_new", "gelu", "relu":
		default:
			say("the activation %q is not supported; there are gelu_new, gelu and relu", c.Activation)
		}
	case LSTM:
		least("the hidden width", c.Hidden)
		if c.Tied && c.Hidden != c.Width {
			say("a tied output matrix needs equal widths, but the embedding has %d and the hidden state %d", c.Width, c.Hidden)
		}
	default:
		say("there is no architecture %q; there are %s and %s", c.Arch, Transformer, LSTM)
	}
	return errors.Join(errs...)
}

// Param is a trained tensor by its name in the model's file.
type Param struct {
	Name string
	Dims []int
}

// Params lists the model's tensors in a fixed order, with the names and layouts of Hugging Face's GPT-2 (matrices
// [in, out]) or PyTorch's nn.LSTM (matrices [out, in], gates in the order i, f, g, o).
func (c Config) Params() []Param {
	c = c.WithDefaults()
	var ps []Param
	add := func(name string, dims ...int) { ps = append(ps, Param{name, dims}) }
	if c.Arch == LSTM {
		add("embed.weight", c.Vocab, c.Width)
		in := c.Width
		for l := range c.Layers {
			add(fmt.Sprintf("lstm.weight_ih_l%d", l), 4*c.Hidden, in)
			add(fmt.Sprintf("lstm.weight_hh_l%d", l), 4*c.Hidden, c.Hidden)
			add(fmt.Sprintf("lstm.bias_ih_l%d", l), 4*c.Hidden)
			add(fmt.Sprintf("lstm.bias_hh_l%d", l), 4*c.Hidden)
			in = c.Hidden
		}
		if !c.Tied {
			add("linear.weight", c.Vocab, c.Hidden)
		}
		add("linear.bias", c.Vocab)
		return ps
	}
	D, F := c.Width, c.Inner
	add("wte.weight", c.Vocab, D)
	add("wpe.weight", c.Context, D)
	for l := range c.Layers {
		h := fmt.Sprintf("h.%d.", l)
		add(h+"ln_1.weight", D)
		add(h+"ln_1.bias", D)
		add(h+"attn.c_attn.weight", D, 3*D)
		add(h+"attn.c_attn.bias", 3*D)
		add(h+"attn.c_proj.weight", D, D)
		add(h+"attn.c_proj.bias", D)
		add(h+"ln_2.weight", D)
		add(h+"ln_2.bias", D)
		add(h+"mlp.c_fc.weight", D, F)
		add(h+"mlp.c_fc.bias", F)
		add(h+"mlp.c_proj.weight", F, D)
		add(h+"mlp.c_proj.bias", D)
	}
	add("ln_f.weight", D)
	add("ln_f.bias", D)
	if !c.Tied {
		add("lm_head.weight", c.Vocab, D)
	}
	return ps
}

// configJSON is config.json: the keys of Hugging Face's GPT-2, and those of the LSTM.
type configJSON struct {
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures,omitempty"`
	Vocab         int      `json:"vocab_size"`
	Tied          *bool    `json:"tie_word_embeddings,omitempty"`

	Positions  *int     `json:"n_positions,omitempty"`
	Width      *int     `json:"n_embd,omitempty"`
	Layers     *int     `json:"n_layer,omitempty"`
	Heads      *int     `json:"n_head,omitempty"`
	Inner      *int     `json:"n_inner,omitempty"`
	Activation *string  `json:"activation_function,omitempty"`
	Epsilon    *float64 `json:"layer_norm_epsilon,omitempty"`
	EmbdDrop   *float64 `json:"embd_pdrop,omitempty"`
	AttnDrop   *float64 `json:"attn_pdrop,omitempty"`
	ResidDrop  *float64 `json:"resid_pdrop,omitempty"`

	EmbedSize  *int     `json:"embed_size,omitempty"`
	HiddenSize *int     `json:"hidden_size,omitempty"`
	NumLayers  *int     `json:"num_layers,omitempty"`
	Dropout    *float64 `json:"dropout,omitempty"`

	// What changes the computation, and is not supported here.
	ScaleAttn     *bool `json:"scale_attn_weights,omitempty"`
	InverseLayer  bool  `json:"scale_attn_by_inverse_layer_idx,omitempty"`
	CrossAttn     bool  `json:"add_cross_attention,omitempty"`
	Bidirectional bool  `json:"bidirectional,omitempty"`
	ProjSize      int   `json:"proj_size,omitempty"`
}

// MarshalJSON writes config.json.
func (c Config) MarshalJSON() ([]byte, error) {
	c = c.WithDefaults()
	j := configJSON{Vocab: c.Vocab, Tied: &c.Tied}
	if c.Arch == LSTM {
		j.ModelType = "lstm"
		j.EmbedSize, j.HiddenSize, j.NumLayers, j.Dropout = &c.Width, &c.Hidden, &c.Layers, &c.Dropout
	} else {
		j.ModelType, j.Architectures = "gpt2", []string{"GPT2LMHeadModel"}
		j.Positions, j.Width, j.Layers, j.Heads, j.Inner = &c.Context, &c.Width, &c.Layers, &c.Heads, &c.Inner
		j.Activation, j.Epsilon = &c.Activation, &c.Epsilon
		j.EmbdDrop, j.AttnDrop, j.ResidDrop = &c.Dropout, &c.Dropout, &c.Dropout
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads config.json. Keys that change nothing in the computation are ignored; those that would are errors.
func (c *Config) UnmarshalJSON(data []byte) error {
	var j configJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	or := func(p *int, v int) int {
		if p == nil {
			return v
		}
		return *p
	}
	drop := func(ps ...*float64) float64 {
		for _, p := range ps {
			if p != nil {
				return *p
			}
		}
		return 0
	}
	var unsupported []string
	for _, u := range []struct {
		is  bool
		key string
	}{{j.ScaleAttn != nil && !*j.ScaleAttn, "scale_attn_weights=false"}, {j.InverseLayer, "scale_attn_by_inverse_layer_idx"},
		{j.CrossAttn, "add_cross_attention"}, {j.Bidirectional, "bidirectional"}, {j.ProjSize != 0, "proj_size"}} {
		if u.is {
			unsupported = append(unsupported, u.key)
		}
	}
	if unsupported != nil {
		return fmt.Errorf("not supported: %s", strings.Join(unsupported, ", "))
	}
	switch j.ModelType {
	case "gpt2":
		*c = Config{Arch: Transformer, Vocab: j.Vocab, Width: or(j.Width, 768), Layers: or(j.Layers, 12), Context: or(j.Positions, 1024),
			Heads: or(j.Heads, 12), Inner: or(j.Inner, 0), Tied: j.Tied == nil || *j.Tied, Dropout: drop(j.ResidDrop, j.EmbdDrop, j.AttnDrop)}
		if j.Activation != nil {
			c.Activation = *j.Activation
		}
		if j.Epsilon != nil {
			c.Epsilon = *j.Epsilon
		}
	case "lstm":
		*c = Config{Arch: LSTM, Vocab: j.Vocab, Width: or(j.EmbedSize, 0), Hidden: or(j.HiddenSize, 0), Layers: or(j.NumLayers, 0),
			Tied: j.Tied != nil && *j.Tied, Dropout: drop(j.Dropout)}
	default:
		return fmt.Errorf("model_type %q is not supported; there are gpt2 and lstm", j.ModelType)
	}
	*c = c.WithDefaults()
	return c.Validate()
}
