package gradient

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The weights of a rule sum to the length of the interval, and integrate polynomials of degree 2n-1 exactly.
func TestGauss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 64).Draw(t, "n")
		from := rapid.Float64Range(0, 1).Draw(t, "from")
		to := from + rapid.Float64Range(1e-3, 1).Draw(t, "length")
		degree := rapid.IntRange(0, min(2*n-1, 20)).Draw(t, "degree")
		got := 0.0
		for _, p := range gauss(0, n, from, to) {
			if p.at < from || p.at > to {
				t.Fatalf("point %v outside [%v, %v]", p.at, from, to)
			}
			got += p.weight * math.Pow(p.at, float64(degree))
		}
		want := (math.Pow(to, float64(degree+1)) - math.Pow(from, float64(degree+1))) / float64(degree+1)
		if math.Abs(got-want) > 1e-10*max(1, want) {
			t.Fatalf("the integral of x^%d on [%v, %v] is %v, want %v", degree, from, to, got, want)
		}
	})
}

// Each rule holds the points of the one before, its weights add up to 1, and it is exact up to its degree and no
// further.
func TestPatterson(t *testing.T) {
	for r, n := range rules {
		integral := func(degree int) (sum float64) {
			for _, x := range nodes[:n] {
				sum += x.weight[r] * math.Pow(2*x.at-1, float64(degree))
			}
			return sum
		}
		exact := []int{5, 11, 23, 47}[r]
		for degree := 0; degree <= exact+1; degree += 2 {
			off := math.Abs(integral(degree) - 1/float64(degree+1))
			if want := degree <= exact; (off < 1e-15) != want && (want || off < 1e-17) {
				t.Errorf("%d points are off by %v at degree %d", n, off, degree)
			}
		}
		for i, x := range nodes {
			if x.at <= 0 || x.at >= 1 || (x.weight[r] != 0) != (i < n) {
				t.Errorf("point %d of the rule of %d is %v", i, n, x)
			}
		}
	}
}

// Refined scores are within sqrt(M) tolerances of the truth, for what is smooth, steep or oscillating, and within
// twice that for what is kinked; what is smooth takes few points. All lines together add up within the tolerance, also
// where they nearly cancel out, or the budget is spent.
func TestRefine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tolerance := math.Pow(10, -rapid.Float64Range(1, 4).Draw(t, "digits"))
		n := rapid.IntRange(1, 3).Draw(t, "lines")
		kind, a, k, sign := make([]int, n), make([]float64, n), make([]float64, n), make([]float64, n)
		totals, want := make([]float64, n), make([][]float64, n)
		for l := range n {
			kind[l] = rapid.IntRange(0, 2).Draw(t, "kind")
			a[l] = rapid.Float64Range(0.05, 0.95).Draw(t, "place")
			k[l] = rapid.Float64Range(0.5, 20).Draw(t, "steepness")
			sign[l] = rapid.SampledFrom([]float64{-1, 1}).Draw(t, "sign")
			want[l] = []float64{sign[l] * integralOf(kind[l], a[l], k[l]), sign[l] * integralOf(kind[l], 1-a[l], k[l])}
			totals[l] = want[l][0] + want[l][1]
		}
		const budget = 20_000
		spent := 0
		got, err := refine(func(points []point) (out [][]float64, _ error) {
			spent += len(points)
			for _, x := range points {
				l := x.line
				out = append(out, []float64{sign[l] * slope(kind[l], a[l], k[l], x.at),
					sign[l] * slope(kind[l], 1-a[l], k[l], x.at)})
			}
			return out, nil
		}, totals, tolerance, budget, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		sum, total := 0.0, 0.0
		for l := range n {
			sum, total = sum+got[l][0]+got[l][1], total+totals[l]
			size := math.Sqrt2 * (math.Abs(want[l][0]) + math.Abs(want[l][1]))
			if kind[l] == 1 {
				size *= 2
			}
			for f := range 2 {
				if off := math.Abs(got[l][f] - want[l][f]); off > tolerance*size {
					t.Fatalf("line %d is %v, want %v: off by more than %v of its size", l, got[l], want[l], tolerance)
				}
			}
			if kind[l] == 0 && n == 1 && k[l] < 2 && tolerance > 1e-3 && spent > 15 {
				t.Fatalf("%d points for a line that is smooth", spent)
			}
		}
		if off := math.Abs(sum - total); off > tolerance*max(math.Abs(total), smallest) && spent < budget-200 {
			t.Fatalf("the lines add up to %v, should to %v: off by more than %v of it", sum, total, tolerance)
		}
	})
}

// slope and integralOf are functions on [0, 1] of some steepness at a place, and their integrals.
func slope(kind int, a, k, x float64) float64 {
	switch kind {
	case 0:
		return k / (1 + k*k*(x-a)*(x-a))
	case 1:
		return max(0, k*(x-a))
	}
	return k*math.Sin(k*x+a) + 1
}

func integralOf(kind int, a, k float64) float64 {
	switch kind {
	case 0:
		return math.Atan(k*(1-a)) + math.Atan(k*a)
	case 1:
		return k * (1 - a) * (1 - a) / 2
	}
	return math.Cos(a) - math.Cos(k+a) + 1
}

// Slopes that are far from settled, or that do not add up to the total, never cost more than the budget (but for the
// first round), and nearly all of it. What is foreseen is never less than what has been asked for, nor more than the
// budget. What is left of the budget goes where the slopes are worst.
func TestRefineStops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.IntRange(0, 400).Draw(t, "budget")
		tolerance := math.Pow(10, -rapid.Float64Range(1, 4).Draw(t, "digits"))
		wild := rapid.Float64Range(1e3, 1e6).Draw(t, "how fast it turns")
		lines := rapid.IntRange(1, 3).Draw(t, "lines")
		spent, foreseen := 0, 0
		got, err := refine(func(points []point) (out [][]float64, _ error) {
			spent += len(points)
			for _, x := range points {
				s := 1.
				if x.line == 0 && x.at < 0.5 {
					s = math.Sin(wild * x.at)
				} else if spent > 2*31*lines && x.line > 0 {
					t.Fatalf("line %d is straight, and computed again", x.line)
				}
				out = append(out, []float64{s})
			}
			if spent > foreseen {
				t.Fatalf("%d points, where %d were foreseen", spent, foreseen)
			}
			return out, nil
		}, []float64{7, 1, 1}[:lines], tolerance, budget, func(points int) {
			if first := rules[firstRule(tolerance)] * lines; points > max(budget, first) {
				t.Fatalf("%d points are foreseen, where %d are allowed", points, budget)
			}
			foreseen = points
		})
		if err != nil || len(got) != lines || len(got[0]) != 1 {
			t.Fatalf("got %v, %v", got, err)
		}
		first := lines * rules[firstRule(tolerance)]
		if spent > max(budget, first) || spent < min(budget, 200)-16 {
			t.Fatalf("%d points, where %d are allowed", spent, budget)
		}
	})
}

func TestInQueries(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 32, 33, 100} {
		points := make([]point, n)
		for i := range points {
			points[i].at = float64(i)
		}
		sizes := map[int]bool{}
		got, err := inQueries(points, 8, func(points []point) (out [][]float64, _ error) {
			sizes[len(points)] = true
			for _, x := range points {
				out = append(out, []float64{x.at})
			}
			return out, nil
		})
		if err != nil || len(got) != n || got[n-1][0] != float64(n-1) || len(sizes) != 1 {
			t.Errorf("%d points: %v, %v, in queries of %v", n, got, err, sizes)
		}
	}
}
