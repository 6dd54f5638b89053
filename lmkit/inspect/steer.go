package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// Steer adds a direction to the residual stream, and measures what becomes of a prediction and of the rest (difference
// of means: Rimsky et al., 2023). The direction of a layer is the mean residual behind it at the end of texts that show
// a behaviour, minus the mean at the end of texts that do not; the model goes on with x + strength*direction at every
// token. An LSTM's hidden states are moved at every step.
type Steer struct {
	Toward, Away [][]token.ID // texts that show the behaviour, and that do not
	Prompts      [][]token.ID // that the behaviour is measured after; nil: the last third of Away, left out of the mean
	Neutral      []token.ID   // a text whose perplexity says what steering breaks
	Target, Foil token.ID     // the behaviour is the difference of their logits after a prompt
	Layers       []int        // nil: at a quarter, a half and three quarters of the model
	Strengths    []float64    // nil: -4, -2, -1, 1, 2, 4
	Memory       int64        // bytes of activations to hold at once, about; 0: lm's default
}

// steerSettings are what a result says of how it was made.
type steerSettings struct {
	Target    explain.Token `json:"target"` // the behaviour is the difference of the logits of these two
	Foil      explain.Token `json:"foil"`
	Toward    int           `json:"toward"`    // texts that show the behaviour
	Away      int           `json:"away"`      // texts that do not, without those that are measured on
	Prompts   int           `json:"prompts"`   // texts that it is measured on
	Layers    []int         `json:"layers"`    // whose residual is moved
	Strengths []float64     `json:"strengths"` // of the direction
	Norms     []float64     `json:"norms"`     // of a layer: the direction's length, over the mean length of the residual
}

// Steered is what steering came to.
type Steered struct {
	Matrix     *explain.Matrix
	Directions map[int][]float32 // by layer
}

// steering is a Steer on its way.
type steering struct {
	Steer
	model   *lm.Model
	taps    []lm.Tap
	cost    lm.Cost
	vectors []lm.Array // of each tap
	lengths []float64  // of each tap: the direction's, over the mean of the residual's
	toward  []float32  // at the first tap, behind the first text of Toward
}

// Run measures the effect of each layer's direction at each strength. Values are the mean change of the difference of
// the logits over the prompts.
func (x Steer) Run(ctx context.Context, m *lm.Model) (*Steered, error) {
	s := &steering{Steer: x, model: m}
	if err := s.defaults(); err != nil {
		return nil, err
	}
	if err := s.directions(ctx); err != nil {
		return nil, err
	}
	scores, err := s.sweep(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := s.identities(ctx)
	if err != nil {
		return nil, err
	}
	scores.Identities = append(scores.Identities, ids...)
	out := &Steered{Directions: map[int][]float32{}}
	for i, l := range s.Layers {
		out.Directions[l] = s.vectors[i].Data
	}
	out.Matrix, err = explain.NewMatrix(m, "steer", scores, s.cost, s.cost.ForwardRows)
	return out, err
}

func (s *steering) defaults() error {
	L := s.model.Config().Layers
	if len(s.Toward) == 0 || len(s.Away) == 0 {
		return errors.New("steering needs texts that show a behaviour, and texts that do not")
	}
	if s.Prompts == nil {
		if len(s.Away) < 2 {
			return errors.New("one text without the behaviour cannot be measured on, too: give prompts, or more texts")
		}
		n := max(1, len(s.Away)/3)
		s.Away, s.Prompts = s.Away[:len(s.Away)-n], s.Away[len(s.Away)-n:]
	}
	if len(s.Layers) == 0 {
		s.Layers = slices.Compact([]int{L / 4, L / 2, 3 * L / 4})
	}
	for _, l := range s.Layers {
		if l < 0 || l >= L {
			return fmt.Errorf("there is no layer %d; there are 0 to %d", l, L-1)
		}
		tap := fmt.Sprintf("block.%d.resid.post", l)
		if s.model.Config().Recurrent() {
			tap = fmt.Sprintf("lstm.%d.hidden", l)
		}
		s.taps = append(s.taps, tap)
	}
	if len(s.Strengths) == 0 {
		s.Strengths = []float64{-4, -2, -1, 1, 2, 4}
	}
	for _, x := range s.Strengths {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("a strength is %v", x)
		}
	}
	if s.Target == s.Foil {
		return errors.New("target and foil are the same token: the behaviour is the difference of two")
	}
	if len(s.Neutral) < 2 {
		return errors.New("the neutral text has fewer than two tokens: nothing of it is predicted")
	}
	return nil
}

