package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// Influence asks which training texts made a prediction (TracInCP: Pruthi et al., 2020). A step of gradient descent on
// a text z, at learning rate r, moves the objective F by
//
//	r * grad(-loss(z)) . grad F
//
// and a text's score is the sum of that over checkpoints of the run: positive where learning the text raised the
// prediction. It is computed by a step of the model and not of the text: the loss of every text is measured with the
// weights moved a little along grad F, and a little against it. So a checkpoint takes two rows forward a text, and no
// gradient of any.
//
// Adam divides each weight's step by the size of its past gradients; the score is of plain steps.
type Influence struct {
	Checkpoints []Checkpoint
	Texts       []Lesson
	Top         int // how many of the texts that raised the prediction most to show, and of those that lowered it; 0: 10
}

// Checkpoint is a model on its way through training.
type Checkpoint struct {
	Step int
	Rate float64 // the learning rate there
	Open func(context.Context) (*lm.Model, error)
}

// Lesson is a text that a model learned from.
type Lesson struct {
	Text  string     // as it is shown
	IDs   []token.ID // its tokens
	First int        // the first of them that was to be predicted, from 1
	Times int        // how often it is there
}

// influenceSettings are what a result says of how it was made.
type influenceSettings struct {
	Texts int       `json:"texts"` // different ones
	Steps []int     `json:"steps"` // of the checkpoints
	Rates []float64 `json:"rates"` // the learning rates there
	Top   int       `json:"top"`
}

// influence is an Influence on its way.
type influence struct {
	Influence
	p      *explain.Problem
	scores [][]float64 // of each text, at each checkpoint
	ids    []explain.Identity
}

// reach is how far the objective is moved up and down, about: far enough for what that does to the loss of a text to
// stand out from rounding, and near enough for the loss to be straight in between. Where it is not straight, as in a
// model that has hardly begun to learn, the way is cut to a quarter, and to a quarter of that.
const (
	reach    = 0.1
	shortest = reach / 16
	straight = 0.02 // by which share the objective may move more, or less, than its gradient says
)

// Name implements explain.MatrixMethod.
func (Influence) Name() string { return "influence" }

// Suits implements explain.Selective.
func (x Influence) Suits(m *lm.Model, q explain.Question) error {
	switch {
	case len(x.Checkpoints) == 0:
		return errors.New("influence follows a run: give checkpoints of it")
	case len(x.Texts) == 0:
		return errors.New("influence is of training texts: give some")
	case q.Objective != "" && q.Objective != explain.Contrast && q.Objective != explain.LogProb:
		return fmt.Errorf("influence is on %s or %s, and not on %s", explain.Contrast, explain.LogProb, q.Objective)
	}
	for i, z := range x.Texts {
		if z.First < 1 || z.First >= len(z.IDs) || z.Times < 1 {
			return fmt.Errorf("text %d (%.40q) has nothing that was to be predicted", i+1, z.Text)
		}
	}
	return nil
}

// Matrix implements explain.MatrixMethod. Rows are the texts that moved the prediction most, columns checkpoints, and
// before them their sum. Cost: for each checkpoint two rows forward a text.
func (x Influence) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	x.Top = cmp.Or(x.Top, 10)
	f := &influence{Influence: x, p: p, scores: table(len(x.Texts), len(x.Checkpoints))}
	p.Expect(len(x.Checkpoints) * (2*len(x.Texts) + 3))
	for i := range x.Checkpoints {
		if err := f.checkpoint(ctx, i); err != nil {
			return explain.MatrixScores{}, err
		}
	}
	return f.result(), nil
}

