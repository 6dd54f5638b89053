package format

import "lmkit.internal/lmkit/internal/net"

// olmo2 is Llama with norms after attention and feed-forward layer in place of before, and of all queries and all
// keys of a token.
var olmo2 = decoder{
	modelType: "olmo2", class: "Olmo2ForCausalLM", base: olmo2Base(), rules: gemmaRules,
	keys: more(sizes, inner("intermediate_size"), kvHeads(), headWidth(), epsilon("rms_norm_eps"), act("hidden_act")),
	read: func(k *keys, c *net.Config) {
		biases(k, "attention_bias", false, &c.NoBias.QKV, &c.NoBias.Out)
		rotary(k, c, 1e4, 0)
	},
	write: func(c net.Config) object {
		return append(object{{"attention_bias", !c.NoBias.QKV}}, ropeKeys(c, false)...)
	},
}

func olmo2Base() net.Config {
	c := llamaBase
	c.NormPlace, c.QKNorm, c.Epsilon = net.PostNorm, net.AllHeads, 1e-5
	return c
}
