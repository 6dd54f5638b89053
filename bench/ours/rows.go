package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// Row is one line of the benchmark: all that either side needs to know. Fields that a kind has no use for are zero.
type Row struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	Model string   `json:"model"`
	Unit  string   `json:"unit"`  // tokens/s: more is better; ms, s and MiB: less is better
	Peers []string `json:"peers"` // the ways to do it in Python; the first is what a user does without tuning

	// Training and evaluation: batches of Batch rows of Length tokens, Steps of them a sample.
	Batch       int     `json:"batch,omitempty"`
	Length      int     `json:"length,omitempty"`
	Steps       int     `json:"steps,omitempty"`
	Clip        float64 `json:"clip,omitempty"`
	Beta2       float64 `json:"beta2,omitempty"`
	WeightDecay float64 `json:"weight_decay,omitempty"` // not 0: AdamW

	// Generation and explanation.
	Prompts   [][]token.ID `json:"prompts,omitempty"`
	Target    token.ID     `json:"target,omitempty"`   // whose logit is explained
	Baseline  token.ID     `json:"baseline,omitempty"` // the token that stands for an absent one
	Mean      bool         `json:"mean,omitempty"`     // or: the mean of the embedding table does
	Tokens    int          `json:"tokens,omitempty"`   // new ones
	Points    int          `json:"points,omitempty"`   // of the integral
	Draws     int          `json:"draws,omitempty"`    // coalitions
	Tolerance float64      `json:"tolerance,omitempty"`
	Hold      bool         `json:"hold,omitempty"` // the first token stays, and has no score
	Cold      bool         `json:"cold,omitempty"` // no compiled program is kept from earlier processes
	Tiny      bool         `json:"tiny,omitempty"` // of a quick run

	// A process takes samples until it has Samples of them and Seconds have passed.
	Samples int     `json:"samples"`
	Seconds float64 `json:"seconds"`

	Same map[string]Bound `json:"same"` // what both sides must agree on

	// What a token (where the unit is tokens/s) or else a sample takes at least: products of matrices, or weights read.
	// 0: not known beforehand.
	GFLOP  float64 `json:"gflop,omitempty"`
	GBytes float64 `json:"gbytes,omitempty"`
}

// Bound says how far the two sides may differ in what they computed.
type Bound struct {
	Absolute float64 `json:"absolute,omitempty"` // the largest difference
	Relative float64 `json:"relative,omitempty"` // of the Euclidean norms
	Most     float64 `json:"most,omitempty"`     // no value of either side may be larger
}

// size is the shape of a model, and what its matrices are multiplied by: fresh weights are so small that a model is
// nearly linear, and nothing is left to integrate or to tell tokens apart.
type size struct {
	lm.Config
	sharpen float32
}

func sizes(quick bool) map[string]size {
	gpt := lm.Config{Arch: lm.Transformer, Vocab: 10_000, Width: 256, Layers: 4, Heads: 4, Context: 128, Dropout: 0.1}
	nano := lm.Config{Arch: lm.Transformer, Vocab: 65, Width: 128, Layers: 4, Heads: 4, Context: 64, Tied: true}
	lstm := lm.Config{Arch: lm.LSTM, Vocab: 28_782, Width: 200, Hidden: 200, Layers: 2, Dropout: 0.5}
	if quick {
		gpt.Vocab, gpt.Width, gpt.Layers, gpt.Context = 60, 16, 2, 32
		nano.Width, nano.Layers, nano.Context = 16, 1, 16
		lstm.Vocab, lstm.Width, lstm.Hidden = 50, 16, 16
	}
	all := map[string]size{"lstm": {lstm, 1}, "gpt": {gpt, 1}, "gpt-sharp": {gpt, 4}, "nanogpt": {nano, 1}}
	if quick { // in place of SmolLM2
		all[llm] = size{train.Llama(lm.Config{Vocab: 60, Width: 16, Layers: 6, Heads: 4, KVHeads: 2, Context: 64}), 4}
	}
	return all
}

// benchmark lists the rows.
func benchmark(quick bool) []Row {
	rows := slices.Concat(trainingRows(), explanationRows(), llmRows())
	if quick {
		for i := range rows {
			rows[i].shrink()
		}
	}
	for i := range rows {
		r := &rows[i]
		V := sizes(quick)[r.Model].Vocab
		if V == 0 { // the texts of a real model are real ones
			continue
		}
		for k, p := range r.Prompts {
			r.Prompts[k] = prompt(len(p), V, k)
		}
		if r.Peers == nil {
			r.Peers = []string{}
		}
	}
	return rows
}

func trainingRows() []Row {
	loss := map[string]Bound{"loss": {Absolute: 1e-4}}
	lstm := Row{Kind: "train", Model: "lstm", Unit: "tokens/s", Peers: []string{"torch"}, Batch: 20, Steps: 10,
		Clip: 0.25, Samples: 4, Seconds: 4, Same: loss}
	gpt := Row{Kind: "train", Unit: "tokens/s", Peers: []string{"torch", "torch compiled"}, Steps: 10, Clip: 1,
		Beta2: 0.99, WeightDecay: 0.1,
		Samples: 4, Seconds: 4, Same: loss}
	long, eval, compile := lstm, lstm, lstm
	lstm.Name, lstm.Length = "lstm-train", 35
	eval.Name, eval.Kind, eval.Length = "lstm-eval", "eval", 35
	long.Name, long.Length, long.Steps = "lstm-train-128", 128, 4
	nano := gpt
	gpt.Name, gpt.Model, gpt.Batch, gpt.Length = "gpt-train", "gpt", 8, 128
	nano.Name, nano.Model, nano.Batch, nano.Length, nano.Steps = "nanogpt-train", "nanogpt", 12, 64, 30
	compile.Name, compile.Kind, compile.Unit, compile.Peers, compile.Same, compile.Samples = "compile-35", "compile", "s",
		nil, nil, 1
	compile.Length, compile.Batch = 35, 20
	longest := compile
	longest.Name, longest.Length, longest.Batch = "compile-512", 512, 2
	return []Row{lstm, eval, long, gpt, nano, compile, longest}
}

