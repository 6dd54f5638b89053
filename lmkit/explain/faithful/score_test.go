package faithful_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

func rowOf(t testing.TB, table *faithful.Table, name string) faithful.Row {
	t.Helper()
	for _, r := range table.Rows {
		if r.Method.Name == name {
			return r
		}
	}
	t.Fatalf("there is no row %s", name)
	return faithful.Row{}
}

// The model reads both markers and nothing else, so every number is known.
func TestScoreOnAModelThatLearnedTheRule(t *testing.T) {
	m := markerModel(t, 1, -1, 0)
	items := markerTask(t).Items(0, plant.Test, 24)
	table := must[*faithful.Table](t)(faithful.Score(ctx, m, items, []explain.Method{perturb.Occlusion{},
		gradient.Saliency{}}, faithful.Scoring{}))
	for what, e := range map[string]faithful.Interval{"right": table.Right, "necessary": table.Necessary,
		"sufficient": table.Sufficient, "verified": table.Verified} {
		if want := (faithful.Interval{Mean: 1, Low: 1, High: 1, Count: 24}); e != want {
			t.Errorf("the share that is %s is %+v, want %+v", what, e, want)
		}
	}
	// The probability of the label: two answers, and all other words at -10.
	h := math.Tanh(math.Tanh(5))
	others := float64(m.Config().Vocab-2) * math.Exp(-10)
	with, without := math.Exp(4*h)/(math.Exp(4*h)+math.Exp(-4*h)+others), 1/(2+others)
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-5 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}

	occlusion := rowOf(t, table, "occlusion")
	for _, s := range []*faithful.Summary{occlusion.All, occlusion.Verified} {
		for _, f := range []faithful.Findings{s.Signed, s.Size} {
			near("precision", f.Precision.Mean, 1)
			near("mean rank", f.MeanRank.Mean, 1)
			near("mass", f.Mass.Mean, 1)
			near("pointing", f.Pointing.Mean, 1)
		}
		near("comprehensiveness", s.Comprehensiveness.Mean, with-without)
		near("sufficiency", s.Sufficiency.Mean, 0)
	}
	if occlusion.Rows < 13 || occlusion.Reference {
		t.Errorf("occlusion of 12 words: %+v", occlusion)
	}
	// A saturated unit has next to no gradient: the cause is the last of 12 words.
	saliency := rowOf(t, table, "saliency").Verified
	near("saliency's precision", saliency.Size.Precision.Mean, 0)
	near("saliency's mean rank", saliency.Size.MeanRank.Mean, 12)
	// Its top fifth and half hold no cause, so nothing is lost without them, and all with nothing but them.
	near("saliency's comprehensiveness", saliency.Comprehensiveness.Mean, 0)
	near("saliency's sufficiency", saliency.Sufficiency.Mean, with-without)

	for _, name := range []string{"random", "longest", "rarest"} {
		if r := rowOf(t, table, name); !r.Reference || r.All == nil || r.All.Size.Precision.Mean == 1 && name == "random" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// 1 of 12 words is at rank 6.5 by chance; the markers have four letters, most other words more.
	// Three standard errors.
	if e := rowOf(t, table, "random").All.Size.MeanRank; math.Abs(e.Mean-6.5) > 3*3.45/math.Sqrt(24) {
		t.Errorf("chance finds the cause at rank %+v", e)
	}
	if r := rowOf(t, table, "longest"); r.All.Size.MeanRank.Mean < 9 {
		t.Errorf("four letters are among the longest words: %+v", r.All.Size)
	}
}

