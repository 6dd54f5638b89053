package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// someExamples are n texts of random tokens, each with an answer of one or more tokens.
func someExamples(n, vocab int, seed uint64) []corpus.Example {
	rng := rand.New(rand.NewPCG(seed, 0))
	examples := make([]corpus.Example, n)
	for i := range examples {
		tokens := make([]token.ID, 3+rng.IntN(9))
		for k := range tokens {
			tokens[k] = token.ID(rng.IntN(vocab))
		}
		examples[i] = corpus.Example{Tokens: tokens, Scored: 1 + rng.IntN(2)}
	}
	return examples
}

// everyTarget is batches with a target for each token: those that are none are marked as such.
type everyTarget struct{ corpus.Batches }

func (b everyTarget) At(i int) (corpus.Batch, error) {
	x, err := b.Batches.At(i)
	if err != nil {
		return x, err
	}
	targets := slices.Repeat([]token.ID{corpus.Ignore}, len(x.Inputs))
	each := len(x.Targets) / x.Rows
	for k, target := range x.Targets {
		if target != corpus.Ignore {
			targets[k/each*x.Length+int(x.After[k])] = target
		}
	}
	x.Targets, x.After = targets, nil
	return x, nil
}

// Targets that are listed with their positions train and measure as the same targets among all tokens do.
func TestListedTargetsAreTheSame(t *testing.T) {
	for _, e := range []lm.Config{
		{Arch: lm.LSTM, Vocab: 12, Width: 5, Hidden: 4, Layers: 2},
		{Arch: lm.Transformer, Vocab: 12, Width: 8, Heads: 2, Layers: 2, Context: 16},
	} {
		var runs [2][]Event
		for i := range runs {
			m := newModel(t, backendtest.PureGo(t), e)
			c := Config{Steps: 6, Rows: 4, ValidRows: 3, LearningRate: 0.01, EvalEvery: 3, LogEvery: 1}
			d, err := Answers(e, c, nil, someExamples(21, 12, 1), someExamples(10, 12, 2), 3)
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				d.Train, d.Valid = everyTarget{d.Train}, everyTarget{d.Valid}
			}
			runs[i] = finish(t, startRun(t, m, d, c, ""))
		}
		if len(runs[0]) != 6 || len(runs[1]) != 6 {
			t.Fatalf("%s: %d and %d events", e.Arch, len(runs[0]), len(runs[1]))
		}
		for i, a := range runs[0] {
			b := runs[1][i]
			if math.Abs(a.TrainLoss-b.TrainLoss) > 1e-5 || math.Abs(a.GradNorm-b.GradNorm) > 1e-4*b.GradNorm ||
				(a.Valid == nil) != (b.Valid == nil) ||
				a.Valid != nil && (math.Abs(a.Valid.Loss-b.Valid.Loss) > 1e-5 || a.Valid.Tokens != b.Valid.Tokens) {
				t.Errorf("%s step %d: %+v, want %+v", e.Arch, a.Step, a, b)
			}
		}
	}
}

// A model learns its answers and nothing else: of two answers that the first token decides it finds the right one, and
// it ends its texts as its answers end, from a folder and without one, also after the run was resumed.
func TestAnswersAreLearned(t *testing.T) {
	const vocab, end = 12, token.ID(11)
	rng := rand.New(rand.NewPCG(5, 0))
	examples := make([]corpus.Example, 200)
	for i := range examples {
		tokens := []token.ID{token.ID(rng.IntN(2))}
		for range 1 + rng.IntN(6) {
			tokens = append(tokens, token.ID(2+rng.IntN(6)))
		}
		examples[i] = corpus.Example{Tokens: append(tokens, 8, 9+tokens[0], end), Scored: 2}
	}
	for _, mc := range []lm.Config{
		{Arch: lm.LSTM, Vocab: vocab, Width: 8, Hidden: 16, Layers: 1},
		{Arch: lm.Transformer, Vocab: vocab, Width: 16, Heads: 2, Layers: 1, Context: 16},
	} {
		e := backendtest.PureGo(t)
		c := Config{Epochs: 12, Rows: 10, LearningRate: 0.02, Clip: 1}
		if mc.Recurrent() {
			c.Epochs = 40 // it stays at chance until it has found out that the beginning of the text matters
		}
		d, err := Answers(mc, c, nil, examples[:160], examples[160:], end)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"", t.TempDir()} {
			r := startRun(t, newModel(t, e, mc), d, c, dir)
			last := finish(t, r)
			if loss := last[len(last)-1].Valid.Loss; loss > 0.1 {
				t.Errorf("%s: a loss of %v a token of the answers", mc.Arch, loss)
			}
			m, err := r.Model()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(m.Ends(), []token.ID{end}) {
				t.Errorf("%s in %q: texts end with %v", mc.Arch, dir, m.Ends())
			}
			m.Close()
		}
	}
}
