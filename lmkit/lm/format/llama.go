package format

import "lmkit.internal/lmkit/internal/net"

// llamaBase is what Llama and its relatives have in common.
var llamaBase = net.Config{
	Norm: net.RMSNorm, Epsilon: 1e-6, Gated: true, Activation: net.SiLU, Context: 2048,
	NoBias: net.Projections{QKV: true, Out: true, MLP: true},
}

var llamaKeys = more(sizes, inner("intermediate_size"), kvHeads(), headWidth(), epsilon("rms_norm_eps"),
	act("hidden_act"))

// llama is Llama 2 and 3, TinyLlama, SmolLM2 and all that took over their shape.
var llama = decoder{
	modelType: "llama", class: "LlamaForCausalLM", base: llamaBase, keys: llamaKeys, rules: llamaRules,
	read: func(k *keys, c *net.Config) {
		biases(k, "attention_bias", false, &c.NoBias.QKV, &c.NoBias.Out)
		biases(k, "mlp_bias", false, &c.NoBias.MLP)
		rotary(k, c, 1e4, 0)
		take(k, "is_llama_config", true)
		must(k, "rope_interleaved", false)
	},
	write: func(c net.Config) object {
		return append(object{{"attention_bias", !c.NoBias.QKV}, {"mlp_bias", !c.NoBias.MLP}}, ropeKeys(c, false)...)
	},
}

// mistral is Llama with a window in all layers; null in later models.
var mistral = decoder{
	modelType: "mistral", class: "MistralForCausalLM", base: llamaBase, keys: llamaKeys,
	rules: llamaRules,
	read: func(k *keys, c *net.Config) {
		rotary(k, c, 1e4, 0)
		window(k, c, nullable(k, "sliding_window", 4096), func(int) bool { return true })
	},
	write: func(c net.Config) object {
		return append(ropeKeys(c, false), member{"sliding_window", orNull(c.Window)})
	},
}

// smollm3 is Llama in which the queries and keys of some layers are not turned.
var smollm3 = decoder{
	modelType: "smollm3", class: "SmolLM3ForCausalLM", base: tied(llamaBase), keys: llamaKeys,
	rules: llamaRules,
	read: func(k *keys, c *net.Config) {
		biases(k, "attention_bias", false, &c.NoBias.QKV, &c.NoBias.Out)
		biases(k, "mlp_bias", false, &c.NoBias.MLP)
		rotary(k, c, 2e6, 0)
		must(k, "use_sliding_window", false)
		take(k, "sliding_window", 0)
		take(k, "max_window_layers", 0)
		window(k, c, 0, nil)
		turns := take(k, "no_rope_layers", []int(nil))
		interval := take(k, "no_rope_layer_interval", 4)
		if interval < 1 || turns != nil && len(turns) < c.Layers {
			k.errs = append(k.errs, "no_rope_layers or no_rope_layer_interval does not say of every layer whether it turns")
			return
		}
		c.Pattern = ""
		for l := range min(max(c.Layers, 0), maxLayers) {
			kind := string(net.Full)
			if turns != nil && turns[l] == 0 || turns == nil && (l+1)%interval == 0 {
				kind = string(net.Unturned)
			}
			c.Pattern += kind
		}
	},
	write: func(c net.Config) object {
		turns := make([]int, len(c.Pattern))
		for l := range turns {
			if c.Pattern[l] != net.Unturned {
				turns[l] = 1
			}
		}
		o := object{{"attention_bias", !c.NoBias.QKV}, {"mlp_bias", !c.NoBias.MLP}, {"no_rope_layers", turns}}
		return append(o, ropeKeys(c, false)...)
	},
}

func tied(c net.Config) net.Config {
	c.Tied = true
	return c
}

func llamaRules(net.Config) []Rule {
	return []Rule{
		{Param: "embed", Tensor: "embed_tokens"},
		{Param: "block.*.ln1", Tensor: "layers.*.input_layernorm"},
		{Param: "block.*.ln2", Tensor: "layers.*.post_attention_layernorm"},
		{Param: "block.*.attn.q", Tensor: "layers.*.self_attn.q_proj"},
		{Param: "block.*.attn.k", Tensor: "layers.*.self_attn.k_proj"},
		{Param: "block.*.attn.v", Tensor: "layers.*.self_attn.v_proj"},
		{Param: "block.*.attn.q_norm", Tensor: "layers.*.self_attn.q_norm"},
		{Param: "block.*.attn.k_norm", Tensor: "layers.*.self_attn.k_norm"},
		{Param: "block.*.attn.out", Tensor: "layers.*.self_attn.o_proj"},
		{Param: "block.*.mlp.gate", Tensor: "layers.*.mlp.gate_proj"},
		{Param: "block.*.mlp.up", Tensor: "layers.*.mlp.up_proj"},
		{Param: "block.*.mlp.out", Tensor: "layers.*.mlp.down_proj"},
		{Param: "final", Tensor: "norm"},
		{Param: "head", Tensor: "lm_head"},
		{Tensor: "layers.*.self_attn.rotary_emb.inv_freq"}, // the frequencies of the rotation
	}
}
