package numerics_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/combin"
	"pgregory.net/rapid"

	"lmkit.internal/lmkit/internal/numerics"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*(1+math.Abs(a)) }

func TestJackknifeOfAMean(t *testing.T) {
	// The jackknife of a mean is the usual standard error.
	x := []float64{1, 2, 4, 9}
	var without [][]float64
	for i := range x {
		without = append(without, []float64{(16 - x[i]) / 3})
	}
	want := math.Sqrt((9 + 4 + 0 + 25) / 3. / 4)
	if got := numerics.Jackknife(without)[0]; !near(got, want, 1e-12) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// data returns rows, outputs and weights at random.
func data(n, M int, seed uint64) (X [][]float64, y, w []float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for range n {
		row := make([]float64, M)
		for i := range row {
			row[i] = math.Round(rng.Float64()*8) / 4
		}
		X, y, w = append(X, row), append(y, 3+rng.NormFloat64()+2*row[0]), append(w, 0.1+rng.Float64())
	}
	return X, y, w
}

// At the fit, what remains is at right angles to every column, but for the ridge.
func TestRidgeSolvesItsEquations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, M := rapid.IntRange(1, 40).Draw(t, "rows"), rapid.IntRange(1, 8).Draw(t, "columns")
		alpha := rapid.SampledFrom([]float64{0.01, 1, 30}).Draw(t, "alpha")
		X, y, w := data(n, M, rapid.Uint64().Draw(t, "seed"))
		columns := rand.New(rand.NewPCG(1, 1)).Perm(M)[:rapid.IntRange(1, M).Draw(t, "chosen")]
		// The sums of two parts are those of the whole.
		m := numerics.NewMoments(M, X[:n/2], y, w)
		m.Add(1, numerics.NewMoments(M, X[n/2:], y[n/2:], w[n/2:]))
		line := m.Ridge(columns, alpha)
		rest, total, sum := 0.0, 0.0, 0.0
		mean := 0.0
		for k := range X {
			sum += w[k]
			mean += w[k] * y[k]
		}
		mean /= sum
		angle, offset := make([]float64, len(columns)), 0.0
		for k, row := range X {
			r := y[k] - line.Intercept
			for i, c := range columns {
				r -= line.Coef[i] * row[c]
			}
			offset += w[k] * r
			for i, c := range columns {
				angle[i] += w[k] * r * row[c]
			}
			rest += w[k] * r * r
			total += w[k] * (y[k] - mean) * (y[k] - mean)
		}
		if !near(offset, 0, 1e-8) {
			t.Fatalf("the residuals add up to %v", offset)
		}
		for i := range columns {
			if !near(angle[i], alpha*line.Coef[i], 1e-8) {
				t.Fatalf("column %d: %v, want %v", i, angle[i], alpha*line.Coef[i])
			}
		}
		if n > 1 && !near(line.R2, 1-rest/total, 1e-8) {
			t.Fatalf("R2 is %v, want %v", line.R2, 1-rest/total)
		}
	})
}

// Two equal columns share without a ridge; a constant y is fitted by the intercept.
func TestRidgeOfSingularData(t *testing.T) {
	X := [][]float64{{0, 0}, {1, 1}, {2, 2}}
	line := numerics.NewMoments(2, X, []float64{1, 3, 5}, []float64{1, 1, 1}).Ridge([]int{0, 1}, 0)
	if !near(line.Coef[0], 1, 1e-4) || !near(line.Coef[1], 1, 1e-4) || !near(line.R2, 1, 1e-6) {
		t.Errorf("got %+v", line)
	}
	line = numerics.NewMoments(2, X, []float64{4, 4, 4}, []float64{1, 1, 1}).Ridge([]int{0, 1}, 1)
	if line.Intercept != 4 || line.Coef[0] != 0 || line.R2 != 1 {
		t.Errorf("got %+v", line)
	}
}

func ones(n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 1
	}
	return w
}