// run asks the model, and counts what it costs.
func (s *steering) run(ctx context.Context, what string, q lm.Query) (*lm.Answer, error) {
	q.Memory = s.Memory
	hears := progress.From(ctx)
	ctx = progress.With(ctx, func(e progress.Event) {
		e.What = what
		hears.Tell(e)
	})
	a, err := s.model.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	s.cost.Add(a.Cost)
	return a, nil
}

// together is how many texts' activations are held at once.
const together = 64

// directions finds the mean difference of the residuals, of each layer.
func (s *steering) directions(ctx context.Context) error {
	var means [2][][]float64
	lengths := make([]float64, len(s.taps))
	for side, rows := range [][][]token.ID{s.Toward, s.Away} {
		for range s.taps {
			means[side] = append(means[side], make([]float64, s.model.ResidualWidth()))
		}
		for part := range slices.Chunk(rows, together) {
			a, err := s.run(ctx, "reading the texts", lm.Query{Rows: part, Taps: s.taps, Places: atLast(len(part))})
			if err != nil {
				return err
			}
			for i, tap := range s.taps {
				for r := range part {
					x := a.At[tap].Index(r, 0).Data
					if s.toward == nil {
						s.toward = slices.Clone(x)
					}
					for d, v := range x {
						means[side][i][d] += float64(v) / float64(len(rows))
					}
					lengths[i] += length(x) / float64(len(rows))
				}
			}
		}
	}
	for i := range s.taps {
		v := lm.Array{Dims: []int{s.model.ResidualWidth()}}
		for d := range means[0][i] {
			v.Data = append(v.Data, float32(means[0][i][d]-means[1][i][d]))
		}
		s.vectors = append(s.vectors, v)
		s.lengths = append(s.lengths, length(v.Data)/max(1e-30, lengths[i]/2))
	}
	return nil
}

// atLast is the last token of each of n rows.
func atLast(n int) (places [][]int) {
	for range n {
		places = append(places, []int{-1})
	}
	return places
}

func length(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// behaviour is the difference of the logits after a text.
func (s *steering) behaviour() lm.Objective {
	return lm.Objective{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: s.Target, Weight: 1},
		{Pos: -1, ID: s.Foil, Weight: -1}}}
}

// fluency is the mean log-probability of a text's tokens.
func fluency(row []token.ID) lm.Objective {
	o := lm.Objective{Unit: lm.LogProb}
	for t, id := range row[1:] {
		o.Terms = append(o.Terms, lm.Term{Pos: t, ID: id, Weight: 1 / float64(len(row)-1)})
	}
	return o
}

// moved returns a query of copies of some rows: first as they are, then moved at each strength of each layer, that of
// strength 0 first.
func (s *steering) moved(rows [][]token.ID) (q lm.Query, strengths []float64) {
	strengths = append([]float64{0}, s.Strengths...)
	q.Rows = slices.Clone(rows)
	for i, tap := range s.taps {
		for _, strength := range strengths {
			e := lm.Edit{Tap: tap, Add: true, Times: strength, With: lm.FromValues(s.vectors[i])}
			for r := range rows {
				e.Rows = append(e.Rows, len(q.Rows)+r)
			}
			q.Rows, q.Edits = append(q.Rows, rows...), append(q.Edits, e)
		}
	}
	return q, strengths
}

// sweep measures the behaviour and the neutral text at each layer and strength.
func (s *steering) sweep(ctx context.Context) (out explain.MatrixScores, err error) {
	q, strengths := s.moved(s.Prompts)
	q.Of = []lm.Objective{s.behaviour()}
	effect, err := s.run(ctx, "steering the prompts", q)
	if err != nil {
		return out, err
	}
	q, _ = s.moved([][]token.ID{s.Neutral})
	q.Of = []lm.Objective{fluency(s.Neutral)}
	neutral, err := s.run(ctx, "steering the neutral text", q)
	if err != nil {
		return out, err
	}
	n, none := len(s.Prompts), 0.0
	share, perplexity := table(len(s.taps), len(s.Strengths)), table(len(s.taps), len(s.Strengths))
	out.Values, out.Spread = table(len(s.taps), len(s.Strengths)), table(len(s.taps), len(s.Strengths))
	for i := range s.taps {
		for k, strength := range strengths {
			at := 1 + i*len(strengths) + k // the block of rows
			change := make([]float64, n)
			for r := range n {
				change[r] = effect.Values[at*n+r] - effect.Values[r]
			}
			if k == 0 {
				none = max(none, slices.Max(change), -slices.Min(change))
				continue
			}
			mean, spread := numerics.MeanAndError(column(change))
			out.Values[i][k-1], out.Spread[i][k-1] = mean[0], finiteOr0(spread)
			for _, c := range change {
				if c*strength > 0 {
					share[i][k-1] += 1 / float64(n)
				}
			}
			perplexity[i][k-1] = math.Exp(-neutral.Values[at])
		}
	}
	plain := math.Exp(-neutral.Values[0])
	s.label(&out, effect.Values[:n], share, perplexity, plain)
	out.Identities = []explain.Identity{explain.NewIdentity("at strength 0 nothing changes: largest change of the "+
		"difference of the logits", 0, none, 1e-3)}
	return out, nil
}

