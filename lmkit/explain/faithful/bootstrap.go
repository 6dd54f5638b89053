package faithful

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

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

func (r Resampling) withDefaults() Resampling {
	if r.Level == 0 {
		r.Level = 0.95
	}
	if r.Times == 0 {
		r.Times = 1000
	}
	return r
}

// Estimate is a mean with its confidence interval.
type Estimate struct {
	Mean  float64 `json:"mean"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Count int     `json:"count"` // of the values
}

// Bootstrap is the mean of values and its percentile interval: the middle share Level of the means of as many values drawn
// with replacement. The interval depends on the values, their order and the seed alone. Lists of one length are resampled
// alike, so that two methods on the same items are compared on the same draws. It fails without values, or where one is not
// finite. Efron, Bootstrap methods: another look at the jackknife, 1979.
func Bootstrap(values []float64, r Resampling) (Estimate, error) {
	if err := r.Validate(); err != nil {
		return Estimate{}, err
	}
	r = r.withDefaults()
	n := len(values)
	if n == 0 {
		return Estimate{}, errors.New("there are no values to take the mean of")
	}
	sum := 0.0
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return Estimate{}, fmt.Errorf("a value is %v: its mean means nothing", v)
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
	return Estimate{Mean: sum / float64(n), Low: quantile(means, tail), High: quantile(means, 1-tail), Count: n}, nil
}

// quantile interpolates between sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	j := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[j]-sorted[i])
}
