package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict"
)

// keys are those of a config.json. A format takes the ones that it understands; what is left must change nothing.
type keys struct {
	all  map[string]json.RawMessage
	errs []string
	not  []string // keys that are not supported
}

// readKeys parses the text of a config.json. Its mistakes are told by config.
func readKeys(text []byte) *keys {
	k := &keys{}
	if err := strict.Unmarshal(text, &k.all); err != nil {
		k.errs = append(k.errs, err.Error())
	}
	return k
}

// take is the value of a key, or def where it is absent or null.
func take[T any](k *keys, key string, def T) T {
	text, ok := k.all[key]
	delete(k.all, key)
	if !ok || string(text) == "null" {
		return def
	}
	v := def
	if err := json.Unmarshal(text, &v); err != nil {
		k.wrong(key, text, v)
		return def
	}
	return v
}

// wrong says that the value of a key is of another type than v.
func (k *keys) wrong(key string, text json.RawMessage, v any) {
	k.errs = append(k.errs, fmt.Sprintf("%s is %s: it must be %s", key, brief(string(text)), called(v)))
}

// brief is a value in a message: on one line, and of one that is long, its beginning and its end.
func brief(value string) string {
	var line bytes.Buffer
	if json.Compact(&line, []byte(value)) == nil {
		value = line.String()
	}
	return printable.Short(value, 80)
}

// called is what a person calls the values of a type.
func called(v any) string {
	switch v.(type) {
	case int:
		return "a whole number"
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case string:
		return "a text"
	}
	return fmt.Sprintf("a %T", v)
}

// must takes a key whose only value that is followed is the given one, which is also what it means to leave it out.
func must[T comparable](k *keys, key string, only T) {
	if v := take(k, key, only); v != only {
		k.refuse(key, fmt.Sprint(v))
	}
}

func (k *keys) refuse(key, value string) {
	key = printable.Short(key, 80)
	if value != "true" {
		key += "=" + brief(value)
	}
	k.not = append(k.not, key)
}

// config is what was read, checked: c with its defaults, or an error in one line.
func (k *keys) config(c net.Config) (net.Config, error) {
	if len(k.errs) > 0 {
		return net.Config{}, k.err()
	}
	must(k, "is_causal", true)
	for key, value := range k.all {
		if !slices.Contains(harmless, key) && !nothing(value) {
			k.refuse(key, string(value))
		}
	}
	if len(k.not) > 0 {
		slices.Sort(k.not)
		return net.Config{}, fmt.Errorf("not supported: %s", printable.Short(strings.Join(k.not, ", "), 400))
	}
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return net.Config{}, errors.New(printable.Short(strings.ReplaceAll(err.Error(), "\n", "; "), 400))
	}
	return c, nil
}

// err is the mistakes in one line.
func (k *keys) err() error { return errors.New(printable.Short(strings.Join(k.errs, "; "), 400)) }

// nothing says whether a value switches nothing on.
func nothing(value json.RawMessage) bool {
	return slices.Contains([]string{"null", "false", "0", "0.0", `""`, "[]", "{}"}, brief(string(value)))
}

// harmless are the keys that change nothing in what a model computes from tokens: who wrote the file and how, where
// texts end, how to generate, and what only training uses.
var harmless = []string{
	"model_type", "architectures", "_name_or_path", "_commit_hash", "_attn_implementation",
	"_attn_implementation_autoset", "_flash_attn_2_enabled", "_from_model_config", "_comment",
	"transformers_version", "torch_dtype", "dtype", "torchscript", "use_bfloat16",
	"name_or_path", "tokenizer_class", "prefix", "finetuning_task", "problem_type", "id2label", "label2id", "num_labels",
	"task_specific_params", "use_cache", "gradient_checkpointing", "initializer_range", "initializer_factor",
	"output_attentions", "output_hidden_states", "output_past", "output_scores", "return_dict", "return_dict_in_generate",
	"bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id", "decoder_start_token_id",
	"forced_bos_token_id", "forced_eos_token_id", "begin_suppress_tokens", "suppress_tokens", "bad_words_ids",
	"max_length", "min_length", "max_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
	"num_return_sequences", "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
	"length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty",
	"max_sequence_length", "attention_dropout", "hidden_dropout", "classifier_dropout", "embd_pdrop", "resid_pdrop",
	"dropout", "activation_dropout", "layerdrop", "init_std", "is_decoder", "auto_map",
	"remove_invalid_values", "chunk_size_feed_forward", "tie_encoder_decoder", "pretraining_tp", "unsloth_version",
	"transformers.js_config",
}
