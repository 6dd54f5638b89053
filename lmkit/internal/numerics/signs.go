package numerics

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// SignTest returns the two-sided p-value of k heads in n throws of a fair coin: the probability of a result at least as
// far from n/2. It is exact: 2 P(X <= min(k, n-k)), at most 1, of a binomial distribution. Of no throws it is 1.
func SignTest(k, n int) float64 {
	low := min(k, n-k)
	if 2*low == n {
		return 1
	}
	return min(1, 2*mathext.RegIncBeta(float64(n-low), float64(low+1), 0.5))
}

// SmallestShare returns the smallest share of n throws above one half whose [SignTest] is at most level: what is nearer
// to one half cannot be told from it with so few. It is 0 where no share can.
func SmallestShare(n int, level float64) float64 {
	if SignTest(n, n) > level {
		return 0
	}
	low, high := n/2, n // low cannot be told from one half, high can
	for high-low > 1 {
		if k := (low + high) / 2; SignTest(k, n) <= level {
			high = k
		} else {
			low = k
		}
	}
	return float64(high) / float64(n)
}

// Holm returns the p-values of several tests corrected for their number, in the same order: where only those up to a
// level count, the probability that any of them counts by chance alone is at most that level (Holm, A simple
// sequentially rejective multiple test procedure, 1979). The i-th smallest of n becomes the largest of (n-j+1) p_j over
// j <= i, at most 1.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	out, largest := make([]float64, len(p)), 0.0
	for rank, i := range order {
		largest = min(1, max(largest, float64(len(p)-rank)*p[i]))
		out[i] = largest
	}
	return out
}

// Spearman returns the correlation of the ranks of two lists of one length, from -1 to 1; NaN where one is constant.
func Spearman(a, b []float64) float64 { return Pearson(Ranks(a), Ranks(b)) }

// Cluster is some values that were not drawn independently of each other, such as the sentences of one writer.
type Cluster struct {
	Sum float64 // of the values
	N   int     // how many there are
}

// BootstrapClusters returns the mean of all values of some clusters and its percentile interval, where clusters are
// drawn with replacement, and not values: the middle share Level of Σ Sum / Σ N over the clusters drawn. How often each
// is drawn is multinomial, so that clusters that are alike are drawn together, which takes no longer for many than for
// few. It fails without values (Davison and Hinkley, Bootstrap methods and their application, 1997, section 3.8).
func BootstrapClusters(of []Cluster, r Resampling) (Interval, error) {
	if err := r.Validate(); err != nil {
		return Interval{}, err
	}
	r = r.WithDefaults()
	times := map[Cluster]int{} // how many clusters are alike
	var kinds []Cluster
	var all Cluster
	for _, c := range of {
		if c.N < 1 {
			return Interval{}, fmt.Errorf("a cluster has %d values; it must have one at least", c.N)
		}
		if times[c]++; times[c] == 1 {
			kinds = append(kinds, c)
		}
		all.Sum, all.N = all.Sum+c.Sum, all.N+c.N
	}
	if all.N == 0 {
		return Interval{}, errors.New("there are no values to take the mean of")
	}
	means := make([]float64, r.Times)
	for k := range means {
		source := rand.NewPCG(r.Seed, uint64(k))
		var drawn Cluster
		left, share := len(of), len(of) // still to be drawn, and among how many
		for _, c := range kinds {
			n := left
			if share > times[c] {
				n = int(distuv.Binomial{N: float64(left), P: float64(times[c]) / float64(share), Src: source}.Rand())
			}
			left, share = left-n, share-times[c]
			drawn.Sum, drawn.N = drawn.Sum+float64(n)*c.Sum, drawn.N+n*c.N
			if left == 0 {
				break
			}
		}
		means[k] = drawn.Sum / float64(drawn.N)
	}
	slices.Sort(means)
	tail := (1 - r.Level) / 2
	return Interval{Mean: all.Sum / float64(all.N), Low: Quantile(means, tail), High: Quantile(means, 1-tail),
		Count: all.N}, nil
}

// Median returns the middle one of some values, or the mean of the middle two; NaN of none. The values stay as they
// are.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return Quantile(sorted, 0.5)
}
