package numerics_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/internal/numerics"
)

// SciPy, asked once (bench/bias_reference.py), gives the same p-values, intervals and correlations.
func TestAsSciPy(t *testing.T) {
	text, err := os.ReadFile("testdata/scipy.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Throws []struct {
			K, N         int
			P, Low, High float64
		}
		Spearman []struct {
			A, B []float64
			R    float64
		}
		Clusters []struct {
			Sum       []float64
			N         []int
			Low, High float64
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, x := range want.Throws {
		if p := numerics.SignTest(x.K, x.N); math.Abs(p-x.P) > 1e-9*x.P {
			t.Errorf("%d of %d: p is %v, want %v", x.K, x.N, p, x.P)
		}
		if p := numerics.ProportionOf(x.K, x.N); !near(p.Low, x.Low, 1e-9) || !near(p.High, x.High, 1e-9) {
			t.Errorf("%d of %d: %v, want %v to %v", x.K, x.N, p, x.Low, x.High)
		}
	}
	for _, x := range want.Spearman {
		if r := numerics.Spearman(x.A, x.B); !near(r, x.R, 1e-12) {
			t.Errorf("r is %v, want %v", r, x.R)
		}
	}
	for _, x := range want.Clusters {
		var of []numerics.Cluster
		for i := range x.N {
			of = append(of, numerics.Cluster{Sum: x.Sum[i], N: x.N[i]})
		}
		got, err := numerics.BootstrapClusters(of, numerics.Resampling{Times: 10_000, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		if noise := 0.03 * (x.High - x.Low); math.Abs(got.Low-x.Low) > noise || math.Abs(got.High-x.High) > noise {
			t.Errorf("%d clusters: %v, want %v to %v", len(of), got, x.Low, x.High)
		}
	}
}

// What n pairs can show at 5 %, in percent: the sizes of published suites and of their groups.
func TestSmallestShare(t *testing.T) {
	for n, want := range map[int]float64{60: 65.0, 63: 63.5, 87: 62.1, 105: 61.0, 159: 58.5, 172: 58.1, 262: 56.5,
		516: 54.5, 1508: 52.6, 5: 0, 0: 0, 6: 100} {
		if got := 100 * numerics.SmallestShare(n, 0.05); math.Abs(got-want) > 0.05 {
			t.Errorf("%d pairs: %.2f %%, want %.1f", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(6, 400).Draw(t, "n")
		k := int(math.Round(numerics.SmallestShare(n, 0.05) * float64(n)))
		if numerics.SignTest(k, n) > 0.05 || numerics.SignTest(k-1, n) <= 0.05 || 2*k <= n {
			t.Fatalf("%d of %d is not the smallest", k, n)
		}
	})
}

// The sign test is the sum of the probabilities of all results that are as far from one half, and symmetric.
func TestSignTestByCounting(t *testing.T) {
	for n := range 20 {
		for k := range n + 1 {
			want := 0.0
			for j := range n + 1 {
				if math.Abs(float64(2*j-n)) >= math.Abs(float64(2*k-n)) {
					want += numerics.Binomial(n, j) / math.Pow(2, float64(n))
				}
			}
			if got := numerics.SignTest(k, n); !near(got, want, 1e-12) || got != numerics.SignTest(n-k, n) {
				t.Errorf("%d of %d: %v, want %v", k, n, got, want)
			}
		}
	}
}

// Holm's p-value of a test is that of the closed procedure with Bonferroni's test of each set of hypotheses: the
// largest min(1, |S| min p in S) over all sets S that the test is in.
func TestHolmIsTheClosedProcedure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 6).Draw(t, "p")
		got := numerics.Holm(p)
		for i := range p {
			want := 0.0
			for set := range 1 << len(p) {
				if set>>i&1 == 0 {
					continue
				}
				n, least := 0.0, 1.0
				for j := range p {
					if set>>j&1 == 1 {
						n, least = n+1, min(least, p[j])
					}
				}
				want = max(want, min(1, n*least))
			}
			if !near(got[i], want, 1e-12) {
				t.Fatalf("test %d of %v: %v, want %v", i, p, got[i], want)
			}
		}
	})
}

// Clusters of one value each are as the values: the interval is that of the binomial distribution.
func TestBootstrapOfSingleValues(t *testing.T) {
	var of []numerics.Cluster
	for i := range 1000 {
		of = append(of, numerics.Cluster{Sum: float64(i % 5 / 4), N: 1})
	}
	got, err := numerics.BootstrapClusters(of, numerics.Resampling{Times: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	half := 1.96 * math.Sqrt(0.2*0.8/1000)
	if got.Count != 1000 || !near(got.Mean, 0.2, 1e-12) || math.Abs(got.Low-0.2+half) > 0.0015 ||
		math.Abs(got.High-0.2-half) > 0.0015 {
		t.Errorf("%v, want 0.2 +- %v", got, half)
	}
	for _, bad := range [][]numerics.Cluster{nil, {{Sum: 1}}} {
		if _, err := numerics.BootstrapClusters(bad, numerics.Resampling{}); err == nil {
			t.Errorf("%v has an interval", bad)
		}
	}
}
