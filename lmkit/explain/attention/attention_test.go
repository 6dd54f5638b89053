package attention

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

var bg = context.Background()

// methods is all of them; those with settings of their own are set.
var methods = []method{Raw{}, Raw{Layers: []int{1}, Heads: []int{0}}, Rollout{}, Flow{}, Gradient{}, ValueZeroing{},
	ValueZeroing{Layers: []int{0}}, Norm{},
	Norm{Layers: []int{1}}, ALTI{}}

func prepare(t *testing.T, q explain.Question) *explain.Problem {
	t.Helper()
	p, err := explain.Prepare(bg, explaintest.Models(t)["gpt2"], q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every method's attribution is the last row of its matrix, whose rows are shares of what came before.
func TestMethods(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	for _, method := range methods {
		for _, n := range []int{1, 7} {
			q := explain.Question{IDs: explaintest.IDs()[:n]}
			a, err := explaintest.Explain(bg, m, q, method)
			if err != nil {
				t.Fatal(err)
			}
			explaintest.Check(t, a)
			if a.Evidence.Completeness != nil {
				t.Errorf("%s claims to be complete", method.Name())
			}
			x, err := method.weights(bg, prepare(t, q))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := method.(Gradient); ok {
				x[n-1][n-1]--
			} else {
				isShare(t, x)
			}
			equal(t, [][]float64{a.Scores}, x[n-1:])
			all, err := explain.ExplainMatrix(bg, m, q, method)
			if err != nil {
				t.Fatal(err)
			}
			explaintest.CheckMatrix(t, all)
			equal(t, [][]float64{a.Scores}, all.Values[n-1:])
			if _, weighted := method.(Gradient); all.Unit != a.Unit || (all.Promise == nil) != weighted || !weighted &&
				!all.Evidence.Completeness.Holds {
				t.Errorf("%s: a matrix in %s that promises %+v: %+v", method.Name(), all.Unit, all.Promise,
					all.Evidence.Completeness)
			}
		}
	}
}

func TestFeaturesGetWhatTheirTokensGet(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	for _, method := range methods {
		single, err := explaintest.Explain(bg, m, explain.Question{IDs: explaintest.IDs()}, method)
		if err != nil {
			t.Fatal(err)
		}
		grouped, err := explaintest.Explain(bg, m, explain.Question{IDs: explaintest.IDs(), Groups: [][]int{{0, 6}, {2, 3}}},
			method)
		if err != nil {
			t.Fatal(err)
		}
		s := single.Scores
		equal(t, [][]float64{grouped.Scores}, [][]float64{{s[0] + s[6], s[2] + s[3]}})
	}
}

// The mean of patterns is the mean of patterns.
func TestRaw(t *testing.T) {
	p := prepare(t, explain.Question{IDs: explaintest.IDs()})
	at, err := p.Model.Trace(bg, [][]token.ID{p.IDs}, []lm.Tap{"block.0.attn.pattern", "block.1.attn.pattern"})
	if err != nil {
		t.Fatal(err)
	}
	x, err := Raw{}.weights(bg, p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x {
		for j := range x[i] {
			want := 0.0
			for _, a := range at {
				for h := range 2 {
					want += float64(a.Index(0, h, i).Data[j]) / 4
				}
			}
			if math.Abs(x[i][j]-want) > 1e-6 {
				t.Errorf("token %d reads %v of %d, want %v", i, x[i][j], j, want)
			}
		}
	}
}

// What the tokens bring, and the bias, add up to what attention puts out, and to the residual stream after it.
func TestReadsReconstruct(t *testing.T) {
	p := prepare(t, explain.Question{IDs: explaintest.IDs()})
	rs, err := reads(bg, p, []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	for l, r := range rs {
		weight := func(name string) lm.Array {
			w, err := p.Model.Weight(fmt.Sprintf("block.%d.attn.%s", l, name))
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		out, values, matrix := weight("out.bias").Data, weight("v.bias").Data, weight("out.weight")
		for i := range p.IDs {
			for _, biased := range []bool{false, true} {
				for d, want := range r.out.Index(i).Data {
					got := float64(r.in.Index(i).Data[d]) + float64(out[d])
					for _, part := range r.parts(i, biased) {
						got += part[d]
					}
					for k, x := range matrix.Index(d).Data {
						if !biased { // a pattern's rows add up to 1: the values' bias comes through as it is
							got += float64(values[k]) * float64(x)
						}
					}
					if math.Abs(got-float64(want)) > 1e-5 {
						t.Fatalf("layer %d, token %d: the parts add up to %v, want %v", l, i, got, want)
					}
				}
			}
		}
	}
}

// The same in models with groups of keys and values, with norms after attention and over sums, and without biases.
// Only a norm's own bias belongs to no part.
func TestReadsOfFamilies(t *testing.T) {
	for _, name := range []string{"llama", "mistral", "gemma2", "olmo2", "gpt_neox", "opt-post", "phi3"} {
		t.Run(name, func(t *testing.T) {
			m, err := lm.Open(backendtest.PureGo(t), filepath.Join("..", "..", "lm", "testdata", "families", name))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			p, err := explain.Prepare(bg, m, explain.Question{IDs: explaintest.IDs()})
			if err != nil {
				t.Fatal(err)
			}
			rs, err := reads(bg, p, []int{0, 1})
			if err != nil {
				t.Fatal(err)
			}
			for l, r := range rs {
				bias := func(name string) []float64 {
					b, err := optional(m, in(l, name))
					if err != nil {
						t.Fatal(err)
					}
					return append(float64s(b), make([]float64, r.in.Dims[1]-len(b))...)
				}
				after := make([]float64, r.in.Dims[1])
				if r.after.is {
					after = bias("ln1_post.bias")
				}
				var mid lm.Array
				if _, err := m.Tap(in(l, "resid.mid")); err == nil {
					a, err := p.Run(bg, lm.Query{Rows: [][]token.ID{p.IDs}, Taps: []lm.Tap{in(l, "resid.mid")}})
					if err != nil {
						t.Fatal(err)
					}
					mid = a.At[in(l, "resid.mid")].Index(0)
				}
				for i := range p.IDs {
					stays, constant := float64s(r.in.Index(i).Data), bias("attn.out.bias")
					if r.after.sum {
						r.after.through(i, stays)
					}
					r.after.through(i, constant)
					for d, want := range r.out.Index(i).Data {
						got := stays[d] + constant[d]
						for _, part := range r.parts(i, true) {
							got += part[d]
						}
						if mid.Data != nil && math.Abs(float64(mid.Index(i).Data[d])-after[d]-got) > 1e-4 {
							t.Fatalf("layer %d, token %d: the parts add up to %v, want %v", l, i, got, mid.Index(i).Data[d])
						}
						if math.Abs(got-float64(want)) > 1e-4 {
							t.Fatalf("layer %d, token %d: the parts add up to %v, want %v", l, i, got, want)
						}
					}
				}
			}
		})
	}
}

// Contributions are found one edit at a time, each in a run of its own.
func TestValueZeroingByHand(t *testing.T) {
	p := prepare(t, explain.Question{IDs: explaintest.IDs()})
	got, err := zeroed(bg, p, []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	for l := range 2 {
		out := fmt.Sprintf("block.%d.resid.post", l)
		clean, err := p.Model.Trace(bg, [][]token.ID{p.IDs}, []lm.Tap{out})
		if err != nil {
			t.Fatal(err)
		}
		for j := range p.IDs {
			x, err := p.Model.Trace(bg, [][]token.ID{p.IDs}, []lm.Tap{out}, lm.Edit{Tap: fmt.Sprintf("block.%d.attn.v", l),
				Positions: []int{j}})
			if err != nil {
				t.Fatal(err)
			}
			for i := range p.IDs {
				want := distance(clean[out].Index(0, i).Data, x[out].Index(0, i).Data)
				if math.Abs(got[l][i][j]-want) > 1e-6 || j <= i && want == 0 {
					t.Errorf("layer %d: without token %d, token %d turns by %v, want %v", l, j, i, got[l][i][j], want)
				}
			}
		}
	}
}

// The weights are pattern times gradient, the positive part: here the long way round for two layers of two heads.
func TestGradientByHand(t *testing.T) {
	p := prepare(t, explain.Question{IDs: explaintest.IDs()})
	x, err := Gradient{}.weights(bg, p)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Model.Gradient(bg, [][]token.ID{p.IDs}, []lm.Objective{p.Objective},
		[]lm.Tap{"block.0.attn.pattern", "block.1.attn.pattern"})
	if err != nil {
		t.Fatal(err)
	}
	weight := func(l, i, j int) float64 {
		tap, sum := patternTap(l), 0.0
		for h := range 2 {
			sum += max(0, float64(g.At[tap].Index(0, h, i).Data[j])*float64(g.Grad[tap].Index(0, h, i).Data[j])) / 2
		}
		return sum
	}
	T := len(p.IDs)
	for j := range T - 1 {
		want := weight(0, T-1, j) + weight(1, T-1, j)
		for k := range T {
			want += weight(1, T-1, k) * weight(0, k, j)
		}
		if math.Abs(x[T-1][j]-want) > 1e-6 {
			t.Errorf("token %d has %v, want %v", j, x[T-1][j], want)
		}
	}
}

// What is asked decides gradient-weighted attention, and no other method.
func TestOnlyGradientDependsOnTheTarget(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	for _, method := range methods {
		var scores [][]float64
		for _, target := range []token.ID{2, 6} {
			a, err := explaintest.Explain(bg, m, explain.Question{IDs: explaintest.IDs(), Target: []token.ID{target},
				Objective: explain.LogProb}, method)
			if err != nil {
				t.Fatal(err)
			}
			scores = append(scores, a.Scores)
		}
		if _, depends := method.(Gradient); slices.Equal(scores[0], scores[1]) == depends {
			t.Errorf("%s: %v for one target, %v for another", method.Name(), scores[0], scores[1])
		}
	}
}

// XLA and the pure-Go engine agree.
func TestOnXLA(t *testing.T) {
	pure := explaintest.Models(t)["gpt2"]
	ws, err := pure.Weights()
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.FromWeights(backendtest.Engine(t), pure.Config(), nil, ws)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, method := range []explain.Method{Gradient{}, ValueZeroing{}, ALTI{}} {
		var as []*explain.Attribution
		for _, m := range []*lm.Model{pure, m} {
			a, err := explaintest.Explain(bg, m, explain.Question{IDs: explaintest.IDs()}, method)
			if err != nil {
				t.Fatal(err)
			}
			as = append(as, a)
		}
		for i, s := range as[0].Scores {
			if math.Abs(s-as[1].Scores[i]) > 1e-4 {
				t.Errorf("%s: token %d has %v in Go, %v on XLA", method.Name(), i, s, as[1].Scores[i])
			}
		}
	}
}

// An LSTM is an error before anything is compiled: a closed model compiles nothing.
func TestErrors(t *testing.T) {
	lstm, gpt2 := explaintest.Models(t)["lstm"], explaintest.Models(t)["gpt2"]
	lstm.Close()
	q := explain.Question{IDs: explaintest.IDs()}
	for _, method := range methods {
		if _, err := explaintest.Explain(bg, lstm, q, method); err == nil ||
			!strings.Contains(err.Error(), "which has no attention: use deeplift") {
			t.Errorf("%s: got error %v", method.Name(), err)
		}
	}
	for _, tt := range []struct {
		method method
		want   string
	}{
		{Raw{Layers: []int{2}}, "no layer 2; there are 0 to 1"},
		{Raw{Heads: []int{-1}}, "no head -1"},
		{Raw{Heads: []int{}}, "no head is chosen"},
		{Norm{Layers: []int{7}}, "no layer 7"},
		{ValueZeroing{Layers: []int{7}}, "no layer 7"},
	} {
		if _, err := explaintest.Explain(bg, gpt2, q, tt.method); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.method, err, tt.want)
		}
	}
}

// Of one layer the matrix has each head's pattern beside their mean, and each is what the head alone gives.
func TestHeadsOfALayer(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	q := explain.Question{IDs: explaintest.IDs()}
	for _, x := range []Raw{{Layers: []int{1}}, {Layers: []int{0}, Heads: []int{1, 0}}} {
		all, err := explain.ExplainMatrix(bg, m, q, x)
		if err != nil {
			t.Fatal(err)
		}
		heads, err := chosen("head", x.Heads, m.Config().Heads)
		if err != nil || len(all.More) != len(heads) {
			t.Fatalf("%d heads of %d (%v)", len(all.More), len(heads), err)
		}
		var patterns [][][]float64
		for i, h := range heads {
			one, err := explain.ExplainMatrix(bg, m, q, Raw{Layers: x.Layers, Heads: []int{h}})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, all.More[i].Values, one.Values)
			if want := fmt.Sprintf("head %d of layer %d", h, x.Layers[0]); !strings.HasSuffix(one.About, want) ||
				all.More[i].Name != fmt.Sprintf("head %d", h) || len(one.More) > 0 {
				t.Errorf("%q, beside %q: want %s", one.About, all.More[i].Name, want)
			}
			patterns = append(patterns, one.Values)
		}
		equal(t, all.Values, Mean(patterns...))
	}
}
