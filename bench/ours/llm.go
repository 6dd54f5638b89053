package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// llm is the model of the rows on a real language model: SmolLM2, or in a quick run a tiny one of its shape.
const llm = "smollm2"

// texts are what it reads.
var texts = []string{
	"The lighthouse had been dark for eleven years when the keeper's daughter came back to the island, carrying a box " +
		"of letters and a lamp that nobody in the village had ever seen before, and asked where her",
	"Water boils at a lower temperature on a high mountain, because the air above it weighs less and presses less on " +
		"its surface, so that rice and beans take much longer to become soft than they do at the",
}

// llmRows are those on a real language model.
func llmRows() []Row {
	row := func(name, kind string, tokens int, peers ...string) Row {
		return Row{Name: name, Kind: kind, Model: llm, Unit: "ms", Peers: peers,
			Prompts: [][]token.ID{make([]token.ID, tokens)}, Hold: true, Mean: true, Samples: 2, Seconds: 3,
			Same: map[string]Bound{"value": {Absolute: 0.01}, "scores": {Relative: 0.05}}}
	}
	start := row("llm-start", "start", 8, "captum")
	start.Unit, start.Tolerance, start.Samples, start.Seconds = "s", 0.01, 1, 0
	start.Same = map[string]Bound{"value": {Absolute: 0.01}, "error": {Most: 0.01}}
	first := start
	first.Name, first.Cold = "llm-first", true
	memory := start
	memory.Name, memory.Kind, memory.Unit = "llm-memory", "memory", "MiB"
	ig := row("llm-ig", "ig", 32, "captum")
	ig.Points, ig.Samples, ig.Seconds = 50, 1, 0
	shap := row("llm-shap", "kernelshap", 20, "captum", "captum batched")
	shap.Draws, shap.Samples, shap.Seconds = 1000, 1, 0 // of Captum a call takes a minute or more
	// Two draws of Captum's own are 0.63 apart, in a game of 19 features.
	shap.Same = map[string]Bound{"value": {Absolute: 0.01}, "scores": {Relative: 0.7}}
	generate := row("llm-generate", "generate", 32, "transformers")
	generate.Unit, generate.Tokens, generate.Same = "tokens/s", 64, map[string]Bound{"tokens": {}}
	patch := row("llm-patch", "patch", 16, "a forward pass a cell")
	patch.Prompts = append(patch.Prompts, make([]token.ID, 16))
	patch.Same = map[string]Bound{"cells": {Absolute: 0.01}}
	return []Row{start, first, memory, ig, shap, generate, patch}
}

// prepareLLM writes the model as a folder that both sides read, and gives its rows their texts and what is explained:
// the model's first choice. Where the model cannot be had its rows are left out, which is said.
func prepareLLM(e *backend.Engine, dir string, rows []Row, quick bool) ([]Row, error) {
	of := func(r Row) bool { return r.Model == llm }
	if quick || !slices.ContainsFunc(rows, of) {
		return rows, nil
	}
	m, err := lmkit.Open(llm)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the rows llm-* are left out:", err)
		return slices.DeleteFunc(rows, of), nil
	}
	defer m.Close()
	if err := m.Save(modelDir(dir, llm)); err != nil {
		return nil, err
	}
	for i := range rows {
		if r := &rows[i]; of(*r) {
			if err := r.read(m); err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name, err)
			}
		}
	}
	return rows, nil
}

// read fills in the tokens of the row's texts, and the first choice after the first of them.
func (r *Row) read(m *lm.Model) error {
	for k, p := range r.Prompts {
		enc, err := m.Tokenizer().Encode(texts[k])
		if err != nil {
			return err
		}
		if len(enc.IDs) < len(p) {
			return fmt.Errorf("text %d has %d tokens of %d", k, len(enc.IDs), len(p))
		}
		r.Prompts[k] = enc.IDs[:len(p)]
	}
	a, err := m.Run(context.Background(), lm.Query{Rows: r.Prompts[:1], Logits: lm.LastLogits})
	if err != nil {
		return err
	}
	r.Target = explain.Best(a.Logits[0].Data)
	r.least(m.Config())
	return nil
}

// open opens a row's model: what starts a process opens it as a user does, by its name.
func open(e *backend.Engine, dir string, r Row) (*lm.Model, error) {
	if _, err := os.Stat(modelDir(dir, r.Model)); err == nil && r.ofProcess() && !r.Tiny {
		return lmkit.Open(r.Model)
	}
	return lm.Open(e, modelDir(dir, r.Model))
}

// ofProcess reports whether the row is about a whole process: its time, or its memory.
func (r Row) ofProcess() bool { return r.Kind == "start" || r.Kind == "memory" }

// measureMemory is the most memory of a process that explains once, in MiB.
func measureMemory(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	if err := measureStart(ctx, m, r, got); err != nil {
		return err
	}
	got.Samples = []float64{peak()}
	return nil
}

// measureStart measures from the process's start to its first explanation, in seconds.
func measureStart(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	watch := start()
	as, err := explain.Explain(ctx, m, r.question(0), method(r))
	if err != nil {
		return err
	}
	a := as[0]
	got.computed(m.Config(), len(r.Prompts[0]), a.Cost.ForwardRows+a.Cost.BackwardRows)
	got.Values["value"] = []float64{a.Value, a.Base}
	got.Values["error"] = []float64{a.Evidence.Completeness.Relative}
	got.First = sinceStart()
	got.Samples = []float64{got.First}
	got.Others = watch.others()
	return nil
}

// began is when the process's own code first ran, where the system does not say when the process began.
var began = time.Now()

// sinceStart is how many seconds ago the process began, in hundredths.
func sinceStart() float64 {
	self, err := os.ReadFile("/proc/self/stat")
	up, err2 := os.ReadFile("/proc/uptime")
	if err != nil || err2 != nil {
		return time.Since(began).Seconds()
	}
	f := strings.Fields(string(self[strings.LastIndexByte(string(self), ')')+1:]))
	now, err := strconv.ParseFloat(strings.Fields(string(up))[0], 64)
	if err != nil || len(f) < 20 {
		return time.Since(began).Seconds()
	}
	ticks, err := strconv.ParseFloat(f[19], 64) // when the process began, after the system's start
	if err != nil {
		return time.Since(began).Seconds()
	}
	return now - ticks/hertz
}

// measurePatching replaces, in a text, the residual stream of another text at each layer and each position, a cell at a
// time, and asks for the logit of the target: layers x positions rows of one query.
func measurePatching(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	L, T := m.Config().Layers, len(r.Prompts[0])
	q := lm.Query{Of: []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: r.Target, Weight: 1}}}}}
	for l := range L {
		for t := range T {
			q.Edits = append(q.Edits, lm.Edit{Tap: fmt.Sprintf("block.%d.resid.pre", l), Rows: []int{len(q.Rows)},
				Positions: []int{t}, With: lm.FromRow(L * T)})
			q.Rows = append(q.Rows, r.Prompts[1])
		}
	}
	q.Rows = append(q.Rows, r.Prompts[0])
	return r.sample(got, func() error {
		a, err := m.Run(ctx, q)
		if err != nil {
			return err
		}
		got.Values["cells"] = a.Values[:L*T]
		return nil
	})
}
