package faithful_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/corpus/facts"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/explain/perturb"
)

func read(t testing.TB, lines ...string) []facts.Fact {
	t.Helper()
	return must[[]facts.Fact](t)(facts.Read(strings.NewReader(strings.Join(lines, "\n"))))
}

// The model says yes for ruby and no for jade, and nothing else matters: what it follows is known, and by how much.
func TestFollow(t *testing.T) {
	all := read(t,
		"follows: river {ruby|jade} stone => {yes|no}",
		"wrong: river {ruby|jade} stone => {no|yes}",
		"unmoved: ruby {river|stone} cloud => {yes|no}",
		"unspelt: river {emerald|jade} stone => {yes|no}",
		"unspelt: river {ruby|emerald} stone => {yes|no}",
		"unspelt: river {ruby|jade} stone => {maybe|no}",
		"unspelt: river {ruby|jade} stone => {Yes|yes}",
		"follows: river {jade|ruby} stone => {no|yes}")
	got := must[[]faithful.Followed](t)(faithful.Follow(ctx, markerModel(t, 1, -1, 0), all))
	want := []struct {
		lost faithful.Lost
		why  string
	}{
		{faithful.Kept, ""}, {faithful.Wrong, `the model prefers "yes" to "no"`},
		{faithful.Unmoved, `with "stone" in place of "river" the model still prefers "yes" to "no"`},
		{faithful.Unspelt, `the word "emerald" is not in the model's vocabulary`},
		{faithful.Unspelt, `the word "emerald" is not in the model's vocabulary`},
		{faithful.Unspelt, `the answer "maybe" is not in the model's vocabulary`},
		{faithful.Unspelt, `the answers "Yes" and "yes" begin with the same token`}, {faithful.Kept, ""},
	}
	margin := 8 * math.Tanh(math.Tanh(5))
	for i, f := range got {
		if f.Lost != want[i].lost || !strings.Contains(f.Why, want[i].why) || (f.Why == "") != (f.Lost == faithful.Kept) {
			t.Errorf("line %d: step %d, %q, want %d, %q", f.Fact.Line, f.Lost, f.Why, want[i].lost, want[i].why)
		}
		if f.Lost != faithful.Kept {
			continue
		}
		if math.Abs(f.Margin-margin) > 1e-5 || math.Abs(f.Changed+margin) > 1e-5 || !f.First ||
			!slices.Equal(f.Case.Cause, []int{1}) {
			t.Errorf("line %d: %+v, want margins of %v", f.Fact.Line, f, margin)
		}
	}
}

// A case that was followed is verified, whatever hiding its cause does, and its features are words.
func TestCasesOfFacts(t *testing.T) {
	m := markerModel(t, 1, 0, 1) // it knows ruby, and takes everything else for no
	var cases []faithful.Case
	all := read(t, "a: river {ruby|jade} stone => {yes|no}", "a: river {jade|ruby} stone => {no|yes}")
	for _, f := range must[[]faithful.Followed](t)(faithful.Follow(ctx, m, all)) {
		if f.Why != "" {
			t.Fatal(f.Why)
		}
		cases = append(cases, f.Case)
	}
	var scores []faithful.ItemScore
	s := faithful.Scoring{Baseline: "zero"}
	for score, err := range s.Cases(ctx, m, cases, []explain.Method{perturb.Occlusion{}}) {
		if err != nil {
			t.Fatal(err)
		}
		scores = append(scores, score)
	}
	if v := scores[0]; !v.Verified || !v.Verification.Holds() {
		t.Errorf("ruby is needed: %+v", v)
	}
	if v := scores[1]; !v.Verified || v.Verification.Necessary() {
		t.Errorf("without jade the answer stays, and the fact is one all the same: %+v", v)
	}
	table := must[*faithful.Table](t)(faithful.Tabulate(m, scores, s))
	row := rowOf(t, table, "occlusion")
	if table.Verified.Mean != 1 || table.Necessary.Mean != 0.5 || row.Verified.Signed.Precision.Count != 2 ||
		row.AddsUp != nil {
		t.Errorf("%+v, %+v", table, row)
	}
}

func TestFollowErrors(t *testing.T) {
	if _, err := faithful.Follow(ctx, explaintest.Models(t)["lstm"], read(t, "a: b {c|d} {e|f}")); err == nil ||
		!strings.Contains(err.Error(), "a model with a tokenizer") {
		t.Errorf("got error %v", err)
	}
}
