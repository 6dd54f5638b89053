package inspect

import (
	"context"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// ablations replaces each place of the clean run by what comes from no version of the prompt.
func (s *sweep) ablations(ctx context.Context) error {
	if s.Corrupted != "" || s.IDs != nil {
		return fmt.Errorf("patching with %s needs no corrupted prompt", s.With)
	}
	if s.With == WithZero {
		return s.ablate(ctx, 1, nil, func(place) lm.Source { return lm.Zero() })
	}
	donors, err := s.donors()
	if err != nil {
		return err
	}
	if s.With == WithMean {
		means, err := s.means(ctx, donors)
		if err != nil {
			return err
		}
		return s.ablate(ctx, 1, nil, func(at place) lm.Source { return lm.FromValues(means[at.tap]) })
	}
	for _, d := range donors {
		if err := s.ablate(ctx, len(donors), d, func(place) lm.Source { return lm.FromRow(1) }); err != nil {
			return err
		}
	}
	return nil
}

// ablate runs one row for each cell. Row 0 is the prompt, row 1 the donor, or the prompt again.
func (s *sweep) ablate(ctx context.Context, times int, donor []token.ID, with func(place) lm.Source) error {
	if donor == nil {
		donor = s.p.IDs
	}
	q := lm.Query{Rows: [][]token.ID{s.p.IDs, donor}, Of: []lm.Objective{s.p.Objective}}
	for _, row := range s.grid.cells {
		for _, at := range row {
			q.Edits = append(q.Edits, at.edit(len(q.Rows), with(at)))
			q.Rows = append(q.Rows, s.p.IDs)
		}
	}
	itself := len(q.Rows)
	q.Rows = append(q.Rows, s.p.IDs)
	for _, at := range s.grid.everything(nil) {
		q.Edits = append(q.Edits, at.edit(itself, lm.FromRow(0)))
	}
	s.p.Expect(times * len(q.Rows))
	a, err := s.p.Run(ctx, q)
	if err != nil {
		return err
	}
	var lost []float64
	for _, v := range a.Values[2:itself] {
		lost = append(lost, a.Values[0]-v)
	}
	if s.of == nil {
		s.identities = append(s.identities, explain.NewIdentity("a patch of every cell from the same run", 0,
			a.Values[0]-a.Values[itself], rounding))
	}
	s.of = append(s.of, lost)
	return nil
}

// donors returns the beginnings of the other texts, each of as many tokens as the prompt.
func (s *sweep) donors() (all [][]token.ID, err error) {
	tok := s.p.Model.Tokenizer()
	if tok == nil {
		return nil, errors.New("this model has no tokenizer: it cannot read other texts")
	}
	T := len(s.p.IDs)
	for _, text := range s.Donors {
		enc, err := tok.Encode(text)
		if err != nil {
			return nil, fmt.Errorf("the text %q: %w", text, err)
		}
		if len(enc.IDs) >= T {
			all = append(all, enc.IDs[:T])
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("patching with %s needs other texts, of %d tokens at least: %d were given, none of them so "+
			"long",
			s.With, T, len(s.Donors))
	}
	if n := len(s.Donors) - len(all); n > 0 {
		s.notes = append(s.notes, fmt.Sprintf("%d of %d texts are shorter than the prompt, and were left out", n,
			len(s.Donors)))
	}
	return all, nil
}

// means returns the mean of each activation of the grid over some texts, position by position: [1, T, ...].
func (s *sweep) means(ctx context.Context, donors [][]token.ID) (map[lm.Tap]lm.Array, error) {
	q := lm.Query{Rows: donors}
	for _, t := range s.grid.taps {
		q.Taps = append(q.Taps, t.Name)
	}
	a, err := s.p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	out := map[lm.Tap]lm.Array{}
	for tap, x := range a.At {
		mean := make([]float32, len(x.Data)/len(donors))
		for i, v := range x.Data {
			mean[i%len(mean)] += v / float32(len(donors))
		}
		out[tap] = lm.Array{Dims: append([]int{1}, x.Dims[1:]...), Data: mean}
	}
	return out, nil
}
