package serve

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
)

// dictionaries are a sparse autoencoder of the Transformer's activations, with random numbers.
func dictionaries() []Dictionary {
	const D, F = 16, 24
	rng := rand.New(rand.NewPCG(5, 5))
	random := func(dims ...int) (a lm.Array) {
		a.Dims = dims
		for range dims[0] * dims[len(dims)-1] {
			a.Data = append(a.Data, float32(rng.NormFloat64()))
		}
		return a
	}
	return []Dictionary{{"small", &inspect.Autoencoder{Tap: "block.1.resid.post", Encoder: random(D, F),
		Decoder: random(F, D), Bias: make([]float32, F), Offset: make([]float32, D), Shifted: true}}}
}

// Tools that follow no prompt, and those that go by what the server was started with, answer what the library does.
func TestStudies(t *testing.T) {
	s := server(t, Config{Dictionaries: dictionaries()})
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("it is %d%s\t%s", i, []string{" Paris", " France"}[i%2], []string{"a", "b"}[i%2]))
	}
	items, err := inspect.ReadLabelled(lines)
	if err != nil {
		t.Fatal(err)
	}
	b := inspect.Behaviour{Lines: lines, Toward: "b", Target: "#90", Foil: "#60", Prompts: []string{"what is"},
		Strengths: []float64{-1, 2}}
	for _, m := range s.config.Models {
		asked, err := b.Steer(m.Model)
		if err != nil {
			t.Fatal(err)
		}
		steered, err := asked.Run(t.Context(), m.Model)
		if err != nil {
			t.Fatal(err)
		}
		probed, err := inspect.Probe{Items: items, Seed: 2}.Run(t.Context(), m.Model)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]*explain.Matrix{"steer": steered.Matrix, "probe": probed}
		settings := map[string]any{"steer": b, "probe": Probing{Lines: lines, Seed: 2},
			"heads": inspect.Heads{Show: inspect.Previous, Texts: 3}}
		if m.Config().Attends() {
			if want["heads"], err = (inspect.Heads{Show: inspect.Previous, Texts: 3}).Measure(t.Context(), m.Model); err != nil {
				t.Fatal(err)
			}
		}
		for tool, matrix := range want {
			body, err := json.Marshal(map[string]any{"model": m.Name, "settings": settings[tool]})
			if err != nil {
				t.Fatal(err)
			}
			res, got := ask(s, "POST", "/v1/inspect/"+tool, string(body))
			sameAs(t, m.Name+" "+tool, res, got, lmkit.Answer{Matrix: matrix})
		}
	}
	m := s.config.Models[0]
	q, err := lmkit.Request{Prompt: "the capital of"}.Question(t.Context(), m.Model)
	if err != nil {
		t.Fatal(err)
	}
	d := inspect.Dictionary{Of: s.config.Dictionaries[0].Autoencoder, Top: 3}
	matrix, err := explain.Inside(t.Context(), m.Model, q, d)
	if err != nil {
		t.Fatal(err)
	}
	res, got := ask(s, "POST", "/v1/inspect/dictionary",
		`{"request": {"prompt": "the capital of"}, "settings": {"from": "small", "top": 3}}`)
	sameAs(t, "dictionary", res, got, lmkit.Answer{Matrix: matrix})
}

// What such a tool cannot do is said in a sentence with what would cure it; no request reads a file.
func TestStudiesRefuse(t *testing.T) {
	s := server(t, Config{})
	for _, x := range []struct {
		tool, body string
		status     int
		says       string
	}{
		{"influence", `{"request": {"prompt": "a"}}`, 404, "lmkit inspect influence"},
		{"dictionary", `{"request": {"prompt": "a"}, "settings": {"from": "/etc/passwd"}}`, 422, "lmkit serve --dictionary"},
		{"dictionary", `{"request": {"prompt": "a"}, "settings": {"file": "x"}}`, 422, "file"},
		{"lens", `{"settings": {}}`, 422, "request"},
		{"lens", `{"request": {"prompt": "a"}, "settings": {"tuned": "lens.safetensors"}}`, 422, "tuned"},
		{"steer", `{"request": {"prompt": "a"}, "settings": {"lines": ["a\tb"]}}`, 422, "leave the request out"},
		{"steer", `{}`, 422, "give a target"},
		{"steer", `{"settings": {"lines": ["a\tb"], "target": "#1", "foil": "#2"}}`, 422, "two are needed"},
		{"steer", `{"settings": {"lines": ["a\tb", "c\td"]}}`, 422, "give a target"},
		{"steer", `{"settings": {"lines": ["a", "c\td"], "target": "#1", "foil": "#2"}}`, 422, "line 1"},
		{"probe", `{"settings": {"lines": ["a\tb", "c\td"]}}`, 422, "too few"},
		{"probe", `{"settings": {"file": "words.tsv"}}`, 422, "file"},
		{"heads", `{"model": "lstm"}`, 422, "no attention heads"},
		{"heads", `{"settings": {"show": "x"}}`, 422, "not searched"},
	} {
		res, got := ask(s, "POST", "/v1/inspect/"+x.tool, x.body)
		if res.StatusCode != x.status || !strings.Contains(got, x.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", x.tool, x.body, res.StatusCode, got, x.status, x.says)
		}
	}
}
