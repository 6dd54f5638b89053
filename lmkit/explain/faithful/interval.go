package faithful

import "lmkit.internal/lmkit/internal/numerics"

// Resampling says how bootstrap intervals are made. The zero value is the usual choice: 1,000 times, at a level of
// 0.95.
type Resampling = numerics.Resampling

// Interval is a mean with its confidence interval.
type Interval = numerics.Interval

// Bootstrap returns the mean of values and its percentile interval: the middle share Level of the means of as many
// values drawn with replacement. The interval depends on the values, their order and the seed alone. Lists of one
// length are resampled alike, so that two methods on the same items are compared on the same draws. It fails without
// values, or where one is not finite. Efron, Bootstrap methods: another look at the jackknife, 1979.
func Bootstrap(values []float64, r Resampling) (Interval, error) {
	return numerics.Bootstrap(values, r)
}
