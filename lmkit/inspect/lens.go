package inspect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Lens is the logit lens (nostalgebraist, 2020): what the model would predict if each layer were the last one. The
// residual x behind a layer goes through the final norm, by its own statistics, and the output matrix:
// softmax(norm(x) W). An LSTM's hidden states go through its output matrix.
type Lens struct {
	Show string `json:"show,omitempty"` // which measure the values are: see LensMeasures; "": top
	Mid  bool   `json:"mid,omitempty"`  // the residuals between attention and feed-forward layer, too
	// By turns the residuals of earlier layers into what they come to behind the last one: a tuned lens (Belrose et al.,
	// 2023), or a Jacobian lens; nil: they are taken as they are.
	By *Translator `json:"-"`
	// Fitted says what By is, in a result.
	Fitted string `json:"fitted,omitempty"`
}

// LensMeasures lists what a lens measures of every layer and position.
var LensMeasures = []string{"top", "target", "logprob", "rank", "difference", "entropy", "kl"}

// lensMeasures says what each is, and its unit.
var lensMeasures = map[string][2]string{
	"top":        {"probability of the first choice there", "probability"},
	"target":     {"probability of the target", "probability"},
	"logprob":    {"log-probability of the target", "nat"},
	"rank":       {"rank of the target, from 1", "rank"},
	"difference": {"logit of the target minus logit of the foil", "logit"},
	"entropy":    {"entropy", "nat"},
	"kl":         {"divergence of the output from it, KL(output || lens)", "nat"},
}

// lensTop is how many of the most likely tokens are reported of every layer and position.
const lensTop = 5

// Name implements explain.MatrixMethod.
func (Lens) Name() string { return "lens" }

// Suits implements explain.Selective.
func (x Lens) Suits(*lm.Model, explain.Question) error {
	if _, ok := lensMeasures[cmp.Or(x.Show, "top")]; !ok {
		return fmt.Errorf("the lens measures no %q; it measures %s", x.Show, strings.Join(LensMeasures, ", "))
	}
	return nil
}

// Matrix implements explain.MatrixMethod. Rows are residuals, named as the model's activations are, and columns are
// tokens: a cell says what would come after the token. Cost: one row forward, and an output matrix a cell.
func (x Lens) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	taps := streams(p.Model, x.Mid)
	a, err := p.Run(ctx, lm.Query{Rows: p.Rows(1), Taps: taps, Logits: lm.AllLogits})
	if err != nil {
		return explain.MatrixScores{}, err
	}
	seen := newSeen(p, taps, a.Logits[0])
	err = p.Model.Unembed(ctx, x.residuals(a, taps), func(i int, logits []float32) error {
		seen.look(i/len(p.IDs), i%len(p.IDs), logits)
		return nil
	})
	if err != nil {
		return explain.MatrixScores{}, err
	}
	return seen.scores(x), nil
}

// streams lists the residual stream's activations in the order of computation: before the first layer and behind each,
// and with mid those between attention and feed-forward layer, where there are any. Of an LSTM they are the hidden
// states of each layer.
func streams(m *lm.Model, mid bool) (taps []lm.Tap) {
	for _, t := range m.Taps() {
		switch name := t.Name; {
		case name == "block.0.resid.pre", strings.HasSuffix(name, ".resid.post"),
			mid && strings.HasSuffix(name, ".resid.mid"),
			strings.HasPrefix(name, "lstm.") && strings.HasSuffix(name, ".hidden") && !strings.Contains(name, ".state."):
			taps = append(taps, name)
		}
	}
	return taps
}

// residuals gathers activations [1, T, D] of one row, as the lens turns them: [R*T, D].
func (x Lens) residuals(a *lm.Answer, taps []lm.Tap) lm.Array {
	var out lm.Array
	for _, tap := range taps {
		at := a.At[tap].Index(0)
		for t := range at.Dims[0] {
			row := at.Index(t).Data
			if x.By != nil {
				row = x.By.apply(tap, row)
			}
			out.Data = append(out.Data, row...)
		}
		out.Dims = []int{len(taps) * at.Dims[0], at.Dims[1]}
	}
	return out
}

