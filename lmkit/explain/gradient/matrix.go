package gradient

import (
	"encoding/json"
	"fmt"
	"math"

	"lmkit.internal/lmkit/explain"
)

// Matrix is scores that belong to pairs, such as a prediction and a token, or a token and a head. It carries its own
// labels, and what was measured of its promises.
type Matrix struct {
	Method       explain.MethodInfo    `json:"method"`
	Objective    string                `json:"objective"`
	Baseline     string                `json:"baseline,omitempty"` // where the method has one
	Tokens       []explain.InputToken  `json:"tokens"`             // the input
	Axes         [2]string             `json:"axes"`               // what rows and columns are: prediction, token, head, all
	Dims         [2]int                `json:"dims"`
	Rows         []string              `json:"rows"`    // labels
	Columns      []string              `json:"columns"` // labels
	Scores       [][]float64           `json:"scores"`  // [row][column], in Unit
	Unit         string                `json:"unit"`
	Values       []float64             `json:"values"`                 // the objective of each row, or the one of all
	Base         *float64              `json:"base,omitempty"`         // the objective on the baseline, where there is one
	Completeness *explain.Completeness `json:"completeness,omitempty"` // nil: the method makes no such promise
	Cost         explain.Cost          `json:"cost"`
	ModelHash    string                `json:"model_hash"`
	Warnings     []string              `json:"warnings,omitempty"`
}

// ColumnSums is the sum of each column: what a head has in all, say.
func (m *Matrix) ColumnSums() []float64 {
	out := make([]float64, m.Dims[1])
	for _, row := range m.Scores {
		add(out, 1, row)
	}
	return out
}

// newMatrix fills in what all matrices of a problem have, and refuses scores that are not numbers.
func newMatrix(p *explain.Problem, name string, settings any, scores [][]float64) (*Matrix, error) {
	s, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	for i, row := range scores {
		for j, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%s: the score at %d, %d is %v: the model's weights or the baseline are too large to compute with", name, i, j, v)
			}
		}
	}
	c := p.Cost()
	return &Matrix{Method: explain.MethodInfo{Name: name, Settings: s}, Objective: p.Question.Objective, Tokens: p.Tokens, Dims: [2]int{len(scores), len(scores[0])},
		Scores: scores, Unit: p.Unit, ModelHash: p.Model.Hash(),
		Cost: explain.Cost{ForwardRows: c.ForwardRows, BackwardRows: c.BackwardRows, Seconds: c.Seconds, CompileSeconds: c.CompileSeconds}}, nil
}

func texts(tokens []explain.InputToken) []string {
	var out []string
	for _, t := range tokens {
		out = append(out, t.Text)
	}
	return out
}
