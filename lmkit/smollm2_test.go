package lmkit_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gonum.org/v1/gonum/floats"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/internal/hub/hubtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// golden is what transformers computed for a prompt, in float32.
type golden struct {
	Name, Text  string
	IDs         []token.ID
	TopIDs      []token.ID `json:"top_ids"`
	TopTokens   []string   `json:"top_tokens"`
	TopLogits   []float64  `json:"top_logits"`
	TopLogProbs []float64  `json:"top_logprobs"`
	LogSumExp   float64    `json:"logsumexp"`
	Argmax      []token.ID `json:"argmax_each_position"`
	FirstLogits []float64  `json:"logit_first8_last_position"`
	Last        []float64  `json:"hidden_norm_last_token"`  // norms of each layer's input, and behind the final norm
	First       []float64  `json:"hidden_norm_first_token"` // the same
	Greedy      []token.ID `json:"greedy_ids"`
	Plain       []float64  `json:"attention_layer0_head0_last_row"`
	Sink        []float64  `json:"attention_layer29_head8_last_row"`
	Contrast    *struct {
		IDs        []token.ID
		Value      float64
		AtBaseline float64   `json:"value_at_baseline"`
		Products   []float64 `json:"grad_x_input"`
		Norms      []float64 `json:"grad_norm"`
		Integrated []float64 `json:"integrated_gradients_64_first_token_kept"`
		Difference float64   `json:"ig_first_token_kept_should_be"`
	}
}

func reference[T any](t *testing.T, name string) (v T) {
	t.Helper()
	data, err := os.ReadFile(hubtest.Reference(t, name))
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// smolLM2 is the model, opened once for all tests.
func smolLM2(t *testing.T) *lm.Model {
	t.Helper()
	file := hubtest.SmolLM2(t)
	opened.Do(func() { opened.m, opened.err = lm.Open(backendtest.Engine(t), file) })
	if opened.err != nil {
		t.Fatal(opened.err)
	}
	return opened.m
}

var opened struct {
	sync.Once
	m   *lm.Model
	err error
}

// near fails unless numbers are those of the reference: to 1e-3 of the largest of them.
func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, should be %d", what, len(got), len(want))
		return
	}
	if d := floats.Distance(got, want, math.Inf(1)); !(d <= 1e-3*max(1, floats.Norm(want, math.Inf(1)))) {
		t.Errorf("%s: %v\nshould be %v", what, got, want)
	}
}

// Tokens, logits, activations and attention of the real model are those of transformers.
func TestSmolLM2(t *testing.T) {
	want := reference[struct {
		Mean    []float64 `json:"mean_embedding_first8"`
		Prompts []golden
	}](t, "golden.json")
	m := smolLM2(t)
	mean, err := m.MeanEmbedding()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "the mean embedding", wide(mean.Data[:len(want.Mean)]), want.Mean)
	weight, err := m.Weight("final.weight")
	if err != nil {
		t.Fatal(err)
	}
	gain := wide(weight.Data)
	layers := m.Config().Layers
	q := lm.Query{Logits: lm.AllLogits, Taps: []lm.Tap{"final.normalized"}}
	for l := range layers {
		q.Taps = append(q.Taps, residual(l))
	}
	first, last := lm.Tap("block.0.attn.pattern"), lm.Tap("block.29.attn.pattern")
	q.Taps = append(q.Taps, first, last)
	for _, p := range want.Prompts {
		enc, err := token.EncodeWith(m.Tokenizer(), p.Text, token.Options{Special: true})
		if err != nil || !slices.Equal(enc.IDs, p.IDs) {
			t.Fatalf("%s: %v, %v, should be %v", p.Name, enc.IDs, err, p.IDs)
		}
		q.Rows = append(q.Rows, p.IDs)
	}
	a, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range want.Prompts {
		p.logits(t, m, a.Logits[i])
		p.scores(t, m)
		n := len(p.IDs)
		var norms [2][]float64
		for k, at := range []int{0, n - 1} {
			for l := range layers {
				norms[k] = append(norms[k], floats.Norm(wide(a.At[residual(l)].Index(i, at).Data), 2))
			}
			out := wide(a.At["final.normalized"].Index(i, at).Data)
			floats.Mul(out, gain)
			norms[k] = append(norms[k], floats.Norm(out, 2))
		}
		each(t, p.Name+": norms of the first token", norms[0], p.First)
		each(t, p.Name+": norms of the last token", norms[1], p.Last)
		if p.Sink != nil {
			near(t, p.Name+": attention", wide(a.At[first].Index(i, 0, n-1).Data[:n]), p.Plain)
			near(t, p.Name+": attention to the sink", wide(a.At[last].Index(i, 8, n-1).Data[:n]), p.Sink)
		}
	}
}

