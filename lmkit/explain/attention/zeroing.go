package attention

import (
	"context"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// ValueZeroing is how much a token's output of a layer turns when another token's values are zero in that layer alone
// (Mohebbi et al., 2023): 1 minus the cosine, rows normalised. All layers are multiplied as in rollout; chosen ones are
// averaged.
type ValueZeroing struct {
	Layers []int `json:"layers,omitempty"` // nil: rollout of all
}

// Name implements explain.Method.
func (ValueZeroing) Name() string { return valueZeroingName }

// Suits implements explain.Selective: the model must be a Transformer.
func (x ValueZeroing) Suits(m *lm.Model, _ explain.Question) error { return suits(m, x.Name()) }

// Score implements explain.Method. Cost: a row forward for each token and layer.
func (z ValueZeroing) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(ctx, p, z)
}

// Matrix implements explain.MatrixMethod: values are [T][T].
func (x ValueZeroing) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	return matrix(ctx, p, x)
}

func (z ValueZeroing) layers(p *explain.Problem) []int {
	if z.Layers != nil {
		return z.Layers
	}
	return numbers(p.Model.Config().Layers)
}

// weights returns the product, or mean, over the layers [T][T]. Rows add up to 1.
func (z ValueZeroing) weights(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	if _, err := chosen("layer", z.Layers, p.Model.Config().Layers); err != nil {
		return nil, err
	}
	layers, err := zeroed(ctx, p, z.layers(p))
	if err != nil {
		return nil, err
	}
	for l := range layers {
		layers[l] = Normalise(layers[l])
	}
	if z.Layers != nil {
		return Mean(layers...), nil
	}
	return Product(layers), nil
}

// zeroMemory bounds the outputs of layers that are held at once, in numbers.
const zeroMemory = 64 << 20

// zeroed is, for each of some layers, how far token i's output turns without token j's values [T][T]. Every run has
// the same edits and activations, so that all are one program.
func zeroed(ctx context.Context, p *explain.Problem, layers []int) ([][][]float64, error) {
	c, T := p.Model.Config(), len(p.IDs)
	p.Expect(len(layers)*T + 1)
	type zero struct{ layer, token int } // layer: an index into layers
	var todo []zero
	out := make([][][]float64, len(layers))
	for l := range layers {
		out[l] = square(T)
		for j := range T {
			todo = append(todo, zero{l, j})
		}
	}
	for len(todo) > 0 {
		n := min(len(todo), max(7, zeroMemory/(len(layers)*T*c.Width)))
		q := lm.Query{Rows: [][]token.ID{p.IDs}} // row 0 is left as it is
		for _, l := range layers {
			q.Taps = append(q.Taps, in(l, "resid.post"))
			q.Edits = append(q.Edits, lm.Edit{Tap: in(l, "attn.v"), Rows: []int{}})
		}
		for k, x := range todo[:n] {
			q.Rows = append(q.Rows, p.IDs)
			q.Edits = append(q.Edits, lm.Edit{Tap: in(layers[x.layer], "attn.v"), Rows: []int{k + 1},
				Positions: []int{x.token}})
		}
		a, err := p.Run(ctx, q)
		if err != nil {
			return nil, err
		}
		for k, x := range todo[:n] {
			h := a.At[in(layers[x.layer], "resid.post")]
			for i := x.token; i < T; i++ {
				out[x.layer][i][x.token] = distance(h.Index(0, i).Data, h.Index(k+1, i).Data)
			}
		}
		todo = todo[n:]
	}
	return out, nil
}
