package format

import "lmkit.internal/lmkit/internal/net"

// opt is OPT: GPT-2's kind, with ReLU. Its table of positions has two entries before the first; its model of 350
// million parameters has norms after the sums, and token embeddings narrower than the residual stream.
var opt = decoder{
	modelType: "opt", class: "OPTForCausalLM", holder: "decoder", rules: optRules,
	base: net.Config{PositionOffset: 2, Activation: net.ReLU, Tied: true, Context: 2048, Inner: 3072},
	keys: more(sizes, inner("ffn_dim"), act("activation_function"),
		key{"word_embed_proj_dim", func(c *net.Config) any { return &c.EmbedWidth }}),
	read: func(k *keys, c *net.Config) {
		biases(k, "enable_bias", true, &c.NoBias.QKV, &c.NoBias.Out, &c.NoBias.MLP)
		c.NormPlace = net.SumNorm
		if take(k, "do_layer_norm_before", true) {
			c.NormPlace = net.PreNorm
		}
		must(k, "_remove_final_layer_norm", false)
		must(k, "layer_norm_elementwise_affine", true)
	},
	write: func(c net.Config) object {
		return object{{"enable_bias", !c.NoBias.QKV}, {"do_layer_norm_before", c.NormPlace == net.PreNorm}}
	},
}

func optRules(c net.Config) []Rule {
	before, after := "block.*.ln1", "block.*.ln2"
	if c.NormPlace == net.SumNorm {
		before, after = "block.*.ln1_post", "block.*.ln2_post"
	}
	return []Rule{
		{Param: "embed", Tensor: "embed_tokens"},
		{Param: "embed_in", Tensor: "project_in"},
		{Param: "pos_embed", Tensor: "embed_positions"},
		{Param: before, Tensor: "layers.*.self_attn_layer_norm"},
		{Param: "block.*.attn.q", Tensor: "layers.*.self_attn.q_proj"},
		{Param: "block.*.attn.k", Tensor: "layers.*.self_attn.k_proj"},
		{Param: "block.*.attn.v", Tensor: "layers.*.self_attn.v_proj"},
		{Param: "block.*.attn.out", Tensor: "layers.*.self_attn.out_proj"},
		{Param: after, Tensor: "layers.*.final_layer_norm"},
		{Param: "block.*.mlp.pre", Tensor: "layers.*.fc1"},
		{Param: "block.*.mlp.out", Tensor: "layers.*.fc2"},
		{Param: "final", Tensor: "final_layer_norm"},
		{Param: "head_in", Tensor: "project_out"},
		{Param: "head", Tensor: "lm_head"},
	}
}
