package grade

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/internal/numerics"
)

// Calibration says whether a model that is sure of a label is right as often as it is sure. The probabilities are those
// of the labels among each other.
type Calibration struct {
	Examples int `json:"examples"`
	// ECE is the expected calibration error: the mean, over bins of equally many examples sorted by confidence, of the
	// distance between how sure the model is and how often it is right (Naeini, Cooper and Hauskrecht 2015).
	ECE float64 `json:"ece"`
	// Low and High bound the ECE of 95 of 100 resamples of the examples, all of them moved by as much as their mean is
	// above the ECE: drawn with replacement, examples look less calibrated than they are.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// Null is the ECE that a perfectly calibrated model would show on as many examples with the same confidences, since
	// outcomes vary by chance; in 95 of 100 samples it is below NullHigh.
	Null     float64 `json:"null"`
	NullHigh float64 `json:"null_high"`
	Brier    float64 `json:"brier"` // the mean of Σ (p - [label is right])² over the labels: 0 is perfect, 2 the worst
	NLL      float64 `json:"nll"`   // the mean of -ln p(right label), in nats
	Mass     float64 `json:"mass"`  // the mean share of all probability that the labels have together
	Bins     []Bin   `json:"bins"`
	// Temperature is by how much the model is too sure, where there are examples enough to tell.
	Temperature *Temperature `json:"temperature,omitempty"`
}

// Bin is the examples of which a model is about equally sure.
type Bin struct {
	Confidence float64             `json:"confidence"` // the mean probability of what it says
	Accuracy   numerics.Proportion `json:"accuracy"`   // how often that is right
}

// Temperature is the T for which probabilities in proportion to p^(1/T) have the least NLL on one half of the examples,
// drawn at random, and what they are worth on the other: above 1, the model is too sure (Guo, Pleiss, Sun and
// Weinberger 2017).
type Temperature struct {
	T         float64 `json:"t"`
	Examples  int     `json:"examples"`   // of the other half, which Before and After are measured on
	NLLBefore float64 `json:"nll_before"` // nats
	NLLAfter  float64 `json:"nll_after"`
	ECEBefore float64 `json:"ece_before"`
	ECEAfter  float64 `json:"ece_after"`
}

const (
	mostBins    = 15
	leastInABin = 10   // on average, so that few examples have few bins
	draws       = 1000 // of simulations and resamples
	leastToTune = 100  // examples from which a temperature is fitted
)

// judged is how sure a model was of what it said, and whether that was right.
type judged struct {
	sure  float64
	right bool
}

// Calibrate measures calibration on choices, of which each must have a right label and no error. Draws are by seed.
func Calibrate(choices []Choice, seed uint64) (*Calibration, error) {
	if len(choices) == 0 {
		return nil, errors.New("there are no examples to measure calibration on")
	}
	for _, x := range choices {
		if x.Right < 0 || x.Error != "" {
			return nil, errors.New("calibration takes examples that have been asked about, each with a right label")
		}
	}
	c := &Calibration{Examples: len(choices)}
	n := float64(len(choices))
	for _, x := range choices {
		c.Mass += x.Mass() / n
		for k, p := range x.Probs() {
			is := 0.0
			if k == x.Right {
				is = 1
			}
			c.Brier += (p - is) * (p - is) / n
		}
	}
	c.NLL = meanNLL(choices, 1)
	all := judge(choices, 1)
	c.Bins = bins(all)
	c.ECE = ece(all)
	resampled, null := simulate(all, seed)
	bias := -c.ECE
	for k := range draws {
		bias += resampled[k] / draws
		c.Null += null[k] / draws
	}
	c.Low = max(0, numerics.Quantile(resampled, 0.025)-bias)
	c.High = numerics.Quantile(resampled, 0.975) - bias
	c.NullHigh = numerics.Quantile(null, 0.95)
	if len(choices) >= leastToTune {
		c.Temperature = tune(choices, seed)
	}
	return c, nil
}