// column makes a list of lists of one number.
func column(x []float64) [][]float64 {
	rows := make([][]float64, len(x))
	for i, v := range x {
		rows[i] = []float64{v}
	}
	return rows
}

// finiteOr0 is the standard error of one mean, or 0 where one prompt has none.
func finiteOr0(spread []float64) float64 {
	if len(spread) == 0 || math.IsNaN(spread[0]) || math.IsInf(spread[0], 0) {
		return 0
	}
	return spread[0]
}

// label says what the values are.
func (s *steering) label(out *explain.MatrixScores, before []float64, share, perplexity [][]float64, plain float64) {
	m := s.model
	out.About = fmt.Sprintf("how far %s gains on %s as the residual is moved", quoted(m.TokenText(s.Target)),
		quoted(m.TokenText(s.Foil)))
	out.Axes, out.Unit, out.Rows = [2]string{"residual", "strength"}, "logit", s.taps
	for _, strength := range s.Strengths {
		out.Columns = append(out.Columns, fmt.Sprintf("%+g", strength))
	}
	out.More = []explain.Measure{
		{Name: "share of the prompts that moved the way of the strength's sign", Unit: "share", Values: share},
		{Name: "perplexity of the neutral text", Unit: "perplexity", Values: perplexity},
	}
	out.Settings = steerSettings{Target: explain.Token{ID: int(s.Target), Text: m.TokenText(s.Target)},
		Foil:   explain.Token{ID: int(s.Foil), Text: m.TokenText(s.Foil)},
		Toward: len(s.Toward), Away: len(s.Away), Prompts: len(s.Prompts), Layers: s.Layers, Strengths: s.Strengths,
		Norms: s.lengths}
	sum := 0.0
	for _, v := range before {
		sum += v / float64(len(before))
	}
	out.Notes = append(out.Notes, fmt.Sprintf("before steering, the difference of the logits is %.3g on average over %d "+
		"prompts, and the perplexity of the neutral text %.3g", sum, len(before), plain))
	for i, tap := range s.taps {
		var shares, perplexities []string
		for k := range s.Strengths {
			shares = append(shares, fmt.Sprintf("%.0f", 100*share[i][k]))
			perplexities = append(perplexities, fmt.Sprintf("%.3g", perplexity[i][k]))
		}
		out.Notes = append(out.Notes, fmt.Sprintf("%s, moved by a direction of %.2g of its length: %s %% of the prompts "+
			"move the strength's way, and the perplexity becomes %s", tap, s.lengths[i], strings.Join(shares, ", "),
			strings.Join(perplexities, ", ")))
	}
}

// identities compare the direction of one pair of texts, added once at one token, with a patch of that activation.
func (s *steering) identities(ctx context.Context) ([]explain.Identity, error) {
	row, tap := s.Away[0], s.taps[0]
	a, err := s.run(ctx, "checking", lm.Query{Rows: [][]token.ID{row}, Taps: []lm.Tap{tap}, Places: atLast(1)})
	if err != nil {
		return nil, err
	}
	pair := lm.Array{Dims: []int{len(s.toward)}}
	for d, v := range a.At[tap].Index(0, 0).Data {
		pair.Data = append(pair.Data, s.toward[d]-v)
	}
	last := []int{len(row) - 1}
	patch := lm.FromValues(lm.Array{Dims: pair.Dims, Data: s.toward})
	b, err := s.run(ctx, "checking", lm.Query{Rows: [][]token.ID{row, row}, Of: []lm.Objective{s.behaviour()},
		Edits: []lm.Edit{
			{Tap: tap, Rows: []int{0}, Positions: last, Add: true, Times: 1, With: lm.FromValues(pair)},
			{Tap: tap, Rows: []int{1}, Positions: last, With: patch},
		}})
	if err != nil {
		return nil, err
	}
	return []explain.Identity{explain.NewIdentity("the direction of one pair of texts, added once at the last token, is "+
		"a patch of it: difference of the logits", b.Values[1], b.Values[0], 1e-3*max(1, math.Abs(b.Values[1])))}, nil
}
