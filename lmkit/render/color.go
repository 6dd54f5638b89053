package render

import (
	"fmt"
	"math"
)

type rgb struct{ r, g, b uint8 }

func (c rgb) hex() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

// ink is black or white, whichever reads better on c (relative luminance as WCAG 2 defines it).
func (c rgb) ink() string {
	linear := func(v uint8) float64 { return math.Pow(float64(v)/255, 2.2) }
	if l := 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b); l > 0.22 {
		return "#1b1b1f"
	}
	return "#ffffff"
}

// The two scales. Diverging runs from blue over near-white to orange: the pair that every common colour blindness tells
// apart. Sequential runs from near-white to dark blue with lightness falling all the way, so that it also prints in grey.
var (
	divergingStops  = []rgb{{8, 81, 156}, {66, 146, 198}, {158, 202, 225}, {222, 235, 247}, {250, 250, 250}, {254, 230, 206}, {253, 174, 107}, {241, 105, 19}, {166, 54, 3}}
	sequentialStops = []rgb{{250, 250, 252}, {222, 235, 247}, {171, 208, 230}, {106, 174, 214}, {55, 135, 192}, {16, 91, 164}, {8, 48, 107}}
)

const (
	colorPositive = "#e6700f"
	colorNegative = "#2f7fc1"
)

// diverging maps -1..1 to a colour, sequential 0..1. What is outside is clamped.
func diverging(x float64) rgb  { return ramp(divergingStops, (x+1)/2) }
func sequential(x float64) rgb { return ramp(sequentialStops, x) }

func ramp(stops []rgb, x float64) rgb {
	if !(x > 0) { // NaN too
		x = 0
	}
	x = min(1, x) * float64(len(stops)-1)
	i := min(int(x), len(stops)-2)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (x-float64(i))*(float64(b)-float64(a)))) }
	a, b := stops[i], stops[i+1]
	return rgb{mix(a.r, b.r), mix(a.g, b.g), mix(a.b, b.b)}
}

// ratio is x as a share of top, 0 where there is no scale.
func ratio(x, top float64) float64 {
	if top == 0 || math.IsNaN(x) {
		return 0
	}
	return max(-1, min(1, x/top))
}