// Quinlan's fourteen days: outlook sunny, overcast, rain as three columns; humid; windy; and whether to play. The best
// first split by the Gini index is overcast: it takes the impurity from 0.4592 to 0.3571.
func TestGrowOnAKnownTable(t *testing.T) {
	X := [][]float64{{1, 0, 0, 1, 0}, {1, 0, 0, 1, 1}, {0, 1, 0, 1, 0}, {0, 0, 1, 1, 0}, {0, 0, 1, 0, 0}, {0, 0, 1, 0, 1},
		{0, 1, 0, 0, 1}, {1, 0, 0, 1, 0}, {1, 0, 0, 0, 0}, {0, 0, 1, 0, 0}, {1, 0, 0, 0, 1}, {0, 1, 0, 1, 1},
		{0, 1, 0, 0, 0}, {0, 0, 1, 1, 1}}
	var Y [][]float64
	for _, c := range "nnyyynynyyyyyn" {
		y := 0.0
		if c == 'y' {
			y = 1
		}
		Y = append(Y, []float64{y, 1 - y})
	}
	root, err := numerics.Grow(X, Y, ones(14), numerics.Growth{Depth: 4})
	if err != nil {
		t.Fatal(err)
	}
	if root.Feature != 1 || root.High.Mean[0] != 1 || root.High.Rows != 4 || !near(root.Mean[0], 9./14, 1e-12) {
		t.Errorf("the root asks for %d: %+v", root.Feature, root)
	}
	// Where it is not overcast, humidity decides next: 5 of 10 play, 4 of 5 dry days and 1 of 5 humid ones.
	if n := root.Low; n.Feature != 3 || n.Low.Mean[0] != 0.8 || n.High.Mean[0] != 0.2 {
		t.Errorf("then for %d: %+v", n.Feature, n)
	}
	for i, x := range X { // outlook, humidity and wind tell all days apart
		if leaf := root.Leaf(x); leaf.Mean[0] != Y[i][0] {
			t.Errorf("day %d ends in %+v", i, leaf)
		}
	}
}

func TestGrowStops(t *testing.T) {
	X := [][]float64{{0}, {1}, {2}, {3}}
	Y := [][]float64{{0}, {0}, {5}, {5}}
	root, err := numerics.Grow(X, Y, ones(4), numerics.Growth{Depth: 9})
	if err != nil {
		t.Fatal(err)
	}
	if root.Threshold != 1.5 || root.Low.Low != nil || root.High.Low != nil {
		t.Errorf("a pure split goes on: %+v", root)
	}
	root, _ = numerics.Grow(X, Y, ones(4), numerics.Growth{Depth: 9, MinRows: 3})
	if root.Low != nil {
		t.Error("a leaf has too few rows")
	}
	root, _ = numerics.Grow(X, Y, ones(4), numerics.Growth{})
	if root.Low != nil || root.Mean[0] != 2.5 {
		t.Error("a tree of depth 0 is a leaf")
	}
	for _, bad := range []func() (*numerics.Node, error){
		func() (*numerics.Node, error) { return numerics.Grow(nil, nil, nil, numerics.Growth{}) },
		func() (*numerics.Node, error) { return numerics.Grow(X, Y, ones(3), numerics.Growth{}) },
		func() (*numerics.Node, error) { return numerics.Grow(X, Y, make([]float64, 4), numerics.Growth{}) },
		func() (*numerics.Node, error) {
			return numerics.Grow([][]float64{{math.NaN()}}, [][]float64{{1}}, ones(1), numerics.Growth{})
		},
	} {
		if _, err := bad(); err == nil {
			t.Error("no error")
		}
	}
}

// A tree does not depend on the order of the features (ties apart) or rows, weighs a row of weight 2 like two rows, and
// its leaves hold the means of what ends there.
func TestGrowInvariance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, M := rapid.IntRange(2, 40).Draw(t, "rows"), rapid.IntRange(1, 5).Draw(t, "columns")
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 2))
		var X, Y, moved, twice, outputs [][]float64
		var w []float64
		perm := rng.Perm(M)
		for range n {
			row, other := make([]float64, M), make([]float64, M)
			for i := range row {
				row[i] = rng.NormFloat64()
			}
			for i, p := range perm {
				other[p] = row[i]
			}
			y := []float64{rng.NormFloat64(), row[0]}
			k := 1 + rng.IntN(2)
			X, Y, moved, w = append(X, row), append(Y, y), append(moved, other), append(w, float64(k))
			for range k {
				twice, outputs = append(twice, row), append(outputs, y)
			}
		}
		g := numerics.Growth{Depth: rapid.IntRange(1, 4).Draw(t, "depth")}
		a, err := numerics.Grow(X, Y, w, g)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := numerics.Grow(moved, Y, w, g)
		c, _ := numerics.Grow(twice, outputs, ones(len(twice)), g)
		ends := map[*numerics.Node][]int{}
		for i := range X {
			p, q, r := a.Leaf(X[i]), b.Leaf(moved[i]), c.Leaf(X[i])
			ends[p] = append(ends[p], i)
			for k := range p.Mean {
				if !near(p.Mean[k], q.Mean[k], 1e-9) || !near(p.Mean[k], r.Mean[k], 1e-9) {
					t.Fatalf("row %d ends in %v, %v and %v", i, p.Mean, q.Mean, r.Mean)
				}
			}
		}
		for leaf, rows := range ends {
			mean, weight := 0.0, 0.0
			for _, i := range rows {
				mean += w[i] * Y[i][0]
				weight += w[i]
			}
			if !near(leaf.Mean[0], mean/weight, 1e-9) || leaf.Rows != len(rows) {
				t.Fatalf("a leaf of %d rows has %v, want %v", leaf.Rows, leaf.Mean[0], mean/weight)
			}
		}
	})
}

