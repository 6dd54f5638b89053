package net_test

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// settings are those of a choice: temperature 0 is greedy, topK 0 and topP 0 are no filter.
type settings struct {
	temperature float64
	topK        int
	topP        float64
}

// chooser is the compiled choice, for each kind of settings.
type chooser struct {
	engine   *backend.Engine
	programs map[[3]bool]*program.Program
}

func newChooser(e *backend.Engine) *chooser { return &chooser{e, map[[3]bool]*program.Program{}} }

// fataler is testing.T and rapid.T.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// choose returns the choice in rows of logits by the draws.
func (x *chooser) choose(t fataler, rows [][]float32, s settings, draws []float32) (ids []int, logProbs []float32) {
	t.Helper()
	kind := [3]bool{s.temperature > 0, s.topK > 0, s.topP > 0}
	if x.programs[kind] == nil {
		p, err := program.New(x.engine, func(in []*graph.Node) []*graph.Node {
			logits, in := in[0], in[1:]
			take := func(is bool) (n *graph.Node) {
				if is {
					n, in = in[0], in[1:]
				}
				return n
			}
			ids, logProbs := net.Choose(logits, net.Sampling{Temperature: take(kind[0]), Draws: take(kind[0]),
				TopK: take(kind[1]), TopP: take(kind[2])})
			return []*graph.Node{graph.ConvertDType(ids, logits.DType()), logProbs}
		})
		if err != nil {
			t.Fatal(err)
		}
		x.programs[kind] = p
	}
	var in []*tensors.Tensor
	defer func() { program.Free(in...) }()
	put := func(data []float32, dims ...int) {
		a, err := program.Put(x.engine, data, dims...)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, a)
	}
	put(slices.Concat(rows...), len(rows), len(rows[0]))
	if kind[0] {
		put([]float32{float32(s.temperature)})
		put(draws, len(draws))
	}
	if kind[1] {
		put([]float32{float32(s.topK)})
	}
	if kind[2] {
		put([]float32{float32(s.topP)})
	}
	outs, _, err := x.programs[kind].Run(in)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Free(outs...)
	numbers, _, err := program.Copy(x.engine, outs[0])
	if err != nil {
		t.Fatal(err)
	}
	if logProbs, _, err = program.Copy(x.engine, outs[1]); err != nil {
		t.Fatal(err)
	}
	for _, id := range numbers {
		ids = append(ids, int(id))
	}
	return ids, logProbs
}

// probabilities returns softmax(logits / temperature).
func probabilities(logits []float32, temperature float64) []float64 {
	p, sum, top := make([]float64, len(logits)), 0.0, float64(slices.Max(logits))
	for i, x := range logits {
		p[i] = math.Exp((float64(x) - top) / temperature)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// kept returns the tokens that the filters leave, by their definitions: sort everything, cut, renormalise, cut.
func (s settings) kept(logits []float32) []int {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return logits[order[a]] > logits[order[b]] })
	if s.topK > 0 {
		order = order[:min(s.topK, len(order))]
	}
	if s.topP > 0 {
		p, total, sum := probabilities(logits, s.temperature), 0.0, 0.0
		for _, i := range order {
			total += p[i]
		}
		for n, i := range order {
			if sum += p[i]; sum >= s.topP*total {
				order = order[:n+1]
				break
			}
		}
	}
	slices.Sort(order)
	return order
}

// drawn returns the token at u when the probabilities of those that are kept stand end to end.
func (s settings) drawn(logits []float32, u float64) int {
	if s.temperature == 0 {
		return slices.Index(logits, slices.Max(logits))
	}
	p, kept, total, sum := probabilities(logits, s.temperature), s.kept(logits), 0.0, 0.0
	for _, i := range kept {
		total += p[i]
	}
	last := kept[0]
	for _, i := range kept {
		if p[i] > 0 {
			last = i
		}
		if sum += p[i]; sum > u*total {
			break
		}
	}
	return last
}