// The model knows "ruby", and takes everything else for "no": it is always right, and half of the planted truth is
// false.
func TestScoreOnAModelThatLearnedHalfOfTheRule(t *testing.T) {
	m := markerModel(t, 1, 0, 1)
	items := markerTask(t).Items(0, plant.Test, 12)
	occlusion := []explain.Method{perturb.Occlusion{}}
	table := must[*faithful.Table](t)(faithful.Score(ctx, m, items, occlusion, faithful.Scoring{}))
	if table.Right.Mean != 1 || table.Verified.Mean != 0.5 || table.Necessary.Mean != 0.5 || table.Sufficient.Mean != 1 ||
		table.Verified.Low >= 0.5 || table.Verified.High <= 0.5 {
		t.Errorf("right %+v, verified %+v, necessary %+v, sufficient %+v", table.Right, table.Verified, table.Necessary,
			table.Sufficient)
	}
	row := rowOf(t, table, "occlusion")
	if p := row.Verified.Signed.Precision; p != (faithful.Interval{Mean: 1, Low: 1, High: 1, Count: 6}) {
		t.Errorf("precision on verified items is %+v", p)
	}
	// Where "jade" means nothing all scores are zero: chance finds one of 12.
	if p := row.All.Signed.Precision; math.Abs(p.Mean-(1+1./12)/2) > 1e-6 || p.Count != 12 {
		t.Errorf("precision on all items is %+v", p)
	}
	for score, err := range (faithful.Scoring{}).Items(ctx, m, items, occlusion) {
		if err != nil {
			t.Fatal(err)
		}
		if knows := items[score.Item].Label == "yes"; score.Verification.Holds() != knows {
			t.Errorf("item %d with label %s: %+v", score.Item, items[score.Item].Label, score.Verification)
		}
	}

	// Nothing is verified on a model that knows nothing.
	table = must[*faithful.Table](t)(faithful.Score(ctx, markerModel(t, 0, 0, 1), items, occlusion, faithful.Scoring{}))
	if row := rowOf(t, table, "occlusion"); table.Right.Mean != 0.5 || table.Verified.Mean != 0 || row.Verified != nil ||
		row.All == nil {
		t.Errorf("a model that knows nothing: %+v", table)
	}
}

func TestScoreIsReproducible(t *testing.T) {
	m := markerModel(t, 1, -1, 0)
	items := markerTask(t).Items(0, plant.Test, 6)
	score := func(items []plant.Item, seed uint64) *faithful.Table {
		table := must[*faithful.Table](t)(faithful.Score(ctx, m, items, []explain.Method{perturb.Occlusion{}, failing{}},
			faithful.Scoring{Resampling: faithful.Resampling{Seed: seed, Times: 50}}))
		for i := range table.Rows {
			table.Rows[i].Seconds = 0
		}
		return table
	}
	table := score(items, 5)
	if again := score(items, 5); !reflect.DeepEqual(again, table) {
		t.Errorf("the same seed gives\n%+v\n%+v", table, again)
	}
	if other := score(items, 6); reflect.DeepEqual(rowOf(t, other, "random").All, rowOf(t, table, "random").All) {
		t.Error("another seed draws the same random scores")
	}
	if r := rowOf(t, table, "failing"); r.All != nil || r.Verified != nil ||
		r.Error != "this method cannot explain an LSTM" {
		t.Errorf("a method that fails: %+v", r)
	}

	data, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	var back faithful.Table
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&back); err != nil || !reflect.DeepEqual(&back, table) {
		t.Errorf("the table changes when it is written and read: error %v", err)
	}

	// A loop that stops early has asked for no more than it was given.
	n := 0
	for range (faithful.Scoring{}).Items(ctx, m, items, nil) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d items after one", n)
	}
}

