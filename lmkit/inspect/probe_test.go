package inspect_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// reader is a small model that reads letters.
func reader(t *testing.T, arch string) *lm.Model {
	t.Helper()
	tok, err := token.NewChar(" abcdefghijklmnopqrstuvwxyz")
	if err != nil {
		t.Fatal(err)
	}
	c := lm.Config{Arch: arch, Vocab: 27, Width: 16, Layers: 2}
	if arch == lm.Transformer {
		c.Heads, c.Context = 2, 64
	} else {
		c.Hidden = 16
	}
	m, err := lm.New(backendtest.PureGo(t), c, tok, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// letters is texts of letters with a label each.
func letters(n int, label func(piece string, rng *rand.Rand) string) (items []inspect.Labelled) {
	rng := rand.New(rand.NewPCG(5, 5))
	for group := range n {
		text := ""
		for range 4 {
			piece := string(rune('a' + rng.IntN(26)))
			text = strings.TrimPrefix(text+" "+piece, " ")
			items = append(items, inspect.Labelled{Piece: piece, Label: label(piece, rng), Text: text, Group: group})
		}
	}
	return items
}

func column(t *testing.T, m *explain.Matrix, name string) (values []float64) {
	t.Helper()
	for j, c := range m.Columns {
		if c == name {
			for _, row := range m.Values {
				values = append(values, row[j])
			}
			return values
		}
	}
	t.Fatalf("there is no column %s", name)
	return nil
}

// A label that is a function of the token is read from the embeddings, and so is the control task, which is one too:
// the selectivity is small. A label at random is read from nothing.
func TestProbe(t *testing.T) {
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		m := reader(t, arch)
		first := func(piece string, _ *rand.Rand) string { return fmt.Sprint(piece < "n") }
		x := inspect.Probe{Items: letters(200, first), Untrained: reader(t, arch)}
		found, err := x.Run(context.Background(), m)
		if err != nil {
			t.Fatal(err)
		}
		if err := found.Validate(); err != nil || found.Evidence.Broken() != nil {
			t.Errorf("%v, %+v", err, found.Evidence)
		}
		if found.Rows[0] != "embed" {
			t.Errorf("the first row is %s", found.Rows[0])
		}
		if accuracy := column(t, found, "accuracy"); accuracy[0] < 0.85 {
			t.Errorf("%s: a label of the letter itself is read from its embedding in %v", arch, accuracy[0])
		}
		if area := column(t, found, "AUC"); area[0] < 0.93 {
			t.Errorf("%s: the area under the curve of such a label is %v", arch, area[0])
		}
		if selectivity := column(t, found, "selectivity"); selectivity[0] > 0.15 {
			t.Errorf("%s: the selectivity is %v, though the task is one of control", arch, selectivity[0])
		}
		random := func(_ string, rng *rand.Rand) string { return fmt.Sprint(rng.IntN(4) > 0) }
		x = inspect.Probe{Items: letters(200, random), Taps: []lm.Tap{"embed"}}
		if found, err = x.Run(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		accuracy, majority := column(t, found, "accuracy")[0], column(t, found, "majority")[0]
		if area := column(t, found, "AUC")[0]; math.Abs(area-0.5) > 0.1 {
			t.Errorf("%s: the area under the curve of random labels is %v", arch, area)
		}
		if accuracy > majority+0.05 {
			t.Errorf("%s: random labels are read in %v, the majority is %v", arch, accuracy, majority)
		}
	}
}

// What cannot be probed is an error that says what is missing.
func TestProbeRefuses(t *testing.T) {
	m := reader(t, lm.Transformer)
	one := func(string, *rand.Rand) string { return "x" }
	two := func(p string, _ *rand.Rand) string { return fmt.Sprint(p < "n") }
	for want, x := range map[string]inspect.Probe{
		"there is one":       {Items: letters(20, one)},
		"too few":            {Items: letters(1, two)},
		"no activation":      {Items: letters(20, two), Taps: []lm.Tap{"x"}},
		"no numbers at each": {Items: letters(20, two), Taps: []lm.Tap{"block.0.attn.pattern"}},
	} {
		if _, err := x.Run(context.Background(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