// The compiled choice is that of the definitions, unless a draw or a share falls within rounding of a border.
func TestChooseByDefinition(t *testing.T) {
	const rows, rounding = 8, 1e-5
	for _, e := range engines(t) {
		t.Run(e.Kind, func(t *testing.T) {
			x := newChooser(e)
			sizes := []int{1, 37}
			if e.Kind == backend.Go { // where nothing takes long to compile
				sizes = []int{1, 2, 3, 4, 5, 16, 17, 37, 150}
			}
			rapid.Check(t, func(t *rapid.T) {
				V := rapid.SampledFrom(sizes).Draw(t, "V")
				number := rapid.OneOf(rapid.Float32Range(-20, 20),
					rapid.Map(rapid.IntRange(-2, 2), func(i int) float32 { return float32(i) }),
					rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), 1e-30, -1e-30, 1e30, -1e30}))
				s := settings{
					temperature: rapid.SampledFrom([]float64{0, 0.05, 0.5, 1, 2, 100}).Draw(t, "temperature"),
					topK:        rapid.SampledFrom([]int{0, 0, 1, 2, 3, 10, 36, 37, 38, 1000}).Draw(t, "top-k"),
					topP:        rapid.SampledFrom([]float64{0, 0, 1e-9, 0.1, 0.5, 0.9, 0.999, 1}).Draw(t, "top-p"),
				}
				if s.temperature == 0 {
					s.topK, s.topP = 0, 0
				}
				var logits [][]float32
				var draws []float32
				for range rows {
					logits = append(logits, rapid.SliceOfN(number, V, V).Draw(t, "logits"))
					draws = append(draws, float32(rapid.Float64Range(0, 0.9999).Draw(t, "draw")))
				}
				ids, logProbs := x.choose(t, logits, s, draws)
				for i, l := range logits {
					var want []int
					for _, du := range []float64{0, -rounding, rounding} {
						for _, dp := range []float64{0, -rounding, rounding} {
							near := s
							if s.topP > 0 {
								near.topP = max(1e-12, s.topP+dp)
							}
							want = append(want, near.drawn(l, max(0, float64(draws[i])+du)))
						}
					}
					// Tokens between these are as likely as rounding, or less.
					if ids[i] < slices.Min(want) || ids[i] > slices.Max(want) || !slices.Contains(want, ids[i]) &&
						probabilities(l, s.temperature)[ids[i]] > 3*rounding {
						t.Fatalf("row %d: chose %d, want one of %v", i, ids[i], want)
					}
					if p := math.Log(probabilities(l, 1)[ids[i]]); !(math.Abs(float64(logProbs[i])-p) <= 1e-5*(1+math.Abs(p))) {
						t.Fatalf("row %d: token %d has log-probability %v, want %v", i, ids[i], logProbs[i], p)
					}
				}
			})
		})
	}
}

