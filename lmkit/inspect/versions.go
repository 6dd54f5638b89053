package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// version is one way to run a prompt: its tokens, and what is done to their embeddings.
type version struct {
	ids   []token.ID
	noise *lm.Edit // of the tap "embed"; nil: the embeddings are those of the tokens
}

// in returns the version as row number i of a query: its edits, for this row.
func (v version) in(i int) []lm.Edit {
	if v.noise == nil {
		return nil
	}
	e := *v.noise
	e.Rows = []int{i}
	return []lm.Edit{e}
}

// pair is two versions of a prompt that a model answers differently, and what it says of each.
type pair struct {
	p         *explain.Problem
	clean     version
	corrupted version
	first     int     // the first position at which they differ; as many as there are tokens if they do not
	value     float64 // the objective on the clean version
	base      float64 // the objective on the corrupted version
	// difference is value - base, or the mean of it over several corrupted versions: what effects are shares of.
	difference float64
	told       string // what the model says of both, in words
}

// mostNoise is how far the noise on an embedding is from it, in standard deviations of all numbers of the table of
// embeddings: three, as Meng et al. (2022) have it.
const mostNoise = 3

// noisy returns the clean prompt with Gaussian noise on the embeddings at some positions. The same seed gives the same
// noise.
func noisy(m *lm.Model, ids []token.ID, at []int, seed uint64) (version, error) {
	clean, err := m.Embeddings(ids...)
	if err != nil {
		return version{}, err
	}
	sd, err := embeddingSpread(m)
	if err != nil {
		return version{}, err
	}
	D := clean.Dims[1]
	values := lm.Array{Dims: []int{1, len(ids), D}, Data: slices.Clone(clean.Data)}
	rng := rand.New(rand.NewPCG(seed, 0x6e6f697365))
	for _, t := range at {
		for d := range D {
			values.Data[t*D+d] += float32(mostNoise * sd * rng.NormFloat64())
		}
	}
	return version{ids, &lm.Edit{Tap: embedTap, Positions: at, With: lm.FromValues(values)}}, nil
}

// embedTap is the activation that is the embeddings of the tokens.
const embedTap = "embed"

// embeddingSpread returns the standard deviation of the numbers of the table of embeddings: of at most 4096 rows of it,
// evenly chosen.
func embeddingSpread(m *lm.Model) (float64, error) {
	const most = 4096
	V := m.Config().Vocab
	var ids []token.ID
	for i := range min(V, most) {
		ids = append(ids, token.ID(i*V/min(V, most)))
	}
	table, err := m.Embeddings(ids...)
	if err != nil {
		return 0, err
	}
	return deviation(table.Data), nil
}

// deviation returns the standard deviation of some numbers.
func deviation(x []float32) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(len(x))
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	return math.Sqrt(squares / float64(len(x)))
}

// findSubject returns the positions of the tokens that a part of the prompt covers: its last occurrence.
func findSubject(p *explain.Problem, subject string) ([]int, error) {
	if subject == "" {
		return nil, errors.New("noise goes on the words that the prompt is about: say which, as a part of the prompt " +
			"(subject)")
	}
	text := p.Question.Prompt
	start := strings.LastIndex(text, subject)
	if start < 0 {
		return nil, fmt.Errorf("the prompt has no %q to put noise on", subject)
	}
	var at []int
	for t, x := range p.Tokens {
		if x.Start < start+len(subject) && x.End > start {
			at = append(at, t)
		}
	}
	return at, nil
}

// readCorrupted returns the tokens of the prompt to compare with, which must be as many as the clean prompt's.
func readCorrupted(p *explain.Problem, prompt string, ids []token.ID) ([]token.ID, error) {
	ids, err := readOther(p, prompt, ids)
	if err == nil && len(ids) != len(p.IDs) {
		return nil, uneven(p, ids)
	}
	return ids, err
}

// readOther returns the tokens of the prompt to compare with, which may be more or fewer than the clean prompt's.
func readOther(p *explain.Problem, prompt string, ids []token.ID) ([]token.ID, error) {
	if prompt != "" {
		tok := p.Model.Tokenizer()
		if tok == nil {
			return nil, errors.New("this model has no tokenizer: give the corrupted prompt as token IDs")
		}
		enc, err := tok.Encode(prompt)
		if err != nil {
			return nil, fmt.Errorf("the corrupted prompt: %w", err)
		}
		ids = enc.IDs
	}
	if len(ids) == 0 {
		return nil, errors.New("patching compares two prompts: give a corrupted one, of as many tokens as the clean one, " +
			"or choose noise, zero, mean or resample as what to corrupt with")
	}
	if err := p.Model.CheckRow(ids); err != nil {
		return nil, fmt.Errorf("the corrupted prompt: %w", err)
	}
	if slices.Equal(ids, p.IDs) {
		return nil, errors.New("the clean and the corrupted prompt are the same tokens: there is nothing to compare")
	}
	return ids, nil
}

