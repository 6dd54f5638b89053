package format

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/net"
)

// GGUF understands the settings of a GGUF file, by its tensors where the settings leave something to them: biases,
// norms, whether the output matrix is the embedding, and divisors of the rotation's frequencies. A key that changes
// the computation, and that it does not follow, is an error that names the key.
func GGUF(settings map[string]any, ts Tensors) (Layout, net.Config, error) {
	arch, _ := settings["general.architecture"].(string)
	a, ok := architectures[arch]
	if !ok {
		var known []string
		for name := range architectures {
			known = append(known, name)
		}
		slices.Sort(known)
		return nil, net.Config{}, fmt.Errorf("general.architecture %q is not supported; there are %s", arch,
			strings.Join(known, ", "))
	}
	g := &ggufFile{keys: &keys{all: map[string]json.RawMessage{}}, tensors: ts, arch: a}
	for key, value := range settings {
		if name, ok := strings.CutPrefix(key, arch+"."); ok { // others are about the file and its tokenizer
			text, err := json.Marshal(value)
			if err != nil {
				return nil, net.Config{}, fmt.Errorf("%s: %w", key, err)
			}
			g.all[name] = text
		}
	}
	c, err := g.config(g.read())
	if err != nil {
		return nil, net.Config{}, fmt.Errorf("architecture %s: %w", arch, err)
	}
	return g.layout(), c, nil
}

// architecture is what the files of an architecture do not say.
type architecture struct {
	base    net.Config
	pairs   bool // rows of queries and keys that turn together stand side by side
	offset  bool // gains of norms stand for themselves, where the family's are what they differ from 1 by
	turned  bool // positions turn queries and keys
	local   bool // layers with a window turn by a rotation of their own
	pattern func(c net.Config, layer int) byte
	largest int // the number of layers of the model whose scores are scaled by the width of the model divided by the heads
}

var architectures = map[string]architecture{
	"gpt2":    {base: net.Config{Activation: net.GELUTanh}},
	"llama":   {base: llamaBase, turned: true, pairs: true},
	"qwen2":   {base: llamaBase, turned: true},
	"qwen3":   {base: llamaBase, turned: true},
	"gptneox": {base: neox.base, turned: true},
	"olmo2":   {base: olmo2.base, turned: true},
	"phi2":    {base: phi.base, turned: true},
	"phi3":    {base: phi3.base, turned: true, pattern: everyLayer},
	"gemma2":  {base: gemma2.base, turned: true, offset: true, pattern: everySecond, largest: 46},
	"gemma3":  {base: gemma3.base, turned: true, offset: true, local: true, pattern: butEverySixth, largest: 62},
	"smollm3": {base: llamaBase, turned: true, pairs: true, pattern: fourthUnturned},
}

func everyLayer(net.Config, int) byte { return net.Sliding }

func everySecond(_ net.Config, l int) byte {
	if l%2 == 0 {
		return net.Sliding
	}
	return net.Full
}

func butEverySixth(_ net.Config, l int) byte {
	if (l+1)%6 != 0 {
		return net.Sliding
	}
	return net.Full
}

func fourthUnturned(_ net.Config, l int) byte {
	if (l+1)%4 != 0 {
		return net.Full
	}
	return net.Unturned
}

// ggufFile is a file that is being understood.
type ggufFile struct {
	*keys
	tensors Tensors
	arch    architecture
}

func (g *ggufFile) has(tensor string) bool {
	_, _, ok := g.tensors.Shape(tensor)
	return ok
}

// rows is how many rows a matrix has, 0 if it is not there.
func (g *ggufFile) rows(tensor string) int {
	dims, _, ok := g.tensors.Shape(tensor)
	if !ok || len(dims) != 2 {
		return 0
	}
	return dims[0]
}

// each is a number that may be written once a layer, but must be the same for all.
func (g *ggufFile) each(key string) int {
	var list []int
	if json.Unmarshal(g.all[key], &list) != nil || len(list) == 0 {
		return take(g.keys, key, 0)
	}
	if text := g.all[key]; len(slices.Compact(list)) > 1 {
		g.refuse(key, string(text))
	}
	delete(g.all, key)
	return list[0]
}

