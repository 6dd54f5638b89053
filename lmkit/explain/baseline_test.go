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
	space, ok := tok.Lookup(" ")
	if !ok {
		t.Fatal("the tokenizer has no space")
	}
	want, err := bases(m, fmt.Sprintf("#%d,#3", space))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bases(m, "space, end"); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, tt := range []struct {
		m              *lm.Model
		baseline, want string
	}{
		{bare, "end", "no token that ends a text"}, {bare, "unk", "no unknown token"}, {bare, "#999", "there are #0 to #"},
		{bare, "pad", `no baseline "pad"; there are unk, mean, zero, space, end and #ID`},
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
	for want, m := range map[string]*lm.Model{"space": m, "mean": trained} {
		if got := explain.DefaultBaseline(m); got != want {
			t.Errorf("the default is %s, want %s", got, want)
		}
	}
}
