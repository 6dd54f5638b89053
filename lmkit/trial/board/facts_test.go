package board

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus/facts"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/internal/hub/hubtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// knows is an LSTM of one unit that answers paris for france and tokyo for japan, and looks at nothing else.
func knows(t testing.TB) *lm.Model {
	t.Helper()
	tok, err := token.NewWord(slices.Values([]string{"the capital of france japan is paris tokyo old new"}),
		token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	V := tok.Size()
	vector := func(values map[string]float32, other float32) []float32 {
		x := slices.Repeat([]float32{other}, V)
		for word, v := range values {
			id, ok := tok.Lookup(word)
			if !ok {
				t.Fatalf("there is no word %q", word)
			}
			x[id] = v
		}
		return x
	}
	c := lm.Config{Arch: lm.LSTM, Vocab: V, Width: 1, Hidden: 1, Layers: 1}
	m, err := lm.FromWeights(backendtest.PureGo(t), c, tok, map[string]lm.Array{
		"embed.weight":         {Dims: []int{V, 1}, Data: vector(map[string]float32{"france": 1, "japan": -1}, 0)},
		"lstm.0.input.weight":  {Dims: []int{4, 1}, Data: []float32{0, 0, 5, 0}}, // i, f, g, o
		"lstm.0.hidden.weight": {Dims: []int{4, 1}, Data: make([]float32, 4)},
		"lstm.0.input.bias":    {Dims: []int{4}, Data: []float32{30, 30, 0, 30}}, // open gates
		"lstm.0.hidden.bias":   {Dims: []int{4}, Data: make([]float32, 4)},
		"head.weight":          {Dims: []int{V, 1}, Data: vector(map[string]float32{"paris": 4, "tokyo": -4}, 0)},
		"head.bias":            {Dims: []int{V}, Data: vector(map[string]float32{"paris": 0, "tokyo": 0}, -10)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

const known = `
capital: The capital of {France|Japan} is {Paris|Tokyo}
capital: The capital of {Japan|France} is {Tokyo|Paris}
capital: The capital of {France|Japan} is {Tokyo|Paris}
capital: The capital of {Atlantis|Japan} is {Paris|Tokyo}
old: The old capital of {Japan|France} is {Tokyo|Paris}
old: The {old|new} capital of France is {Paris|Tokyo}`

func read(t testing.TB, text string) []facts.Fact {
	t.Helper()
	all, err := facts.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var asked = Config{Methods: []string{"occlusion", "integrated-gradients"}, Baseline: "zero", Model: "tiny",
	Facts: "known.txt"}

// On a model of which all is known, the facts that it does not follow are left out and counted, and methods that find
// the cause are ranked above scores that do not look.
func TestRunFacts(t *testing.T) {
	r, err := RunFacts(context.Background(), knows(t), read(t, known), asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Facts.Relations["capital"], (Relation{4, 3, 2, 2, 2}); got != want {
		t.Errorf("capitals: %+v, want %+v", got, want)
	}
	if got, want := r.Facts.Relations["old"], (Relation{2, 2, 2, 1, 1}); got != want {
		t.Errorf("old capitals: %+v, want %+v", got, want)
	}
	if f := r.Facts; f.Kept != 3 || f.Scored != 3 || len(f.Left) != 3 || f.Left[0].Line != 4 || f.Stopped {
		t.Errorf("%+v", f)
	}
	if got := r.Found[lm.LSTM]; got["occlusion"] != 1 || got["integrated-gradients"] != 1 || got["random"] == 1 {
		t.Errorf("found %+v", got)
	}
	row := find(r.Models[0], "integrated-gradients")
	if row.AddsUp == nil || row.AddsUp.Mean != 1 {
		t.Errorf("integrated gradients add up: %+v", row)
	}
	var text, page, data bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := r.JSON(&data); err != nil || !json.Valid(data.Bytes()) {
		t.Error(err)
	}
	for _, want := range []string{"2 of 4", "1 of 2", "3 of 6 facts of known.txt kept", "occlusion", "random"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the table:\n%s", want, text.String())
		}
	}
	for _, want := range []string{"2 of 4 facts kept", "3 of 6 facts of known.txt kept", "occlusion", "tiny"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in the page", want)
		}
	}
}

// golden compares a text with a file.
func golden(t *testing.T, name string, write func(io.Writer) error) {
	t.Helper()
	var got bytes.Buffer
	if err := write(&got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs (%v): look at it, then run the test with -update\n%s", file, err, got.String())
	}
}

var update = flag.Bool("update", false, "write the golden files")

// still takes the time out of boards.
func still(models []Model) {
	for _, m := range models {
		for k := range m.Table.Rows {
			m.Table.Rows[k].Seconds = 0
		}
	}
}

// The tables look as they should.
func TestTablesOfFacts(t *testing.T) {
	r, err := RunFacts(context.Background(), knows(t), read(t, known), asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	still(r.Models)
	golden(t, "facts.txt", r.Text)
	c, err := RunBaselines(context.Background(), knows(t), read(t, known), asked, []string{"zero", "unk", "random"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "baselines.txt", c.Text)
}

// Against a baseline that says nothing the true cause is needed and enough; one that says the answer hides it.
func TestRunBaselines(t *testing.T) {
	m := knows(t)
	id, _ := m.Tokenizer().Lookup("france")
	france := fmt.Sprintf("#%d", id)
	all := read(t, "a: The capital of {France|Japan} is {Paris|Tokyo}")
	c, err := RunBaselines(context.Background(), m, all, Config{}, []string{"zero", france}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Baselines) != 2 || c.Facts.Scored != 1 {
		t.Fatalf("%+v", c)
	}
	for i, want := range []float64{1, 0} {
		a := c.Baselines[i].Models[0]
		if a.Table.Necessary.Mean != want || i == 0 && precision(a, "occlusion") != 1 {
			t.Errorf("against %s: %+v", c.Baselines[i].Name, a.Table)
		}
	}
	var page, data bytes.Buffer
	if err := c.HTML(&page); err != nil || !strings.Contains(page.String(), "zero") {
		t.Errorf("%v: %s", err, page.String())
	}
	if err := c.JSON(&data); err != nil || !json.Valid(data.Bytes()) {
		t.Error(err)
	}
	for name, want := range map[string]string{"end": "no token that ends a text", "space": "no token that is a space",
		"newline": "no token that is a newline", "#99": "there are #0 to", "zero,": "there is no baseline \"\"",
		"nothing": `no baseline "nothing"`} {
		if _, err := RunBaselines(context.Background(), m, all, Config{}, []string{name}, nil); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if _, err := RunBaselines(context.Background(), m, all, Config{}, []string{"zero", "zero"}, nil); err == nil {
		t.Error("a baseline was given twice")
	}
	ctx, cancel := context.WithCancel(context.Background())
	c, err = RunBaselines(ctx, m, all, Config{}, []string{"zero", "mean"}, func(e progress.Event) {
		if e.What == "explain against mean" {
			cancel()
		}
	})
	if err == nil {
		return // the last fact was done
	}
	if c == nil || len(c.Baselines) != 1 || !c.Facts.Stopped {
		t.Errorf("%+v, %v", c, err)
	}
}

// The budget of coalitions is none of an integral's: its scores add up whatever it is.
func TestIntegralsHaveTheirOwnBudget(t *testing.T) {
	c := asked
	c.Budget = 1
	r, err := RunFacts(context.Background(), knows(t), read(t, known), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := find(r.Models[0], "integrated-gradients")
	if row.AddsUp == nil || row.AddsUp.Mean != 1 || row.Rows < 20 {
		t.Errorf("integrated gradients: %+v", row)
	}
}

// A board that is stopped has what was done.
func TestStoppedFacts(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	hears := func(e progress.Event) {
		if strings.HasPrefix(e.What, "explain") && e.Done == 2 {
			cancel()
		}
	}
	r, err := RunFacts(ctx, knows(t), read(t, known), asked, hears)
	if err == nil || ctx.Err() == nil || r == nil {
		t.Fatalf("%v, %v", r, err)
	}
	if !r.Facts.Stopped || r.Facts.Scored != 2 || len(r.Models) != 2 {
		t.Errorf("%+v of %d relations", r.Facts, len(r.Models))
	}
	var text bytes.Buffer
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), "STOPPED after 2 facts") {
		t.Errorf("%v:\n%s", err, text.String())
	}
	if _, err := RunFacts(ctx, knows(t), read(t, known), asked, nil); err == nil {
		t.Error("nothing was done, and there is no error")
	}
}

func TestWrongFacts(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		text string
		want string
	}{
		{Config{Tasks: []string{"rivers"}}, known, `no facts of the relation "rivers"; there are capital, old`},
		{Config{Methods: []string{"magic"}}, known, `no method "magic"`},
		{Config{Items: -1}, known, "-1 items to explain"},
		{Config{Baseline: "nothing"}, known, `no baseline "nothing"`},
		{Config{}, "a: The {France|Japan} is {Tokyo|Paris}", "follows none of the 1 facts: of the first, in line 1, " +
			`the model prefers "paris" to "tokyo"`},
	} {
		if _, err := RunFacts(context.Background(), knows(t), read(t, tt.text), tt.c, nil); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.c, err, tt.want)
		}
	}
}

// SmolLM2 follows most facts that come with lmkit, and methods that look at it beat those that do not.
func TestFactsOfSmolLM2(t *testing.T) {
	m, err := lm.Open(backendtest.Engine(t), hubtest.SmolLM2(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	followed, err := faithful.Follow(context.Background(), m, facts.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]int{}
	for _, f := range followed {
		if f.Lost == faithful.Kept {
			kept[f.Fact.Relation]++
		}
	}
	for _, relation := range []string{"capital", "opposite", "names", "agreement"} {
		if kept[relation] < 20 {
			t.Errorf("of %s %d facts are followed", relation, kept[relation])
		}
	}
	c := Config{Tasks: []string{"capital", "opposite"}, Methods: []string{"occlusion"}, Items: 2}
	r, err := RunFacts(context.Background(), m, facts.Builtin(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Found[lm.Transformer]; got["occlusion"] <= got["random"] || math.IsNaN(got["random"]) {
		t.Errorf("found %+v", got)
	}
}
