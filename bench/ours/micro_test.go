package main

import (
	"iter"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// The hot parts, apart from what surrounds them. README.md says how to compare two versions by benchstat.

func model(b *testing.B, name string) *lm.Model {
	m, err := lm.New(backendtest.Engine(b), sizes(false)[name].Config, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return m
}

// query is rows texts, and the logit of one token after each.
func query(m *lm.Model, rows, tokens int) lm.Query {
	q := lm.Query{Of: []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 17, Weight: 1}}}}}
	for k := range rows {
		q.Rows = append(q.Rows, prompt(tokens, m.Config().Vocab, k))
	}
	return q
}

// answer asks a query again and again; the first time, which compiles, does not count.
func answer(b *testing.B, m *lm.Model, q lm.Query) {
	ask := func() {
		if _, err := m.Run(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	ask()
	for b.Loop() {
		ask()
	}
	b.ReportMetric(float64(b.N*len(q.Rows))/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkObjective(b *testing.B) {
	for _, name := range []string{"gpt", "lstm"} {
		b.Run(name, func(b *testing.B) {
			m := model(b, name)
			answer(b, m, query(m, 128, 12))
		})
	}
}

func BenchmarkGradient(b *testing.B) {
	for _, x := range []struct {
		name, model  string
		rows, tokens int
	}{{"gpt", "gpt", 50, 64}, {"one", "gpt", 1, 128}, {"lstm", "lstm", 50, 64}} {
		b.Run(x.name, func(b *testing.B) {
			m := model(b, x.model)
			q := query(m, x.rows, x.tokens)
			q.Wrt = []lm.Tap{"embed"}
			answer(b, m, q)
		})
	}
}

// BenchmarkEdits is what a black-box method asks for: the same text with different tokens replaced in each row.
func BenchmarkEdits(b *testing.B) {
	m := model(b, "gpt")
	q := query(m, 128, 12)
	absent := lm.FromValues(lm.Array{Dims: []int{m.Config().Width}, Data: make([]float32, m.Config().Width)})
	for i := range q.Rows {
		q.Rows[i] = q.Rows[0]
		q.Edits = append(q.Edits, lm.Edit{Tap: "embed", Rows: []int{i}, Positions: []int{i % 12, (i + 1 + i/12) % 12},
			With: absent})
	}
	answer(b, m, q)
}

// BenchmarkStep is a training step with its loss read back.
func BenchmarkStep(b *testing.B) {
	for _, r := range trainingRows() {
		if r.Kind != "train" {
			continue
		}
		b.Run(r.Name, func(b *testing.B) {
			m := model(b, r.Model)
			r.Steps = 1
			run, err := train.Start(m, train.Data{Train: newStream(m, r)}, r.config(), "")
			if err != nil {
				b.Fatal(err)
			}
			defer run.Close()
			next, stop := iter.Pull2(run.Events(b.Context()))
			defer stop()
			step := func() {
				if _, err, ok := next(); err != nil || !ok {
					b.Fatal("the run ended: ", err)
				}
			}
			step()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.N*r.Batch*r.Length)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkEncode encodes English prose with a vocabulary learned from it.
func BenchmarkEncode(b *testing.B) {
	c, err := corpus.Opticks()
	if err != nil {
		b.Skip(err)
	}
	var text strings.Builder
	for _, d := range c.Train {
		text.WriteString(d.Text)
	}
	tok, err := token.TrainBPE(b.Context(), strings.SplitSeq(text.String(), "\n"), 2000)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := tok.Encode(text.String()); err != nil {
			b.Fatal(err)
		}
	}
}
