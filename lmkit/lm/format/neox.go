package format

import "lmkit.internal/lmkit/internal/net"

// neox is GPT-NeoX and Pythia: LayerNorm, of each head the first numbers turned, and attention beside the feed-forward
// layer.
var neox = decoder{
	modelType: "gpt_neox", class: "GPTNeoXForCausalLM", holder: "gpt_neox", rules: neoxRules,
	base: net.Config{Residual: net.Parallel, Activation: net.GELU, Epsilon: 1e-5, Context: 2048},
	keys: more(sizes, inner("intermediate_size"), epsilon("layer_norm_eps"), act("hidden_act")),
	read: func(k *keys, c *net.Config) {
		biases(k, "attention_bias", true, &c.NoBias.QKV, &c.NoBias.Out)
		if !take(k, "use_parallel_residual", true) {
			c.Residual = net.Sequential
		}
		must(k, "head_dim", widthOfHead(c))
		for _, name := range ropeObjects {
			k.lend("rotary_emb_base", name, "rope_theta")
			k.lend("rotary_pct", name, "partial_rotary_factor")
		}
		theta := take(k, "rotary_emb_base", 1e4)
		rotary(k, c, theta, take(k, "rotary_pct", 0.25))
	},
	write: func(c net.Config) object {
		o := object{
			{"attention_bias", !c.NoBias.QKV},
			{"use_parallel_residual", c.Residual == net.Parallel},
			{"rotary_emb_base", c.Rope.Theta},
			{"rotary_pct", ropeShare(c)},
		}
		if s := scalingKeys(c, c.Rope); s != nil {
			o = append(o, member{"rope_scaling", s})
		}
		return o
	},
}

// neoxRules finds q, k and v of a head beside each other: the tensor's rows are [H, 3, K].
func neoxRules(c net.Config) []Rule {
	c = c.WithDefaults()
	K, rows := c.HeadWidth, 3*c.Heads*c.HeadWidth
	part := func(n int) func(i int) int {
		return func(i int) int { return i/K*3*K + n*K + i%K }
	}
	return []Rule{
		{Param: "embed", Tensor: "embed_in"},
		{Param: "block.*.ln1", Tensor: "layers.*.input_layernorm"},
		{Param: "block.*.attn.q", Tensor: "layers.*.attention.query_key_value", Rows: rows, Row: part(0)},
		{Param: "block.*.attn.k", Tensor: "layers.*.attention.query_key_value", Rows: rows, Row: part(1)},
		{Param: "block.*.attn.v", Tensor: "layers.*.attention.query_key_value", Rows: rows, Row: part(2)},
		{Param: "block.*.attn.out", Tensor: "layers.*.attention.dense"},
		{Param: "block.*.ln2", Tensor: "layers.*.post_attention_layernorm"},
		{Param: "block.*.mlp.pre", Tensor: "layers.*.mlp.dense_h_to_4h"},
		{Param: "block.*.mlp.out", Tensor: "layers.*.mlp.dense_4h_to_h"},
		{Param: "final", Tensor: "final_layer_norm"},
		{Param: "head", Tensor: "embed_out"},
		{Tensor: "layers.*.attention.bias"}, // the causal mask
		{Tensor: "layers.*.attention.masked_bias"},
		{Tensor: "layers.*.attention.rotary_emb.inv_freq"},
	}
}
