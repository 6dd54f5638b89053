package faithful

import (
	"errors"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Table says how well methods find known causes on one model: a leaderboard. All of it but the seconds is the same
// to the bit for the same model, items, methods and settings.
type Table struct {
	ModelHash  string   `json:"model_hash"`
	Items      int      `json:"items"`
	Right      Interval `json:"right"`      // the share of items that the model answers right
	Necessary  Interval `json:"necessary"`  // ... and needs the planted cause for
	Sufficient Interval `json:"sufficient"` // ... and needs nothing else for
	Verified   Interval `json:"verified"`   // both; of cases that the model was seen to follow, all
	Level      float64  `json:"level"`      // of confidence, of all intervals
	Seed       uint64   `json:"seed"`
	Rows       []Row    `json:"rows"` // in the order in which the methods were given; then those to compare with
}

// Row is one method.
type Row struct {
	Method    explain.MethodInfo `json:"method"`
	Reference bool               `json:"reference,omitempty"` // to compare with: it does not look at the model
	All       *Summary           `json:"all,omitempty"`       // over all items; nil if the method failed
	// over those of which the cause is verified; nil if there are none
	Verified *Summary `json:"verified,omitempty"`
	// the share of items on which the scores add up as the method promises; nil if it promises nothing
	AddsUp  *Interval `json:"adds_up,omitempty"`
	Rows    float64   `json:"rows"`            // mean an item, forward and backward
	Seconds float64   `json:"seconds"`         // mean an item, without compilation
	Error   string    `json:"error,omitempty"` // why the method cannot be scored
}

// Summary is the means over items.
type Summary struct {
	Signed            Findings `json:"signed"` // by signed score
	Size              Findings `json:"size"`   // by |score|
	Comprehensiveness Interval `json:"comprehensiveness"`
	Sufficiency       Interval `json:"sufficiency"`
}

// Findings is the means of a Finding's numbers.
type Findings struct {
	Precision Interval `json:"precision"`
	MeanRank  Interval `json:"mean_rank"`
	Mass      Interval `json:"mass"`
	Pointing  Interval `json:"pointing"`
}

// Tabulate summarises the scores of items on a model. It fails where there are none, or where they are not of the same
// methods.
func Tabulate(m *lm.Model, items []ItemScore, s Scoring) (*Table, error) {
	if len(items) == 0 {
		return nil, errors.New("there are no scored items to tabulate")
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	t := &Table{ModelHash: m.Hash(), Items: len(items), Level: s.WithDefaults().Level, Seed: s.Seed}
	average := averager[ItemScore]{resampling: s.Resampling, items: items}
	share := func(is func(Verification) bool) Interval {
		return average.of(func(i ItemScore) float64 { return one(is(i.Verification)) })
	}
	t.Right, t.Necessary = share(Verification.Right), share(Verification.Necessary)
	t.Sufficient = share(Verification.Sufficient)
	t.Verified = average.of(func(i ItemScore) float64 { return one(i.Verified) })
	for k := range items[0].Methods {
		var all, verified []MethodScore
		for _, i := range items {
			if len(i.Methods) != len(items[0].Methods) || i.Methods[k].Method.Name != items[0].Methods[k].Method.Name {
				return nil, fmt.Errorf("items %d and %d were scored by other methods", items[0].Item, i.Item)
			}
			all = append(all, i.Methods[k])
			if i.Verified {
				verified = append(verified, i.Methods[k])
			}
		}
		row, err := tabulateRow(all, verified, s.Resampling)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row.Method.Name, err)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, average.err
}

func tabulateRow(all, verified []MethodScore, r Resampling) (Row, error) {
	row := Row{Method: all[0].Method, Reference: all[0].Reference}
	for _, s := range all {
		if s.Err != nil {
			row.Error = s.Err.Error()
			return row, nil
		}
		row.Rows += float64(s.Rows) / float64(len(all))
		row.Seconds += s.Seconds / float64(len(all))
	}
	var err error
	if row.All, err = summarise(all, r); err != nil {
		return row, err
	}
	if all[0].AddsUp != nil {
		average := averager[MethodScore]{resampling: r, items: all}
		adds := average.of(func(s MethodScore) float64 { return one(s.AddsUp != nil && *s.AddsUp) })
		if row.AddsUp, err = &adds, average.err; err != nil {
			return row, err
		}
	}
	if len(verified) > 0 {
		row.Verified, err = summarise(verified, r)
	}
	return row, err
}

func summarise(scores []MethodScore, r Resampling) (*Summary, error) {
	average := averager[MethodScore]{resampling: r, items: scores}
	findings := func(of func(MethodScore) Finding) Findings {
		return Findings{
			Precision: average.of(func(s MethodScore) float64 { return of(s).Precision }),
			MeanRank:  average.of(func(s MethodScore) float64 { return of(s).MeanRank }),
			Mass:      average.of(func(s MethodScore) float64 { return of(s).Mass }),
			Pointing:  average.of(func(s MethodScore) float64 { return of(s).Pointing }),
		}
	}
	return &Summary{
		Signed:            findings(func(s MethodScore) Finding { return s.Signed }),
		Size:              findings(func(s MethodScore) Finding { return s.Size }),
		Comprehensiveness: average.of(func(s MethodScore) float64 { return s.Comprehensiveness }),
		Sufficiency:       average.of(func(s MethodScore) float64 { return s.Sufficiency }),
	}, average.err
}

// averager estimates means over items, and keeps the first error.
type averager[T any] struct {
	resampling Resampling
	items      []T
	err        error
}

func (a *averager[T]) of(value func(T) float64) Interval {
	values := make([]float64, len(a.items))
	for i, item := range a.items {
		values[i] = value(item)
	}
	e, err := Bootstrap(values, a.resampling)
	if a.err == nil {
		a.err = err
	}
	return e
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