// judge looks at what was said, at a temperature, sorted by confidence.
func judge(choices []Choice, temperature float64) []judged {
	all := make([]judged, len(choices))
	for i, x := range choices {
		all[i] = judged{softmax(x.LogProbs, temperature)[x.Said], x.Said == x.Right}
	}
	byConfidence(all)
	return all
}

func byConfidence(all []judged) {
	slices.SortStableFunc(all, func(a, b judged) int { return cmp.Compare(a.sure, b.sure) })
}

// binned yields the examples of each bin.
func binned(all []judged) func(yield func(part []judged) bool) {
	return func(yield func(part []judged) bool) {
		n := min(mostBins, max(1, len(all)/leastInABin))
		for b := range n {
			if !yield(all[b*len(all)/n : (b+1)*len(all)/n]) {
				return
			}
		}
	}
}

// bins returns the bins of examples that are sorted by confidence.
func bins(all []judged) (out []Bin) {
	for part := range binned(all) {
		sure, right := 0.0, 0
		for _, j := range part {
			sure += j.sure / float64(len(part))
			if j.right {
				right++
			}
		}
		out = append(out, Bin{sure, numerics.ProportionOf(right, len(part))})
	}
	return out
}

// ece returns Σ n_b/n |right_b - sure_b| of examples that are sorted by confidence.
func ece(all []judged) (sum float64) {
	for part := range binned(all) {
		miss := 0.0
		for _, j := range part {
			miss += j.sure
			if j.right {
				miss--
			}
		}
		sum += math.Abs(miss)
	}
	return sum / float64(len(all))
}

// simulate returns, sorted, the calibration errors of resamples of the examples, and those of outcomes that are drawn
// by the model's own confidences.
func simulate(all []judged, seed uint64) (resampled, null []float64) {
	n := len(all)
	one := make([]judged, n)
	for k := range draws {
		rng := rand.New(rand.NewPCG(seed, uint64(k)))
		times := make([]int, n) // that each is drawn, so that what is drawn is sorted as they are
		for range n {
			times[rng.IntN(n)]++
		}
		one = one[:0]
		for i, t := range times {
			for range t {
				one = append(one, all[i])
			}
		}
		resampled = append(resampled, ece(one))
		for i, j := range all {
			one[i] = judged{j.sure, rng.Float64() < j.sure}
		}
		null = append(null, ece(one))
	}
	slices.Sort(resampled)
	slices.Sort(null)
	return resampled, null
}

// meanNLL returns the mean of -ln p(right label) at a temperature.
func meanNLL(choices []Choice, temperature float64) (sum float64) {
	for _, x := range choices {
		sum -= math.Log(max(softmax(x.LogProbs, temperature)[x.Right], math.SmallestNonzeroFloat64))
	}
	return sum / float64(len(choices))
}

// tune fits a temperature on one half and measures it on the other.
func tune(choices []Choice, seed uint64) *Temperature {
	order := rand.New(rand.NewPCG(seed, 1<<32)).Perm(len(choices))
	var halves [2][]Choice
	for k, i := range order {
		halves[k%2] = append(halves[k%2], choices[i])
	}
	t := &Temperature{T: fit(halves[0]), Examples: len(halves[1])}
	t.NLLBefore, t.NLLAfter = meanNLL(halves[1], 1), meanNLL(halves[1], t.T)
	t.ECEBefore, t.ECEAfter = ece(judge(halves[1], 1)), ece(judge(halves[1], t.T))
	return t
}

// fit returns the temperature of the least NLL, between 1/100 and 100. In ln(T) the NLL falls and then rises, so that
// the golden section finds its least.
func fit(choices []Choice) float64 {
	const golden = 0.6180339887498949
	low, high := -math.Log(100), math.Log(100)
	at := func(x float64) float64 { return meanNLL(choices, math.Exp(x)) }
	a, b := high-golden*(high-low), low+golden*(high-low)
	fa, fb := at(a), at(b)
	for high-low > 1e-4 {
		if fa < fb {
			high, b, fb = b, a, fa
			a = high - golden*(high-low)
			fa = at(a)
		} else {
			low, a, fa = a, b, fb
			b = low + golden*(high-low)
			fb = at(b)
		}
	}
	return math.Exp((low + high) / 2)
}
