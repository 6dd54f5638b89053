package plot

import (
	"math"
	"strconv"
)

// axis maps values from lo..hi to pixels from..to, linearly or by logarithm.
type axis struct {
	lo, hi   float64
	any, log bool
	from, to float64
}

func (a *axis) include(v float64) {
	if !a.any {
		a.lo, a.hi, a.any = v, v, true
	}
	a.lo, a.hi = min(a.lo, v), max(a.hi, v)
}

// open gives an axis on which all values are the same some room.
func (a *axis) open() {
	switch {
	case a.hi-a.lo > 1e-12*max(math.Abs(a.lo), math.Abs(a.hi)):
	case a.log:
		a.lo, a.hi = a.lo/2, a.hi*2
	case a.lo == 0:
		a.lo, a.hi = -1, 1
	default:
		d := math.Abs(a.lo) / 2
		a.lo, a.hi = a.lo-d, a.hi+d
	}
}

// pad keeps lines off the frame.
func (a *axis) pad() {
	a.open()
	if a.log {
		f := math.Pow(a.hi/a.lo, 0.04)
		a.lo, a.hi = a.lo/f, a.hi*f
		return
	}
	d := (a.hi/2 - a.lo/2) * 0.08
	a.lo, a.hi = a.lo-d, a.hi+d
}

func (a axis) at(v float64) float64 {
	lo, hi := a.lo, a.hi
	if a.log {
		v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
	}
	// Halves, since the difference of two large numbers may not fit.
	return a.from + (v/2-lo/2)/(hi/2-lo/2)*(a.to-a.from)
}

// ticks returns about n round numbers inside the axis.
func (a axis) ticks(n int) []float64 {
	if a.log && a.hi/a.lo >= 8 {
		return a.logTicks(n)
	}
	raw := (a.hi/2 - a.lo/2) / float64(n) * 2
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	switch f := raw / step; {
	case f > 7:
		step *= 10
	case f > 3:
		step *= 5
	case f > 1.5:
		step *= 2
	}
	var ts []float64
	for k := math.Ceil(a.lo/step - 1e-9); k*step <= a.hi+step*1e-9 && len(ts) < 3*n; k++ {
		ts = append(ts, k*step)
	}
	return ts
}

// logTicks returns powers of ten, with 2 and 5 between them where there is room.
func (a axis) logTicks(n int) []float64 {
	first, last := math.Floor(math.Log10(a.lo)), math.Ceil(math.Log10(a.hi))
	between := []float64{1, 2, 5}
	if last-first > 3 {
		between = between[:1]
	}
	every := max(1, math.Ceil((last-first)/float64(2*n)))
	var ts []float64
	for e := first; e <= last; e += every {
		for _, m := range between {
			if t := m * math.Pow(10, e); t >= a.lo*(1-1e-9) && t <= a.hi*(1+1e-9) {
				ts = append(ts, t)
			}
		}
	}
	return ts
}

// tickText prints a tick with the decimals that all ticks of the axis need.
func tickText(t float64, all []float64) string {
	step, top := math.Inf(1), 0.0
	for i, v := range all {
		top = max(top, math.Abs(v))
		if i > 0 {
			step = min(step, all[i]-all[i-1])
		}
	}
	if math.Abs(t) < step*1e-6 {
		return "0"
	}
	if top >= 1e6 || top < 1e-3 {
		return strconv.FormatFloat(t, 'g', 4, 64)
	}
	return plain(t)
}

// plain prints a number without more digits than it has.
func plain(v float64) string { return strconv.FormatFloat(v, 'g', 7, 64) }
