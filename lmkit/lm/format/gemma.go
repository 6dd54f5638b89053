package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/strict"
)

// gemmaBase is what Gemma 2 and 3 have in common: norms before and after, whose weights are what gains differ from 1
// by, and embeddings that are scaled by the root of their width.
var gemmaBase = net.Config{
	Norm: net.RMSNorm, NormOffset: 1, NormPlace: net.BothNorms, Epsilon: 1e-6, Gated: true, Activation: net.GELUTanh,
	NoBias: net.Projections{QKV: true, Out: true, MLP: true}, Tied: true, HeadWidth: 256, Context: 8192,
}

var gemmaKeys = more(sizes, inner("intermediate_size"), kvHeads(), headWidth(), epsilon("rms_norm_eps"),
	act("hidden_activation"))

// gemma2 has caps, and a window in every other layer from the first.
var gemma2 = decoder{
	modelType: "gemma2", class: "Gemma2ForCausalLM", base: gemmaBase, keys: gemmaKeys, rules: gemmaRules,
	read: func(k *keys, c *net.Config) {
		gemmaScales(k, c, 50, 30)
		rotary(k, c, 1e4, 0)
		window(k, c, nullable(k, "sliding_window", 4096), func(l int) bool { return l%2 == 0 })
	},
	write: func(c net.Config) object { return append(gemmaScaleKeys(c), ropeKeys(c, false)...) },
}

// gemma3 has norms of queries and keys, and a window in all layers but every sixth, whose positions turn otherwise.
var gemma3 = decoder{
	modelType: "gemma3_text", class: "Gemma3ForCausalLM", base: gemma3Base(), keys: gemmaKeys,
	rules: gemmaRules,
	read: func(k *keys, c *net.Config) {
		gemmaScales(k, c, 0, 0)
		gemmaRopes(k, c)
		every := take(k, "_sliding_window_pattern", 6)
		if every = take(k, "sliding_window_pattern", every); every < 1 {
			k.errs = append(k.errs, fmt.Sprintf("sliding_window_pattern is %d: it must be 1 or more", every))
			return
		}
		window(k, c, nullable(k, "sliding_window", 4096), func(l int) bool { return (l+1)%every != 0 })
	},
	write: func(c net.Config) object {
		local := c.LocalRope
		if local == (net.Rope{}) {
			local = c.Rope
		}
		return append(append(gemmaScaleKeys(c), ropeKeys(c, false)...), member{"rope_local_base_freq", local.Theta})
	},
}

func gemma3Base() net.Config {
	c := gemmaBase
	c.QKNorm, c.Context = net.EachHead, 131072
	c.Vocab, c.Width, c.Inner, c.Layers, c.Heads, c.KVHeads = 262208, 2304, 9216, 26, 8, 4 // files leave out many of these
	return c
}

// gemmaScales reads what numbers are scaled and capped by.
func gemmaScales(k *keys, c *net.Config, scoreCap, logitCap float64) {
	c.Scale = 1 / math.Sqrt(take(k, "query_pre_attn_scalar", 256.0))
	c.EmbedScale = math.Sqrt(float64(c.Width))
	c.ScoreCap = nullable(k, "attn_logit_softcapping", scoreCap)
	c.LogitCap = nullable(k, "final_logit_softcapping", logitCap)
	biases(k, "attention_bias", false, &c.NoBias.QKV, &c.NoBias.Out)
	must(k, "use_bidirectional_attention", false)
	take(k, "hidden_act", "")           // hidden_activation is what counts
	take(k, "cache_implementation", "") // how it generates
}

func gemmaScaleKeys(c net.Config) object {
	scalar := 1 / (c.Scale * c.Scale)
	if n := math.Round(scalar); math.Abs(scalar-n) < 1e-9*n { // it was a whole number before rounding
		scalar = n
	}
	return append(object{
		{"query_pre_attn_scalar", scalar},
		{"attn_logit_softcapping", orNull(c.ScoreCap)},
		{"final_logit_softcapping", orNull(c.LogitCap)},
		{"attention_bias", !c.NoBias.QKV},
	}, layerTypes(c)...)
}

// gemmaRopes reads the rotation of layers without a window, and that of those with one: rope_parameters has one of
// each, and older files scale only the former.
func gemmaRopes(k *keys, c *net.Config) {
	var kinds map[string]json.RawMessage
	if strict.Unmarshal(k.all["rope_parameters"], &kinds) == nil {
		for kind, key := range map[string]string{"full_attention": "rope_theta",
			"sliding_attention": "rope_local_base_freq"} {
			under := &keys{all: map[string]json.RawMessage{key: k.all[key], kind: kinds[kind]}}
			under.lend(key, kind, "rope_theta")
			k.errs = append(k.errs, under.errs...)
		}
	}
	local := take(k, "rope_local_base_freq", 1e4)
	defer func() {
		if c.LocalRope.Theta <= 0 {
			k.errs = append(k.errs, "the rotation of layers with a window has no positive rope_theta")
		}
	}()
	both := k.sub("rope_parameters")
	if both == nil {
		rotary(k, c, 1e6, 0)
		c.LocalRope = net.Rope{Theta: local}
		return
	}
	c.Positions = net.Rotary
	for _, r := range []struct {
		kind  string
		to    *net.Rope
		theta float64
	}{{"full_attention", &c.Rope, take(k, "rope_theta", 1e6)}, {"sliding_attention", &c.LocalRope, local}} {
		*r.to = net.Rope{Theta: r.theta}
		if s := both.sub(r.kind); s != nil {
			*r.to = scaled(s, c, r.theta, 1, false)
			both.done(r.kind, s)
		}
	}
	k.done("rope_parameters", both)
}

func gemmaRules(c net.Config) []Rule {
	return instead(llamaRules(c),
		Rule{Param: "block.*.ln1_post", Tensor: "layers.*.post_attention_layernorm"},
		Rule{Param: "block.*.ln2", Tensor: "layers.*.pre_feedforward_layernorm"},
		Rule{Param: "block.*.ln2_post", Tensor: "layers.*.post_feedforward_layernorm"},
	)
}

// gemma3Whole is Gemma 3 beside an image encoder, of which lmkit takes the language model alone.
type gemma3Whole struct{ decoder }

// Read understands the part of config.json about the language model, and what stands around it.
func (g gemma3Whole) Read(config []byte) (net.Config, error) {
	k := readKeys(config)
	text := k.sub("text_config")
	if text == nil {
		text = &keys{all: map[string]json.RawMessage{}}
	}
	if tied := k.all["tie_word_embeddings"]; tied != nil { // of the whole
		text.all["tie_word_embeddings"] = tied
		delete(k.all, "tie_word_embeddings")
	}
	for _, images := range []string{"vision_config", "boi_token_id", "boi_token_index", "eoi_token_id", "eoi_token_index",
		"image_token_id", "image_token_index", "mm_tokens_per_image"} {
		delete(k.all, images)
	}
	inside, err := json.Marshal(text.all)
	if err != nil || len(k.errs) > 0 {
		return net.Config{}, errors.Join(err, k.err())
	}
	c, err := g.decoder.Read(inside)
	if err != nil {
		return c, err
	}
	return k.config(c)
}

// Name is "" for the tensors of the image encoder.
func (g gemma3Whole) Name(tensor string) string {
	name := g.decoder.Name(tensor)
	for _, part := range []string{"vision_tower.", "multi_modal_projector."} {
		if strings.HasPrefix(name, part) {
			return ""
		}
	}
	return name
}
