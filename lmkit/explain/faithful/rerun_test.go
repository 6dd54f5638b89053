package faithful_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Scores a·(x+δ) with one number each have the sensitivity max |δ| ‖a‖ / ‖a x‖: known up to how large |δ| happens to
// be.
func TestMaxSensitivityOfALine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Float64Range(0.5, 4), 1, 6).Draw(t, "slopes")
		x := rapid.Float64Range(0.5, 4).Draw(t, "x")
		n := faithful.Noise{Radius: rapid.Float64Range(0.01, 1).Draw(t, "radius"), Samples: 200,
			Seed: rapid.Uint64().Draw(t, "seed")}
		got := must[float64](t)(faithful.MaxSensitivity(ctx, 1, n, func(_ context.Context, d []float32) ([]float64, error) {
			out := make([]float64, len(a))
			for i := range a {
				out[i] = a[i] * (x + float64(d[0]))
			}
			return out, nil
		}))
		if most := n.Radius / x; got > most*(1+1e-6) || got < 0.8*most {
			t.Fatalf("max-sensitivity is %v, where noise of %v allows %v", got, n.Radius, most)
		}
	})
}

func TestMaxSensitivityByHand(t *testing.T) {
	fixed := func(context.Context, []float32) ([]float64, error) { return []float64{1, 2}, nil }
	noise := func(_ context.Context, d []float32) ([]float64, error) { return []float64{float64(d[0])}, nil }
	zero := func(context.Context, []float32) ([]float64, error) { return []float64{0}, nil }
	for name, tt := range map[string]struct {
		explain func(context.Context, []float32) ([]float64, error)
		want    float64
	}{"scores that ignore the input": {fixed, 0}, "scores of nothing but noise": {noise, math.Inf(1)}, "zeros": {zero,
		0}} {
		if got := must[float64](t)(faithful.MaxSensitivity(ctx, 3, faithful.Noise{Radius: 1}, tt.explain)); got != tt.want {
			t.Errorf("%s: max-sensitivity is %v, want %v", name, got, tt.want)
		}
	}
	calls := 0
	growing := func(context.Context, []float32) ([]float64, error) { calls++; return make([]float64, calls), nil }
	failing := func(context.Context, []float32) ([]float64, error) { return nil, errors.New("no engine") }
	endless := func(context.Context, []float32) ([]float64, error) { return []float64{math.Inf(1)}, nil }
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for _, tt := range []struct {
		ctx     context.Context
		width   int
		noise   faithful.Noise
		explain func(context.Context, []float32) ([]float64, error)
		want    string
	}{
		{ctx, 1, faithful.Noise{}, fixed, "the radius of the noise is 0"},
		{ctx, 1, faithful.Noise{Radius: math.NaN(), Samples: -1}, fixed, "-1 samples"},
		{ctx, 0, faithful.Noise{Radius: 1}, fixed, "at least 1"},
		{ctx, 1, faithful.Noise{Radius: 1}, growing, "2 scores, the undisturbed one 1"},
		{ctx, 1, faithful.Noise{Radius: 1}, failing, "no engine"},
		{ctx, 1, faithful.Noise{Radius: 1}, endless, "must be finite"},
		{gone, 1, faithful.Noise{Radius: 1}, fixed, "canceled"},
	} {
		if _, err := faithful.MaxSensitivity(tt.ctx, tt.width, tt.noise, tt.explain); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
}

// spy is a method that remembers what it found, and on what.
type spy struct {
	explain.Method
	found *[][]float64
}

func (s spy) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	scores, err := s.Method.Score(ctx, p)
	if err == nil {
		*s.found = append(*s.found, scores.Values)
	}
	return scores, err
}

