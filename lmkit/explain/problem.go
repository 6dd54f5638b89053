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
	Target []token.ID // one, or those of an answer, or, of Question.Any, of a set
	Foil   []token.ID // for Contrast; nil otherwise
	// Objective is at the last tokens of a row; of a contrast of two answers it is the half of it that is about the
	// target. Evaluate knows the other half.
	Objective lm.Objective
	Unit      string // of the objective: logit, nat or probability

	// What it is explained by.
	IDs        []token.ID // the input, and after it the answer's tokens but for its last
	Input      int        // how many of them are the input's
	Tokens     []InputToken
	Features   []Feature
	Baselines  []Baseline
	Embeddings lm.Array // of the input's tokens [T, D]

	// What the model says.
	Value float64   // the objective on the input
	Bases []float64 // the objective on each baseline

	rather   *rather  // of a contrast of two answers: what the foil's rows are; nil: there are none
	work     work     // what is run now
	pace     float64  // seconds that a row takes, about
	choice   token.ID // the model's first choice
	text     string   // that the tokens are; "": it is not known
	held     *Held    // what stays as it is, and is no feature; nil: nothing
	heldAt   []int    // the positions of it
	notes    []string // warnings that belong to every result
	cost     lm.Cost  // of all that was asked so far
	prepared lm.Cost  // of Prepare
	float32  *float64 // Value in float32 where the model computes in less
}

// Prepare resolves a question: encodes the text, groups tokens, finds target and foil, and evaluates the objective on
// the input and on the baselines. It takes a row forward for the input and each baseline, and the same again where the
// question leaves the target or the foil to the model.
func Prepare(ctx context.Context, m *lm.Model, q Question) (*Problem, error) {
	return prepare(ctx, m, q, false)
}

// noBaseline is the baseline of methods that compare with nothing.
const noBaseline = "none"

// prepare resolves a question. A bare problem has no baselines, and holds nothing on its own account.
func prepare(ctx context.Context, m *lm.Model, q Question, bare bool) (*Problem, error) {
	if bare {
		q.Baseline, q.FirstToken = noBaseline, ScoreFirst
	}
	if err := q.defaults(m); err != nil {
		return nil, err
	}
	p := &Problem{Question: q, Model: m, Unit: q.measure().unit}
	p.begin("reading the prompt")
	if err := p.encode(); err != nil {
		return nil, err
	}
	if !bare {
		if err := p.hold(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.appendAnswer(); err != nil {
		return nil, err
	}
	if !bare {
		if err := p.baselines(); err != nil {
			return nil, err
		}
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
	p.Objective = p.objective(orZero(q.Target), orZero(q.Foil))
	before := p.cost
	values, logits, err := p.look(ctx, sets)
	if err != nil {
		return nil, err
	}
	p.timed(before, len(sets))
	if err := p.choose(logits[0]); err != nil {
		return nil, err
	}
	if q.Target == nil || q.Foil == nil && q.Objective == Contrast {
		p.Objective = p.objective(p.Target, p.Foil)
		if values, _, err = p.look(ctx, sets); err != nil {
			return nil, err
		}
	}
	p.Value, p.Bases = values[0], values[1:1+len(p.Baselines)]
	if p.held != nil {
		p.held.Effect = p.Value - mean(values[1+len(p.Baselines):])
	}
	if err := p.compareFloat32(ctx); err != nil {
		return nil, err
	}
	p.prepared = p.cost
	return p, nil
}

// compareFloat32 asks for the objective on the input in float32, where the model computes in less.
func (p *Problem) compareFloat32(ctx context.Context) error {
	m := p.Model
	if m.Precision() == lm.Float32 {
		return nil
	}
	p.Model = m.InFloat32()
	defer func() { p.Model = m }()
	values, _, err := p.look(ctx, []Replacement{{}})
	if err == nil {
		p.float32 = &values[0]
	}
	return err
}

// choose finds target and foil where the question leaves them to the model.
func (p *Problem) choose(logits []float32) error {
	p.choice = Best(logits)
	p.Target, p.Foil = p.Question.Target, p.Question.Foil
	first := p.choice
	if p.Target == nil && p.Foil != nil && first == p.Foil[0] {
		first = Best(logits, first)
	}
	if p.Target == nil {
		p.Target = []token.ID{first}
	}
	if p.Question.Objective != Contrast {
		return nil
	}
	if p.Foil == nil {
		p.Foil = []token.ID{Best(logits, p.Target...)}
	}
	if p.Foil[0] < 0 || p.Target[0] < 0 {
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

// Base returns the objective on the baseline: the mean over the baselines, or 0 if there are none.
func (p *Problem) Base() float64 {
	if len(p.Bases) == 0 {
		return 0
	}
	return mean(p.Bases)
}

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

// Spend counts what a method asked of another model than the problem's.
func (p *Problem) Spend(c lm.Cost) { p.cost.Add(c) }

// Cost returns what the problem has cost so far.
func (p *Problem) Cost() lm.Cost { return p.cost }

// Rows returns n copies of the input, with the answer behind it, to run n versions of it in one query.
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
	for _, id := range p.IDs[:p.Input] {
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