// checkpoint scores every text at one checkpoint.
func (f *influence) checkpoint(ctx context.Context, i int) error {
	at := f.Checkpoints[i]
	m, err := at.Open(ctx)
	if err != nil {
		return fmt.Errorf("the checkpoint of step %d: %w", at.Step, err)
	}
	defer m.Close()
	if m.Config() != f.p.Model.Config() {
		return fmt.Errorf("the checkpoint of step %d is a model of another shape", at.Step)
	}
	grad, square, err := f.gradient(ctx, m)
	if err != nil {
		return err
	}
	if square == 0 {
		return fmt.Errorf("the checkpoint of step %d: no weight moves the prediction", at.Step)
	}
	var losses [2][]float64 // of the texts, and of the objective last
	what := fmt.Sprintf("step %d: reading the texts", at.Step)
	n, step, moved := len(f.Texts), 0.0, 0.0
	for way := reach; ; way /= 4 {
		step = way / square
		for side, sign := range []float64{1, -1} {
			if losses[side], err = f.moved(ctx, m, grad, sign*step, what); err != nil {
				return err
			}
		}
		moved = (losses[0][n] - losses[1][n]) / (2 * step * square)
		if math.Abs(moved-1) <= straight || way <= shortest {
			break
		}
	}
	for z := range n {
		f.scores[z][i] = at.Rate * (losses[1][z] - losses[0][z]) / (2 * step) * float64(f.Texts[z].Times)
	}
	f.ids = append(f.ids, explain.NewIdentity(fmt.Sprintf("step %d: the way along its gradient moves the prediction by "+
		"the gradient's square: the share of it", at.Step), 1, moved, 0.05))
	if i == len(f.Checkpoints)-1 {
		return f.check(ctx, m, grad, i)
	}
	return nil
}

// gradient returns the gradient of the objective by the weights, and its square. The objective is a sum of
// log-probabilities, or a difference of logits, which is one of them.
func (f *influence) gradient(ctx context.Context, m *lm.Model) (sum map[string]lm.Array, square float64, err error) {
	last := len(f.p.IDs) - 1
	targets := slices.Repeat([]token.ID{-1}, len(f.p.IDs))
	for _, term := range f.p.Objective.Terms {
		targets[last] = term.ID
		_, by, err := m.Learning(ctx, f.p.IDs, targets)
		if err != nil {
			return nil, 0, err
		}
		f.p.Spend(lm.Cost{ForwardRows: 1, BackwardRows: 1})
		for name, g := range by {
			for i := range g.Data {
				g.Data[i] *= -float32(term.Weight)
				if sum != nil {
					g.Data[i] += sum[name].Data[i]
				}
			}
		}
		sum = by
	}
	for _, g := range sum {
		square += dot32(g.Data, g.Data)
	}
	return sum, square, nil
}

// moved returns the loss of each text, and after them the objective, with the weights moved some way along a gradient.
func (f *influence) moved(
	ctx context.Context, m *lm.Model, along map[string]lm.Array, by float64, what string,
) ([]float64, error) {
	ws, err := m.Weights()
	if err != nil {
		return nil, err
	}
	for name, w := range ws {
		for i, g := range along[name].Data {
			w.Data[i] += float32(by * float64(g))
		}
	}
	other, err := lm.FromWeights(m.Engine(), m.Config(), nil, ws)
	if err != nil {
		return nil, err
	}
	defer other.Close()
	var losses []float64
	for first := 0; first < len(f.Texts); first += together {
		part := f.Texts[first:min(len(f.Texts), first+together)]
		q := lm.Query{Each: true, Memory: f.p.Question.Memory}
		for _, z := range part {
			of := lm.Objective{Unit: lm.LogProb}
			for t := z.First; t < len(z.IDs); t++ {
				of.Terms = append(of.Terms, lm.Term{Pos: t - 1, ID: z.IDs[t], Weight: 1})
			}
			q.Rows, q.Of = append(q.Rows, z.IDs), append(q.Of, of)
		}
		a, err := other.Run(quiet(ctx), q)
		if err != nil {
			return nil, err
		}
		f.p.Spend(a.Cost)
		for _, terms := range a.Each { // each by itself: their sum in float32 would hide what moves
			loss := 0.0
			for _, v := range terms {
				loss -= v
			}
			losses = append(losses, loss)
		}
		progress.From(ctx).At(what, int64(len(losses)), int64(len(f.Texts)), "texts")
	}
	a, err := other.Run(quiet(ctx), lm.Query{Rows: f.p.Rows(1), Of: []lm.Objective{f.p.Objective}})
	if err != nil {
		return nil, err
	}
	f.p.Spend(a.Cost)
	return append(losses, a.Values[0]), nil
}

