package explain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Problem is a question made precise for one model: everything that methods need, resolved and checked. Methods only
// read it, so that one problem serves any number of them, one after the other.
type Problem struct {
	Question Question // as it was asked, its defaults filled in
	Model    *lm.Model

	// What is explained.
	Target    token.ID
	Foil      token.ID     // for Contrast; -1 otherwise
	Objective lm.Objective // at the last token of a row
	Unit      string       // of the objective: logit, nat or probability

	// What it is explained by.
	IDs        []token.ID
	Tokens     []InputToken
	Features   []Feature
	Baselines  []Baseline
	Embeddings lm.Array // of the input's tokens [T, D]

	// What the model says.
	Value float64   // the objective on the input
	Bases []float64 // the objective on each baseline

	work     work     // what is run now
	choice   token.ID // the model's first choice
	text     string   // that the tokens are; "": it is not known
	held     *Held    // what stays as it is, and is no feature; nil: nothing
	heldAt   []int    // the positions of it
	notes    []string // warnings that belong to every result
	cost     lm.Cost  // of all that was asked so far
	prepared lm.Cost  // of Prepare
}

// Prepare resolves a question: encodes the text, groups tokens, finds target and foil, and evaluates the objective on
// the input and on the baselines. It takes a row forward for the input and each baseline, and the same again where the
// question leaves the target or the foil to the model.
func Prepare(ctx context.Context, m *lm.Model, q Question) (*Problem, error) {
	if err := q.defaults(m); err != nil {
		return nil, err
	}
	p := &Problem{Question: q, Model: m, Unit: measures[q.Objective].unit}
	p.begin("reading the prompt")
	if err := p.encode(); err != nil {
		return nil, err
	}
	if err := p.hold(ctx); err != nil {
		return nil, err
	}
	if err := p.baselines(); err != nil {
		return nil, err
	}
	// One batch: the input, and each baseline in place of all features.
	sets := []Replacement{{}}
	for i := range p.Baselines {
		sets = append(sets, Replacement{Features: p.AllFeatures(), Baseline: i})
	}
	if p.held != nil {
		for i := range p.Baselines {
			sets = append(sets, Replacement{Held: true, Baseline: i})
		}
	}
	p.Objective = q.objective(orZero(q.Target), orZero(q.Foil))
	values, logits, err := p.look(ctx, sets)
	if err != nil {
		return nil, err
	}
	if err := p.choose(logits[0]); err != nil {
		return nil, err
	}
	if q.Target == nil || q.Foil == nil && q.Objective == Contrast {
		p.Objective = q.objective(p.Target, p.Foil)
		if values, _, err = p.look(ctx, sets); err != nil {
			return nil, err
		}
	}
	p.Value, p.Bases = values[0], values[1:1+len(p.Baselines)]
	if p.held != nil {
		p.held.Effect = p.Value - mean(values[1+len(p.Baselines):])
	}
	p.prepared = p.cost
	return p, nil
}

func orZero(id *token.ID) token.ID {
	if id == nil {
		return 0
	}
	return *id
}

// objective returns the number that is explained, at the last token of a row.
func (q Question) objective(target, foil token.ID) lm.Objective {
	m := measures[q.Objective]
	of := lm.Objective{Unit: m.of, Terms: []lm.Term{{Pos: -1, ID: target, Weight: m.weight}}}
	if q.Objective == Contrast {
		of.Terms = append(of.Terms, lm.Term{Pos: -1, ID: foil, Weight: -m.weight})
	}
	return of
}

// choose finds target and foil where the question leaves them to the model.
func (p *Problem) choose(logits []float32) error {
	p.choice = Best(logits)
	p.Target, p.Foil = p.choice, -1
	if p.Question.Target != nil {
		p.Target = *p.Question.Target
	}
	switch {
	case p.Question.Objective != Contrast:
		return nil
	case p.Question.Foil != nil:
		p.Foil = *p.Question.Foil
		if p.Question.Target == nil && p.Target == p.Foil {
			p.Target = Best(logits, p.Foil)
		}
	default:
		p.Foil = Best(logits, p.Target)
	}
	if p.Foil < 0 || p.Target < 0 {
		return errors.New("a vocabulary of one token has nothing to contrast")
	}
	return nil
}

// Best returns the token with the largest logit, but for some; of equal ones the first. It returns -1 where no token is
// left.
func Best(logits []float32, but ...token.ID) token.ID {
	top := token.ID(-1)
	for i, v := range logits {
		if id := token.ID(i); (top < 0 || v > logits[top]) && !slices.Contains(but, id) {
			top = id
		}
	}
	return top
}

// Base returns the objective on the baseline: the mean over the baselines.
func (p *Problem) Base() float64 { return mean(p.Bases) }

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Run asks the model for the problem, and counts what it costs. The context's [progress.Func] hears how many rows of
// the method that runs are done, of how many.
func (p *Problem) Run(ctx context.Context, q lm.Query) (*lm.Answer, error) {
	q.Memory = p.Question.Memory
	if p.Question.State != nil && q.States == nil {
		for range q.Rows {
			q.States = append(q.States, *p.Question.State)
		}
	}
	a, err := p.Model.Run(p.work.heard(ctx, p.cost), q)
	if err != nil {
		return nil, err
	}
	p.cost.Add(a.Cost)
	return a, nil
}

// Cost returns what the problem has cost so far.
func (p *Problem) Cost() lm.Cost { return p.cost }

// Rows returns n copies of the input, to run n versions of it in one query.
func (p *Problem) Rows(n int) [][]token.ID {
	rows := make([][]token.ID, n)
	for i := range rows {
		rows[i] = p.IDs
	}
	return rows
}

// Positions returns the tokens of some features, ascending.
func (p *Problem) Positions(features []int) []int {
	var at []int
	for _, f := range features {
		at = append(at, p.Features[f].Tokens...)
	}
	slices.Sort(at)
	return at
}

// Held returns the positions of the tokens that stay as they are in all that is asked, and are part of no feature.
func (p *Problem) Held() []int { return p.heldAt }

// TextOf returns what a feature's tokens cover of the text, from the first to the last, with the white space at its
// ends; the feature's own text where the tokens have none.
func (p *Problem) TextOf(f Feature) string {
	first, last := p.Tokens[f.Tokens[0]], p.Tokens[f.Tokens[len(f.Tokens)-1]]
	if last.End > first.Start && last.End <= len(p.text) {
		return p.text[first.Start:last.End]
	}
	return f.Text
}

// AllFeatures returns the indices of all features.
func (p *Problem) AllFeatures() []int {
	all := make([]int, len(p.Features))
	for i := range all {
		all[i] = i
	}
	return all
}

// inputHash names the input: its tokens and, if there is one, the state before them.
func (p *Problem) inputHash() string {
	h := sha256.New()
	var b []byte
	for _, id := range p.IDs {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	if p.Question.State != nil {
		for _, a := range []lm.Array{p.Question.State.Hidden, p.Question.State.Cell} {
			for _, v := range a.Data {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
		}
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}
