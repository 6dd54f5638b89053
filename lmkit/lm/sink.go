package lm

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"

	"lmkit.internal/lmkit/token"
)

// sink is what Model.Sink has found out.
type sink struct {
	mu    sync.Mutex
	known bool
	ratio float64
}

// sinkLayers is how many layers a model needs to have before its first position is looked at: one to write the large
// residual, one to read it, and some between them.
const sinkLayers = 4

// sinkText is how many tokens of a text the first position is compared on.
const sinkText = 8

// Sink measures whether the first position of a text is the model's attention sink: a place that heads look at when
// they look for nothing, whatever token stands there. It returns how many times larger the residual stream of the
// first position is than the median of the others', in the middle of the model, on a text of 8 random tokens: about 1
// in a model without a sink, and 50 or more in most that have one. The text is the same for all questions, and the
// model reads it once; the cost is that of this call. A model without attention, or of fewer than four layers, has no
// sink: 0. (Xiao et al. 2024, Efficient Streaming Language Models with Attention Sinks; Sun et al. 2024, Massive
// Activations.)
//
// Length is that of the texts that will be asked about. The random text goes on for as long, which changes nothing of
// its beginning, and is read by the programs that read the others.
func (m *Model) Sink(ctx context.Context, length int) (ratio float64, cost Cost, err error) {
	n := max(length, sinkText)
	if m.config.Context > 0 {
		n = min(n, m.config.Context)
	}
	if !m.config.Attends() || m.config.Layers < sinkLayers || n < 3 {
		return 0, Cost{}, nil
	}
	m.sink.mu.Lock()
	defer m.sink.mu.Unlock()
	if m.sink.known {
		return m.sink.ratio, Cost{}, nil
	}
	rng, row := rand.New(rand.NewPCG(1, 0)), make([]token.ID, n)
	for i := range row {
		row[i] = token.ID(rng.IntN(m.config.Vocab))
	}
	tap := fmt.Sprintf("block.%d.resid.pre", m.config.Layers/2)
	// An edit of nothing, as questions have one.
	nothing := Edit{Tap: "embed", Rows: []int{0}, Positions: []int{}, With: FromValues(zeros([]int{m.config.Embedding()}))}
	a, err := m.Run(ctx, Query{Rows: [][]token.ID{row}, Taps: []Tap{tap}, Edits: []Edit{nothing}})
	if err != nil {
		return 0, Cost{}, err
	}
	norms := make([]float64, min(n, sinkText))
	for i := range norms {
		for _, v := range a.At[tap].Index(0, i).Data {
			norms[i] += float64(v) * float64(v)
		}
		norms[i] = math.Sqrt(norms[i])
	}
	others := slices.Sorted(slices.Values(norms[1:]))
	m.sink.ratio = threeDigits(norms[0] / max(others[len(others)/2], math.SmallestNonzeroFloat32))
	m.sink.known = true
	return m.sink.ratio, a.Cost, nil
}

// threeDigits rounds a number: what is left is the same for texts of all lengths.
func threeDigits(x float64) float64 {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
	return x
}