// scores compares the scores of texts that go on from a prompt, where each is one token there.
func (p golden) scores(t *testing.T, m *lm.Model) {
	t.Helper()
	if strings.Contains(p.Text, "<|im_start|>") {
		return // special tokens, which a text that is scored never holds
	}
	var next []lm.Passage
	for _, text := range p.TopTokens {
		next = append(next, lm.Passage{Text: text, After: p.Text})
	}
	scores, _, err := m.Score(context.Background(), next)
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for i, s := range scores {
		if len(s.Tokens) != 1 || s.Tokens[0].ID != p.TopIDs[i] || s.Begin != "" {
			t.Fatalf("%s: %+v", p.Name, s)
		}
		got = append(got, s.LogProb)
	}
	near(t, p.Name+": scores of what comes next", got, p.TopLogProbs)
}

// logits compares the logits [T, V] of a prompt.
func (p golden) logits(t *testing.T, m *lm.Model, got lm.Array) {
	t.Helper()
	for at, best := range p.Argmax {
		if found := explain.Best(got.Index(at).Data); found != best {
			t.Errorf("%s: after token %d comes #%d, should be #%d", p.Name, at, found, best)
		}
	}
	all := wide(got.Index(len(p.IDs) - 1).Data)
	sum := floats.LogSumExp(all)
	near(t, p.Name+": logits", all[:len(p.FirstLogits)], p.FirstLogits)
	near(t, p.Name+": logsumexp", []float64{sum}, []float64{p.LogSumExp})
	for k, id := range p.TopIDs {
		near(t, p.Name+": a top logit", []float64{all[id], all[id] - sum}, []float64{p.TopLogits[k], p.TopLogProbs[k]})
		if rank := rankOf(all, id); rank != k+1 || m.Tokenizer().Token(id) != p.TopTokens[k] {
			t.Errorf("%s: %q has rank %d, should be %q of rank %d", p.Name, m.Tokenizer().Token(id), rank,
				p.TopTokens[k], k+1)
		}
	}
}

// each fails unless every number is that of the reference to 1e-3 of its size.
func each(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= 1e-3*w) {
			t.Errorf("%s: number %d is %v, should be %v", what, i, got[i], w)
		}
	}
}

func residual(layer int) lm.Tap { return "block." + strconv.Itoa(layer) + ".resid.pre" }

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// rankOf is the place of a token by its logit, from 1.
func rankOf(logits []float64, id token.ID) int {
	rank := 1
	for _, v := range logits {
		if v > logits[id] {
			rank++
		}
	}
	return rank
}

// The tokens that the real model chooses, one after the other, are those that transformers chooses.
func TestSmolLM2Writes(t *testing.T) {
	want := reference[struct{ Prompts []golden }](t, "golden.json")
	m := smolLM2(t)
	for _, p := range want.Prompts {
		ends := m.Ends()
		var got []token.ID
		config := generate.Config{Tokens: len(p.Greedy), PastEnd: true}
		for next, err := range generate.Stream(context.Background(), m, p.IDs, config) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, next.ID)
			if slices.Contains(ends, next.ID) {
				break
			}
		}
		if end := slices.IndexFunc(p.Greedy, func(id token.ID) bool { return slices.Contains(ends, id) }); end >= 0 {
			p.Greedy = p.Greedy[:end+1]
		}
		if !slices.Equal(got, p.Greedy) {
			t.Errorf("%s: %v, should be %v", p.Name, got, p.Greedy)
		}
	}
}

// Gradients of the real model are those of PyTorch, and so are integrated gradients with the first token held.
func TestSmolLM2Gradients(t *testing.T) {
	want := reference[struct{ Prompts []golden }](t, "golden.json")
	m := smolLM2(t)
	var q lm.Query
	var with []golden
	for _, p := range want.Prompts {
		if p.Contrast == nil {
			continue
		}
		with = append(with, p)
		q.Rows = append(q.Rows, p.IDs)
		q.Of = append(q.Of, lm.Objective{Unit: lm.Logit,
			Terms: []lm.Term{{Pos: -1, ID: p.Contrast.IDs[0], Weight: 1}, {Pos: -1, ID: p.Contrast.IDs[1], Weight: -1}}})
	}
	q.Wrt = []lm.Tap{"embed"}
	a, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range with {
		near(t, p.Name+": value", a.Values[i:i+1], []float64{p.Contrast.Value})
		var products, norms []float64
		for at := range p.IDs {
			x, g := wide(a.At["embed"].Index(i, at).Data), wide(a.Grad["embed"].Index(i, at).Data)
			products, norms = append(products, floats.Dot(x, g)), append(norms, floats.Norm(g, 2))
		}
		near(t, p.Name+": gradient times input", products, p.Contrast.Products)
		near(t, p.Name+": norms of gradients", norms, p.Contrast.Norms)
		p.integrated(t, m)
	}
}

// integrated compares integrated gradients by the same 64 points.
func (p golden) integrated(t *testing.T, m *lm.Model) {
	t.Helper()
	c := p.Contrast
	q := explain.Question{IDs: p.IDs, Target: []token.ID{c.IDs[0]}, Foil: []token.ID{c.IDs[1]}, Baseline: "mean"}
	as, err := explain.Explain(context.Background(), m, q, gradient.Integrated{Steps: 64})
	if err != nil {
		t.Fatal(err)
	}
	a := as[0]
	near(t, p.Name+": value - base", []float64{a.Value - a.Base}, []float64{c.Difference})
	near(t, p.Name+": integrated gradients", a.Scores, c.Integrated[1:])
	if h := a.Evidence.Held; h == nil || *h.Sink < 50 {
		t.Errorf("%s: the first token is not held: %+v", p.Name, h)
	}
}

