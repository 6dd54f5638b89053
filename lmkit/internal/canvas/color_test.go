package canvas

import (
	"math"
	"testing"
)

// Colours must order by lightness, so that they survive grey print and colour blindness, and be symmetric enough that
// equal sizes look equally strong.
func TestScalesGrowDarker(t *testing.T) {
	light := func(c RGB) float64 { return 0.2126*float64(c.R) + 0.7152*float64(c.G) + 0.0722*float64(c.B) }
	for i := range 100 {
		x, y := float64(i)/100, float64(i+1)/100
		if light(Sequential(y)) > light(Sequential(x)) || light(Diverging(y)) > light(Diverging(x)) ||
			light(Diverging(-y)) > light(Diverging(-x)) {
			t.Errorf("between %g and %g a scale grows lighter", x, y)
		}
		if d := light(Diverging(x)) - light(Diverging(-x)); math.Abs(d) > 32 {
			t.Errorf("at %g the two sides differ in lightness by %g", x, d)
		}
		if p, n := Diverging(y), Diverging(-y); p.R <= p.B || n.B <= n.R {
			t.Errorf("at %g: positive %v is not orange, or negative %v is not blue", y, p, n)
		}
	}
	if Diverging(math.NaN()) != Diverging(-1) || Sequential(9) != Sequential(1) {
		t.Error("what is outside of a scale is not clamped")
	}
}