// seen is what a lens has seen of each residual and token.
type seen struct {
	problem *explain.Problem
	taps    []lm.Tap
	output  lm.Array               // the model's own logits [T, V]
	logProb []float32              // room for those of one cell
	values  map[string][][]float64 // by measure
	top     [][][]choice           // [R][T][lensTop]

	// Of the last residual, whose lens must be the output.
	worst float64 // the largest difference of a logit, over the spread of the output's
	kl    float64 // the largest divergence
}

// choice is a token and its probability.
type choice struct {
	id   token.ID
	prob float64
}

func newSeen(p *explain.Problem, taps []lm.Tap, output lm.Array) *seen {
	s := &seen{problem: p, taps: taps, output: output, values: map[string][][]float64{}}
	for _, name := range LensMeasures {
		s.values[name] = table(len(taps), len(p.IDs))
	}
	for range taps {
		s.top = append(s.top, make([][]choice, len(p.IDs)))
	}
	return s
}

func table(rows, columns int) [][]float64 {
	all := make([][]float64, rows)
	for i := range all {
		all[i] = make([]float64, columns)
	}
	return all
}

// look measures what the lens says at residual r and token t.
func (s *seen) look(r, t int, logits []float32) {
	p, own := s.problem, s.output.Index(t).Data
	lp := append(s.logProb[:0], logits...)
	lm.LogSoftmax(lp)
	s.logProb = lp
	set := func(name string, v float64) { s.values[name][r][t] = v }
	entropy, rank := 0.0, 1
	for _, v := range lp {
		if v > lp[p.Target[0]] {
			rank++
		}
		entropy -= math.Exp(float64(v)) * float64(v)
	}
	s.top[r][t] = largest(lp, lensTop)
	set("top", s.top[r][t][0].prob)
	set("target", math.Exp(float64(lp[p.Target[0]])))
	set("logprob", float64(lp[p.Target[0]]))
	set("rank", float64(rank))
	set("entropy", entropy)
	set("kl", divergence(own, lp))
	if p.Foil != nil {
		set("difference", float64(logits[p.Target[0]])-float64(logits[p.Foil[0]]))
	}
	if r == len(s.taps)-1 {
		s.worst = max(s.worst, apart(own, logits))
		s.kl = max(s.kl, math.Abs(s.values["kl"][r][t]))
	}
}

// largest returns the k most likely tokens.
func largest(logProbs []float32, k int) []choice {
	var top []choice
	for i, v := range logProbs {
		if len(top) == k && float64(v) <= top[k-1].prob {
			continue
		}
		at := len(top)
		for at > 0 && float64(v) > top[at-1].prob {
			at--
		}
		top = slices.Insert(top, at, choice{token.ID(i), float64(v)})
		top = top[:min(len(top), k)]
	}
	for i := range top {
		top[i].prob = math.Exp(top[i].prob)
	}
	return top
}

// divergence is KL(p || q) in nats, of the probabilities that logits give, from q's log-probabilities.
func divergence(logits, q []float32) float64 {
	p := slices.Clone(logits)
	lm.LogSoftmax(p)
	sum := 0.0
	for i, v := range p {
		sum += math.Exp(float64(v)) * (float64(v) - float64(q[i]))
	}
	return sum
}

// apart is the largest difference of two lists of logits, over how far the first ones spread.
func apart(want, got []float32) float64 {
	worst := 0.0
	for i, w := range want {
		worst = max(worst, math.Abs(float64(w)-float64(got[i])))
	}
	return worst / max(1e-9, float64(slices.Max(want))-float64(slices.Min(want)))
}

