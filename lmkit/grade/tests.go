package grade

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// partOf sets the examples of a slice against all others, and returns the losses of both.
func partOf(all []Example, in set) (p Part, inside, outside []float64) {
	for i, e := range all {
		if in[i/64]>>(i%64)&1 == 1 {
			inside = append(inside, e.Loss)
		} else {
			outside = append(outside, e.Loss)
		}
	}
	p.Examples = len(inside)
	if len(inside) == 0 || len(outside) == 0 {
		return p, inside, outside
	}
	p.Loss, p.Rest = stat.Mean(inside, nil), stat.Mean(outside, nil)
	if spread := math.Sqrt((variance(inside) + variance(outside)) / 2); spread > 0 {
		p.Effect = (p.Loss - p.Rest) / spread
	}
	return p, inside, outside
}

// variance is Σ (x - mean)² / (n-1); 0 of one number.
func variance(x []float64) float64 {
	if len(x) < 2 {
		return 0
	}
	return stat.Variance(x, nil)
}

// fisher returns the probability of as many errors inside or more, if the errors of all fell anywhere (Fisher 1935).
func fisher(inside, outside []float64) float64 {
	ones := func(x []float64) (n int) {
		for _, v := range x {
			n += int(v)
		}
		return n
	}
	n, wrong, all := len(inside), ones(inside), len(inside)+len(outside)
	total := wrong + ones(outside)
	choose := func(n, k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	p := 0.0
	for k := wrong; k <= min(n, total); k++ {
		if n-k <= all-total {
			p += math.Exp(choose(total, k) + choose(all-total, n-k) - choose(all, n))
		}
	}
	return min(1, p)
}

// welch returns the probability that the mean inside is as far above that outside by chance, by Welch's t (Welch 1947).
func welch(inside, outside []float64) float64 {
	a, b := variance(inside)/float64(len(inside)), variance(outside)/float64(len(outside))
	difference := stat.Mean(inside, nil) - stat.Mean(outside, nil)
	if a+b == 0 {
		if difference > 0 {
			return 0
		}
		return 1
	}
	freedom := (a + b) * (a + b) / (a*a/float64(len(inside)-1) + b*b/float64(len(outside)-1))
	return distuv.StudentsT{Sigma: 1, Nu: freedom}.Survival(difference / math.Sqrt(a+b))
}

// holm corrects the P of slices for how many they are (Holm 1979): the smallest is multiplied by their number, the next
// by one less, and none becomes smaller than one before it.
func holm(all []Slice) {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(all[i].P, all[j].P) })
	least := 0.0
	for k, i := range order {
		least = max(least, min(1, all[i].P*float64(len(all)-k)))
		all[i].Adjusted = least
	}
}
