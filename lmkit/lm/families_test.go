package lm_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// compiled is some of them that have all mechanisms between them: what a short run compiles.
var compiled = []string{"gpt_neox", "gemma3_text", "phi3"}

// eachFamily runs a test on all families, on both engines.
func eachFamily(t *testing.T, test func(t *testing.T, r reference)) {
	for _, e := range []*backend.Engine{backendtest.PureGo(t), backendtest.Engine(t)} {
		for _, name := range families {
			if testing.Short() && e != backendtest.PureGo(t) && !slices.Contains(compiled, name) {
				continue
			}
			t.Run(e.Kind+"/"+name, func(t *testing.T) { test(t, openFamily(t, e, name)) })
		}
	}
}

// families are those of lmtest, which bench/families.py made and ran.
var families = lmtest.Families

// sameNumbers are folders that hold the model of another in other number types, in other files, or beside another
// part.
var sameNumbers = map[string]string{
	"llama-float16": "llama", "llama-bfloat16": "llama", "llama-shards": "llama", "gemma3": "gemma3_text",
}

func openFamily(t *testing.T, e *backend.Engine, name string) reference {
	t.Helper()
	m, err := lm.Open(e, filepath.Join("testdata", "families", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if same, ok := sameNumbers[name]; ok {
		name = same
	}
	folder := filepath.Join("testdata", "families", strings.TrimSuffix(name, ".gguf"))
	want, err := safetensors.ReadFile(filepath.Join(folder, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return reference{m, name, want}
}

// Logits, the residual stream, every activation of a layer, and gradients by each of them, are those of Hugging Face.
func TestFamiliesActivationsAndGradients(t *testing.T) {
	eachFamily(t, func(t *testing.T, r reference) {
		q := lm.Query{Rows: r.rows(), Of: r.contrasts(), Logits: lm.AllLogits}
		for key := range r.want {
			if tap, ok := strings.CutPrefix(key, "tap/"); ok {
				q.Taps = append(q.Taps, tap)
			}
			if tap, ok := strings.CutPrefix(key, "dtap/"); ok {
				q.Wrt = append(q.Wrt, tap)
			}
		}
		r.checkTaps(t, q.Taps)
		streams := []lm.Tap{"block.0.resid.pre"}
		for l := range r.Config().Layers {
			streams = append(streams, blockTap(l, "resid.post"))
		}
		q.Taps = append(q.Taps, streams...)
		a, err := r.Run(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "logits", join(a.Logits), r.want["logits"])
		near(t, "f", floats(a.Values), r.want["f"])
		for i, tap := range streams {
			near(t, "hidden/"+tap, a.At[tap].Data, safetensors.Tensor(lm.Array(r.want["hidden"]).Index(i)))
		}
		for key, want := range r.want {
			if tap, ok := strings.CutPrefix(key, "tap/"); ok {
				near(t, key, a.At[tap].Data, want)
			}
			if tap, ok := strings.CutPrefix(key, "dtap/"); ok {
				near(t, key, a.Grad[tap].Data, want)
			}
		}
	})
}

// checkTaps fails unless the reference has all activations of layer 1 and those outside the layers.
func (r reference) checkTaps(t *testing.T, has []lm.Tap) {
	t.Helper()
	for _, tap := range tapNames(r.Model) {
		inside := strings.HasPrefix(tap, "block.") && !strings.HasPrefix(tap, "block.1.")
		if !inside && !slices.Contains(has, tap) {
			t.Errorf("the reference lacks %s", tap)
		}
	}
}

func blockTap(l int, what string) lm.Tap { return "block." + string(rune('0'+l)) + "." + what }

// Reading on with what is kept of earlier tokens chooses the tokens that Hugging Face's cache does.
func TestFamiliesGreedyTokens(t *testing.T) {
	eachFamily(t, func(t *testing.T, r reference) {
		want := idsOf(r.want["greedy"])
		d, err := r.Decode(context.Background(), r.rows(), len(want[0]), lm.Sampling{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i := range want[0] {
			for b, c := range d.Choices() {
				if c.ID != want[b][i] {
					t.Fatalf("row %d: token %d is %d, want %d", b, i, c.ID, want[b][i])
				}
			}
			if err := d.Push(context.Background(), []token.ID{lm.Chosen, lm.Chosen}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Files that say the same in another way open as the same model.
func TestFamiliesOtherFiles(t *testing.T) {
	e := backendtest.PureGo(t)
	for name := range sameNumbers {
		t.Run(name, func(t *testing.T) {
			r := openFamily(t, e, name)
			as, err := r.Run(context.Background(), lm.Query{Rows: r.rows(), Logits: lm.AllLogits})
			if err != nil {
				t.Fatal(err)
			}
			near(t, "logits", join(as.Logits), r.want["logits"])
		})
	}
}

// A GGUF file is the same model, whose rows and gains are in other orders and terms, and whose switches are in others.
func TestFamiliesGGUF(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "families", "*.gguf"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			r := openFamily(t, backendtest.PureGo(t), filepath.Base(file))
			if c, err := lm.ReadConfig(file); err != nil || c != r.Config() {
				t.Errorf("%+v, %v", c, err)
			}
			if err := lm.CheckWeights(file); err != nil {
				t.Error(err)
			}
			if _, err := lm.ReadTokenizer(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v, want that there is no tokenizer", err)
			}
			as, err := r.Run(context.Background(), lm.Query{Rows: r.rows(), Of: r.contrasts(), Logits: lm.AllLogits,
				Wrt: []lm.Tap{"block.1.attn.q", "block.1.attn.k", "block.1.mlp.post"}})
			if err != nil {
				t.Fatal(err)
			}
			near(t, "logits", join(as.Logits), r.want["logits"])
			for tap, x := range as.At {
				near(t, tap, x.Data, r.want["tap/"+tap])
				near(t, "d"+tap, as.Grad[tap].Data, r.want["dtap/"+tap])
			}
		})
	}
}

// Where heads share keys and values, an edit of one that has none of its own says which heads do.
func TestSharedKeysAndValues(t *testing.T) {
	r := openFamily(t, backendtest.PureGo(t), "llama") // 4 heads of queries, 2 of keys and values
	q := lm.Query{Rows: r.rows(), Edits: []lm.Edit{{Tap: "block.1.attn.v", Heads: []int{3}}}}
	_, err := r.Run(context.Background(), q)
	want := "head 3 has no keys and values of its own: number 1 of 2 is shared by heads 2-3; replace that"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want an error that says %s", err, want)
	}
	q.Edits[0].Heads, q.Taps = []int{1}, []lm.Tap{"block.1.attn.z"}
	a, err := r.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	for h := range 4 { // of value 0 heads bring nothing
		for _, z := range a.At["block.1.attn.z"].Index(0, 5, h).Data {
			if (z == 0) != (h > 1) {
				t.Errorf("head %d brings %v", h, z)
			}
		}
	}
	for tap, want := range map[lm.Tap]string{"block.1.attn.k": "2-3", "block.1.attn.q": "1", "block.1.attn.pattern": "1"} {
		if info, err := r.Tap(tap); err != nil || info.HeadName(1) != want {
			t.Errorf("%s: head 1 is called %q, want %q", tap, info.HeadName(1), want)
		}
	}
}

// The spelling of transformers 4 means what that of version 5 does, and what lmkit writes means it, too.
func TestFamiliesSpellings(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", "families", name)
			want, err := lm.ReadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			old, err := os.ReadFile(filepath.Join(dir, "config.old.json"))
			if err != nil {
				t.Fatal(err)
			}
			if _, got, err := format.Read(old); err != nil || got != want {
				t.Errorf("config.old.json: %v\n got %+v\nwant %+v", err, got, want)
			}
			_, written, err := format.Write(want)
			if err != nil {
				t.Fatal(err)
			}
			if _, got, err := format.Read(written); err != nil || got != want {
				t.Errorf("written: %v\n got %+v\nwant %+v", err, got, want)
			}
		})
	}
}

// What a config.json asks for and lmkit does not do is an error that names the key.
func TestFamiliesRefuse(t *testing.T) {
	for _, c := range []struct{ family, key, value, says string }{
		{"llama", "num_local_experts", "8", "num_local_experts=8"},
		{"llama", "rope_parameters", `{"rope_type": "new", "rope_theta": 1}`, "rope_parameters.rope_type=new"},
		{"llama", "rope_parameters", `{"rope_type": "linear", "factor": 2, "unheard_of": 3}`, "rope_parameters.unheard_of=3"},
		{"llama", "hidden_act", `"quick_gelu"`, `"quick_gelu"`},
		{"llama", "quantization_config", `{"bits": 4}`, "quantization_config"},
		{"olmo2", "clip_qkv", "8.0", "clip_qkv=8.0"},
		{"qwen3", "layer_types", `["full_attention", "linear_attention", "full_attention"]`, "layer_types=linear_attention"},
		{"qwen3", "layer_types", `["full_attention"]`, "1 entries for 3 layers"},
		{"smollm3", "no_rope_layers", "[1]", "no_rope_layers"},
		{"smollm3", "use_sliding_window", "true", "use_sliding_window"},
		{"gemma3_text", "use_bidirectional_attention", "true", "use_bidirectional_attention"},
		{"opt", "_remove_final_layer_norm", "true", "_remove_final_layer_norm"},
		{"phi3", "rope_parameters", `{"rope_type": "longrope", "short_factor": [1, 2], "rope_theta": 5}`, "divisors"},
		{"mistral", "sliding_window", "-1", "window"},
		{"mistral", "head_dim", `"wide"`, "head_dim"},
		{"llama", "num_hidden_layers", "4000000000", "layers"},
		{"gemma2", "num_hidden_layers", "-4", "layers"},
	} {
		t.Run(c.family+"/"+c.key, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "families", c.family, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			var keys map[string]json.RawMessage
			if err := json.Unmarshal(text, &keys); err != nil {
				t.Fatal(err)
			}
			keys[c.key] = json.RawMessage(c.value)
			text, err = json.Marshal(keys)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = format.Read(text)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error that says %s", err, c.says)
			}
		})
	}
}

// A model that was saved is the model that was opened.
func TestFamiliesSave(t *testing.T) {
	e := backendtest.PureGo(t)
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			r := openFamily(t, e, name)
			dir := t.TempDir()
			if err := r.Save(dir); err != nil {
				t.Fatal(err)
			}
			again, err := lm.Open(e, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			was, err := r.Weights()
			if err != nil {
				t.Fatal(err)
			}
			is, err := again.Weights()
			if err != nil {
				t.Fatal(err)
			}
			if again.Config() != r.Config() || len(is) != len(was) {
				t.Fatalf("%d weights of %+v, want %d of %+v", len(is), again.Config(), len(was), r.Config())
			}
			for p := range was {
				if !slices.Equal(was[p].Data, is[p].Data) {
					t.Errorf("%s differs", p)
				}
			}
		})
	}
}
