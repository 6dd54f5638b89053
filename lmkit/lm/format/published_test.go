package format

import (
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/net"
)

// Files as the makers of models publish them, with keys that say nothing here, in older spellings, or left out.
func TestPublishedConfigs(t *testing.T) {
	for _, c := range []struct {
		name, text string
		check      func(c net.Config) bool
	}{
		{"llama 3.2", `{"architectures":["LlamaForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
			"bos_token_id":128000,"eos_token_id":[128001,128008,128009],"head_dim":64,"hidden_act":"silu","hidden_size":2048,
			"initializer_range":0.02,"intermediate_size":8192,"max_position_embeddings":131072,"mlp_bias":false,
			"model_type":"llama","num_attention_heads":32,"num_hidden_layers":16,"num_key_value_heads":8,
			"pretraining_tp":1,"rms_norm_eps":1e-05,"rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,
			"original_max_position_embeddings":8192,"rope_type":"llama3"},"rope_theta":500000.0,"tie_word_embeddings":true,
			"torch_dtype":"bfloat16","transformers_version":"4.45.0.dev0","use_cache":true,"vocab_size":128256}`,
			func(c net.Config) bool { return c.Rope.Factor == 32 && c.Tied && c.KVHeads == 8 }},
		{"smollm2", `{"hidden_act":"silu","hidden_size":576,"intermediate_size":1536,"is_llama_config":true,
			"max_position_embeddings":8192,"model_type":"llama","num_attention_heads":9,"num_hidden_layers":30,
			"num_key_value_heads":3,"pad_token_id":2,"pretraining_tp":1,"rms_norm_eps":1e-05,"rope_interleaved":false,
			"rope_scaling":null,"rope_theta":100000,"tie_word_embeddings":true,"vocab_size":49152,
			"transformers.js_config":{"kv_cache_dtype":{"q4f16":"float16"}}}`,
			func(c net.Config) bool { return c.HeadWidth == 64 && c.Rope.Theta == 1e5 }},
		{"qwen 2.5", `{"attention_dropout":0.0,"hidden_act":"silu","hidden_size":896,"intermediate_size":4864,
			"max_position_embeddings":32768,"max_window_layers":21,"model_type":"qwen2","num_attention_heads":14,
			"num_hidden_layers":24,"num_key_value_heads":2,"rms_norm_eps":1e-06,"rope_theta":1000000.0,"sliding_window":32768,
			"tie_word_embeddings":true,"use_mrope":false,"use_sliding_window":false,"vocab_size":151936}`,
			func(c net.Config) bool { return c.Window == 0 && !c.NoBias.QKV && c.NoBias.Out }},
		{"gemma 3, 4b", `{"architectures":["Gemma3ForConditionalGeneration"],"boi_token_index":255999,"model_type":"gemma3",
			"mm_tokens_per_image":256,"text_config":{"hidden_size":2560,"intermediate_size":10240,"model_type":"gemma3_text",
			"num_hidden_layers":34,"rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024},
			"vision_config":{"hidden_size":1152,"model_type":"siglip_vision_model"}}`,
			func(c net.Config) bool {
				return c.Heads == 8 && c.KVHeads == 4 && c.HeadWidth == 256 && c.Rope.Theta == 1e6 && c.LocalRope.Theta == 1e4 &&
					c.LocalRope.Scaling == "" && c.Rope.Factor == 8 && strings.HasPrefix(c.Pattern, "sssssfs") && c.Tied
			}},
		{"pythia", `{"architectures":["GPTNeoXForCausalLM"],"hidden_act":"gelu","hidden_size":512,"initializer_range":0.02,
			"intermediate_size":2048,"layer_norm_eps":1e-05,"max_position_embeddings":2048,"model_type":"gpt_neox",
			"num_attention_heads":8,"num_hidden_layers":6,"rotary_emb_base":10000,"rotary_pct":0.25,
			"tie_word_embeddings":false,"use_parallel_residual":true,"vocab_size":50304}`,
			func(c net.Config) bool { return c.Rope.Width == 16 && c.Residual == net.Parallel }},
		{"opt 350m", `{"_remove_final_layer_norm":false,"activation_dropout":0.0,"activation_function":"relu",
			"attention_dropout":0.0,"bos_token_id":2,"do_layer_norm_before":false,"dropout":0.1,"ffn_dim":4096,
			"hidden_size":1024,"init_std":0.02,"layerdrop":0.0,"max_position_embeddings":2048,"model_type":"opt",
			"num_attention_heads":16,"num_hidden_layers":24,"pad_token_id":1,"prefix":"</s>","torch_dtype":"float16",
			"use_cache":true,"vocab_size":50272,"word_embed_proj_dim":512}`,
			func(c net.Config) bool { return c.EmbedWidth == 512 && c.NormPlace == net.SumNorm && c.Tied }},
		{"phi 4 mini", `{"attention_bias":false,"attention_dropout":0.0,
			"auto_map":{"AutoConfig":"configuration_phi3.Phi3Config"},
			"embd_pdrop":0.0,"full_attn_mod":1,"hidden_act":"silu","hidden_size":48,"interpolate_factor":1,
			"intermediate_size":80,"lm_head_bias":false,"max_position_embeddings":131072,"mlp_bias":false,"model_type":"phi3",
			"num_attention_heads":6,"num_hidden_layers":2,"num_key_value_heads":2,"original_max_position_embeddings":4096,
			"partial_rotary_factor":0.75,"resid_pdrop":0.0,"rms_norm_eps":1e-05,"rope_scaling":{"long_factor":[1,2,3],
			"short_factor":[1,1,1],"type":"longrope"},"rope_theta":10000.0,"sliding_window":262144,
			"tie_word_embeddings":true,"vocab_size":200064}`,
			func(c net.Config) bool { return c.Rope.Width == 6 && c.Context == 4096 && c.Rope.Magnitude > 1.1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got, err := Read([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(got) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Prefixes of names come and go with the class that a model was saved from.
func TestPrefixes(t *testing.T) {
	for _, name := range []string{"model.decoder.layers.0.fc1.weight", "decoder.layers.0.fc1.weight",
		"layers.0.fc1.weight"} {
		if got := opt.Name(name); got != "layers.0.fc1.weight" {
			t.Errorf("%s is %s", name, got)
		}
	}
	for name, want := range map[string]string{"language_model.model.norm.weight": "norm.weight",
		"norm.weight":                      "norm.weight",
		"model.language_model.norm.weight": "norm.weight", "vision_tower.a.weight": "", "model.vision_tower.a.weight": ""} {
		if got := (gemma3Whole{gemma3}).Name(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
