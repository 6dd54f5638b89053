package format

import (
	"encoding/json"

	"lmkit.internal/lmkit/internal/net"
)

// phi is Phi-1, 1.5 and 2: attention beside the feed-forward layer, both behind one norm, and a bias at the output
// matrix.
var phi = decoder{
	modelType: "phi", class: "PhiForCausalLM", rules: phiRules,
	base: net.Config{Residual: net.ParallelOne, HeadBias: true, Activation: net.GELUTanh, Epsilon: 1e-5, Context: 2048},
	keys: more(sizes, inner("intermediate_size"), kvHeads(), headWidth(), epsilon("layer_norm_eps"), act("hidden_act")),
	read: func(k *keys, c *net.Config) {
		if take(k, "qk_layernorm", false) {
			c.QKNorm = net.EachHead
		}
		rotary(k, c, 1e4, 0.5)
	},
	write: func(c net.Config) object {
		return append(ropeKeys(c, true), member{"qk_layernorm", c.QKNorm == net.EachHead})
	},
}

func phiRules(net.Config) []Rule {
	return []Rule{
		{Param: "embed", Tensor: "embed_tokens"},
		{Param: "block.*.ln1", Tensor: "layers.*.input_layernorm"},
		{Param: "block.*.attn.q", Tensor: "layers.*.self_attn.q_proj"},
		{Param: "block.*.attn.k", Tensor: "layers.*.self_attn.k_proj"},
		{Param: "block.*.attn.v", Tensor: "layers.*.self_attn.v_proj"},
		{Param: "block.*.attn.q_norm", Tensor: "layers.*.self_attn.q_layernorm"},
		{Param: "block.*.attn.k_norm", Tensor: "layers.*.self_attn.k_layernorm"},
		{Param: "block.*.attn.out", Tensor: "layers.*.self_attn.dense"},
		{Param: "block.*.mlp.pre", Tensor: "layers.*.mlp.fc1"},
		{Param: "block.*.mlp.out", Tensor: "layers.*.mlp.fc2"},
		{Param: "final", Tensor: "final_layernorm"},
		{Param: "head", Tensor: "lm_head"},
		{Tensor: "layers.*.self_attn.rotary_emb.inv_freq"},
	}
}

// phi3 is Phi-3 and 4: Llama with q, k and v in one matrix, and gate and up in another; a window or scaled
// frequencies.
var phi3 = decoder{
	modelType: "phi3", class: "Phi3ForCausalLM", base: phi3Base(), rules: phi3Rules,
	keys: more(sizes, inner("intermediate_size"), kvHeads(), headWidth(), epsilon("rms_norm_eps"), act("hidden_act")),
	read: func(k *keys, c *net.Config) {
		// How long the texts were that it was first trained on: beside the scaling in files, under it in transformers
		// 5.
		const original = "original_max_position_embeddings"
		if k.all[original] == nil {
			k.all[original] = json.RawMessage("4096")
		}
		for _, name := range ropeObjects {
			k.lend(original, name, original)
		}
		delete(k.all, original)
		rotary(k, c, 1e4, 1)
		window(k, c, nullable(k, "sliding_window", 0), func(int) bool { return true })
		must(k, "full_attn_mod", 1)
		must(k, "interpolate_factor", 1)
	},
	write: func(c net.Config) object {
		o := append(ropeKeys(c, true), member{"sliding_window", orNull(c.Window)})
		return append(o, member{"original_max_position_embeddings", c.Context})
	},
}

func phi3Base() net.Config {
	c := llamaBase
	c.Epsilon, c.Context = 1e-5, 4096
	return c
}

func phi3Rules(c net.Config) []Rule {
	c = c.WithDefaults()
	Q, KV, F := c.Heads*c.HeadWidth, c.KVHeads*c.HeadWidth, c.Inner
	return instead(llamaRules(c),
		Rule{Param: "block.*.attn.q", Tensor: "layers.*.self_attn.qkv_proj", Rows: Q + 2*KV},
		Rule{Param: "block.*.attn.k", Tensor: "layers.*.self_attn.qkv_proj", Rows: Q + 2*KV, Row: from(Q)},
		Rule{Param: "block.*.attn.v", Tensor: "layers.*.self_attn.qkv_proj", Rows: Q + 2*KV, Row: from(Q + KV)},
		Rule{Param: "block.*.mlp.gate", Tensor: "layers.*.mlp.gate_up_proj", Rows: 2 * F},
		Rule{Param: "block.*.mlp.up", Tensor: "layers.*.mlp.gate_up_proj", Rows: 2 * F, Row: from(F)},
	)
}
