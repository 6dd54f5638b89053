package plot

import (
	"math"
	"slices"
	"testing"
)

func TestThinKeepsExtremes(t *testing.T) {
	var ps []Point
	for i := range 100000 {
		ps = append(ps, Point{float64(i), math.Sin(float64(i))})
	}
	ps[54321].Y, ps[777].Y, ps[40000].Y = 99, -99, math.NaN()
	got := thin(ps, axis{lo: 0, hi: 99999, from: 0, to: 700})
	if len(got) > 4*701+4 || got[0] != ps[0] || got[len(got)-1] != ps[len(ps)-1] {
		t.Errorf("%d points, first %v, last %v", len(got), got[0], got[len(got)-1])
	}
	if !slices.Contains(got, ps[54321]) || !slices.Contains(got, ps[777]) ||
		!slices.ContainsFunc(got, func(p Point) bool { return math.IsNaN(p.Y) }) {
		t.Error("a spike or a gap is lost")
	}
}
