package inspect_test

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// flat is a matrix, or a vector, as an array.
func flat(t *testing.T, data json.RawMessage) lm.Array {
	t.Helper()
	var rows [][]float32
	if json.Unmarshal(data, &rows) != nil {
		var one []float32
		if err := json.Unmarshal(data, &one); err != nil {
			t.Fatal(err)
		}
		return lm.Array{Dims: []int{len(one)}, Data: one}
	}
	a := lm.Array{Dims: []int{len(rows), len(rows[0])}}
	for _, r := range rows {
		a.Data = append(a.Data, r...)
	}
	return a
}

// stored writes a dictionary as a folder.
func stored(t *testing.T, tensors map[string]lm.Array, settings string) string {
	t.Helper()
	dir, all := t.TempDir(), map[string]safetensors.Tensor{}
	for name, a := range tensors {
		all[name] = safetensors.Tensor(a)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "sae.safetensors"), all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cfg.json"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Features and what they come to are those of the definitions, computed in Python (bench/dictionary_reference.py).
func TestAutoencoderAgainstReference(t *testing.T) {
	data, err := os.ReadFile("testdata/dictionary.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name       string
		Settings   json.RawMessage
		Tensors    map[string]json.RawMessage
		X, Z, Made json.RawMessage
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	taps := map[string]string{"relu, not shifted": "block.1.resid.post", "top k": "block.0.mlp.out"}
	for _, c := range cases {
		tensors := map[string]lm.Array{}
		for name, x := range c.Tensors {
			tensors[name] = flat(t, x)
		}
		a, err := inspect.ReadAutoencoder(stored(t, tensors, string(c.Settings)))
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if a.Tap != taps[c.Name] {
			t.Errorf("%s: of %q", c.Name, a.Tap)
		}
		z := a.Encode(flat(t, c.X))
		for what, pair := range map[string][2]lm.Array{"features": {z, flat(t, c.Z)},
			"what they come to": {a.Decode(z), flat(t, c.Made)}} {
			for i, want := range pair[1].Data {
				if math.Abs(float64(pair[0].Data[i]-want)) > 1e-4 {
					t.Errorf("%s: %s, number %d: %v, not %v", c.Name, what, i, pair[0].Data[i], want)
				}
			}
		}
	}
}

// drawn is a dictionary of random directions.
func drawn(D, F int, rng *rand.Rand) *inspect.Autoencoder {
	draw := func(n int) (x []float32) {
		for range n {
			x = append(x, float32(rng.NormFloat64()/math.Sqrt(float64(D))))
		}
		return x
	}
	return &inspect.Autoencoder{Encoder: lm.Array{Dims: []int{D, F}, Data: draw(D * F)},
		Decoder: lm.Array{Dims: []int{F, D}, Data: draw(F * D)}, Bias: draw(F), Offset: draw(D), Shifted: true}
}

// On random weights of every kind of model, features, offset and error are the activation, and their values add up.
func TestDictionaryIdentities(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		tap := "block.0.mlp.out"
		if m.Config().Recurrent() {
			tap = "lstm.0.hidden"
		}
		info, err := m.Tap(tap)
		if err != nil {
			t.Fatal(err)
		}
		D := info.Shape(1, 1)[2]
		x := inspect.Dictionary{Of: drawn(D, 3*D, rand.New(rand.NewPCG(4, 4))), Tap: tap, Top: 5}
		found, err := explain.Inside(context.Background(), m, explain.Question{IDs: []token.ID{4, 1, 12, 7, 0}}, x)
		if err != nil {
			t.Fatal(err)
		}
		if broken := found.Evidence.Broken(); broken != nil || len(found.Rows) != 7 || len(found.Evidence.Identities) != 2 {
			t.Errorf("%v, %v: %+v", broken, found.Rows, found.Evidence.Identities)
		}
	})
}

// The dictionary of every direction and its opposite leaves no error; at the last residual under a frozen norm the
// first-order values come near to what taking a feature out does.
func TestDictionaryOfAllDirections(t *testing.T) {
	m := reader(t, lm.Transformer)
	D := m.Config().Width
	a := &inspect.Autoencoder{Encoder: lm.Array{Dims: []int{D, 2 * D}, Data: make([]float32, 2*D*D)},
		Decoder: lm.Array{Dims: []int{2 * D, D}, Data: make([]float32, 2*D*D)}, Bias: make([]float32, 2*D),
		Offset: make([]float32, D), Tap: "block.1.attn.out"}
	for d := range D {
		a.Encoder.Data[d*2*D+d], a.Encoder.Data[d*2*D+D+d] = 1, -1
		a.Decoder.Data[d*D+d], a.Decoder.Data[(D+d)*D+d] = 1, -1
	}
	found, err := explain.Inside(context.Background(), m, explain.Question{Prompt: "abcd"}, inspect.Dictionary{Of: a})
	if err != nil {
		t.Fatal(err)
	}
	last := len(found.Rows) - 1
	for k, row := range found.Values {
		for j, v := range row {
			if k == last && v != 0 {
				t.Errorf("an error of %v at %d", v, j)
			}
			if lost := found.More[0].Values[k][j]; k < last-1 && math.Abs(v-lost) > 0.02*math.Abs(v)+1e-4 {
				t.Errorf("%s at %d: %v by the gradient, %v by taking it out", found.Rows[k], j, v, lost)
			}
		}
	}
	if broken := found.Evidence.Broken(); broken != nil {
		t.Errorf("%v: %+v", broken, found.Evidence.Identities)
	}
}

// What is no dictionary, or of another activation, is said in a line.
func TestDictionaryRefuses(t *testing.T) {
	good := func() map[string]lm.Array {
		a := drawn(4, 6, rand.New(rand.NewPCG(1, 1)))
		return map[string]lm.Array{"W_enc": a.Encoder, "W_dec": a.Decoder, "b_enc": {Dims: []int{6}, Data: a.Bias},
			"b_dec": {Dims: []int{4}, Data: a.Offset}}
	}
	for want, settings := range map[string]string{
		`architecture "gated"`: `{"architecture": "gated"}`, "do not say how many": `{"architecture": "topk"}`,
		"no tensor threshold": `{"architecture": "jumprelu"}`, "the 9 largest": `{"architecture": "topk", "k": 9}`,
		"expected_average": `{"normalize_activations": "expected_average_only_in"}`, "cfg.json": "{",
	} {
		_, err := inspect.ReadAutoencoder(stored(t, good(), settings))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	bad := good()
	delete(bad, "W_dec")
	if _, err := inspect.ReadAutoencoder(stored(t, bad, "{}")); err == nil {
		t.Error("without W_dec")
	}
	m := reader(t, lm.Transformer)
	a := drawn(4, 6, rand.New(rand.NewPCG(1, 1)))
	for want, x := range map[string]inspect.Dictionary{"no dictionary": {}, "give the activation": {Of: a},
		"of 4 numbers": {Of: a, Tap: "block.0.mlp.out"}} {
		_, err := explain.Inside(context.Background(), m, explain.Question{Prompt: "abc"}, x)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