func explanationRows() []Row {
	row := func(name, kind string, tokens int, peers ...string) Row {
		return Row{Name: name, Kind: kind, Model: "gpt-sharp", Unit: "ms", Peers: peers,
			Prompts: [][]token.ID{make([]token.ID, tokens)}, Target: 17,
			Samples: 5, Seconds: 3, Same: map[string]Bound{"value": {Absolute: 1e-3}, "scores": {Relative: 1e-3}}}
	}
	ig := row("ig", "ig", 64, "captum")
	ig.Points = 50
	equal := row("ig-equal-error", "ig-equal-error", 64, "captum", "captum fewest steps", "captum fewest steps each")
	equal.Prompts, equal.Tolerance = make([][]token.ID, 8), 1e-3
	for i := range equal.Prompts {
		equal.Prompts[i] = make([]token.ID, 64)
	}
	// Both are within a thousandth of their sum; token by token they may be further apart.
	equal.Same = map[string]Bound{"error": {Most: 1e-3}, "value": {Absolute: 1e-3}, "scores": {Relative: 0.02}}
	generate := row("generate", "generate", 8, "torch")
	generate.Unit, generate.Tokens, generate.Same = "tokens/s", 112, map[string]Bound{"tokens": {}}
	occlusion := row("occlusion", "occlusion", 12, "captum", "captum batched")
	lime := row("lime-1000", "lime", 12, "lime")
	kernel := row("kernelshap-1000", "kernelshap", 12, "captum", "captum batched", "shap")
	exact := row("shapley-exact-12", "shapley-exact", 12, "masks in batches")
	// The two sides draw different coalitions: they agree as far as samples do.
	for _, r := range []*Row{&lime, &kernel} {
		r.Draws = 1000
		r.Same = map[string]Bound{"value": {Absolute: 1e-3}, "scores": {Relative: 0.25}}
	}
	return []Row{ig, equal, generate, occlusion, lime, kernel, exact}
}

// shrink makes a row tiny.
func (r *Row) shrink() {
	r.Tiny = true
	r.Seconds, r.Samples, r.Steps = 0, 1, min(r.Steps, 2)
	r.Batch, r.Points, r.Tokens = min(r.Batch, 2), min(r.Points, 50), min(r.Tokens, 6)
	if r.Length > 0 {
		r.Length = max(4, r.Length/32)
	}
	if len(r.Prompts) > 2 {
		r.Prompts = r.Prompts[:2]
	}
	for i, p := range r.Prompts {
		r.Prompts[i] = p[:min(len(p), 6)]
	}
	if r.Draws > 0 {
		r.Draws = 40
		r.Same["scores"] = Bound{Relative: 0.6}
	}
}

// prompt is the k-th text of n tokens: any tokens do for weights that have learned nothing.
func prompt(n, vocab, k int) []token.ID {
	ids := make([]token.ID, n)
	for i := range ids {
		ids[i] = token.ID((i*7919 + k*104_729 + 13) % vocab)
	}
	return ids
}

// prepare writes DIR/rows.json, and the models of the rows as model directories in DIR/models.
func prepare(dir string, quick bool, names string) error {
	rows := benchmark(quick)
	if names != "" {
		chosen := strings.Split(names, ",")
		for _, n := range chosen {
			if !slices.ContainsFunc(rows, func(r Row) bool { return r.Name == n }) {
				return fmt.Errorf("there is no row %q; there are %s", n, strings.Join(rowNames(rows), ", "))
			}
		}
		rows = slices.DeleteFunc(rows, func(r Row) bool { return !slices.Contains(chosen, r.Name) })
	}
	e, err := backend.Default()
	if err != nil {
		return err
	}
	if rows, err = prepareLLM(e, dir, rows, quick); err != nil {
		return err
	}
	for name, s := range sizes(quick) {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Model == name }) {
			continue
		}
		if err := writeModel(e, modelDir(dir, name), s); err != nil {
			return err
		}
	}
	for i := range rows {
		if s, ok := sizes(quick)[rows[i].Model]; ok {
			rows[i].least(s.Config)
		}
	}
	data, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "rows.json"), data, 0o644)
}

func writeModel(e *backend.Engine, dir string, s size) error {
	m, err := lm.New(e, s.Config, nil, 1)
	if err != nil {
		return err
	}
	defer m.Close()
	weights, err := m.Weights()
	if err != nil {
		return err
	}
	for _, w := range weights {
		if len(w.Dims) == 2 {
			for i := range w.Data {
				w.Data[i] *= s.sharpen
			}
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	return lm.WriteDir(dir, m.Config(), nil, weights, nil)
}

func modelDir(dir, name string) string { return filepath.Join(dir, "models", name) }

func readRows(dir string) ([]Row, error) {
	data, err := os.ReadFile(filepath.Join(dir, "rows.json"))
	if err != nil {
		return nil, err
	}
	var rows []Row
	return rows, json.Unmarshal(data, &rows)
}

func rowNames(rows []Row) []string {
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	return names
}
