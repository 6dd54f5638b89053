package lmkit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// drawSettings are some of the settings that are heeded.
func drawSettings(t *rapid.T, heeded []string) (s lmkit.Settings) {
	for _, name := range heeded {
		if !rapid.Bool().Draw(t, name) {
			continue
		}
		number := rapid.IntRange(1, 1000)
		switch name {
		case "steps":
			s.Steps = number.Draw(t, "steps")
		case "samples":
			s.Samples = number.Draw(t, "samples")
		case "budget":
			s.Budget = number.Draw(t, "budget")
		case "layer":
			s.Layers = rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 3, rapid.ID[int]).Draw(t, "layers")
		case "head":
			s.Heads = rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 3, rapid.ID[int]).Draw(t, "heads")
		}
	}
	return s
}

// requests generates requests that are valid.
var requests = rapid.Custom(func(t *rapid.T) lmkit.Request {
	r := lmkit.Request{
		Objective: rapid.SampledFrom(append([]string{""}, explain.Objectives...)).Draw(t, "objective"),
		Target:    rapid.String().Draw(t, "target"),
		By:        rapid.SampledFrom([]string{"", explain.ByToken, explain.ByWord, explain.BySentence}).Draw(t, "by"),
		Baseline:  rapid.SampledFrom([]string{"", "mean", "unk,zero", "#7"}).Draw(t, "baseline"),
		Tolerance: rapid.Float64Range(0, 1).Draw(t, "tolerance"),
		Seed:      rapid.Uint64().Draw(t, "seed"),
		Memory:    rapid.Int64Min(0).Draw(t, "memory"),
	}
	if rapid.Bool().Draw(t, "as text") {
		r.Prompt = "x" + rapid.String().Draw(t, "prompt")
	} else {
		r.IDs = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) token.ID { return token.ID(rapid.Int32Min(0).Draw(t, "id")) }),
			1, 9).Draw(t, "ids")
	}
	if r.Objective == "" || r.Objective == explain.Contrast {
		r.Foil = rapid.String().Draw(t, "foil")
	}
	if r.By == "" && rapid.Bool().Draw(t, "grouped") {
		r.Groups = rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 20), 1, 4), 1, 4).Draw(t, "groups")
	}
	if rapid.Bool().Draw(t, "pairs") {
		info := rapid.SampledFrom(lmkit.Matrices()).Draw(t, "matrix")
		r.Matrix, r.Settings = info.Name, drawSettings(t, info.Settings)
		switch info.Name {
		case "activation":
			r.Settings.Tap = "block.0.attn.z"
		case "carried-state":
			r.Settings.Cut = 2
		case "randomised", "robustness":
			r.Methods = []string{"saliency", "occlusion"}
		}
		return r
	}
	all := lmkit.Methods()
	some := rapid.SliceOfNDistinct(rapid.IntRange(0, len(all)-1), 0, 5, func(i int) int { return i }).Draw(t, "methods")
	for k, i := range some {
		r.Methods = append(r.Methods, all[i].Name)
		if s := drawSettings(t, all[i].Settings); k == 0 {
			r.Settings = s
		} else if !reflect.ValueOf(s).IsZero() {
			if r.Each == nil {
				r.Each = map[string]lmkit.Settings{}
			}
			r.Each[all[i].Name] = s
		}
	}
	return r
})

// What is written is read back as it was, and written again byte for byte.
func TestRequestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := requests.Draw(t, "request")
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		var first, again bytes.Buffer
		if err := r.Write(&first); err != nil {
			t.Fatal(err)
		}
		got, err := lmkit.ReadRequest(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("%v of\n%s", err, first.String())
		}
		if !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v becomes %+v", r, got)
		}
		if err := got.Write(&again); err != nil || again.String() != first.String() {
			t.Fatalf("written again: %v\n%s", err, again.String())
		}
	})
}

