package plot

import (
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/internal/printable"
)

// Text writes each line's extent as numbers, and its course as a row of bars.
func (cs Curves) Text(w io.Writer, o Options) error {
	if err := cs.Validate(); err != nil {
		return fmt.Errorf("cannot draw the chart %q: %w", cs.Title, err)
	}
	t := printable.NewLines(o.Color, o.Width)
	t.Title(cs.Title)
	if cs.XLabel != "" || cs.YLabel != "" {
		t.Block("", 0, strings.TrimSpace(printable.Line(cs.YLabel)+" by "+printable.Line(cs.XLabel)))
	}
	wide := 0
	for _, l := range cs.Lines {
		wide = max(wide, printable.Columns(printable.Shorten(printable.Line(l.Name), 24)))
	}
	for _, l := range cs.Lines {
		name := printable.PadRight(printable.Shorten(printable.Line(l.Name), 24), wide)
		var ys []float64
		for _, p := range l.Points {
			if !math.IsNaN(p.Y) {
				ys = append(ys, p.Y)
			}
		}
		if len(ys) == 0 {
			t.Line("  " + name + "  no points")
			continue
		}
		lo, hi := ys[0], ys[0]
		for _, y := range ys {
			lo, hi = min(lo, y), max(hi, y)
		}
		said := fmt.Sprintf("%s, %s to %s", printable.Count(len(ys), "point"), printable.Number(lo), printable.Number(hi))
		if !l.Dots {
			said += fmt.Sprintf("; first %s, last %s", printable.Number(ys[0]), printable.Number(ys[len(ys)-1]))
			name += "  " + spark(ys, lo, hi, min(24, t.Width/3))
		}
		t.Block("  "+name, printable.Columns(name)+2, said)
	}
	return t.Flush(w)
}

// spark draws numbers as n bars, each the mean of its share of them.
func spark(ys []float64, lo, hi float64, n int) string {
	const bars = "▁▂▃▄▅▆▇█"
	n = min(n, len(ys))
	var b strings.Builder
	for i := range n {
		part := ys[i*len(ys)/n : (i+1)*len(ys)/n]
		sum := 0.0
		for _, y := range part {
			sum += y / float64(len(part))
		}
		k := 3
		if hi > lo {
			k = max(0, min(7, int((sum-lo)/(hi-lo)*8)))
		}
		b.WriteRune([]rune(bars)[k])
	}
	return b.String()
}