func TestEmbeddingSensitivity(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "#5"}
		// Noise below the last bit of a float32 changes nothing; and setting the output matrix apart must not, either.
		var found [][]float64
		s := must[float64](t)(faithful.EmbeddingSensitivity(ctx, m, spy{perturb.Occlusion{}, &found}, q,
			faithful.Noise{Radius: 1e-30, Samples: 2}))
		a := must[*explain.Attribution](t)(explaintest.Explain(ctx, m, q, perturb.Occlusion{}))
		if s != 0 || len(found) != 3 || !slices.Equal(found[0], a.Scores) {
			t.Errorf("%s: without noise, the sensitivity is %v and the scores %v, want %v", name, s, found, a.Scores)
		}
		noise := faithful.Noise{Radius: 0.01, Samples: 3, Seed: 4}
		little := must[float64](t)(faithful.EmbeddingSensitivity(ctx, m, perturb.Occlusion{}, q, noise))
		noise.Radius = 0.1
		much := must[float64](t)(faithful.EmbeddingSensitivity(ctx, m, perturb.Occlusion{}, q, noise))
		if !(little > 0 && much > little) {
			t.Errorf("%s: sensitivity %v to little noise, %v to much", name, little, much)
		}
		if none := must[float64](t)(faithful.EmbeddingSensitivity(ctx, m, faithful.Random{}, q, noise)); none != 0 {
			t.Errorf("%s: random scores have sensitivity %v", name, none)
		}
	}
}

func TestRandomize(t *testing.T) {
	want := map[string][]string{"gpt2": {"head", "block.1", "block.0", "embed"}, "lstm": {"head", "lstm.1", "lstm.0",
		"embed"}}
	for name, m := range explaintest.Models(t) {
		before := must[map[string]lm.Array](t)(m.Weights())
		embedding := "embed.weight"
		var parts []string
		var changed []int
		for stage, err := range faithful.Randomize(m, 7) {
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, stage.Part)
			after := must[map[string]lm.Array](t)(stage.Model.Weights())
			n := 0
			for w, a := range after {
				if b, ok := before[w]; !ok || !slices.Equal(a.Data, b.Data) {
					n++
				}
			}
			changed = append(changed, n)
			if same := slices.Equal(after[embedding].Data, before[embedding].Data); same != (stage.Part != "embed") {
				t.Errorf("%s: at stage %s the embedding is the same: %v", name, stage.Part, same)
			}
			if !stage.Model.Config().Tied && stage.Part == "embed" && n != len(after) {
				t.Errorf("%s: at the end, %d of %d weights are random", name, n, len(after))
			}
		}
		if !slices.Equal(parts, want[name]) {
			t.Errorf("%s: stages %v, want %v", name, parts, want[name])
		}
		if !slices.IsSorted(changed) || changed[0] == 0 || len(slices.Compact(slices.Clone(changed))) != len(changed) {
			t.Errorf("%s: the stages change %v weights", name, changed)
		}
		for stage, err := range faithful.Randomize(m, 7) {
			if err != nil || stage.Part != "head" {
				t.Errorf("%s: the first stage is %q, error %v", name, stage.Part, err)
			}
			break
		}
	}
}

// What does not look at the model stays as it is; what does, loses its order.
func TestParameterRandomization(t *testing.T) {
	m := markerModel(t, 1, -1, 0)
	item := markerTask(t).Item(0, 0, 0)
	q := explain.Question{Prompt: item.Text, Seed: 3}
	for _, s := range must[[]faithful.StageScore](t)(faithful.ParameterRandomization(ctx, m, faithful.Random{}, q, 1)) {
		check(t, "random scores at "+s.Part, s.Spearman, 1)
	}
	stages := must[[]faithful.StageScore](t)(faithful.ParameterRandomization(ctx, m, perturb.Occlusion{}, q, 1))
	if last := stages[len(stages)-1]; last.Part != "embed" || math.Abs(last.Spearman) > 0.7 {
		t.Errorf("of occlusion is left %+v", stages)
	}
	all := must[*explain.Matrix](t)(explain.ExplainMatrix(ctx, m, explain.Question{Prompt: q.Prompt, Seed: 1},
		faithful.Randomised{Methods: []explain.Method{faithful.Random{}, perturb.Occlusion{}}}))
	explaintest.CheckMatrix(t, all)
	for k, stage := range stages {
		if all.Columns[k] != stage.Part || all.Values[0][k] != 1 || math.Abs(all.Values[1][k]-stage.Spearman) > 1e-9 {
			t.Errorf("of random scores and occlusion is left %v, want all of the first and %+v", all.Values, stages)
		}
	}
	if _, err := explain.ExplainMatrix(ctx, m, q, faithful.Randomised{}); err == nil ||
		!strings.Contains(err.Error(), "no method is given") {
		t.Errorf("got error %v", err)
	}
	if _, err := faithful.ParameterRandomization(ctx, m, failing{}, q, 1); err == nil ||
		!strings.Contains(err.Error(), "cannot explain") {
		t.Errorf("got error %v, want that of the method", err)
	}
}