// Against gonum, and where it has no meaning.
func TestPearson(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 20).Draw(t, "n")
		number := rapid.Float64Range(-1e3, 1e3)
		a, b := rapid.SliceOfN(number, n, n).Draw(t, "a"), rapid.SliceOfN(number, n, n).Draw(t, "b")
		got, want := numerics.Pearson(a, b), stat.Correlation(a, b, nil)
		if stat.StdDev(a, nil) > 1e-3 && stat.StdDev(b, nil) > 1e-3 && !near(want, got, 1e-9) {
			t.Fatalf("the correlation of %v and %v is %v, want %v", a, b, got, want)
		}
		for i := range a { // the scale does not matter, however far from 1
			a[i] *= 1e200
		}
		if big := numerics.Pearson(a, b); !(near(got, big, 1e-9) || math.IsNaN(got) && math.IsNaN(big)) {
			t.Fatalf("%v in other units, before %v", big, got)
		}
	})
	if constant := numerics.Pearson([]float64{2, 2, 2}, []float64{1, 2, 3}); !math.IsNaN(constant) {
		t.Errorf("the correlation with a constant is %v", constant)
	}
}

func TestBinomialAndCombinations(t *testing.T) {
	for n := range 15 {
		for k := range n + 1 {
			count := 0
			for set := range numerics.Combinations(n, k) {
				if len(set) != k || !slices.IsSorted(set) {
					t.Fatalf("%v is no ascending set of %d", set, k)
				}
				count++
			}
			if want := combin.Binomial(n, k); count != want || numerics.Binomial(n, k) != float64(want) {
				t.Errorf("%d of %d: %d sets, Binomial %v, want %d", k, n, count, numerics.Binomial(n, k), want)
			}
		}
	}
	if got := numerics.Binomial(2000, 1000); !math.IsInf(got, 1) {
		t.Errorf("1000 of 2000 is %v", got)
	}
}

func TestMeanAndError(t *testing.T) {
	of := [][]float64{{1, 5}, {2, 5}, {6, 5}}
	mean, spread := numerics.MeanAndError(of)
	for i := range mean {
		x := []float64{of[0][i], of[1][i], of[2][i]}
		m, sd := stat.MeanStdDev(x, nil)
		if !near(m, mean[i], 1e-12) || !near(stat.StdErr(sd, 3), spread[i], 1e-12) {
			t.Errorf("%v ± %v of %v", mean[i], spread[i], x)
		}
	}
	if mean, spread := numerics.MeanAndError(of[:1]); mean[0] != 1 || spread != nil {
		t.Errorf("of one: %v ± %v", mean, spread)
	}
}

// Wilson's interval holds the shares p for which the count is no surprise, and nothing else: its ends solve
// |hits/n - p| = z sqrt(p(1-p)/n).
func TestProportion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5000).Draw(t, "n")
		hits := rapid.IntRange(0, n).Draw(t, "hits")
		p := numerics.ProportionOf(hits, n)
		if p.N != n || p.Low < 0 || p.High > 1 || p.Low > p.Share || p.High < p.Share || p.Low == p.High {
			t.Fatalf("%+v", p)
		}
		for _, end := range []float64{p.Low, p.High} {
			if end <= 1e-15 || end >= 1-1e-15 {
				continue
			}
			z := math.Abs(p.Share-end) / math.Sqrt(end*(1-end)/float64(n))
			if math.Abs(z-1.959963984540054) > 1e-6 {
				t.Fatalf("%d of %d: the end %v is %v deviations away", hits, n, end, z)
			}
		}
	})
}
