package batch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/lm"
)

// ScoredPair is how likely a model finds the sentences of a pair of a suite: a line of JSON.
type ScoredPair struct {
	Line int `json:"line"` // the pair's number in the suite, from 1
	bias.Scored
}

// Bias makes the report of a folder of scored pairs: the one that [bias.Measure] makes of the same suite, model and
// settings. The folder knows which model and protocol it is of.
func Bias(dir string, c bias.Config) (*bias.Report, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	if m.Suite == nil {
		return nil, fmt.Errorf("%s holds no pairs of a suite", dir)
	}
	var all []bias.Scored
	for x, err := range linesOfParts[ScoredPair](dir) {
		if err != nil {
			return nil, err
		}
		all = append(all, x.Scored)
	}
	for f, err := range Failures(dir) {
		if err != nil {
			return nil, err
		}
		x := bias.Scored{Error: f.Error}
		x.ID = f.ID
		all = append(all, x)
	}
	c.Model, c.ModelHash, c.Protocol = m.Model, m.ModelHash, m.Protocol
	return bias.ReportOf(m.Suite, all, c)
}

// A part is scored in the groups that the whole suite would be, so that all numbers are the same.
var _ [0]struct{} = [PartRows % bias.Together]struct{}{}

// checkSuite says what is wrong with a job that is about a suite, and fills in its protocol.
func (j *Job) checkSuite() error {
	if j.Labels != nil || j.Score || j.Source != (Source{}) {
		return errors.New("a suite has its own sentences, and nothing else is asked of them: leave out the file, labels " +
			"and scores")
	}
	j.Protocol = cmp.Or(j.Protocol, j.Suite.Protocol)
	return bias.Check(j.Protocol)
}

// openSuite makes the plan of a job that is about a suite.
func openSuite(j Job) (*Plan, error) {
	n := len(j.Suite.Pairs)
	if n == 0 {
		return nil, fmt.Errorf("the suite %s has no pairs", j.Suite.Name)
	}
	p := &Plan{Job: j, Items: n, Rows: n}
	for from := 0; from < n; from += PartRows {
		pairs := j.Suite.Pairs[from:min(from+PartRows, n)]
		p.Parts = append(p.Parts, Part{Index: len(p.Parts), Rows: len(pairs), Pairs: pairs})
	}
	all, err := json.Marshal(j.Suite.Pairs)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(all)
	p.sum = hex.EncodeToString(sum[:])
	return p, nil
}

// itemsOf are the pairs of a part.
func itemsOf(part Part) (items []Item) {
	for i := range part.Pairs {
		items = append(items, Item{Line: part.Index*PartRows + i + 1, ID: part.Pairs[i].ID, pair: &part.Pairs[i]})
	}
	return items
}

// unplaced is a suite but for where it was read from.
func unplaced(s *bias.Suite) *bias.Suite {
	if s == nil {
		return nil
	}
	c := *s
	c.Source = ""
	return &c
}

// scorePairs asks how likely the sentences of pairs are.
func (j Job) scorePairs(ctx context.Context, m *lm.Model, items []Item, answers []answer) error {
	pairs := make([]bias.Pair, len(items))
	for i, x := range items {
		pairs[i] = *x.pair
	}
	all, err := bias.Score(ctx, m, pairs, j.Protocol, nil)
	if err != nil {
		return err
	}
	for i, s := range all {
		if s.Error != "" {
			answers[i].why = s.Error
		} else if answers[i].line, err = line(ScoredPair{items[i].Line, s}); err != nil {
			return err
		}
	}
	return nil
}
