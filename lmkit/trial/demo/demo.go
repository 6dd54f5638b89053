// Package demo trains a small Transformer and a small LSTM on text whose true causes are known, and shows that their
// explanations find them; then it explains a language model that people use.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/trial"
)

// Options says where a demonstration runs, and what becomes of it.
type Options struct {
	Engine   *backend.Engine
	Out      io.Writer
	Color    bool
	Width    int    // of the terminal, in columns
	Report   string // the file to write; "": report.html
	Seed     uint64
	Progress progress.Func

	Real    string // the GGUF file of SmolLM2, which is explained last; "": it is left out
	Missing string // what to say of it then
}

// Run trains both models until each answers right on texts that it has not seen, explains a prediction of each, and
// four of the real model's, and writes the report.
func Run(ctx context.Context, o Options) error {
	if o.Report == "" {
		o.Report = "report.html"
	}
	if err := writable(o.Report); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	task, err := plant.New(plant.Config{Task: "agreement", Unknown: 0.1})
	if err != nil {
		return err
	}
	d := &demo{Options: o, task: task, start: time.Now()}
	d.say("lmkit demo on %s. Nothing is downloaded from here on; all numbers are computed now.\n", o.Engine.Kind)
	d.say("The task: which verb follows? Only the first noun decides; the others are there to mislead.")
	d.say("(One word in ten is hidden in training: so the models learn what it is not to know a word.)")
	for _, it := range task.Items(o.Seed, plant.Train, 2) {
		d.say("  %s → %s", it.Text, it.Label)
	}
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		if err := d.model(ctx, arch); err != nil {
			return fmt.Errorf("demo: %s: %w", arch, err)
		}
	}
	if err := d.real(ctx); err != nil {
		return fmt.Errorf("demo: SmolLM2: %w", err)
	}
	if err := d.write(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

type demo struct {
	Options
	task     *plant.Task
	start    time.Time
	sections []render.Section
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

var names = map[string]string{lm.Transformer: "Transformer", lm.LSTM: "LSTM"}

// model is one model's part: training, the test, and the explanation.
func (d *demo) model(ctx context.Context, arch string) error {
	name := names[arch]
	trained, err := trial.Train(ctx, d.Engine, d.task, trial.Config{Arch: arch, Seed: d.Seed,
		Progress: d.Progress, What: "train the " + name})
	if err != nil {
		return err
	}
	m, curves := trained.Model, trained.Curves
	defer m.Close()
	curves.Title = "Loss of the " + name
	d.say("\n── %s: %s numbers to train ──\n", name, thousands(m.Params()))
	d.say("Trained for %d steps in %.1f s (loss on unseen texts: %.4f nats a label).", trained.Steps, trained.Seconds,
		trained.Loss)
	items := d.task.Items(d.Seed, plant.Test, 200)
	tests, err := examine(ctx, m, items)
	if err != nil {
		return err
	}
	right, verified, shown := 0, 0, -1
	for i, t := range tests {
		if t.right {
			right++
		}
		if t.verified {
			verified++
			if shown < 0 {
				shown = i
			}
		}
	}
	if shown < 0 {
		return errors.New("there is no text whose planted cause decides the model's answer; try another --seed")
	}
	item := items[shown]
	score := fmt.Sprintf("%d of %d unseen texts are answered right. In %d of them the planted cause is verified on the "+
		"model: hiding it costs at least half of the margin, and keeping it alone keeps the answer.", right, len(items),
		verified)
	d.say("%s The first of these:\n", score)
	as, err := d.explain(ctx, m, item)
	if err != nil {
		return err
	}
	return d.report(ctx, m, item, as, curves, score)
}

// test is what a model makes of an item.
type test struct{ right, verified bool }

// examine asks for the margin (logit of the label minus that of the foil) of each item as it is, with its cause
// unknown, and with all else unknown.
func examine(ctx context.Context, m *lm.Model, items []plant.Item) ([]test, error) {
	tok := m.Tokenizer()
	unknown, _ := tok.Unknown()
	q := lm.Query{Logits: lm.LastLogits}
	for _, it := range items {
		enc, err := tok.Encode(it.Text)
		if err != nil {
			return nil, err
		}
		hidden, alone := slices.Clone(enc.IDs), slices.Clone(enc.IDs)
		for i := range enc.IDs {
			if slices.Contains(it.Cause, i) {
				hidden[i] = unknown
			} else {
				alone[i] = unknown
			}
		}
		q.Rows = append(q.Rows, enc.IDs, hidden, alone)
	}
	a, err := m.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	tests := make([]test, len(items))
	for i, it := range items {
		label, _ := tok.Lookup(it.Label)
		foil, _ := tok.Lookup(it.Foil)
		margin := func(k int) float32 { return a.Logits[3*i+k].Data[label] - a.Logits[3*i+k].Data[foil] }
		whole := a.Logits[3*i].Data
		right := token.ID(slices.Index(whole, slices.Max(whole))) == label
		tests[i] = test{right: right, verified: right && margin(1) < margin(0)/2 && margin(2) > 0}
	}
	return tests, nil
}

// explain asks all methods about one item, and prints the one that adds up, beside the truth.
func (d *demo) explain(ctx context.Context, m *lm.Model, item plant.Item) ([]*explain.Attribution, error) {
	label, _ := m.Tokenizer().Lookup(item.Label)
	foil, _ := m.Tokenizer().Lookup(item.Foil)
	p, err := explain.Prepare(ctx, m, explain.Question{Prompt: item.Text, Target: []token.ID{label},
		Foil: []token.ID{foil}, Seed: d.Seed})
	if err != nil {
		return nil, err
	}
	var found []*explain.Scored
	for i, name := range shown {
		d.Progress.At("explain", int64(i), int64(len(shown)), "methods")
		method, err := lmkit.Method(name, lmkit.Settings{})
		if err != nil {
			return nil, err
		}
		f, err := p.Score(ctx, method)
		if err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	d.Progress.At("explain", int64(len(shown)), int64(len(shown)), "methods")
	as, err := p.Attributions(ctx, found...)
	if err != nil {
		return nil, err
	}
	main := as[slices.Index(shown, "integrated-gradients")]
	if err := render.Text(d.Out, main, plot.Options{Color: d.Color, Width: d.Width}); err != nil {
		return nil, err
	}
	d.say("\nThe planted cause: %s", d.truth(item))
	for _, a := range as {
		d.say("  %-22s %s", a.Method.Name, verdict(a, item))
	}
	return as, nil
}

// shown are the methods of the demonstration.
var shown = []string{"saliency", "input-x-gradient", "integrated-gradients", "sequential-ig", "smoothgrad",
	"expected-gradients", "occlusion"}

// truth is the item's text with its causes in brackets.
func (d *demo) truth(item plant.Item) string {
	words := slices.Clone(item.Tokens)
	for _, c := range item.Cause {
		words[c] = "[" + words[c] + "]"
	}
	return strings.Join(words, " ")
}

// verdict says where a method ranks the planted cause.
func verdict(a *explain.Attribution, item plant.Item) string {
	order := explain.Ranked(a.Scores)
	rank := slices.Index(order, item.Cause[0]) + 1
	if rank == 1 {
		return fmt.Sprintf("names it first (%q: %+.2f)", item.Tokens[item.Cause[0]], a.Scores[item.Cause[0]])
	}
	return fmt.Sprintf("names %q first; the cause comes as number %d", item.Tokens[order[0]], rank)
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func (d *demo) finish() {
	abs, err := filepath.Abs(d.Report)
	if err != nil {
		abs = d.Report
	}
	d.say("\nThe report is in %s (open it in any browser). %.0f s in all.", printable.Clean(abs),
		time.Since(d.start).Seconds())
}
