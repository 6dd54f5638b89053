package canvas

import (
	"fmt"
	"math"
)

// RGB is a colour.
type RGB struct{ R, G, B uint8 }

// Hex returns the colour as #rrggbb.
func (c RGB) Hex() string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// Ink returns black or white, whichever reads better on c (relative luminance as WCAG 2 defines it).
func (c RGB) Ink() string {
	linear := func(v uint8) float64 { return math.Pow(float64(v)/255, 2.2) }
	if l := 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B); l > 0.22 {
		return "#1b1b1f"
	}
	return "#ffffff"
}

// The two scales. Diverging runs from blue over near-white to orange: the pair that every common colour blindness
// tells apart. Sequential runs from near-white to dark blue with lightness falling all the way, so that it also prints
// in grey.
var (
	divergingStops = []RGB{
		{8, 81, 156},
		{66, 146, 198},
		{158, 202, 225},
		{222, 235, 247},
		{250, 250, 250},
		{254, 230, 206},
		{253, 174, 107},
		{241, 105, 19},
		{166, 54, 3},
	}
	sequentialStops = []RGB{
		{250, 250, 252},
		{222, 235, 247},
		{171, 208, 230},
		{106, 174, 214},
		{55, 135, 192},
		{16, 91, 164},
		{8, 48, 107},
	}
)

// The colours of numbers above and below zero where there is no scale.
const (
	ColorPositive = "#e6700f"
	ColorNegative = "#2f7fc1"
)

// Diverging maps -1..1 to a colour, sequential 0..1. What is outside is clamped.
func Diverging(x float64) RGB { return ramp(divergingStops, (x+1)/2) }

func Sequential(x float64) RGB { return ramp(sequentialStops, x) }

func ramp(stops []RGB, x float64) RGB {
	if !(x > 0) { // NaN too
		x = 0
	}
	x = min(1, x) * float64(len(stops)-1)
	i := min(int(x), len(stops)-2)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (x-float64(i))*(float64(b)-float64(a)))) }
	a, b := stops[i], stops[i+1]
	return RGB{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B)}
}

// Ratio returns x as a share of top, 0 where there is no scale.
func Ratio(x, top float64) float64 {
	if top == 0 || math.IsNaN(x) {
		return 0
	}
	return max(-1, min(1, x/top))
}

// Largest returns the largest |x| of the finite xs, or 0.
func Largest(xs []float64) float64 {
	top := 0.0
	for _, x := range xs {
		if s := math.Abs(x); s > top && !math.IsInf(s, 1) {
			top = s
		}
	}
	return top
}
