package numerics

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/combin"
)

// MeanAndError returns the mean of several vectors and its standard error, sqrt(Σ(x - mean)² / (n-1) / n); the error
// is nil for a single vector, which cannot tell.
func MeanAndError(of [][]float64) (mean, spread []float64) {
	n := float64(len(of))
	mean = make([]float64, len(of[0]))
	for _, x := range of {
		for i, v := range x {
			mean[i] += v / n
		}
	}
	if len(of) == 1 {
		return mean, nil
	}
	spread = make([]float64, len(mean))
	for _, x := range of {
		for i, v := range x {
			spread[i] += (v - mean[i]) * (v - mean[i])
		}
	}
	for i, v := range spread {
		spread[i] = math.Sqrt(v / (n - 1) / n)
	}
	return mean, spread
}

// Binomial returns the number of sets of k among n things, as near as a float64 comes to it; +Inf beyond. (Gonum's is
// an int, and panics where it does not hold the number.)
func Binomial(n, k int) float64 {
	c := 1.0
	for i := range min(k, n-k) {
		c *= float64(n-i) / float64(i+1)
	}
	return math.Round(c)
}

// Combinations yields all sets of k of the numbers 0 to n-1, each ascending, in lexicographic order. A set is valid
// until the next one.
func Combinations(n, k int) func(yield func([]int) bool) {
	return func(yield func([]int) bool) {
		all := combin.NewCombinationGenerator(n, k)
		set := make([]int, k)
		for all.Next() {
			if !yield(all.Combination(set)) {
				return
			}
		}
	}
}

// Pearson returns the correlation of two lists of one length, from -1 to 1; NaN where one is constant up to rounding.
func Pearson(a, b []float64) float64 {
	n := float64(len(a))
	var meanA, meanB, largestA, largestB float64
	for i := range a {
		meanA += a[i] / n
		meanB += b[i] / n
		largestA, largestB = max(largestA, math.Abs(a[i])), max(largestB, math.Abs(b[i]))
	}
	if largestA == 0 || largestB == 0 {
		return math.NaN()
	}
	var ab, aa, bb float64
	for i := range a { // in units of the largest, so that squares neither vanish nor overflow
		x, y := (a[i]-meanA)/largestA, (b[i]-meanB)/largestB
		ab += x * y
		aa += x * x
		bb += y * y
	}
	const rounding = 1e-24
	if aa <= rounding*n || bb <= rounding*n {
		return math.NaN()
	}
	return max(-1, min(1, ab/math.Sqrt(aa)/math.Sqrt(bb)))
}

// Ranks numbers scores from 1 upwards; equal scores share the mean of their ranks.
func Ranks(of []float64) []float64 {
	order := make([]int, len(of))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(of[i], of[j]) })
	out := make([]float64, len(of))
	for lo := 0; lo < len(order); {
		hi := lo + 1
		for hi < len(order) && of[order[hi]] == of[order[lo]] {
			hi++
		}
		for _, i := range order[lo:hi] {
			out[i] = float64(lo+1+hi) / 2
		}
		lo = hi
	}
	return out
}

// Kendall returns Kendall's tau-b of two lists of one length, from -1 to 1: pairs in the same order minus pairs in
// opposite order, over the geometric mean of the pairs that each list does not tie. It is NaN where a list is constant
// or has one entry. Kendall, The treatment of ties in ranking problems, 1945.
func Kendall(a, b []float64) float64 {
	var balance, untiedA, untiedB int
	for i := range a {
		for j := range i {
			x, y := cmp.Compare(a[i], a[j]), cmp.Compare(b[i], b[j])
			balance += x * y
			untiedA += x * x
			untiedB += y * y
		}
	}
	if untiedA == 0 || untiedB == 0 {
		return math.NaN()
	}
	return max(-1, min(1, float64(balance)/math.Sqrt(float64(untiedA))/math.Sqrt(float64(untiedB))))
}

// Resampling says how bootstrap intervals are made. The zero value is the usual choice.
type Resampling struct {
	Level float64 // of confidence, between 0 and 1; 0: 0.95
	Times int     // 0: 1000
	Seed  uint64
}

// Validate returns all mistakes.
func (r Resampling) Validate() error {
	var errs []error
	if r.Level != 0 && !(r.Level > 0 && r.Level < 1) {
		errs = append(errs, fmt.Errorf("the level of confidence is %v; it must be between 0 and 1, or 0 for 0.95", r.Level))
	}
	if r.Times < 0 {
		errs = append(errs, fmt.Errorf("resample %d times: give 1 or more, or 0 for 1000", r.Times))
	}
	return errors.Join(errs...)
}

// WithDefaults returns the settings with the usual choice in place of zeros.
func (r Resampling) WithDefaults() Resampling {
	r.Level, r.Times = cmp.Or(r.Level, 0.95), cmp.Or(r.Times, 1000)
	return r
}

// Interval is a mean with its confidence interval.
type Interval struct {
	Mean  float64 `json:"mean"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Count int     `json:"count"` // of the values
}

// Bootstrap returns the mean of values and its percentile interval: the middle share Level of the means of as many
// values drawn with replacement. The interval depends on the values, their order and the seed alone. Lists of one
// length are resampled alike, so that two methods on the same items are compared on the same draws. It fails without
// values, or where one is not finite. Efron, Bootstrap methods: another look at the jackknife, 1979.
func Bootstrap(values []float64, r Resampling) (Interval, error) {
	if err := r.Validate(); err != nil {
		return Interval{}, err
	}
	r = r.WithDefaults()
	n := len(values)
	if n == 0 {
		return Interval{}, errors.New("there are no values to take the mean of")
	}
	sum := 0.0
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return Interval{}, fmt.Errorf("a value is %v: its mean means nothing", v)
		}
		sum += v
	}
	means := make([]float64, r.Times)
	for k := range means {
		rng := rand.New(rand.NewPCG(r.Seed, uint64(k)))
		for range n {
			means[k] += values[rng.IntN(n)]
		}
		means[k] /= float64(n)
	}
	slices.Sort(means)
	tail := (1 - r.Level) / 2
	return Interval{Mean: sum / float64(n), Low: Quantile(means, tail), High: Quantile(means, 1-tail), Count: n}, nil
}

// Quantile returns the value below which the share q of sorted values lies, between two of them by a straight line.
func Quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	j := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[j]-sorted[i])
}

// Proportion is a share of n that was counted, with the interval that holds the true share in 95 of 100 samples.
type Proportion struct {
	Share float64 `json:"share"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	N     int     `json:"n"`
}

// ProportionOf is hits of n, n > 0, with Wilson's interval (Wilson 1927): for z = 1.96, the shares p for which
// |hits/n - p| = z sqrt(p(1-p)/n). Unlike the usual one it stays within 0 to 1, and is no point where all or none hit.
func ProportionOf(hits, n int) Proportion {
	const z = 1.959963984540054 // of the normal distribution: 97.5 %
	p, m := float64(hits)/float64(n), float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	low, high := middle-half, middle+half
	if hits == 0 { // exactly, where rounding would leave a rest
		low = 0
	}
	if hits == n {
		high = 1
	}
	return Proportion{p, low, high, n}
}