// Every mistake is found, and all of them are said at once.
func TestRequestMistakes(t *testing.T) {
	for _, m := range []struct {
		spoil func(r *lmkit.Request)
		want  string
	}{
		{func(r *lmkit.Request) { r.IDs = []token.ID{1} }, "both a prompt and token IDs"},
		{func(r *lmkit.Request) { r.Prompt = "" }, "there is no prompt"},
		{func(r *lmkit.Request) { r.Prompt, r.IDs = "", []token.ID{3, -4} }, "ids hold -4"},
		{func(r *lmkit.Request) { r.Objective = "beauty" }, `there is no objective "beauty"; there are contrast`},
		{func(r *lmkit.Request) { r.Objective, r.Foil = explain.Prob, "x" },
			"foil belongs to the objective contrast, not to prob"},
		{func(r *lmkit.Request) { r.By = "line" }, `there is no grouping by "line"`},
		{func(r *lmkit.Request) { r.By, r.Groups = explain.ByWord, [][]int{{1}} }, "groups and by word were given"},
		{func(r *lmkit.Request) { r.Tolerance = -1 }, "tolerance is -1"},
		{func(r *lmkit.Request) { r.Memory = -1 }, "memory is -1 bytes"},
		{func(r *lmkit.Request) { r.Methods = []string{"saliency", "saliency"} }, "the method saliency was given twice"},
		{func(r *lmkit.Request) { r.Methods = []string{"saliency", "all"} }, "all stands for every method"},
		{func(r *lmkit.Request) { r.Methods = []string{"shap"} }, `there is no method "shap"`},
		{func(r *lmkit.Request) { r.Matrix = "layer" }, `there is no matrix "layer"; there are predictions, layers`},
		{func(r *lmkit.Request) { r.Matrix, r.Settings.Heads = "layers", []int{1} },
			"heads means nothing to the matrix layers; it belongs to attention"},
		{func(r *lmkit.Request) { r.Matrix, r.Methods = "layers", []string{"saliency"} },
			"method means nothing to the matrix layers"},
		{func(r *lmkit.Request) { r.Matrix = "activation" }, "about one activation: name it"},
		{func(r *lmkit.Request) { r.Matrix, r.Settings.Cut = "carried-state", -1 }, "cut is -1; it cannot be negative"},
		{func(r *lmkit.Request) { r.Matrix, r.Each = "layers", map[string]lmkit.Settings{"lime": {}} },
			"each has settings of methods"},
		{func(r *lmkit.Request) { r.Settings.Tap = "embed" },
			"tap means nothing to integrated-gradients; it belongs to the matrix activation"},
		{func(r *lmkit.Request) { r.Methods, r.Settings.Budget = []string{"occlusion"}, 5 },
			"budget means nothing to occlusion; it belongs to integrated-gradients, sequential-ig, shapley"},
		{func(r *lmkit.Request) { r.Settings.Steps = -5 }, "steps is -5; it cannot be negative"},
		{func(r *lmkit.Request) { r.Settings.Steps = 1e12 },
			"steps is 1000000000000: the model would run for as many rows or more, and the limit is 16384"},
		{func(r *lmkit.Request) { r.Methods, r.Settings.Samples = []string{"lime"}, 1e12 },
			"samples is 1000000000000: .* the limit is 4194304"},
		{func(r *lmkit.Request) { r.Methods, r.Settings.Budget = []string{"auto"}, 1e15 },
			"budget is 1000000000000000: .* the limit is 4194304"},
		{func(r *lmkit.Request) { r.Methods, r.Settings.Layers = []string{"attention"}, []int{2, -1} }, "layers is -1"},
		{func(r *lmkit.Request) { r.Methods, r.Settings.Heads = []string{"attention"}, []int{2, 0, 2} },
			"heads has 2 twice; leave one out"},
		{func(r *lmkit.Request) { r.Each = map[string]lmkit.Settings{"lime": {}} },
			"each has settings of lime, which is not among the methods"},
		{func(r *lmkit.Request) { r.Each = map[string]lmkit.Settings{"integrated-gradients": {Samples: 3}} },
			"each.integrated-gradients.samples means nothing to integrated-gradients"},
	} {
		r := lmkit.Request{Prompt: "a text"}
		m.spoil(&r)
		err := r.Validate()
		if err == nil || !matches(m.want, err.Error()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want ... %s ...", err, m.want)
		}
		var mistake *lmkit.Mistake
		if !errors.As(err, &mistake) {
			t.Errorf("%v is no Mistake", err)
		}
	}
	err := lmkit.Request{Objective: "x", By: "y", Tolerance: -1, Methods: []string{"z"}}.Validate()
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 5 {
		t.Errorf("%d mistakes are said of 5: %v", n, err)
	}
}

func matches(pattern, text string) bool {
	before, after, gap := strings.Cut(pattern, ".*")
	i := strings.Index(text, before)
	return i >= 0 && (!gap || strings.Contains(text[i+len(before):], after))
}

