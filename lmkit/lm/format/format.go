// Package format knows how programs write models down: the keys of their config.json, and the names and layouts of
// their tensors.
package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/printable"
)

// Format is how the models of one family are written down.
type Format interface {
	// Read understands a config.json. A key that changes the computation, and that it does not follow, is an error that
	// names the key.
	Read(config []byte) (net.Config, error)
	// Write is the config.json of a model. What the family cannot say is left out: see [Write].
	Write(net.Config) ([]byte, error)
	Layout
}

// Layout is where the parameters of models are in their files.
type Layout interface {
	// Rules says where the parameters of a model are in its files.
	Rules(net.Config) []Rule
	// Name is a tensor's name as the rules have it: other programs put a prefix before it, or leave one out. It is ""
	// where the tensor belongs to another model.
	Name(tensor string) string
}

// families are the formats by the model_type of their config.json. Of several that can hold a model, the first is
// written.
var families = []struct {
	modelType string
	Format
}{
	{"gpt2", gpt2{}},
	{"lstm", lstm{}},
	{"llama", llama},
	{"mistral", mistral},
	{"qwen2", qwen2},
	{"qwen3", qwen3},
	{"gpt_neox", neox},
	{"gemma2", gemma2},
	{"gemma3_text", gemma3},
	{"gemma3", gemma3Whole{gemma3}},
	{"olmo2", olmo2},
	{"opt", opt},
	{"phi", phi},
	{"phi3", phi3},
	{"smollm3", smollm3},
}

// Read understands a config.json, and says in which format the model's tensors are.
func Read(config []byte) (Format, net.Config, error) {
	k := readKeys(config)
	modelType := take(k, "model_type", "")
	if len(k.errs) > 0 {
		return nil, net.Config{}, k.err()
	}
	var known []string
	for _, f := range families {
		if f.modelType == modelType {
			c, err := f.Read(config)
			return f.Format, c, err
		}
		known = append(known, f.modelType)
	}
	last := len(known) - 1
	return nil, net.Config{}, fmt.Errorf("model_type %q is not supported; there are %s and %s",
		printable.Short(modelType, 60), strings.Join(known[:last], ", "), known[last])
}

// Write is the config.json of a model, in the first format that says all of it: read again, it is the same
// configuration.
func Write(c net.Config) (Format, []byte, error) {
	for _, f := range families {
		config, err := f.Write(c)
		if err != nil {
			return nil, nil, err
		}
		if back, err := f.Read(config); err == nil && back == c.WithDefaults() {
			return f.Format, config, nil
		}
	}
	return nil, nil, errors.New("no family whose files lmkit writes has models of this shape")
}

// object is a JSON object whose keys keep their order.
type object []member

type member struct {
	key   string
	value any
}

// json is the object with a key a line.
func (o object) json() ([]byte, error) {
	text := []byte("{")
	for i, m := range o {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "\n  %q: %s", m.key, value)
	}
	return append(text, "\n}\n"...), nil
}
