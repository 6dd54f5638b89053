package canvas

import (
	"math"
	"strconv"
	"strings"
)

// stroke paints the line along a path. Its pieces all turn the same way, so that where they overlap they add up.
func (p *painter) stroke(way Path, s Style) {
	if s.Stroke == "" {
		return
	}
	width := s.Width
	if width == 0 {
		width = 1
	}
	half := width * p.scale / 2
	var o outline
	for _, polyline := range p.flatten(way) {
		snap(polyline, half)
		for _, piece := range dashed(polyline, s.Dash, p.scale) {
			for i, q := range piece {
				if i > 0 {
					o = append(o, band(piece[i-1], q, half)...)
				}
				if inner := i > 0 && i < len(piece)-1; half > 1 && (inner || s.Round) {
					o = append(o, round(q, half))
				}
			}
		}
	}
	p.fill(o, s.Stroke)
}

// snap moves a line that runs along an axis to whole pixels: it is sharp there.
func snap(polyline []point, half float64) {
	at := func(v float64) float64 { return math.Round(v-half) + half }
	if len(polyline) != 2 {
		return
	}
	a, b := &polyline[0], &polyline[1]
	if a.y == b.y {
		a.y, b.y = at(a.y), at(b.y)
	}
	if a.x == b.x {
		a.x, b.x = at(a.x), at(b.x)
	}
}

// band returns the rectangle of a straight piece of a line; nothing for one without length.
func band(a, b point, half float64) outline {
	length := math.Hypot(b.x-a.x, b.y-a.y)
	if length == 0 {
		return nil
	}
	n := point{-(b.y - a.y) / length * half, (b.x - a.x) / length * half}
	return outline{{{a.x + n.x, a.y + n.y}, {b.x + n.x, b.y + n.y}, {b.x - n.x, b.y - n.y}, {a.x - n.x, a.y - n.y}}}
}

func round(at point, r float64) []point {
	circle := make([]point, 12)
	for i := range circle {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(len(circle)))
		circle[i] = point{at.x + r*cos, at.y - r*sin}
	}
	return circle
}

// dashed cuts a line into its dashes.
func dashed(polyline []point, dash string, scale float64) [][]point {
	var lengths []float64
	total := 0.0
	for _, f := range strings.Fields(dash) {
		if v, err := strconv.ParseFloat(f, 64); err == nil && v > 0 {
			lengths = append(lengths, v*scale)
			total += v
		}
	}
	if total == 0 || len(polyline) == 0 {
		return [][]point{polyline}
	}
	var pieces [][]point
	k, left := 0, lengths[0]
	cur := []point{polyline[0]}
	for i := 1; i < len(polyline); i++ {
		a, b := polyline[i-1], polyline[i]
		for length := math.Hypot(b.x-a.x, b.y-a.y); length > left; length = math.Hypot(b.x-a.x, b.y-a.y) {
			t := left / length
			a = point{a.x + t*(b.x-a.x), a.y + t*(b.y-a.y)}
			if k%2 == 0 {
				pieces = append(pieces, append(cur, a))
			}
			k++
			left, cur = lengths[k%len(lengths)], []point{a}
		}
		left -= math.Hypot(b.x-a.x, b.y-a.y)
		cur = append(cur, b)
	}
	if k%2 == 0 {
		pieces = append(pieces, cur)
	}
	return pieces
}
