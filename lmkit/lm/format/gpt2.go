package format

import "lmkit.internal/lmkit/internal/net"

// gpt2 is Hugging Face's GPT-2. Its matrices are [in, out], with queries, keys and values side by side in one.
type gpt2 struct{}

func (gpt2) Read(config []byte) (net.Config, error) {
	k := readKeys(config)
	c := net.Config{
		Arch:       net.Transformer,
		Vocab:      take(k, "vocab_size", 0),
		Context:    take(k, "n_positions", 1024),
		Width:      take(k, "n_embd", 768),
		Layers:     take(k, "n_layer", 12),
		Heads:      take(k, "n_head", 12),
		Activation: net.GELUTanh,
		Epsilon:    1e-5,
		Tied:       take(k, "tie_word_embeddings", true),
	}
	k.into("n_inner", &c.Inner)
	k.into("activation_function", &c.Activation)
	k.into("layer_norm_epsilon", &c.Epsilon)
	c.Dropout = take(k, "attn_pdrop", c.Dropout)
	c.Dropout = take(k, "embd_pdrop", c.Dropout)
	c.Dropout = take(k, "resid_pdrop", c.Dropout)
	must(k, "n_ctx", c.Context)
	must(k, "scale_attn_weights", true)
	for _, unused := range []string{"reorder_and_upcast_attn", "summary_activation", "summary_first_dropout",
		"summary_proj_to_labels", "summary_type", "summary_use_proj"} { // how rounding is done, and another head
		delete(k.all, unused)
	}
	return k.config(c)
}

func (gpt2) Write(c net.Config) ([]byte, error) {
	c = c.WithDefaults()
	return object{
		{"model_type", "gpt2"},
		{"architectures", []string{"GPT2LMHeadModel"}},
		{"vocab_size", c.Vocab},
		{"tie_word_embeddings", c.Tied},
		{"n_positions", c.Context},
		{"n_embd", c.Width},
		{"n_layer", c.Layers},
		{"n_head", c.Heads},
		{"n_inner", c.Inner},
		{"activation_function", c.Activation},
		{"layer_norm_epsilon", c.Epsilon},
		{"embd_pdrop", c.Dropout},
		{"attn_pdrop", c.Dropout},
		{"resid_pdrop", c.Dropout},
	}.json()
}

func (gpt2) Rules(c net.Config) []Rule {
	D := c.Width
	return expand(c, []Rule{
		{Param: "embed", Tensor: "wte"},
		{Param: "pos_embed", Tensor: "wpe"},
		{Param: "block.*.ln1", Tensor: "h.*.ln_1"},
		{Param: "block.*.attn.q", Tensor: "h.*.attn.c_attn", Transposed: true, Rows: 3 * D},
		{Param: "block.*.attn.k", Tensor: "h.*.attn.c_attn", Transposed: true, Rows: 3 * D, Row: from(D)},
		{Param: "block.*.attn.v", Tensor: "h.*.attn.c_attn", Transposed: true, Rows: 3 * D, Row: from(2 * D)},
		{Param: "block.*.attn.out", Tensor: "h.*.attn.c_proj", Transposed: true},
		{Param: "block.*.ln2", Tensor: "h.*.ln_2"},
		{Param: "block.*.mlp.pre", Tensor: "h.*.mlp.c_fc", Transposed: true},
		{Param: "block.*.mlp.out", Tensor: "h.*.mlp.c_proj", Transposed: true},
		{Param: "final", Tensor: "ln_f"},
		{Param: "head", Tensor: "lm_head"},
		{Tensor: "h.*.attn.bias"}, // the causal mask
		{Tensor: "h.*.attn.masked_bias"},
	})
}

func (gpt2) Name(tensor string) string { return bare(tensor) }