// scores are the measures as a matrix.
func (s *seen) scores(x Lens) explain.MatrixScores {
	p, show := s.problem, cmp.Or(x.Show, "top")
	out := explain.MatrixScores{
		About: "what each layer would predict next", Axes: [2]string{"residual", "token"}, Rows: s.taps,
		Columns: texts(p), Values: s.values[show], Unit: lensMeasures[show][1], Settings: x, Notes: s.notes(),
		Identities: s.identities(),
	}
	if x.Fitted != "" {
		out.About += ", by a " + x.Fitted + " lens"
	}
	if show == "top" {
		out.Words = s.words(0)
	} else {
		out.About += ": " + lensMeasures[show][0]
	}
	for _, name := range LensMeasures {
		if name == "difference" && p.Foil == nil {
			continue
		}
		m := explain.Measure{Name: lensMeasures[name][0], Unit: lensMeasures[name][1], Values: s.values[name]}
		if name == "top" {
			m.Words = s.words(0)
		}
		out.More = append(out.More, m)
	}
	out.More = append(out.More, explain.Measure{Name: "settled: the first choice stays from here on", Unit: "0 or 1",
		Values: s.settled()})
	for k := 1; k < len(s.top[0][0]); k++ {
		m := explain.Measure{Name: fmt.Sprintf("probability of choice %d", k+1), Unit: "probability", Words: s.words(k),
			Values: table(len(s.taps), len(p.IDs))}
		for r := range s.top {
			for t, top := range s.top[r] {
				m.Values[r][t] = top[k].prob
			}
		}
		out.More = append(out.More, m)
	}
	return out
}

func texts(p *explain.Problem) []string {
	all := make([]string, len(p.Tokens))
	for i, t := range p.Tokens {
		all[i] = t.Text
	}
	return all
}

// words are the tokens at place k of each cell's most likely ones.
func (s *seen) words(k int) [][]string {
	all := make([][]string, len(s.top))
	for r := range s.top {
		for _, top := range s.top[r] {
			all[r] = append(all[r], s.text(top[k].id))
		}
	}
	return all
}

// settled has 1 where the first choice is the same in all later residuals, else 0.
func (s *seen) settled() [][]float64 {
	all := table(len(s.taps), len(s.problem.IDs))
	last := s.top[len(s.top)-1]
	for t := range last {
		for r := len(s.taps) - 1; r >= 0 && s.top[r][t][0].id == last[t][0].id; r-- {
			all[r][t] = 1
		}
	}
	return all
}

// notes says from where on the last token's prediction is there.
func (s *seen) notes() []string {
	p, last := s.problem, len(s.problem.IDs)-1
	settled := s.settled()
	from := slices.IndexFunc(settled, func(row []float64) bool { return row[last] == 1 })
	choice := s.top[len(s.top)-1][last][0].id
	notes := []string{fmt.Sprintf("after the last token, the model's first choice %s is that of the lens from %s on",
		quoted(s.text(choice)), s.taps[from])}
	if p.Target[0] != choice {
		best := 0
		for r := range s.taps {
			if s.values["rank"][r][last] < s.values["rank"][best][last] {
				best = r
			}
		}
		notes = append(notes, fmt.Sprintf("the target %s comes closest at %s: rank %.0f, probability %.3g",
			quoted(p.Model.TokenText(p.Target[0])), s.taps[best], s.values["rank"][best][last], s.values["target"][best][last]))
	}
	return notes
}

func (s *seen) text(id token.ID) string { return s.problem.Model.TokenText(id) }

// quoted is a token's text as notes have it.
func quoted(text string) string { return "`" + text + "`" }

// identities are what must be so: behind the last layer, the lens is the model.
func (s *seen) identities() []explain.Identity {
	p, last := s.problem, len(s.problem.IDs)-1
	ids := []explain.Identity{
		explain.NewIdentity("the last lens against the output: largest difference of a logit, over their spread", 0,
			s.worst, 1e-4),
		explain.NewIdentity("divergence of the output from the last lens", 0, s.kl, 1e-4),
	}
	if p.Question.Objective != explain.Contrast {
		return ids
	}
	diff := s.values["difference"]
	sum := diff[0][last]
	for r := 1; r < len(diff); r++ {
		sum += diff[r][last] - diff[r-1][last]
	}
	return append(ids, explain.NewIdentity("the first lens, and what each residual adds to it, against the model's "+
		"difference of logits", p.Value, sum, 1e-3*max(1, math.Abs(p.Value))))
}