// What the real model knows has the probabilities and ranks that it has in transformers.
func TestSmolLM2Facts(t *testing.T) {
	facts := reference[[]struct {
		Prompt, Answer, Foil string
		P, PTop              float64
		Rank, Tokens         int
		Top3                 []string
		PFoil                float64 `json:"p_foil"`
		Difference           float64 `json:"logit_diff"`
	}](t, "facts.json")
	m := smolLM2(t)
	tok := m.Tokenizer()
	q := lm.Query{Logits: lm.LastLogits}
	for _, f := range facts {
		enc, err := token.EncodeWith(tok, f.Prompt, token.Options{})
		if err != nil || len(enc.IDs) != f.Tokens {
			t.Fatalf("%q: %d tokens, %v, should be %d", f.Prompt, len(enc.IDs), err, f.Tokens)
		}
		q.Rows = append(q.Rows, enc.IDs)
	}
	a, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range facts {
		logits := wide(a.Logits[i].Data)
		sum := floats.LogSumExp(logits)
		p := func(id token.ID) float64 { return math.Exp(logits[id] - sum) }
		answer := begins(t, tok, f.Answer)
		best := explain.Best(a.Logits[i].Data)
		near(t, f.Prompt, []float64{p(answer), p(best)}, []float64{f.P, f.PTop})
		// Thousands of tokens are as unlikely as one of rank 7869, and rounding orders them.
		rank := rankOf(logits, answer)
		if math.Abs(float64(rank-f.Rank)) > float64(f.Rank)/1000 {
			t.Errorf("%s%s has rank %d, should be %d", f.Prompt, f.Answer, rank, f.Rank)
		}
		for k, text := range f.Top3 {
			if id := begins(t, tok, text); rankOf(logits, id) != k+1 {
				t.Errorf("%s%s has rank %d, should be %d", f.Prompt, text, rankOf(logits, id), k+1)
			}
		}
		if f.Foil != "" {
			foil := begins(t, tok, " "+strings.TrimSpace(f.Foil))
			near(t, f.Prompt+", the foil", []float64{p(foil)}, []float64{f.PFoil})
			if got := logits[answer] - logits[foil]; math.Abs(got-f.Difference) > 0.006 { // it is given to two places
				t.Errorf("%s: the foil is %v behind, should be %v", f.Prompt, got, f.Difference)
			}
		}
	}
}

// begins is the first token of a text that goes on from another one.
func begins(t *testing.T, tok token.Tokenizer, text string) token.ID {
	t.Helper()
	enc, err := token.EncodeWith(tok, text, token.Options{Bare: true})
	if err != nil || len(enc.IDs) == 0 {
		t.Fatalf("%q: %v, %v", text, enc.IDs, err)
	}
	return enc.IDs[0]
}

// Weights that are held as the file has them are the same numbers in a quarter of the memory or less, and give the same
// answers: values, gradients and what an edit does.
func TestSmolLM2HeldAsStored(t *testing.T) {
	plain := smolLM2(t)
	m, err := lm.Options{Weights: lm.AsFile}.Open(t.Context(), backendtest.Engine(t), hubtest.SmolLM2(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Hash() != plain.Hash() || !strings.HasPrefix(m.Held(), "Q4_1 ") {
		t.Errorf("it is another model, or held as %q", m.Held())
	}
	bytes := 0
	for _, x := range m.Tensors() {
		bytes += int(x.Shape().ByteSize())
	}
	if bytes > m.Params() {
		t.Errorf("%d numbers take %d bytes", m.Params(), bytes)
	}
	row := []token.ID{504, 3575, 282, 4649, 314} // The capital of France is
	q := lm.Query{Rows: [][]token.ID{row, row}, Wrt: []lm.Tap{"embed", "block.12.attn.z"}, Logits: lm.LastLogits,
		Of:    []lm.Objective{{Unit: lm.LogProb, Terms: []lm.Term{{Pos: -1, ID: 7042, Weight: 1}}}},
		Edits: []lm.Edit{{Tap: "block.3.mlp.out", Rows: []int{1}, Positions: []int{2}, With: lm.Zero()}}}
	got, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	want, err := plain.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, got, want []float32) {
		t.Helper()
		size := floats.Norm(wide(want), math.Inf(1))
		if d := floats.Distance(wide(got), wide(want), math.Inf(1)); !(d <= 1e-6*size) {
			t.Errorf("%s: off by %g of %g", what, d, size)
		} else {
			t.Logf("%s: off by %g of %g", what, d, size)
		}
	}
	for tap := range want.Grad {
		same("the gradient by "+tap, got.Grad[tap].Data, want.Grad[tap].Data)
	}
	for i := range q.Rows {
		same("logits", got.Logits[i].Data, want.Logits[i].Data)
	}
}