// Words of several tokens are one feature each.
func TestScoreBySubwords(t *testing.T) {
	task := markerTask(t)
	item := task.Item(0, plant.Test, 0)
	tok := must[*token.BPE](t)(token.TrainBPE(ctx, slices.Values([]string{plant.Text(task.Items(0, plant.Train, 50))}),
		330))
	m := must[*lm.Model](t)(lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.Transformer, Vocab: tok.Size(), Width: 8,
		Heads: 2, Layers: 1, Context: 128}, tok, 1))
	t.Cleanup(m.Close)
	see := &watcher{}
	table := must[*faithful.Table](t)(faithful.Score(ctx, m, []plant.Item{item}, []explain.Method{see},
		faithful.Scoring{Baseline: "mean,zero"}))
	enc := must[token.Encoding](t)(tok.Encode(item.Text))
	if table.Items != 1 || len(enc.IDs) <= len(item.Tokens) {
		t.Fatalf("%d items, %d tokens of %d words", table.Items, len(enc.IDs), len(item.Tokens))
	}
	var words []string
	for _, g := range see.question.Groups {
		words = append(words, strings.TrimSpace(item.Text[enc.Spans[g[0]].Start:enc.Spans[g[len(g)-1]].End]))
	}
	if want := item.Tokens[:len(item.Tokens)-1]; !slices.Equal(words, want) {
		t.Errorf("features %q, want %q", words, want)
	}
}

// watcher is a method that remembers the question.
type watcher struct {
	faithful.Longest
	question explain.Question
}

func (w *watcher) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	w.question = p.Question
	return w.Longest.Score(ctx, p)
}

func TestScoreErrors(t *testing.T) {
	m := markerModel(t, 1, -1, 0)
	item := markerTask(t).Item(0, plant.Test, 0)
	change := func(f func(*plant.Item)) []plant.Item {
		it := item
		f(&it)
		return []plant.Item{it}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	one := []plant.Item{item}
	for _, tt := range []struct {
		ctx   context.Context
		model *lm.Model
		items []plant.Item
		s     faithful.Scoring
		want  string
	}{
		{ctx, m, nil, faithful.Scoring{}, "no planted items"},
		{ctx, explaintest.Models(t)["lstm"], one, faithful.Scoring{}, "a model with a tokenizer"},
		{ctx, m, one, faithful.Scoring{Resampling: faithful.Resampling{Level: 2}}, "the level of confidence is 2"},
		{ctx, m, one, faithful.Scoring{Keep: []string{"jade", "ruby"}}, "among those that always stay"},
		{ctx, m, one, faithful.Scoring{Shares: []float64{2}}, "between 0 and 1"},
		{ctx, m, one, faithful.Scoring{Baseline: "nothing"}, "planted item 0: there is no baseline"},
		{ctx, m, change(func(it *plant.Item) { it.Cause = []int{99} }), faithful.Scoring{}, "not places of its 13 words"},
		{ctx, m, change(func(it *plant.Item) { it.Cause = nil }), faithful.Scoring{}, "not places of its 13 words"},
		{ctx, m, change(func(it *plant.Item) { it.Label = "maybe" }), faithful.Scoring{},
			`"maybe" is not in the model's vocabulary`},
		{ctx, m, change(func(it *plant.Item) { it.Label = "" }), faithful.Scoring{}, "take a word tokenizer"},
		{ctx, m, change(func(it *plant.Item) { it.Foil = it.Label }), faithful.Scoring{}, "begin with the same token"},
		{ctx, m, change(func(it *plant.Item) { it.Tokens = append(slices.Clone(it.Tokens), ";") }), faithful.Scoring{},
			`the word ";" has no token of its own`},
		{gone, m, one, faithful.Scoring{}, "canceled"},
	} {
		if _, err := faithful.Score(tt.ctx, tt.model, tt.items, nil, tt.s); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
	if _, err := faithful.Tabulate(m, nil, faithful.Scoring{}); err == nil ||
		!strings.Contains(err.Error(), "no scored items") {
		t.Errorf("got error %v", err)
	}
	mixed := []faithful.ItemScore{{Methods: []faithful.MethodScore{{Method: explain.MethodInfo{Name: "a"}}}},
		{Methods: []faithful.MethodScore{{Method: explain.MethodInfo{Name: "b"}}}}}
	if _, err := faithful.Tabulate(m, mixed, faithful.Scoring{}); err == nil ||
		!strings.Contains(err.Error(), "other methods") {
		t.Errorf("got error %v", err)
	}
}
