package generate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

var ctx = context.Background()

const letters = "abcdefgh .é"

var (
	transformer = lm.Config{Arch: lm.Transformer, Width: 12, Layers: 1, Heads: 3, Context: 16}
	lstm        = lm.Config{Arch: lm.LSTM, Width: 7, Hidden: 9, Layers: 1}
)

// loud is a small model whose predictions depend strongly on every earlier token: fresh weights, made larger.
func loud(t *testing.T, e *backend.Engine, c lm.Config, tok token.Tokenizer) *lm.Model {
	t.Helper()
	gain := float32(8)
	if c.Arch == lm.LSTM {
		gain = 4
	}
	if tok != nil {
		c.Vocab = tok.Size()
	}
	fresh, err := lm.New(e, c, nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	ws, err := fresh.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ws {
		if len(w.Dims) > 1 {
			for i := range w.Data {
				w.Data[i] *= gain
			}
		}
	}
	m, err := lm.FromWeights(e, c, tok, ws)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func char(t *testing.T) token.Tokenizer {
	t.Helper()
	tok, err := token.NewChar(letters)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func stream[P generate.Prompt](t *testing.T, m *lm.Model, prompt P, c generate.Config) []generate.Token {
	t.Helper()
	var out []generate.Token
	for tok, err := range generate.Stream(ctx, m, prompt, c) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tok)
	}
	return out
}

func text(t *testing.T, m *lm.Model, prompt string, c generate.Config) string {
	t.Helper()
	s, err := generate.Text(ctx, m, prompt, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func engines(t *testing.T) []*backend.Engine {
	return []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)}
}

// Every token is the most likely one, and has the log-probability, that the model gives when it reads the text at
// once; a Transformer whose context of 16 was full reads the last 8 tokens, and goes on from there.
func TestGreedyEqualsReadingAtOnce(t *testing.T) {
	for _, e := range engines(t) {
		for _, c := range []lm.Config{transformer, lstm} {
			m := loud(t, e, c, char(t))
			for i, prompt := range []string{"a", "head", "bad egg. a cage é had"} {
				if !backendtest.Runs(e, i) {
					continue
				}
				t.Run(fmt.Sprint(e.Kind, "/", c.Arch, "/", prompt), func(t *testing.T) {
					got := stream(t, m, prompt, generate.Config{Tokens: 30})
					if len(got) != 30 {
						t.Fatalf("%d tokens", len(got))
					}
					enc, err := m.Tokenizer().Encode(prompt)
					if err != nil {
						t.Fatal(err)
					}
					seen := enc.IDs
					if c.Context > 0 {
						seen = seen[max(0, len(seen)-c.Context):]
					}
					for i, tok := range got {
						as, err := m.LogProbs(ctx, [][]token.ID{seen})
						if err != nil {
							t.Fatal(err)
						}
						p := as[0].Index(len(seen) - 1).Data
						if float64(slices.Max(p)-p[tok.ID]) > 1e-4 || math.Abs(float64(p[tok.ID])-tok.LogProb) > 1e-4 {
							t.Fatalf("token %d is #%d at %v, but after %v it has %v, and the most likely one %v", i, tok.ID, tok.LogProb,
								seen, p[tok.ID], slices.Max(p))
						}
						if want := m.Tokenizer().Token(tok.ID); tok.Text != want {
							t.Fatalf("token %d reads %q, want %q", i, tok.Text, want)
						}
						seen = append(slices.Clone(seen), tok.ID)
						if c.Context > 0 && len(seen) > c.Context {
							seen = seen[len(seen)-c.Context/2:]
						}
					}
				})
			}
		}
	}
}

func TestSeeds(t *testing.T) {
	for _, e := range engines(t) {
		for _, arch := range []lm.Config{transformer, lstm} {
			m := loud(t, e, arch, char(t))
			c := generate.Config{Tokens: 20, Temperature: 1.5, TopK: 9, TopP: .95, Seed: 3}
			prompts := []string{"a", "bad", "a", "egg", "head.", "a"}
			got, err := generate.Batch(ctx, m, prompts, c)
			if err != nil {
				t.Fatal(err)
			}
			different := map[string]bool{}
			for i, p := range prompts {
				alone := c
				alone.Seed += uint64(i)
				if want := text(t, m, p, alone); got[i] != want {
					t.Errorf("%s %s: prompt %d gives %q in a batch, %q alone", e.Kind, arch.Arch, i, got[i], want)
				}
				if utf8.RuneCountInString(got[i]) != 20 {
					t.Errorf("%q is not 20 characters", got[i])
				}
				different[got[i]] = true
			}
			if len(different) != len(prompts) {
				t.Errorf("different seeds gave the same text: %q", got)
			}
		}
	}
}

func TestStop(t *testing.T) {
	m := loud(t, backendtest.Engine(t), transformer, char(t))
	c := generate.Config{Tokens: 40, Temperature: 1, Seed: 1}
	whole := text(t, m, "a", c)
	runes := []rune(whole)
	for _, at := range []int{1, 7, 25, 37} {
		c.Stop = []string{"never", string(runes[at : at+3])}
		want, _, _ := strings.Cut(whole, c.Stop[1])
		got := stream(t, m, "a", c)
		var b strings.Builder
		for _, tok := range got {
			b.WriteString(tok.Text)
		}
		if b.String() != want {
			t.Errorf("until %q: %q, want %q", c.Stop[1], b.String(), want)
		}
		if n := utf8.RuneCountInString(want) + 3; len(got) != n {
			t.Errorf("until %q: %d tokens, want %d", c.Stop[1], len(got), n)
		}
	}
	// Rows of a batch that have stopped do not hold the others up, nor change them.
	c.Stop = []string{"."}
	texts, err := generate.Batch(ctx, m, []string{"a", "b", "c", "d"}, c)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []string{"a", "b", "c", "d"} {
		alone := generate.Config{Tokens: 40, Temperature: 1, Seed: 1 + uint64(i)}
		if want, _, _ := strings.Cut(text(t, m, p, alone), "."); texts[i] != want {
			t.Errorf("%s: %q, want %q", p, texts[i], want)
		}
	}
}

func TestWordsAndBytes(t *testing.T) {
	words, err := token.NewWord(slices.Values([]string{"the cat sat on the mat . a dog ran !"}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := token.TrainBPE(ctx, slices.Values([]string{"é€😀 the cat é€😀 the cat"}), 262)
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range []token.Tokenizer{words, bytes} {
		m := loud(t, backendtest.Engine(t), lstm, tok)
		got := stream(t, m, "the cat", generate.Config{Tokens: 60, Temperature: 2})
		enc, err := tok.Encode("the cat")
		if err != nil {
			t.Fatal(err)
		}
		ids, b := enc.IDs, strings.Builder{}
		for _, x := range got {
			ids = append(ids, x.ID)
			b.WriteString(x.Text)
			if !utf8.ValidString(x.Text) {
				t.Errorf("%q is not UTF-8", x.Text)
			}
		}
		all, err := tok.Decode(ids)
		if err != nil {
			t.Fatal(err)
		}
		if want := string([]rune(strings.TrimPrefix(all, "the cat"))); b.String() != want {
			t.Errorf("%T: %q, want %q", tok, b.String(), want)
		}
		if _, word := tok.(*token.Word); word && !strings.HasPrefix(b.String(), " ") {
			t.Errorf("%q does not go on from the prompt", b.String())
		}
	}
}

func TestWithoutTokenizer(t *testing.T) {
	c := transformer
	c.Vocab = 9
	m := loud(t, backendtest.Engine(t), c, nil)
	got := stream(t, m, []token.ID{1, 2}, generate.Config{Tokens: 3})
	if len(got) != 3 || got[0].Text != "" {
		t.Errorf("%+v", got)
	}
	if n := len(stream(t, m, []token.ID{1}, generate.Config{})); n != 100 {
		t.Errorf("%d tokens by default", n)
	}
	if _, err := generate.Text(ctx, m, []token.ID{1}, generate.Config{}); err == nil {
		t.Error("a text without a tokenizer")
	}
	if _, err := generate.Text(ctx, m, "a", generate.Config{}); err == nil {
		t.Error("a text without a tokenizer")
	}
}

func TestBreakAndCancel(t *testing.T) {
	for _, e := range engines(t) {
		m := loud(t, e, transformer, char(t))
		n := 0
		for _, err := range generate.Stream(ctx, m, "a", generate.Config{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 20 {
				break
			}
		}
		if n != 20 {
			t.Errorf("%d tokens", n)
		}
		during, cancel := context.WithCancel(ctx)
		n = 0
		var last error
		for _, err := range generate.Stream(during, m, "a", generate.Config{}) {
			if n++; n == 5 {
				cancel()
			}
			last = err
		}
		if n != 6 || !errors.Is(last, context.Canceled) {
			t.Errorf("canceled at token 5: %d, %v", n, last)
		}
		if _, err := generate.Text(during, m, "a", generate.Config{}); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled before: %v", err)
		}
		cancel()
	}
}

func TestErrors(t *testing.T) {
	m := loud(t, backendtest.Engine(t), transformer, char(t))
	long := strings.Repeat("a", 17)
	for _, x := range []struct {
		prompts []string
		c       generate.Config
		want    string
	}{
		{[]string{""}, generate.Config{}, "the prompt: it has no tokens"},
		{[]string{"a", "aZ"}, generate.Config{}, "prompt 1: encode: character 'Z'"},
		{[]string{long}, generate.Config{NoSlide: true}, "17 tokens are more than the 16"},
		{[]string{"aaaaaaaa"}, generate.Config{NoSlide: true, Tokens: 10}, "reads at most 16 tokens"},
		{[]string{"a"}, generate.Config{Tokens: -1}, "number of tokens is -1"},
		{[]string{"a"}, generate.Config{Temperature: -1}, "temperature is -1"},
		{[]string{"a"}, generate.Config{Temperature: math.NaN()}, "temperature is NaN"},
		{[]string{"a"}, generate.Config{Temperature: math.Inf(1)}, "temperature is +Inf"},
		{[]string{"a"}, generate.Config{TopK: -2}, "top-k is -2"},
		{[]string{"a"}, generate.Config{TopP: 1.5}, "top-p is 1.5"},
		{[]string{"a"}, generate.Config{TopP: math.NaN()}, "top-p is NaN"},
		{[]string{"a"}, generate.Config{Stop: []string{"x", ""}}, "one of the stop texts is empty"},
	} {
		got, err := generate.Batch(ctx, m, x.prompts, x.c)
		if err == nil || got != nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q, %+v: %q, %v, want %q", x.prompts, x.c, got, err, x.want)
		}
	}
	err := generate.Config{Tokens: -1, TopK: -1}.Validate()
	if err == nil || !strings.Contains(err.Error(), "tokens is -1") || !strings.Contains(err.Error(), "top-k") {
		t.Errorf("not all mistakes are told: %v", err)
	}
	if got := text(t, m, "aaaaaaaa", generate.Config{NoSlide: true, Tokens: 9}); utf8.RuneCountInString(got) != 9 {
		t.Errorf("%q: the context has room for 8 more tokens, and a ninth to end with", got)
	}
	if got, err := generate.Batch(ctx, m, []string{}, generate.Config{}); err != nil || len(got) != 0 {
		t.Errorf("no prompts: %v, %v", got, err)
	}
}