// read is the file's model.
func (g *ggufFile) read() net.Config {
	k, c := g.keys, g.arch.base
	c.Arch = net.Transformer
	c.Vocab = g.rows("token_embd.weight")
	take(k, "vocab_size", 0)
	c.Context, c.Width = take(k, "context_length", 0), take(k, "embedding_length", 0)
	c.Layers, c.Inner = take(k, "block_count", 0), g.each("feed_forward_length")
	c.Heads, c.KVHeads = g.each("attention.head_count"), g.each("attention.head_count_kv")
	c.HeadWidth = 0
	c.HeadWidth = take(k, "attention.key_length", 0)
	must(k, "attention.value_length", widthOfHead(&c))
	if k.all["attention.layer_norm_epsilon"] == nil && k.all["attention.layer_norm_rms_epsilon"] == nil {
		k.errs = append(k.errs, "attention.layer_norm_rms_epsilon is missing, and the norms need it")
	}
	c.Epsilon = take(k, "attention.layer_norm_epsilon", c.Epsilon)
	c.Epsilon = take(k, "attention.layer_norm_rms_epsilon", c.Epsilon)
	must(k, "attention.causal", true)
	if !take(k, "use_parallel_residual", true) {
		c.Residual = net.Sequential
	}
	g.attention(&c)
	g.byTensors(&c)
	if g.arch.turned {
		g.rope(&c)
	}
	g.layers(&c)
	return c
}

// attention reads how scores and logits are scaled and capped.
func (g *ggufFile) attention(c *net.Config) {
	k := g.keys
	if c.NormOffset != 0 {
		c.EmbedScale = math.Sqrt(float64(c.Width))
	}
	if g.arch.largest > 0 && c.Layers == g.arch.largest && c.Width > 0 {
		c.Scale = math.Sqrt(float64(c.Heads) / float64(c.Width))
	}
	c.Scale = take(k, "attention.scale", c.Scale)
	c.ScoreCap = take(k, "attn_logit_softcapping", 0.0)
	c.LogitCap = take(k, "final_logit_softcapping", 0.0)
}

// byTensors sets what the file says by which tensors it has.
func (g *ggufFile) byTensors(c *net.Config) {
	c.Tied = !g.has("output.weight")
	c.HeadBias = g.has("output.bias")
	c.NoBias = net.Projections{
		QKV: !g.has("blk.0.attn_q.bias") && !g.has("blk.0.attn_qkv.bias"),
		Out: !g.has("blk.0.attn_output.bias"),
		MLP: !g.has("blk.0.ffn_down.bias"),
	}
	if g.has("blk.0.attn_q_norm.weight") && c.QKNorm == "" {
		c.QKNorm = net.EachHead
	}
}

// rope reads the rotation.
func (g *ggufFile) rope(c *net.Config) {
	k := g.keys
	c.Positions = net.Rotary
	r := net.Rope{Theta: take(k, "rope.freq_base", 1e4), Width: take(k, "rope.dimension_count", 0)}
	if r.Width == widthOfHead(c) {
		r.Width = 0
	}
	if r.Width != 0 && g.arch.pairs {
		g.refuse("rope.dimension_count", fmt.Sprint(r.Width))
	}
	original := take(k, "rope.scaling.original_context_length", c.Context)
	factor, magnitude := take(k, "rope.scaling.factor", 0.0), take(k, "rope.scaling.attn_factor", 1.0)
	take(k, "rope.scaling.finetuned", true)
	switch kind := take(k, "rope.scaling.type", "none"); kind {
	case "none", "longrope":
	case "linear":
		r.Scaling, r.Factor = net.LinearScaling, factor
	case "yarn":
		r.Scaling, r.Factor, r.Original = net.YarnScaling, factor, original
		r.Low, r.High = take(k, "rope.scaling.yarn_beta_slow", 1.0), take(k, "rope.scaling.yarn_beta_fast", 32.0)
		r.Magnitude = 0.1*math.Log(max(1, factor)) + 1
	default:
		g.refuse("rope.scaling.type", kind)
	}
	g.divisors(&r, "rope_freqs.weight")
	if g.has("rope_factors_short.weight") {
		g.divisors(&r, "rope_factors_short.weight")
		r.Magnitude, c.Context = magnitude, original
	}
	c.Rope = r
	if g.arch.local {
		c.LocalRope = net.Rope{Theta: take(k, "rope.freq_base_swa", 1e4)}
	}
}

// divisors reads what frequencies are divided by, if the file has such a tensor.
func (g *ggufFile) divisors(r *net.Rope, tensor string) {
	if !g.has(tensor) {
		return
	}
	dims, _, _ := g.tensors.Shape(tensor)
	by := make([]float32, product(dims))
	if err := floats(g.tensors, tensor, by); err != nil {
		g.errs = append(g.errs, fmt.Sprintf("tensor %q: %v", tensor, err))
		return
	}
	r.Divisors = divisors(by)
}

