package grade

import (
	"math"
	"math/rand/v2"
	"testing"
)

// outcomes draws choices between labels with random log-probabilities; what is right is drawn from their probabilities
// at a temperature: at 1 the model is perfectly calibrated, above it is too sure.
func outcomes(n, labels int, temperature float64, seed uint64) (choices []Choice) {
	rng := rand.New(rand.NewPCG(seed, 5))
	for range n {
		x := Choice{}
		for k := range labels {
			x.LogProbs = append(x.LogProbs, 3*rng.NormFloat64()-10)
			if x.LogProbs[k] > x.LogProbs[x.Said] {
				x.Said = k
			}
		}
		u := rng.Float64()
		for k, p := range softmax(x.LogProbs, temperature) {
			if u -= p; u <= 0 || k == labels-1 {
				x.Right = k
				break
			}
		}
		choices = append(choices, x)
	}
	return choices
}

// Where outcomes are drawn from the model's own probabilities, its calibration error is the one that chance alone
// gives, and its temperature 1; where they are drawn from flatter ones, the temperature is found again, and mends the
// error.
func TestCalibrate(t *testing.T) {
	inside := 0
	for seed := range uint64(20) {
		c, err := Calibrate(outcomes(600, 3, 1, seed), seed)
		if err != nil {
			t.Fatal(err)
		}
		if c.ECE <= c.NullHigh {
			inside++
		}
		if math.Abs(math.Log(c.Temperature.T)) > 0.35 || math.Abs(c.ECE-c.Null) > 0.04 {
			t.Errorf("seed %d: %+v, temperature %+v", seed, c, c.Temperature)
		}
	}
	if inside < 16 {
		t.Errorf("%d of 20 calibrated models are within what chance gives in 95 of 100", inside)
	}
	c, err := Calibrate(outcomes(4000, 2, 2.5, 1), 1)
	if err != nil {
		t.Fatal(err)
	}
	f := c.Temperature
	if f.T < 2.1 || f.T > 3 || f.ECEAfter > f.ECEBefore/3 || f.NLLAfter >= f.NLLBefore || c.ECE < 5*c.NullHigh ||
		c.Low > c.ECE || c.High < c.ECE {
		t.Errorf("%+v, temperature %+v", c, f)
	}
}

// Small cases by hand.
func TestCalibrateByHand(t *testing.T) {
	half := math.Log(0.5)
	sure := []float64{math.Log(0.9), math.Log(0.1)}
	c, err := Calibrate([]Choice{{LogProbs: sure, Right: 0}, {LogProbs: sure, Right: 1},
		{LogProbs: []float64{half - 7, half - 7}, Right: 0}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][2]float64{
		"ECE":   {c.ECE, math.Abs(2-2.3) / 3}, // one bin: 0.9 + 0.9 + 0.5 sure, 2 right
		"Brier": {c.Brier, (2*0.01 + 2*0.81 + 2*0.25) / 3},
		"NLL":   {c.NLL, -(math.Log(0.9) + math.Log(0.1) + half) / 3},
		"mass":  {c.Mass, (2 + math.Exp(-7)) / 3},
	} {
		if math.Abs(v[0]-v[1]) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, v[0], v[1])
		}
	}
	if len(c.Bins) != 1 || c.Bins[0].Accuracy.N != 3 || c.Temperature != nil {
		t.Errorf("%+v", c)
	}
	for _, bad := range [][]Choice{nil, {{LogProbs: sure, Right: -1}}, {{LogProbs: sure, Error: "x"}}} {
		if _, err := Calibrate(bad, 0); err == nil {
			t.Errorf("%v is measured", bad)
		}
	}
}

// Bins hold all examples, each about as many, whatever their number.
func TestBins(t *testing.T) {
	for n := 1; n < 400; n += 7 {
		sum, least, most := 0, n, 0
		for _, b := range bins(judge(outcomes(n, 2, 1, 3), 1)) {
			sum, least, most = sum+b.Accuracy.N, min(least, b.Accuracy.N), max(most, b.Accuracy.N)
		}
		if sum != n || most-least > 1 {
			t.Errorf("%d examples: %d in bins of %d to %d", n, sum, least, most)
		}
	}
}
