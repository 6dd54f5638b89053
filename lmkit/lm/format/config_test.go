package format

import (
	"testing"
)

// Whatever config.json holds: an error, or a configuration that is valid and survives being written and read.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		`{"model_type":"gpt2","vocab_size":13,"n_positions":12,"n_embd":8,"n_layer":2,"n_head":2,"n_inner":null,` +
			`"activation_function":"gelu_new"}`,
		`{"model_type":"gpt2","vocab_size":13,"tie_word_embeddings":false,"layer_norm_epsilon":1e-6,"resid_pdrop":0.1}`,
		`{"model_type":"lstm","vocab_size":13,"embed_size":6,"hidden_size":5,"num_layers":2,"dropout":0.5}`,
		`{"model_type":"lstm","bidirectional":true}`, `{"model_type":"bert"}`, `{"n_embd":1e99}`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, c, err := Read(data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("%s was read as an impossible configuration: %v", data, err)
		}
		_, out, err := Write(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, back, err := Read(out); err != nil || back != c {
			t.Fatalf("%s was read as %+v, written and read again as %+v (%v)", data, c, back, err)
		}
	})
}

// What would change the computation is refused, and named.
func TestUnsupportedConfigs(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{`{"model_type":"bert"}`,
			`model_type "bert" is not supported; there are gpt2, lstm, llama, mistral, qwen2, qwen3, gpt_neox, ` +
				`gemma2, gemma3_text, gemma3, olmo2, opt, phi, phi3 and smollm3`},
		{`{"model_type":"gpt2","vocab_size":3,"scale_attn_by_inverse_layer_idx":true}`,
			"not supported: scale_attn_by_inverse_layer_idx"},
		{`{"model_type":"lstm","vocab_size":3,"embed_size":2,"hidden_size":2,"num_layers":1,"bidirectional":true}`,
			"not supported: bidirectional"},
		{`{"model_type":"gpt2","vocab_size":3,"activation_function":"swish"}`,
			`the activation "swish" is not supported; there are gelu_new, gelu, relu and silu`},
		{`{"model_type":"lstm","vocab_size":3,"embed_size":2,"num_layers":1}`,
			"the hidden width is 0; it must be between 1 and 1073741824"},
		{`{"model_type":"gpt2","vocab_size":3,"rope_scaling":{"factor":2},"sliding_window":7}`,
			`not supported: rope_scaling={"factor":2}, sliding_window=7`},
		{`{"model_type":"gpt2","vocab_size":3,"scale_attn_weights":false}`, "not supported: scale_attn_weights=false"},
		{`{"model_type":"gpt2","vocab_size":"3"}`, `vocab_size is "3": it must be a whole number`},
	} {
		if _, _, err := Read([]byte(c.config)); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.config, err, c.want)
		}
	}
}

// What changes nothing is passed over: how to generate, what training used, and switches that are off.
func TestHarmlessKeys(t *testing.T) {
	const text = `{"model_type":"gpt2","vocab_size":3,"eos_token_id":2,"_name_or_path":"x",
		"task_specific_params":{"a":{"b":1}},"rope_scaling":null,"sliding_window":0,
		"scale_attn_by_inverse_layer_idx":false,"summary_type":"cls_index","n_ctx":1024}`
	if _, _, err := Read([]byte(text)); err != nil {
		t.Error(err)
	}
}
