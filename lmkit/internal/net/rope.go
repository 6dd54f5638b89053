package net

import (
	"math"
	"strconv"
	"strings"
)

// The scalings of rotary frequencies, by which a model reads longer texts than it was first trained on.
const (
	LinearScaling = "linear" // all frequencies are divided by Factor
	Llama3Scaling = "llama3" // low ones are, high ones stay, and those between pass from the one to the other
	YarnScaling   = "yarn"   // likewise, by the number of the pair (Peng et al., 2023)
)

// Rope is rotary position embedding (Su et al., 2021). Of the first Width numbers of each query and key, the pair
// x[j], x[j+Width/2] at position t turns by the angle t * f[j], where f[j] = Theta^(-2j/Width), scaled.
type Rope struct {
	Theta   float64 // the base of the frequencies; 0: nothing turns
	Width   int     // how many numbers of each head turn; 0: all
	Scaling string  // LinearScaling, Llama3Scaling or YarnScaling; "": none

	Factor    float64 // of any scaling
	Original  int     // Llama3, Yarn: the context that the model was first trained on
	Low, High float64 // Llama3, Yarn: low frequencies turn fewer times than Low in that context, high ones more than High

	Divisors  string  // what each frequency is divided by, as numbers with spaces between; "": 1
	Magnitude float64 // what turns is multiplied by; 0: 1
}

// frequencies returns f[j], the angle by which pair j turns from a token to the next.
func (r Rope) frequencies() []float32 {
	f := make([]float32, r.Width/2)
	by := r.divisors()
	for j := range f {
		f[j] = float32(r.scaled(j, math.Pow(r.Theta, -2*float64(j)/float64(r.Width))))
		if by != nil {
			f[j] /= by[j]
		}
	}
	return f
}

// divisors returns the numbers of Divisors; nil where there are none, or they are no numbers, which validate reports.
func (r Rope) divisors() (by []float32) {
	for _, text := range strings.Fields(r.Divisors) {
		x, err := strconv.ParseFloat(text, 32)
		if err != nil || !(x > 0) {
			return nil
		}
		by = append(by, float32(x))
	}
	return by
}

// scaled returns the frequency f of pair j, scaled.
func (r Rope) scaled(j int, f float64) float64 {
	between := func(x, low, high float64) float64 { return min(1, max(0, (x-low)/(high-low))) }
	switch r.Scaling {
	case LinearScaling:
		return f / r.Factor
	case Llama3Scaling:
		turns := float64(r.Original) * f / (2 * math.Pi) // in the context that the model was first trained on
		share := between(turns, r.Low, r.High)
		return f * ((1-share)/r.Factor + share)
	case YarnScaling:
		first, last := math.Floor(r.pair(r.High)), math.Ceil(r.pair(r.Low))
		first, last = max(first, 0), min(last, float64(r.Width-1))
		share := between(float64(j), first, max(last, first+1e-3))
		return f * (share/r.Factor + 1 - share)
	}
	return f
}

// pair returns the number j, between whole ones, of the pair that turns so often in Original tokens.
func (r Rope) pair(turns float64) float64 {
	return float64(r.Width) * math.Log(float64(r.Original)/(turns*2*math.Pi)) / (2 * math.Log(r.Theta))
}

// RopeOf returns the rotation in layers of a kind.
func (c Config) RopeOf(kind byte) Rope {
	r := c.Rope
	if kind == Sliding && c.LocalRope != (Rope{}) {
		r = c.LocalRope
	}
	if kind == Unturned {
		return Rope{}
	}
	or(&r.Width, c.HeadWidth)
	or(&r.Magnitude, 1)
	return r
}
