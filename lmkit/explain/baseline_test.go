package explain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// sentencePiece is a tokenizer in Llama 2's form, whose line break is a byte, and whose space is the mark of one.
const sentencePiece = `{"version":"1.0","added_tokens":[{"id":0,"content":"<unk>","special":true}],
"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},
"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
{"type":"ByteFallback"},{"type":"Fuse"}]},
"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"fuse_unk":true,
"vocab":{"<unk>":0,"a":1,"<0x0A>":2,"▁":3,"▁a":4},"merges":["▁ a"]}}`

// The baselines newline and space are tokens of SentencePiece, too.
func TestBaselinesOfSentencePiece(t *testing.T) {
	tok, err := token.Unmarshal([]byte(sentencePiece))
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 4, Hidden: 4, Layers: 1},
		tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := explain.DefaultBaseline(m); got != "newline" {
		t.Errorf("the default is %s", got)
	}
	var bases [][]float64
	for _, baseline := range []string{"newline, space", "#2,#3"} {
		p, err := explain.Prepare(t.Context(), m, explain.Question{IDs: []token.ID{1, 4, 1}, Baseline: baseline})
		if err != nil {
			t.Fatal(err)
		}
		bases = append(bases, p.Bases)
	}
	if !slices.Equal(bases[0], bases[1]) {
		t.Errorf("%v, want %v", bases[0], bases[1])
	}
	for _, twice := range []string{"newline,newline", "#2,newline", "mean,zero,mean", "unk, #00"} {
		_, err := explain.Prepare(t.Context(), m, explain.Question{IDs: []token.ID{1, 4, 1}, Baseline: twice})
		if err == nil || !strings.Contains(err.Error(), "are the same; leave one out") {
			t.Errorf("%s: %v", twice, err)
		}
	}
}

// A baseline with a name is the token of that name, and one that the model does not have is an error.
func TestBaselinesByName(t *testing.T) {
	ctx := context.Background()
	tok, err := token.TrainBPE(ctx, slices.Values([]string{"the keys near the box are here"}), 270)
	if err != nil {
		t.Fatal(err)
	}
	c := lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 4, Hidden: 4, Layers: 1}
	bare, err := lm.New(backendtest.PureGo(t), c, tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	weights, err := bare.Weights()
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.FromTraining(backendtest.PureGo(t), c, tok, weights, nil, []token.ID{3})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	bases := func(m *lm.Model, baseline string) ([]float64, error) {
		p, err := explain.Prepare(ctx, m, explain.Question{IDs: []token.ID{1, 2, 1}, Baseline: baseline})
		if err != nil {
			return nil, err
		}
		return p.Bases, nil
	}
	space, has := tok.Lookup(" ")
	line, hasLine := tok.Lookup("\n")
	if !has || !hasLine {
		t.Fatal("the tokenizer has no space, or no line break")
	}
	want, err := bases(m, fmt.Sprintf("#%d,#%d,#3", line, space))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bases(m, "newline, space, end"); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, tt := range []struct {
		m              *lm.Model
		baseline, want string
	}{
		{bare, "end", "no token that ends a text"}, {bare, "unk", "no unknown token"}, {bare, "#999", "there are #0 to #"},
		{bare, "pad", `no baseline "pad"; there are unk, mean, zero, newline, space, end and #ID`},
		{explaintest.Models(t)["lstm"], "space", "needs a tokenizer"},
		{explaintest.Models(t)["lstm"], "unk", "needs a tokenizer"},
	} {
		if _, err := bases(tt.m, tt.baseline); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.baseline, err, tt.want)
		}
	}
	trained, err := lm.FromTraining(backendtest.PureGo(t), c, tok, weights, json.RawMessage(`{}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trained.Close()
	for want, m := range map[string]*lm.Model{"newline": m, "mean": trained} {
		if got := explain.DefaultBaseline(m); got != want {
			t.Errorf("the default is %s, want %s", got, want)
		}
	}
}
