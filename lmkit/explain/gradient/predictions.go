package gradient

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Predictions is the saliency of every prediction in a text at once: how strongly the prediction after each token
// depends on each token so far. The token predicted is the one that follows in the text; after the last one, the
// question's target. A contrast is with the best of the others at that place.
type Predictions struct {
	Norm       int  `json:"norm,omitempty"`        // 1 or 2; 0: 2
	TimesInput bool `json:"times_input,omitempty"` // gradient times input, signed, in place of its norm
}

// Name implements explain.MatrixMethod.
func (Predictions) Name() string { return "predictions" }

// Suits implements explain.Selective: the norm must be 1 or 2, and one text is predicted.
func (x Predictions) Suits(_ *lm.Model, q explain.Question) error {
	if q.Any {
		return fmt.Errorf("%s: each place predicts one token: give one target", x.Name())
	}
	if err := oneText(x.Name(), q); err != nil {
		return err
	}
	if x.Norm < 0 || x.Norm > 2 {
		return fmt.Errorf("%s: there is no norm %d; there are 1 and 2", x.Name(), x.Norm)
	}
	return nil
}

// Matrix implements explain.MatrixMethod. Values are [T][T]: a row for each prediction, a column for each token,
// exactly zero for tokens that come after the prediction. Groups of the question are not heeded. Cost: T rows forward
// and backward in one batch, and one forward before.
func (x Predictions) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	if x.Norm == 0 {
		x.Norm = 2
	}
	T := len(p.IDs)
	p.Expect(2*T + 1)
	of, labels, err := everyPrediction(ctx, p)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	a, err := p.Run(ctx, lm.Query{Rows: p.Rows(T), Of: of, Wrt: []lm.Tap{embed}})
	if err != nil {
		return explain.MatrixScores{}, err
	}
	s := explain.MatrixScores{Axes: [2]string{"prediction", "token"}, Rows: labels, Columns: texts(p.Tokens),
		Values:    zeros(T, T),
		RowValues: a.Values, Settings: x}
	for i, row := range s.Values {
		for t := range row {
			if grad := a.Grad[embed].Index(i, t).Data; x.TimesInput {
				row[t] = dot(a.At[embed].Index(i, t).Data, grad)
			} else {
				row[t] = norm(grad, x.Norm)
			}
		}
	}
	if !x.TimesInput {
		s.Unit = p.Unit + " per embedding unit"
	}
	return s, nil
}

// oneText refuses a contrast of two answers, which have activations of their own.
func oneText(name string, q explain.Question) error {
	if q.TwoTexts() {
		return fmt.Errorf("%s looks at the activations of one text, and two answers are contrasted: leave the foil out",
			name)
	}
	return nil
}

// everyPrediction returns the problem's objective after each token of the input, and what is predicted there.
func everyPrediction(ctx context.Context, p *explain.Problem) (of []lm.Objective, labels []string, err error) {
	T := len(p.IDs)
	targets := append(append([]tokenID{}, p.IDs[1:]...), p.Target[len(p.Target)-1])
	foils := make([]tokenID, T)
	if p.Question.Objective == explain.Contrast {
		a, err := p.Run(ctx, lm.Query{Rows: p.Rows(1), Logits: lm.AllLogits})
		if err != nil {
			return nil, nil, err
		}
		for i := range foils {
			foils[i] = explain.Best(a.Logits[0].Index(i).Data, targets[i])
		}
		foils[T-1] = p.Foil[0]
	}
	for i, id := range targets {
		weight := p.Objective.Terms[0].Weight
		o := lm.Objective{Unit: p.Objective.Unit, Terms: []lm.Term{{Pos: i, ID: id, Weight: weight}}}
		if p.Question.Objective == explain.Contrast {
			o.Terms = append(o.Terms, lm.Term{Pos: i, ID: foils[i], Weight: -weight})
		}
		of, labels = append(of, o), append(labels, p.Model.TokenText(id))
	}
	return of, labels, nil
}
