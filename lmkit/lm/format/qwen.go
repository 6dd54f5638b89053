package format

import "lmkit.internal/lmkit/internal/net"

// qwen2 is Llama whose queries, keys and values have biases; some layers may have a window.
var qwen2 = decoder{
	modelType: "qwen2", class: "Qwen2ForCausalLM", keys: qwenKeys, rules: llamaRules,
	base: qwenBase(net.Projections{Out: true, MLP: true}),
	read: func(k *keys, c *net.Config) {
		rotary(k, c, 1e4, 0)
		qwenWindow(k, c)
	},
	write: func(c net.Config) object { return append(ropeKeys(c, false), qwenWindowKeys(c)...) },
}

// qwen3 is Llama with a norm over each head of queries and keys.
var qwen3 = decoder{
	modelType: "qwen3", class: "Qwen3ForCausalLM", keys: qwenKeys, rules: llamaRules,
	base: qwenNormed(qwenBase(llamaBase.NoBias)),
	read: func(k *keys, c *net.Config) {
		biases(k, "attention_bias", false, &c.NoBias.QKV, &c.NoBias.Out)
		rotary(k, c, 1e4, 0)
		qwenWindow(k, c)
	},
	write: func(c net.Config) object {
		return append(append(object{{"attention_bias", !c.NoBias.QKV}}, ropeKeys(c, false)...), qwenWindowKeys(c)...)
	},
}

var qwenKeys = llamaKeys

func qwenBase(none net.Projections) net.Config {
	c := llamaBase
	c.Context, c.NoBias = 32768, none
	return c
}

func qwenNormed(c net.Config) net.Config {
	c.QKNorm, c.HeadWidth = net.EachHead, 128
	return c
}

// qwenWindow reads the window that layers from a certain one up have, where use_sliding_window says that it is used.
func qwenWindow(k *keys, c *net.Config) {
	width, first := nullable(k, "sliding_window", 4096), take(k, "max_window_layers", 28)
	if !take(k, "use_sliding_window", false) {
		width = 0
	}
	window(k, c, width, func(l int) bool { return l >= first })
}

func qwenWindowKeys(c net.Config) object {
	return append(object{{"use_sliding_window", c.Window > 0}}, layerTypes(c)...)
}
