package backend

import (
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// ProductRate is how fast the engine multiplies two float32 matrices [n, n], in GFLOP/s (2 n³ operations a product):
// the best of some tries after the first.
func (e *Engine) ProductRate(n int) (float64, error) {
	exec, err := graph.NewExec(e.Backend, func(a *graph.Node) *graph.Node { return graph.MatMul(a, a) })
	if err != nil {
		return 0, err
	}
	defer exec.Finalize()
	numbers := make([]float32, n*n)
	for i := range numbers {
		numbers[i] = float32(i%7) / 7
	}
	matrix := tensors.FromFlatDataAndDimensions(numbers, n, n)
	defer matrix.FinalizeAll()
	best := time.Duration(1<<63 - 1)
	for try := range 12 {
		began := time.Now()
		outs, err := exec.Call(matrix)
		if err != nil {
			return 0, err
		}
		if took := time.Since(began); try > 0 {
			best = min(best, took)
		}
		if err := outs[0].FinalizeAll(); err != nil {
			return 0, err
		}
	}
	return 2 * float64(n) * float64(n) * float64(n) / best.Seconds() * 1e-9, nil
}
