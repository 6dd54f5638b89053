package net

import "math"

// The scalings of rotary frequencies, by which a model reads longer texts than it was first trained on.
const (
	LinearScaling = "linear" // all frequencies are divided by Factor
	Llama3Scaling = "llama3" // low ones are, high ones stay, and those between pass from the one to the other
)

// Rope is rotary position embedding (Su et al., 2021). Of the first Width numbers of each query and key, the pair x[j],
// x[j+Width/2] at position t turns by the angle t * f[j], where f[j] = Theta^(-2j/Width), scaled.
type Rope struct {
	Theta   float64 // the base of the frequencies; 0: nothing turns
	Width   int     // how many numbers of each head turn; 0: all
	Scaling string  // LinearScaling or Llama3Scaling; "": none

	Factor    float64 // of either scaling
	Original  int     // Llama3Scaling: the context that the model was first trained on
	Low, High float64 // Llama3Scaling: low frequencies turn fewer times than Low in that context, high ones more than High
}

// frequencies is f[j], the angle by which pair j turns from a token to the next.
func (r Rope) frequencies() []float32 {
	f := make([]float32, r.Width/2)
	for j := range f {
		f[j] = float32(r.scaled(math.Pow(r.Theta, -2*float64(j)/float64(r.Width))))
	}
	return f
}

func (r Rope) scaled(f float64) float64 {
	switch r.Scaling {
	case LinearScaling:
		return f / r.Factor
	case Llama3Scaling:
		turns := float64(r.Original) * f / (2 * math.Pi) // in the context that the model was first trained on
		share := min(1, max(0, (turns-r.Low)/(r.High-r.Low)))
		return f * ((1-share)/r.Factor + share)
	}
	return f
}

// rope is the rotation in layers of a kind.
func (c Config) rope(kind byte) Rope {
	r := c.Rope
	if kind == Sliding && c.LocalRope != (Rope{}) {
		r = c.LocalRope
	}
	if kind == Unturned {
		return Rope{}
	}
	or(&r.Width, c.HeadWidth)
	return r
}
