package inspect

import (
	"fmt"
	"math"

	"lmkit.internal/lmkit/explain"
)

// last names an activation of an LSTM's last layer.
func (r *readout) last(what string) string { return fmt.Sprintf("lstm.%d.%s", r.config.Layers-1, what) }

// units names the units of the last hidden state that the logits read most from.
func (r *readout) units(top int) directed {
	var all named
	d := directed{restIs: "all other units"}
	for k, h := range r.here("head.in") {
		v := r.by["head.in"][k] * float64(h)
		all = append(all, scored{fmt.Sprintf("%s[%d]", r.last("hidden"), k), v})
		d.rest += v
	}
	all.into(&d, "unit", top)
	return d
}

// tokensOfCells splits the last hidden state by the tokens that wrote to its cells: c = sum over tokens j of i_j*g_j
// times the forget gates after j, and hidden = o*tanh(c).
func (r *readout) tokensOfCells() directed {
	d := directed{axes: [2]string{"layer", "token"}, rows: []string{r.last("cell")}, columns: texts(r.problem)}
	cell, o, w := r.here(r.last("cell")), r.here(r.last("gate.o")), r.by["head.in"]
	row, left := make([]float64, len(r.problem.IDs)), make([]float64, len(cell)) // left is what the forget gates leave
	through, built := make([]float64, len(cell)), make([]float64, len(cell))
	for k, c := range cell {
		left[k], through[k] = 1, w[k]*float64(o[k])
		if c != 0 {
			through[k] *= math.Tanh(float64(c)) / float64(c)
		}
	}
	at := func(what string, t, k int) float64 { return float64(r.answer.At[r.last(what)].Index(0, t).Data[k]) }
	for t := r.at; t >= 0; t-- {
		for k := range cell {
			wrote := at("gate.i", t, k) * at("gate.g", t, k) * left[k]
			row[t] += through[k] * wrote
			built[k] += wrote
			left[k] *= at("gate.f", t, k)
		}
	}
	d.values = [][]float64{row}
	off := 0.0
	for k, c := range cell {
		off = max(off, math.Abs(built[k]-float64(c)))
	}
	d.parts = []explain.Identity{explain.NewIdentity("what all tokens wrote to the cells against the cells: largest "+
		"difference", 0, off, 1e-4)}
	return d
}
