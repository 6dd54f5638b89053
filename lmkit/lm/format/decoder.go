package format

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/strict"
)

// decoder is a family of Hugging Face's causal decoders, as a table: what all its models have in common, which keys of
// config.json say what else there is to know, and where its tensors are.
type decoder struct {
	modelType, class string
	base             net.Config // a model of the family, where no key says otherwise
	keys             []key      // what is copied between config.json and the configuration
	read             func(k *keys, c *net.Config)
	write            func(c net.Config) object // the keys that read understands
	holder           string                    // what its classes call the part that holds the layers, see bare
	rules            func(c net.Config) []Rule
}

// key is a key of config.json and the number, word or truth that it stands for.
type key struct {
	name string
	of   func(c *net.Config) any // a pointer to it
}

// Keys by which most families call the same things.
var sizes = []key{
	{"vocab_size", func(c *net.Config) any { return &c.Vocab }},
	{"max_position_embeddings", func(c *net.Config) any { return &c.Context }},
	{"hidden_size", func(c *net.Config) any { return &c.Width }},
	{"num_hidden_layers", func(c *net.Config) any { return &c.Layers }},
	{"num_attention_heads", func(c *net.Config) any { return &c.Heads }},
	{"tie_word_embeddings", func(c *net.Config) any { return &c.Tied }},
	{dropout, func(c *net.Config) any { return &c.Dropout }}, // only some families', but what others pass over
}

// more appends keys to those of another family.
func more(keys []key, others ...key) []key { return append(keys[:len(keys):len(keys)], others...) }

func inner(name string) key {
	return key{name, func(c *net.Config) any { return &c.Inner }}
}

func kvHeads() key {
	return key{"num_key_value_heads", func(c *net.Config) any { return &c.KVHeads }}
}

func headWidth() key {
	return key{"head_dim", func(c *net.Config) any { return &c.HeadWidth }}
}

func epsilon(name string) key {
	return key{name, func(c *net.Config) any { return &c.Epsilon }}
}

func act(name string) key {
	return key{name, func(c *net.Config) any { return &c.Activation }}
}

// Read implements Format.
func (d decoder) Read(config []byte) (net.Config, error) {
	k, c := readKeys(config), d.base
	c.Arch = net.Transformer
	for _, key := range d.keys {
		k.into(key.name, key.of(&c))
	}
	if name, ok := sameActivation[c.Activation]; ok {
		c.Activation = name
	}
	d.read(k, &c)
	return k.config(c)
}

// sameActivation are other names of the activations that lmkit has.
var sameActivation = map[string]string{
	"gelu_pytorch_tanh": net.GELUTanh, "gelu_fast": net.GELUTanh, "gelu_python": net.GELU, "swish": net.SiLU,
}

// into takes a key, if it is there and not null, into what v points to.
func (k *keys) into(key string, v any) {
	text, ok := k.all[key]
	delete(k.all, key)
	if !ok || string(text) == "null" {
		return
	}
	if err := json.Unmarshal(text, v); err != nil {
		k.wrong(key, text, reflect.ValueOf(v).Elem().Interface())
	} else if is := reflect.ValueOf(v).Elem(); is.IsZero() && is.Kind() != reflect.Bool && key != dropout {
		k.errs = append(k.errs, fmt.Sprintf("%s is %s, which a model cannot have", key, brief(string(text))))
	}
}

// dropout is the one number that may be 0.
const dropout = "resid_pdrop"

// Write implements Format.
func (d decoder) Write(c net.Config) ([]byte, error) {
	c = c.WithDefaults()
	o := object{{"model_type", d.modelType}, {"architectures", []string{d.class}}}
	for _, key := range d.keys {
		o = append(o, member{key.name, key.of(&c)})
	}
	return append(o, d.write(c)...).json()
}

// Rules implements Format.
func (d decoder) Rules(c net.Config) []Rule { return expand(c, d.rules(c)) }

// Name implements Format.
func (d decoder) Name(tensor string) string { return bare(tensor, d.holder) }