// The matrix of both measures has what the functions say, method by method; scores that ignore the model do not move,
// and are far from what changes.
func TestRobust(t *testing.T) {
	m := markerModel(t, 1, -1, 0)
	q := explain.Question{Prompt: markerTask(t).Item(0, 0, 0).Text, Seed: 3}
	x := faithful.Robust{Methods: []explain.Method{faithful.Random{}, perturb.Occlusion{}}, Radius: 0.01, Samples: 3}
	got := must[*explain.Matrix](t)(explain.ExplainMatrix(ctx, m, q, x))
	explaintest.CheckMatrix(t, got)
	noise := faithful.Noise{Radius: x.Radius, Samples: x.Samples, Seed: q.Seed}
	check(t, "random scores move", got.Values[0][1], 0)
	check(t, "occlusion moves", got.Values[1][1],
		must[float64](t)(faithful.EmbeddingSensitivity(ctx, m, perturb.Occlusion{}, q, noise)))
	random, occlusion := got.Values[0][0], got.Values[1][0]
	if occlusion < 0 || occlusion >= random || random > 1 {
		t.Errorf("occlusion misses %v of what changes, random scores %v", occlusion, random)
	}
	x.Radius = -1
	if _, err := explain.ExplainMatrix(ctx, m, q, x); err == nil || !strings.Contains(err.Error(), "radius") {
		t.Errorf("a radius of -1: %v", err)
	}
	if _, err := explain.ExplainMatrix(ctx, m, q, faithful.Robust{}); err == nil ||
		!strings.Contains(err.Error(), "no method is given") {
		t.Errorf("got error %v", err)
	}
}

// failing is a method that never succeeds.
type failing struct{}

func (failing) Name() string { return "failing" }

func (failing) Score(context.Context, *explain.Problem) (explain.Scores, error) {
	return explain.Scores{}, errors.New("this method cannot explain an LSTM")
}

func TestRowsToCompareWith(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		ids := explaintest.IDs()
		q := explain.Question{IDs: ids, Seed: 1}
		rare := faithful.Rarest{Counts: map[token.ID]int{4: 9, 1: 9, 12: 9, 7: 2, 0: 0, 9: 9}}
		for _, method := range []explain.Method{faithful.Random{}, faithful.Longest{}, rare} {
			explaintest.Check(t, must[*explain.Attribution](t)(explaintest.Explain(ctx, m, q, method)))
		}
		scores := func(method explain.Method, q explain.Question) []float64 {
			return must[*explain.Attribution](t)(explaintest.Explain(ctx, m, q, method)).Scores
		}
		other := q
		other.Seed = 2
		if a, b, c := scores(faithful.Random{}, q), scores(faithful.Random{}, q),
			scores(faithful.Random{}, other); !slices.Equal(a, b) || slices.Equal(a, c) {
			t.Errorf("%s: seed 1 draws %v and %v, seed 2 %v", name, a, b, c)
		}
		// Texts are "#4", "#1", "#12", ...
		if got := scores(faithful.Longest{}, q); !slices.Equal(got, []float64{2, 2, 3, 2, 2, 2, 2}) {
			t.Errorf("%s: lengths %v", name, got)
		}
		got := scores(rare, q)
		for i, id := range ids {
			check(t, fmt.Sprintf("%s: the rarity of token %d", name, i), got[i],
				-math.Log(float64(rare.Counts[id]+1)/float64(9*4+2+13)))
		}
	}
}

// The gradient of a saturated unit points to what is not there.
func TestSaturatedModel(t *testing.T) {
	m := markerModel(t, 1, -1, 0)
	item := markerTask(t).Item(0, 0, 0)
	a := must[*explain.Attribution](t)(explaintest.Explain(ctx, m, explain.Question{Prompt: item.Text},
		gradient.Saliency{}))
	if f := must[faithful.Finding](t)(faithful.Find(a.Scores, item.Cause)); f.Precision != 0 ||
		f.MeanRank != float64(len(a.Scores)) {
		t.Errorf("saliency %v finds %v: %+v", a.Scores, item.Cause, f)
	}
}