// check computes the largest score at a checkpoint another way: as the product of two gradients.
func (f *influence) check(ctx context.Context, m *lm.Model, grad map[string]lm.Array, i int) error {
	top := 0
	for z := range f.Texts {
		if math.Abs(f.scores[z][i]) > math.Abs(f.scores[top][i]) {
			top = z
		}
	}
	z := f.Texts[top]
	targets := slices.Repeat([]token.ID{-1}, len(z.IDs))
	for t := z.First; t < len(z.IDs); t++ {
		targets[t-1] = z.IDs[t]
	}
	_, by, err := m.Learning(ctx, z.IDs, targets)
	if err != nil {
		return err
	}
	f.p.Spend(lm.Cost{ForwardRows: 1, BackwardRows: 1})
	sum := 0.0
	for name, g := range by {
		sum -= dot32(g.Data, grad[name].Data)
	}
	want := sum * f.Checkpoints[i].Rate * float64(z.Times)
	f.ids = append(f.ids, explain.NewIdentity(fmt.Sprintf("step %d: the largest score, of %q, is the product of two "+
		"gradients", f.Checkpoints[i].Step, shown(z)), want, f.scores[top][i], 0.05*math.Abs(want)))
	return nil
}

// shownLength is how many characters of a text are shown, at most.
const shownLength = 120

// shown is a text as it stands before its row.
func shown(z Lesson) string {
	text := []rune(strings.Join(strings.Fields(z.Text), " "))
	if len(text) > shownLength {
		text = append(text[:shownLength-1], '…')
	}
	if z.Times > 1 {
		return fmt.Sprintf("%s (%d times)", string(text), z.Times)
	}
	return string(text)
}

// result shows the texts that moved the prediction most, those that raised it first.
func (f *influence) result() explain.MatrixScores {
	order, sums := make([]int, len(f.Texts)), make([]float64, len(f.Texts))
	raised, lowered := 0.0, 0.0
	for z := range order {
		order[z] = z
		for _, v := range f.scores[z] {
			sums[z] += v
		}
		raised, lowered = raised+max(0, sums[z]), lowered+min(0, sums[z])
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sums[b], sums[a]) })
	all := order
	if len(all) > 2*f.Top {
		order = slices.Concat(all[:f.Top], all[len(all)-f.Top:])
	}
	s := influenceSettings{Texts: len(f.Texts), Top: f.Top}
	out := explain.MatrixScores{About: "how much learning a text moved the prediction", Columns: []string{"all"},
		Axes: [2]string{"text", "step"}, Identities: f.ids}
	for _, c := range f.Checkpoints {
		out.Columns = append(out.Columns, fmt.Sprint(c.Step))
		s.Steps, s.Rates = append(s.Steps, c.Step), append(s.Rates, c.Rate)
	}
	for _, z := range order {
		out.Rows = append(out.Rows, shown(f.Texts[z]))
		out.Values = append(out.Values, append([]float64{sums[z]}, f.scores[z]...))
	}
	out.Settings = s
	var first []string
	for i, row := range out.Rows[:min(3, len(out.Rows))] {
		if out.Values[i][0] > 0 {
			first = append(first, fmt.Sprintf("%q", row))
		}
	}
	if first == nil {
		first = []string{"none"}
	}
	out.Notes = []string{
		fmt.Sprintf("of %d texts, these raised the prediction most: %s; all that raised it come to %.3g, all that lowered "+
			"it to %.3g", len(f.Texts), strings.Join(first, ", "), raised, lowered),
		"a score is what one plain step on the text, at each checkpoint's learning rate, moves the prediction by; Adam's " +
			"steps are of other sizes",
	}
	if len(f.Checkpoints) == 1 {
		out.Warnings = []string{"one checkpoint is the run at one moment: lmkit train --keep 10 keeps some on the way"}
	}
	return out
}