// uneven says where two prompts of different lengths part, so that a word can be chosen that makes them even.
func uneven(p *explain.Problem, ids []token.ID) error {
	n := 0
	for n < min(len(ids), len(p.IDs)) && ids[n] == p.IDs[n] {
		n++
	}
	end := 0
	for end < min(len(ids), len(p.IDs))-n && ids[len(ids)-1-end] == p.IDs[len(p.IDs)-1-end] {
		end++
	}
	parts := func(ids []token.ID) string {
		var texts []string
		for _, id := range ids {
			texts = append(texts, fmt.Sprintf("%q", p.Model.TokenText(id)))
		}
		if len(texts) > 8 {
			texts = append(texts[:8], "...")
		}
		return strings.Join(texts, " ")
	}
	return fmt.Errorf("the clean prompt has %d tokens and the corrupted one %d, and a patch goes from a position to the "+
		"same position: where the clean one has %s, the corrupted one has %s; choose words of as many tokens, or patch "+
		"between two positions", len(p.IDs), len(ids), parts(p.IDs[n:len(p.IDs)-end]), parts(ids[n:len(ids)-end]))
}

// tooClose is how far apart the objective on the two versions must be: a share of the standard deviation of the clean
// prompt's logits, or of one in the unit of a probability.
const tooClose = 0.1

// compare runs the prompt and each corrupted version of it, and refuses versions that the model hardly tells apart: an
// effect is a share of the difference, and a share of nearly nothing is noise.
func compare(ctx context.Context, p *explain.Problem, versions ...version) (pairs []*pair, err error) {
	q := lm.Query{Rows: [][]token.ID{p.IDs}, Of: []lm.Objective{p.Objective}, Logits: lm.LastLogits}
	for i, v := range versions {
		q.Rows, q.Edits = append(q.Rows, v.ids), append(q.Edits, v.in(i+1)...)
	}
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	base := 0.0
	for i, v := range versions {
		x := &pair{p: p, clean: version{ids: p.IDs}, corrupted: v, value: a.Values[0], base: a.Values[i+1]}
		for x.first < min(len(p.IDs), len(v.ids)) && p.IDs[x.first] == v.ids[x.first] &&
			(v.noise == nil || x.first < v.noise.Positions[0]) {
			x.first++
		}
		pairs = append(pairs, x)
		base += x.base / float64(len(versions))
	}
	spread := deviation(a.Logits[0].Data)
	if p.Objective.Unit == lm.Prob {
		spread = 1
	}
	if d := math.Abs(a.Values[0] - base); d < tooClose*spread {
		return nil, fmt.Errorf("the model says %.4g on the clean and %.4g on the corrupted prompt: a difference of %.2g is "+
			"too small to be shared out (a tenth of the spread of the logits, %.2g, is the least); choose a target and a foil, "+
			"or a corrupted prompt, that make a difference", a.Values[0], base, d, tooClose*spread)
	}
	for _, x := range pairs {
		x.difference = a.Values[0] - base
	}
	first := pairs[0].first
	where := "where one of them ends"
	if first < min(len(p.IDs), len(versions[0].ids)) {
		where = fmt.Sprintf("%q, %s", p.Tokens[first].Text, versions[0].at(p, first))
	}
	pairs[0].told = fmt.Sprintf("the clean prompt has %s; the corrupted one %s; they differ first at %d: %s",
		said(a, 0, p.Target[0]), said(a, 1, p.Target[0]), first, where)
	return pairs, nil
}

// said says what the model makes of a row: the objective, and how likely the target is.
func said(a *lm.Answer, row int, target token.ID) string {
	l, rank := standing(a.Logits[row].Data, target)
	return fmt.Sprintf("%.3g (log-probability of the target %.3g, rank %d)", a.Values[row], l, rank)
}

// at says what stands at a position.
func (v version) at(p *explain.Problem, position int) string {
	if v.noise != nil {
		return "noise on it"
	}
	return fmt.Sprintf("%q", p.Model.TokenText(v.ids[position]))
}
