package format

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// changesNothing are the keys of Hugging Face's classes that say nothing about what a model computes from tokens, each
// with what it is about.
var changesNothing = map[string]string{
	"_name_or_path": "where it came from", "architectures": "the class, which the tensors' names tell, too",
	"dtype": "how numbers are stored", "transformers_version": "who wrote it", "torch_dtype": "how numbers are stored",
	"id2label": "classifiers", "label2id": "classifiers", "problem_type": "classifiers", "num_labels": "classifiers",
	"classifier_dropout": "classifiers",
	"output_attentions":  "what is given back", "output_hidden_states": "what is given back",
	"return_dict": "what is given back", "use_cache": "the same numbers, sooner",
	"chunk_size_feed_forward": "the same numbers in parts", "pretraining_tp": "the same numbers in parts",
	"is_decoder":   "all are",
	"bos_token_id": "tokens", "eos_token_id": "tokens", "pad_token_id": "tokens",
	"attention_dropout": "training", "hidden_dropout": "training", "initializer_range": "training", "init_std": "training",
	"layerdrop": "training", "dropout": "training", "embd_pdrop": "training", "resid_pdrop": "training",
	"attn_pdrop": "training",
}

// saysNothing are keys that say nothing in some family: nowhere, or nothing beside another key.
var saysNothing = map[string]map[string]string{
	"gpt2": {"reorder_and_upcast_attn": "", // rounding
		"summary_activation": "", "summary_first_dropout": "", "summary_proj_to_labels": "", "summary_type": "",
		"summary_use_proj": ""}, // classifiers
	"qwen2":   {"max_window_layers": "layer_types"},
	"qwen3":   {"max_window_layers": "layer_types"},
	"smollm3": {"max_window_layers": "", "sliding_window": "", "no_rope_layer_interval": "no_rope_layers"},
	"gemma2":  {"hidden_act": ""},
	"gemma3_text": {"hidden_act": "", "_sliding_window_pattern": "layer_types sliding_window_pattern",
		"sliding_window_pattern": "layer_types"},
	"gemma3": {"vision_config": "", "boi_token_id": "", "boi_token_index": "", "eoi_token_id": "", "eoi_token_index": "",
		"image_token_id": "", "image_token_index": "", "mm_tokens_per_image": ""}, // images
}

// others are keys that other families have, or nobody has.
var others = []string{"rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_pct", "rotary_emb_base",
	"sliding_window", "layer_types", "num_experts", "num_local_experts", "quantization_config", "logit_scale",
	"attention_multiplier", "residual_multiplier", "embedding_multiplier", "clip_qkv", "qk_norm", "alibi",
	"parallel_attn", "attention_chunk_size", "attn_temperature_tuning", "rope_interleaved", "rope_local_base_freq",
	"sliding_window_pattern", "bidirectional", "proj_size", "batch_first", "unheard_of", "_unheard_of"}

// Every key of every family changes the configuration, is refused, or is known to change nothing: whatever it is set
// to, none is passed over.
func TestEveryKey(t *testing.T) {
	text, err := os.ReadFile("testdata/config_keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var known map[string]map[string]json.RawMessage
	if err := json.Unmarshal(text, &known); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, key := range others {
		keys[key] = true
	}
	for family := range known {
		for key := range known[family] {
			keys[key] = true
		}
	}
	delete(keys, "model_type")
	files, _ := filepath.Glob(filepath.Join(familiesDir, "*", "config*.json"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sweep(t, file, text, keys, known)
	}
	sweep(t, "word model", []byte(`{"model_type":"lstm","vocab_size":9,"embed_size":6,"hidden_size":6,"num_layers":2}`),
		keys, known)
}

func sweep(t *testing.T, file string, text []byte, keys map[string]bool, known map[string]map[string]json.RawMessage) {
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	_, want, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	family := config["model_type"].(string)
	for key := range keys {
		beside, says := saysNothing[family][key]
		if changesNothing[key] != "" || says && (beside == "" || hasAny(config, beside)) {
			continue
		}
		if key == "sliding_window" && config["use_sliding_window"] == false || key == "max_window_layers" ||
			key == "original_max_position_embeddings" && !strings.Contains(string(text), "longrope") {
			continue
		}
		_, has := known[family][key]
		for _, value := range []any{true, false, 0, 1, 3, 0.625, "other", []string{"other"}, []int{1, 2},
			map[string]any{"a": 1}} {
			off := nothing(mustJSON(value))
			if off && (!has || config[key] == nil || nothing(mustJSON(config[key]))) ||
				fmt.Sprint(value) == fmt.Sprint(config[key]) || key == "partial_rotary_factor" && value == 1 ||
				key == "use_sliding_window" && value == true { // layer_types says that no layer has one
				continue
			}
			changed := maps.Clone(config)
			changed[key] = value
			_, got, err := Read(mustJSON(changed))
			if err == nil && got == want && string(mustJSON(value)) != string(known[family][key]) {
				t.Errorf("%s: %s = %v is passed over", file, key, value)
			}
			if err != nil && (len(err.Error()) > 500 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%s: %s = %v: no short line: %v", file, key, value, err)
			}
		}
	}
}

func hasAny(config map[string]any, keys string) bool {
	return slices.ContainsFunc(strings.Fields(keys), func(key string) bool { return config[key] != nil })
}

// The same holds for the keys under which a rotation is described.
func TestEveryKeyOfRotations(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(familiesDir, "*", "config*.json"))
	tried := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, want, err := Read(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range ropeObjects {
			var config map[string]any
			if err := json.Unmarshal(text, &config); err != nil {
				t.Fatal(err)
			}
			rope, _ := config[object].(map[string]any)
			for _, key := range []string{"rope_type", "type", "rope_theta", "factor", "partial_rotary_factor", "beta_fast",
				"beta_slow", "mscale", "truncate", "attention_factor", "short_factor", "low_freq_factor", "high_freq_factor",
				"sections", "unheard_of"} {
				for _, value := range []any{true, 3, 0.625, "other", []int{1, 2}, map[string]any{"a": 1}} {
					if rope == nil || fmt.Sprint(rope[key]) == fmt.Sprint(value) || key == "type" && rope["rope_type"] != nil ||
						key == "truncate" && value == true { // which leaving it out means
						continue
					}
					changed := maps.Clone(rope)
					changed[key] = value
					config[object] = changed
					tried++
					if _, got, err := Read(mustJSON(config)); err == nil && got == want && (key != "mscale" || !isNumber(value)) {
						t.Errorf("%s: %s.%s = %v is passed over", file, object, key, value)
					}
				}
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d were tried", tried)
	}
}

func isNumber(v any) bool {
	_, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	return err == nil
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
