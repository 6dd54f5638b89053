package explain_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/lm"
)

// fixed is a method that scores without the model, and remembers the problem that it got.
type fixed struct {
	scores explain.Scores
	seen   *[]*explain.Problem
}

func (fixed) Name() string { return "fixed" }

func (f fixed) Score(_ context.Context, p *explain.Problem) (explain.Scores, error) {
	*f.seen = append(*f.seen, p)
	return f.scores, nil
}

// All methods of a question share one preparation and one measurement of the evidence, however many they are.
func TestExplainPreparesOnce(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, baseline := range []string{"mean", "mean,#3"} {
			q := explain.Question{IDs: explaintest.IDs(), Baseline: baseline}
			var seen []*explain.Problem
			falling, rising := []float64{7, 6, 5, 4, 3, 2, 1}, []float64{1, 2, 3, 4, 5, 6, 7}
			one, other := fixed{explain.Scores{Values: falling}, &seen}, fixed{explain.Scores{Values: rising}, &seen}
			as, err := explain.Explain(context.Background(), m, q, one, other, one, one)
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) != 4 || slices.ContainsFunc(seen, func(p *explain.Problem) bool { return p != seen[0] }) {
				t.Fatalf("%s: %d problems were made for four methods", name, len(seen))
			}
			// The input and the baselines, before and after the target is known; six random sets; the top features of each
			// of two orders, and all others.
			n := len(seen[0].Baselines)
			if got, want := seen[0].Cost().ForwardRows, 2*(1+n)+(6+2*2)*n; got != want {
				t.Errorf("%s, %s: %d rows for four methods that ask nothing, want %d", name, baseline, got, want)
			}
			alone, err := explaintest.Explain(context.Background(), m, q, one)
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range as {
				explaintest.Check(t, a)
				if a.Cost.ForwardRows != alone.Cost.ForwardRows || a.Cost.EstimatedRows != a.Cost.ForwardRows {
					t.Errorf("%s: method %d of four costs %+v, alone %+v", name, i, a.Cost, alone.Cost)
				}
			}
			if !near(as[0].Evidence.Necessity, alone.Evidence.Necessity) ||
				!near(as[3].Evidence.Sufficiency, alone.Evidence.Sufficiency) {
				t.Errorf("%s: the evidence is %+v among others, %+v alone", name, as[0].Evidence.Necessity,
					alone.Evidence.Necessity)
			}
		}
	}
}

func near(a, b *explain.Deletion) bool {
	return math.Abs(a.Value-b.Value) < 1e-5 && slices.Equal(a.Features, b.Features) && a.Decision == b.Decision &&
		a.Flips == b.Flips
}

// choosy is a method that suits nothing.
type choosy struct{ fixed }

func (choosy) Suits(*lm.Model, explain.Question) error { return errors.New("choosy: not this model") }