// Every draw of an even grid is made once: only the tokens that the filters leave come, each as often as its
// probability says, within one. All numbers here are exact in float32, so that ties and borders are decided by the
// definition.
func TestChooseIsExact(t *testing.T) {
	log := func(ps ...float64) (xs []float32) {
		for _, p := range ps {
			xs = append(xs, float32(math.Log(p)))
		}
		return xs
	}
	const n = 400
	for _, e := range engines(t) {
		x := newChooser(e)
		for _, c := range []struct {
			logits []float32
			s      settings
			want   []int
		}{
			{log(.1, .4, .3, .2), settings{1, 0, 0}, []int{0, 1, 2, 3}},
			{log(.1, .4, .3, .2), settings{1, 2, 0}, []int{1, 2}},
			{log(.1, .4, .3, .2), settings{1, 9, 0}, []int{0, 1, 2, 3}},
			{log(.1, .4, .3, .2), settings{1, 0, .39}, []int{1}},
			{log(.1, .4, .3, .2), settings{1, 0, .41}, []int{1, 2}},
			{log(.1, .4, .3, .2), settings{1, 0, .95}, []int{0, 1, 2, 3}},
			{log(.1, .4, .3, .2), settings{1, 2, .56}, []int{1}}, // .4 of .7
			{log(.1, .4, .3, .2), settings{1, 0, 1e-300}, []int{1}},
			{log(.1, .4, .3, .2), settings{1e-3, 0, .99}, []int{1}}, // after the temperature
			{[]float32{5, 5, 5, 5}, settings{1, 0, .5}, []int{0, 1}},
			{[]float32{5, 5, 5, 5}, settings{1, 0, .51}, []int{0, 1, 2}},
			{[]float32{5, 5, 5, 5}, settings{3, 3, 0}, []int{0, 1, 2}},
			{[]float32{5, 5, 5, 5}, settings{3, 4, .25}, []int{0}},
			{[]float32{-1, 5, -7, 5}, settings{1, 1, 0}, []int{1}},
			{[]float32{0, float32(math.Copysign(0, -1)), 0, -1}, settings{1, 2, 0}, []int{0, 1}},
			{[]float32{-300, 0, -300, 0}, settings{1, 0, 0}, []int{1, 3}}, // no weight, no choice
			{[]float32{-3, -2, -1, -3}, settings{0, 0, 0}, []int{2}},
			{[]float32{-3, 7, -1, 7}, settings{0, 0, 0}, []int{1}},
		} {
			rows, draws := make([][]float32, n), make([]float32, n)
			for i := range rows {
				rows[i], draws[i] = c.logits, (float32(i)+.5)/n
			}
			ids, _ := x.choose(t, rows, c.s, draws)
			p, total := []float64{1, 1, 1, 1}, 1.0
			if c.s.temperature > 0 {
				p, total = probabilities(c.logits, c.s.temperature), 0
				for _, i := range c.want {
					total += p[i]
				}
			}
			count := map[int]int{}
			for _, id := range ids {
				count[id]++
			}
			for id, k := range count {
				if !slices.Contains(c.want, id) || math.Abs(float64(k)-n*p[id]/total) > 1.001 {
					t.Errorf("%s: %v, %+v: token %d came %d times of %d: %v", e.Kind, c.logits, c.s, id, k, n, count)
				}
			}
			if len(count) != len(c.want) {
				t.Errorf("%s: %v, %+v: %v came, want %v", e.Kind, c.logits, c.s, count, c.want)
			}
		}
	}
}

func TestChooseAtTheEnds(t *testing.T) {
	// Weights 0, 1, 3, 0.
	logits := []float32{-400, float32(math.Log(1)), float32(math.Log(3)), -400}
	for _, e := range engines(t) {
		draws := []float32{0, .2499, .2501, math.Nextafter32(1, 0), 1}
		ids, _ := newChooser(e).choose(t, [][]float32{logits, logits, logits, logits, logits}, settings{temperature: 1},
			draws)
		if want := []int{1, 1, 2, 2, 2}; !slices.Equal(ids, want) {
			t.Errorf("%s: at %v: tokens %v, want %v", e.Kind, draws, ids, want)
		}
	}
}

func TestChooseTellsWhatIsNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	rows := [][]float32{{1, nan, 2}, {1, inf, 2}, {1, -inf, 2}, {nan, nan, nan}, {1, 0, 2}}
	for _, e := range engines(t) {
		x := newChooser(e)
		for _, s := range []settings{{}, {1, 0, 0}, {1, 2, .9}} {
			ids, logProbs := x.choose(t, rows, s, []float32{.1, .5, .5, .9, .5})
			for i, p := range logProbs {
				if finite := p-p == 0; finite != (i == 4) || ids[i] < 0 || ids[i] > 2 {
					t.Errorf("%s, %+v: %v gives token %d with %v", e.Kind, s, rows[i], ids[i], p)
				}
			}
		}
	}
}

// BenchmarkChoose is the choice alone, of 10,000 tokens.
func BenchmarkChoose(b *testing.B) {
	const V = 10000
	logits := make([]float32, V)
	for i := range logits {
		logits[i] = float32(5 * math.Sin(float64(i*i)))
	}
	for _, s := range []settings{{}, {1, 0, 0}, {1, 40, 0}, {1, 0, .9}, {1, 40, .9}} {
		b.Run(fmt.Sprintf("temperature=%v,k=%d,p=%v", s.temperature, s.topK, s.topP), func(b *testing.B) {
			x := newChooser(backendtest.Engine(b))
			x.choose(b, [][]float32{logits}, s, []float32{.5})
			for b.Loop() {
				x.choose(b, [][]float32{logits}, s, []float32{.5})
			}
		})
	}
}
