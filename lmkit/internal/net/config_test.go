package net

import (
	"encoding/json"
	"testing"
)

// Whatever config.json holds: an error, or a configuration that is valid and survives being written and read.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		`{"model_type":"gpt2","vocab_size":13,"n_positions":12,"n_embd":8,"n_layer":2,"n_head":2,"n_inner":null,"activation_function":"gelu_new"}`,
		`{"model_type":"gpt2","vocab_size":13,"tie_word_embeddings":false,"layer_norm_epsilon":1e-6,"resid_pdrop":0.1}`,
		`{"model_type":"lstm","vocab_size":13,"embed_size":6,"hidden_size":5,"num_layers":2,"dropout":0.5}`,
		`{"model_type":"lstm","bidirectional":true}`, `{"model_type":"bert"}`, `{"n_embd":1e99}`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Config
		if json.Unmarshal(data, &c) != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("%s was read as an impossible configuration: %v", data, err)
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Config
		if err := json.Unmarshal(out, &back); err != nil || back != c {
			t.Fatalf("%s was read as %+v, written and read again as %+v (%v)", data, c, back, err)
		}
	})
}

// What would change the computation is refused, and named.
func TestUnsupportedConfigs(t *testing.T) {
	for in, want := range map[string]string{
		`{"model_type":"bert"}`: `model_type "bert" is not supported; there are gpt2 and lstm`,
		`{"model_type":"gpt2","vocab_size":3,"scale_attn_by_inverse_layer_idx":true}`:                             "not supported: scale_attn_by_inverse_layer_idx",
		`{"model_type":"lstm","vocab_size":3,"embed_size":2,"hidden_size":2,"num_layers":1,"bidirectional":true}`: "not supported: bidirectional",
		`{"model_type":"gpt2","vocab_size":3,"activation_function":"swish"}`:                                      `the activation "swish" is not supported; there are gelu_new, gelu and relu`,
		`{"model_type":"lstm","vocab_size":3,"embed_size":2,"num_layers":1}`:                                      "the hidden width is 0; it must be between 1 and 1073741824",
	} {
		var c Config
		if err := json.Unmarshal([]byte(in), &c); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}