// What is unknown is an error that says which name was meant.
func TestReadRequestIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "not JSON",
		`{"prompt": "x"} {}`:                     "not JSON: line 1",
		"{\n\"prompt\": }":                       "not JSON: line 2",
		`[]`:                                     "expected an object, found an array",
		`null`:                                   "expected an object, found null",
		`{"promt": "x"}`:                         `unknown field "promt"; did you mean prompt?`,
		`{"Prompt": "x"}`:                        `unknown field "Prompt"; did you mean prompt?`,
		`{"prompt": "x", "method": "lime"}`:      `unknown field "method"; did you mean methods?`,
		`{"prompt": "x", "colour": 1}`:           `unknown field "colour": this lmkit would lose it`,
		`{"settings": {"step": 3}}`:              `unknown field "settings.step"; did you mean steps?`,
		`{"each": {"lime": {"sample": 3}}}`:      `unknown field "each.lime.sample"; did you mean samples?`,
		`{"each": {"lime": {}, "lime": {}}}`:     "each.lime is there twice",
		`{"prompt": "x", "prompt": "y"}`:         "prompt is there twice",
		`{"prompt": null}`:                       "prompt: expected a string, found null",
		`{"prompt": "x", "methods": "lime"}`:     `methods: expected an array, found the string "lime"`,
		`{"prompt": "x", "seed": -1}`:            "seed: expected a whole number, 0 or more, found -1",
		`{"ids": [1.5]}`:                         "ids[0]: expected a whole number up to 2147483647, found 1.5",
		`{"ids": [99999999999]}`:                 "ids[0]: expected a whole number up to 2147483647, found 99999999999",
		"{\"prompt\": \"\xff\"}":                 "not UTF-8",
		`{"prompt": "x", "objective": "y"}`:      `there is no objective "y"`,
		`{"prompt": "x", "tolerance": 1e999}`:    "tolerance: expected a number up to 1.8e308",
		`{"` + strings.Repeat("é", 300) + `":1}`: "unknown field",
	} {
		_, err := lmkit.ReadRequest(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.60s: %v, want ... %s ...", text, err, want)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	for _, text := range []string{`{"prompt": "x"}`,
		`{"ids": [1, 2], "methods": ["lime"], "each": {"lime": {"samples": 3}}}`, `{"groups": [[1]]}`, `{"each": {}}`, `[`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := lmkit.ReadRequest(strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := lmkit.ReadRequest(&b)
		if err != nil {
			t.Fatalf("%q is read and cannot be read again: %v", text, err)
		}
		one, _ := json.Marshal(r)
		two, _ := json.Marshal(again)
		if !bytes.Equal(one, two) {
			t.Fatalf("%s becomes %s", one, two)
		}
	})
}

// A request gives what the methods give that are asked one by one, with the settings of each.
func TestRequestAnswer(t *testing.T) {
	m, err := lm.Open(backendtest.PureGo(t), "lm/testdata/reference/lstm")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := lmkit.Request{IDs: []token.ID{4, 1, 12, 7, 9}, Objective: explain.LogProb, Target: "#3", Baseline: "mean",
		Methods: []string{"occlusion", "smoothgrad", "expected-gradients"}, Settings: lmkit.Settings{Samples: 4},
		Each: map[string]lmkit.Settings{"smoothgrad": {Samples: 7}}, Seed: 5}
	a, err := r.Answer(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	target := token.ID(3)
	q := explain.Question{IDs: r.IDs, Objective: r.Objective, Target: []token.ID{target}, Baseline: "mean", Seed: 5}
	for i, s := range []lmkit.Settings{{}, {Samples: 7}, {Samples: 4}} {
		method, err := lmkit.Method(r.Methods[i], s)
		if err != nil {
			t.Fatal(err)
		}
		want, err := explain.Explain(t.Context(), m, q, method)
		if err != nil {
			t.Fatal(err)
		}
		got := a.Attributions[i]
		if !slices.Equal(got.Scores, want[0].Scores) || !bytes.Equal(got.Method.Settings, want[0].Method.Settings) {
			t.Errorf("%s: %v with %s, want %v with %s", r.Methods[i], got.Scores, got.Method.Settings, want[0].Scores,
				want[0].Method.Settings)
		}
	}
	all, err := lmkit.Request{IDs: r.IDs, Methods: []string{lmkit.All}, Baseline: "mean"}.Answer(t.Context(), m)
	if err != nil || len(all.Attributions) < 15 || len(all.Notes) == 0 ||
		!strings.Contains(all.Notes[0], "do not explain the architecture lstm: attn-lrp") {
		t.Errorf("all: %d answers, notes %q, %v", len(all.Attributions), all.Notes, err)
	}
	if _, err := (lmkit.Request{IDs: r.IDs, Methods: []string{"attention"}}).Answer(t.Context(), m); err == nil {
		t.Error("attention of an LSTM")
	}
}

// What is read otherwise than it is written is noted, and nothing else.
func TestReadingIsNoted(t *testing.T) {
	texts := slices.Values([]string{"we are here is we are here is are is #1 we is", "We are #1"})
	bytes, err := token.TrainBPE(t.Context(), texts, 280)
	if err != nil {
		t.Fatal(err)
	}
	words, err := token.NewWord(texts, token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	chars, err := token.NewChar("we are here")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		tok                  token.Tokenizer
		prompt, target, want string
	}{
		{bytes, "we", "are", `the target "are" is the token " are"`},
		{bytes, "we", " are", ""},
		{bytes, "we", "#7", ""},
		{bytes, "we ", " are", "the prompt ends in a space"},
		{words, "we ", "are", ""},
		{chars, "we ", "a", ""},
		{words, "we", "Are", `the target "Are" is the token "are"`},
		{words, "we", "#1", `the target #1 is the word "#1", which is token number`},
		{words, "we", "#2", ""},
	} {
		m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: test.tok.Size(), Layers: 1, Width: 4,
			Hidden: 4}, test.tok, 1)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := lmkit.Request{Prompt: test.prompt, Target: test.target, Methods: []string{"occlusion"}}.Answer(
			t.Context(), m)
		m.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(answer.Notes, "\n"); (got == "") != (test.want == "") || !strings.HasPrefix(got, test.want) {
			t.Errorf("%q, %q: notes %q, want %q", test.prompt, test.target, got, test.want)
		}
	}
}