// A method that does not suit the model, or returns what cannot be reported, is an error that says so.
func TestExplainErrors(t *testing.T) {
	m := explaintest.Models(t)["lstm"]
	q := explain.Question{IDs: explaintest.IDs()}
	var seen []*explain.Problem
	fine := make([]float64, 7)
	for _, tt := range []struct {
		method explain.Method
		want   string
	}{
		{fixed{explain.Scores{Values: fine[:3]}, &seen}, "fixed: 3 scores for 7 features"},
		{fixed{explain.Scores{Values: []float64{0, 0, math.NaN(), 0, 0, 0, 0}}, &seen},
			"fixed: the score of feature 2 is NaN"},
		{fixed{explain.Scores{Values: fine, Spread: []float64{math.Inf(1)}}, &seen}, "fixed: the score of feature 0 is +Inf"},
		{fixed{explain.Scores{Values: fine, Settings: func() {}}, &seen}, "unsupported type"},
	} {
		if _, err := explain.Explain(context.Background(), m, q, tt.method); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
	seen = nil
	ok := fixed{explain.Scores{Values: fine}, &seen}
	if _, err := explain.Explain(context.Background(), m, q, ok, choosy{}); err == nil || len(seen) != 0 {
		t.Errorf("got error %v after %d methods had run, want one before any", err, len(seen))
	}
}

// With several baselines, the first choice is that of one of them, and the evidence says of which.
func TestDecisionNamesItsBaseline(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	for baseline, want := range map[string]string{"#3": "", "#5,mean": "#5", "mean,#5": "mean"} {
		q := explain.Question{IDs: explaintest.IDs(), Baseline: baseline}
		a, err := explaintest.Explain(context.Background(), m, q, gradient.Saliency{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []*explain.Deletion{a.Evidence.Necessity, a.Evidence.Sufficiency} {
			if d.Baseline != want {
				t.Errorf("baseline %s: the decision is said to be with %q, want %q", baseline, d.Baseline, want)
			}
		}
		if want != "" {
			q.Baseline = want
			alone, err := explaintest.Explain(context.Background(), m, q, gradient.Saliency{})
			if err != nil {
				t.Fatal(err)
			}
			if alone.Evidence.Necessity.Decision != a.Evidence.Necessity.Decision {
				t.Errorf("baseline %s: decision %q, with the first alone %q", baseline, a.Evidence.Necessity.Decision,
					alone.Evidence.Necessity.Decision)
			}
		}
	}
}

// What was not measured is absent, and what was measured as 0 is 0.
func TestRandomDropOfZero(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	// Every token is its own baseline: no deletion changes anything.
	q := explain.Question{IDs: slices.Repeat(explaintest.IDs()[:1], 5), Baseline: "#4"}
	a, err := explaintest.Explain(context.Background(), m, q, gradient.Saliency{})
	if err != nil {
		t.Fatal(err)
	}
	zero := 0.0
	a.Evidence.Necessity.Random = &zero
	var b bytes.Buffer
	if err := explain.Write(&b, a); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), `"random": 0`); n != 1 {
		t.Errorf("%d drops of zero were written, want that of the necessity:\n%s", n, b.String())
	}
	back, err := explain.Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if e := back[0].Evidence; e.Necessity.Random == nil || *e.Necessity.Random != 0 || e.Sufficiency.Random != nil {
		t.Errorf("read back %v for the necessity, %v for the sufficiency", e.Necessity.Random, e.Sufficiency.Random)
	}
}

// Files that were written before attributions carried their promise are read, and written again as they were.
func TestReadSchema1(t *testing.T) {
	data, err := os.ReadFile("testdata/schema1.json")
	if err != nil {
		t.Fatal(err)
	}
	as, err := explain.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := explain.Write(&b, as...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), data) {
		t.Error("an old file changes when it is read and written")
	}
	for _, a := range as {
		p := a.Promised()
		switch a.Method.Name {
		case "saliency":
			if p != nil {
				t.Errorf("saliency promises %+v", p)
			}
		case "attn-lrp":
			if p == nil || p.Of != explain.Difference || math.Abs(p.Total-(a.Value-a.Base)) > 1e-9 {
				t.Errorf("attn-lrp promises %+v, want value - base of %v and %v", p, a.Value, a.Base)
			}
		case "sequential-ig":
			if p == nil || p.Of == explain.Difference || math.Abs(p.Total-(a.Value-a.Base)) < 1e-3 {
				t.Errorf("sequential-ig promises %+v, which is not value - base of %v and %v", p, a.Value, a.Base)
			}
		}
	}
}

// Sequential integrated gradients add up to what each feature alone is worth, and say so: that is not value - base.
func TestSequentialPromise(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "#5"}
		p, err := explain.Prepare(context.Background(), m, q)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0
		all := explain.All(len(p.Features))
		for f := range p.Features {
			v, err := p.Game().Values(context.Background(), []explain.Coalition{all.Without(f)})
			if err != nil {
				t.Fatal(err)
			}
			want += p.Value - v[0]
		}
		a, err := explaintest.Explain(context.Background(), m, q, gradient.Sequential{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Promise == nil || math.Abs(a.Promise.Total-want) > 1e-5 || a.Promise.Of == explain.Difference ||
			math.Abs(want-(a.Value-a.Base)) < 1e-3 {
			t.Errorf("%s: the scores are said to add up to %+v, want %v; value - base is %v", name, a.Promise, want,
				a.Value-a.Base)
		}
		sum := 0.0
		for _, s := range a.Scores {
			sum += s
		}
		if c := a.Evidence.Completeness; !c.Holds || math.Abs(sum-a.Promise.Total-c.Error) > 1e-9 {
			t.Errorf("%s: completeness %+v of a sum of %v and a promise of %v", name, c, sum, a.Promise.Total)
		}
	}
}

// counted is a game that counts what it is asked for.
type counted struct{ asked, calls int }

func (*counted) Features() int { return 3 }

func (c *counted) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	c.calls++
	out := make([]float64, len(of))
	for i, x := range of {
		c.asked++
		out[i] = float64(3 - len(x.Absent()))
	}
	return out, nil
}

func TestMemory(t *testing.T) {
	g := &counted{}
	m := explain.Remember(g)
	all, none, first := explain.All(3), explain.Only(3), explain.Only(3, 0)
	for range 2 {
		got, err := m.Values(context.Background(), []explain.Coalition{all, none, all, first,
			first.Complement().Complement()})
		if err != nil || !slices.Equal(got, []float64{3, 0, 3, 1, 1}) {
			t.Errorf("values %v, %v", got, err)
		}
	}
	if g.asked != 3 || g.calls != 1 || m.Asked() != 3 || !m.Knows(none) || m.Knows(all.Without(1)) {
		t.Errorf("%d coalitions were asked for in %d calls, %d are remembered; want 3 in one", g.asked, g.calls, m.Asked())
	}
	// A memory around a memory counts its own questions only.
	outer := explain.Remember(m)
	if _, err := outer.Values(context.Background(), []explain.Coalition{all, all.Without(2)}); err != nil {
		t.Fatal(err)
	}
	if outer.Asked() != 2 || m.Asked() != 4 || g.asked != 4 {
		t.Errorf("outer asked %d, inner %d, the game was asked %d", outer.Asked(), m.Asked(), g.asked)
	}
}