// biases reads a key that says whether projections have biases: qkv and out, or those of the feed-forward layer.
func biases(k *keys, name string, def bool, none ...*bool) {
	is := take(k, name, def)
	for _, n := range none {
		*n = !is
	}
}

// window reads the kinds of the layers: from their list, or from def, which says which layers have the window.
func window(k *keys, c *net.Config, width int, def func(layer int) bool) {
	kinds := take(k, "layer_types", []string(nil))
	if kinds != nil && len(kinds) != c.Layers {
		k.errs = append(k.errs, fmt.Sprintf("layer_types has %d entries for %d layers", len(kinds), c.Layers))
		return
	}
	if c.Layers < 1 || c.Layers > maxLayers {
		return // an error that the configuration tells
	}
	if width < 0 {
		c.Window = width // an error that the configuration tells, too
	}
	letters := make([]byte, c.Layers)
	for l := range letters {
		sliding := width > 0 && def(l)
		if kinds != nil {
			sliding = kinds[l] == "sliding_attention"
			if !sliding && kinds[l] != "full_attention" {
				k.refuse("layer_types", kinds[l])
			}
		}
		letters[l] = net.Full
		if sliding {
			letters[l], c.Window = net.Sliding, width
		}
	}
	c.Pattern = string(letters)
}

// maxLayers bounds what is allocated for a number of layers that a file claims.
const maxLayers = 1 << 12

// layerTypes is the list of the layers' kinds, and the width of their window: null where no layer has one.
func layerTypes(c net.Config) object {
	kinds := make([]string, len(c.Pattern))
	for l, letter := range []byte(c.Pattern) {
		kinds[l] = "full_attention"
		if letter == net.Sliding {
			kinds[l] = "sliding_attention"
		}
	}
	return object{{"sliding_window", orNull(c.Window)}, {"layer_types", kinds}}
}

// orNull is v, or null where it is zero.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// nullable is the value of a key: def where it is absent, zero where it is null.
func nullable[T any](k *keys, key string, def T) T {
	if string(k.all[key]) == "null" {
		var zero T
		def = zero
	}
	return take(k, key, def)
}

// sub is the keys of an object under a key, which done must get when they are taken. It is nil where there is none.
func (k *keys) sub(key string) *keys {
	text, ok := k.all[key]
	delete(k.all, key)
	if !ok || string(text) == "null" {
		return nil
	}
	under := &keys{}
	if err := strict.Unmarshal(text, &under.all); err != nil {
		k.errs = append(k.errs, key+": "+err.Error())
		return nil
	}
	return under
}

// done reports the mistakes of the keys under a key, and those that nobody took.
func (k *keys) done(key string, under *keys) {
	for _, e := range under.errs {
		k.errs = append(k.errs, key+"."+e)
	}
	for name, value := range under.all {
		if !nothing(value) {
			under.refuse(name, string(value))
		}
	}
	for _, n := range under.not {
		k.not = append(k.not, key+"."+n)
	}
}

// lend puts the value of a key, if it is there, under a key of an object, if that is there. What the object says itself
// must be the same.
func (k *keys) lend(from, object, to string) {
	value, under := k.all[from], map[string]json.RawMessage{}
	if value == nil || string(value) == "null" || strict.Unmarshal(k.all[object], &under) != nil {
		return
	}
	if has := under[to]; has == nil || string(has) == "null" {
		under[to] = value
		k.all[object], _ = json.Marshal(under)
	} else if !sameNumber(has, value) {
		k.errs = append(k.errs, fmt.Sprintf("%s is %s, but %s.%s is %s: which one counts?", from, brief(string(value)),
			object, to, brief(string(has))))
	}
}

func sameNumber(a, b json.RawMessage) bool {
	var x, y float64
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x == y
}

// instead is rules, where those of some parameters are replaced or added.
func instead(rules []Rule, others ...Rule) []Rule {
	all := others
	for _, r := range rules {
		if !slices.ContainsFunc(others, func(o Rule) bool { return r.Param != "" && o.Param == r.Param }) {
			all = append(all, r)
		}
	}
	return all
}