// layers reads the kinds of the layers.
func (g *ggufFile) layers(c *net.Config) {
	width := take(g.keys, "attention.sliding_window", 0)
	var sliding []bool
	if json.Unmarshal(g.all["attention.sliding_window_pattern"], &sliding) == nil {
		delete(g.all, "attention.sliding_window_pattern")
	}
	if sliding != nil && len(sliding) != c.Layers || c.Layers < 1 || c.Layers > maxLayers {
		g.errs = append(g.errs, fmt.Sprintf("block_count is %d, and attention.sliding_window_pattern has %d entries",
			c.Layers, len(sliding)))
		return
	}
	letters := make([]byte, c.Layers)
	for l := range letters {
		letters[l] = net.Full
		if g.arch.pattern != nil {
			letters[l] = g.arch.pattern(*c, l)
		}
		if sliding != nil {
			letters[l] = net.Full
			if sliding[l] {
				letters[l] = net.Sliding
			}
		}
		if letters[l] == net.Sliding {
			if width == 0 {
				letters[l] = net.Full
			} else {
				c.Window = width
			}
		}
	}
	c.Pattern = string(letters)
}

// layout is where the parameters are in the file.
func (g *ggufFile) layout() Layout {
	return ggufLayout{pairs: g.arch.pairs, offset: g.arch.offset, qkv: g.has("blk.0.attn_qkv.weight"),
		gateUp: !g.has("blk.0.ffn_gate.weight")}
}

// ggufLayout is the layout of a GGUF file's tensors.
type ggufLayout struct {
	pairs, offset bool // as in architecture
	qkv, gateUp   bool // queries, keys and values are one tensor; so are gate and up
}

// Name implements Layout.
func (ggufLayout) Name(tensor string) string { return tensor }

// Rules implements Layout.
func (g ggufLayout) Rules(c net.Config) []Rule {
	c = c.WithDefaults()
	K, F := c.HeadWidth, c.Inner
	Q, KV := c.Heads*K, c.KVHeads*K
	q := Rule{Param: "block.*.attn.q", Tensor: "blk.*.attn_q"}
	k := Rule{Param: "block.*.attn.k", Tensor: "blk.*.attn_k"}
	v := Rule{Param: "block.*.attn.v", Tensor: "blk.*.attn_v"}
	if g.qkv {
		q.Tensor, k.Tensor, v.Tensor = "blk.*.attn_qkv", "blk.*.attn_qkv", "blk.*.attn_qkv"
		q.Rows, k.Rows, v.Rows = Q+2*KV, Q+2*KV, Q+2*KV
		k.Row, v.Row = from(Q), from(Q+KV)
	}
	if g.pairs {
		q.Row, k.Row = apart(K), apart(K)
	}
	gate := Rule{Param: "block.*.mlp.gate", Tensor: "blk.*.ffn_gate"}
	up := Rule{Param: "block.*.mlp.up", Tensor: "blk.*.ffn_up"}
	if g.gateUp {
		gate.Tensor = up.Tensor
		gate.Rows, up.Rows, up.Row = 2*F, 2*F, from(F)
	}
	rules := []Rule{
		{Param: "embed", Tensor: "token_embd"},
		{Param: "pos_embed", Tensor: "position_embd"},
		{Param: "block.*.ln1", Tensor: "blk.*.attn_norm"},
		q, k, v,
		{Param: "block.*.attn.q_norm", Tensor: "blk.*.attn_q_norm"},
		{Param: "block.*.attn.k_norm", Tensor: "blk.*.attn_k_norm"},
		{Param: "block.*.attn.out", Tensor: "blk.*.attn_output"},
		{Param: "block.*.ln1_post", Tensor: "blk.*.post_attention_norm"},
		{Param: "block.*.ln2", Tensor: "blk.*.ffn_norm"},
		gate, up,
		{Param: "block.*.mlp.pre", Tensor: "blk.*.ffn_up"},
		{Param: "block.*.mlp.out", Tensor: "blk.*.ffn_down"},
		{Param: "block.*.ln2_post", Tensor: "blk.*.post_ffw_norm"},
		{Param: "final", Tensor: "output_norm"},
		{Param: "head", Tensor: "output"},
		{Tensor: "rope_freqs.weight"}, // read into the configuration
		{Tensor: "rope_factors_short.weight"},
		{Tensor: "rope_factors_long.weight"},
	}
	if g.offset {
		for i, r := range rules {
			if strings.Contains(r.Tensor, "norm") {
				rules[i].Plus = -c.NormOffset
			}
		}
	}
	return expand(c, rules)
}

// apart is where row i of a head of width K is, when the rows that turn together, K/2 apart here, stand side by side
// there.
func apart(K int) func(i int) int {
	return func(i int) int {
		head, j := i/K*K, i%K
		return head + j%(K/2)*2 + j/(K/2)
	}
}
