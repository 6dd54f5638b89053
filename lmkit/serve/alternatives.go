package serve

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/token"
)

// alternative is a token that could stand at a place.
type alternative struct {
	ID          string // of the element, so that a keyboard stays where it is
	Text, Share string
	Before      string // its probability before the words were changed
	Foil        string // the URL that asks why not this one
	On          bool   // it is the one that stands there
}

// shown is how many alternatives the page lists.
const shown = 8

// alternatives are the likeliest tokens after a text, the one that stands there among them; where there is another
// text, with what each has after that, and the likeliest ones there, too.
func (s *Server) alternatives(
	ctx context.Context, m Model, url string, asked whySettings, here, there []token.ID, stands token.ID,
) ([]alternative, error) {
	now, err := s.next(ctx, m, here)
	if err != nil {
		return nil, err
	}
	top := largest(now, shown)
	var before []float32
	if there != nil {
		if before, err = s.next(ctx, m, there); err != nil {
			return nil, err
		}
		top = append(top, largest(before, shownBefore)...)
	}
	if stands >= 0 {
		top = append(top, likely{ID: stands})
	}
	var all []alternative
	for i, l := range top {
		if slices.ContainsFunc(top[:i], func(x likely) bool { return x.ID == l.ID }) {
			continue
		}
		asked.Foil, asked.Objective = fmt.Sprintf("#%d", l.ID), ""
		a := alternative{ID: fmt.Sprintf("foil%d", l.ID), Text: printable.Quoted(m.TokenText(l.ID)),
			Share: share(float64(now[l.ID])), On: l.ID == stands, Foil: url + asked.query()}
		if before != nil {
			a.Before = share(float64(before[l.ID]))
		}
		all = append(all, a)
	}
	return all, nil
}

// shownBefore is how many of the likeliest tokens before a change of words are listed, too.
const shownBefore = 3

// next is the log-probabilities of what comes after tokens.
func (s *Server) next(ctx context.Context, m Model, ids []token.ID) (logProbs []float32, err error) {
	err = s.places(ctx, m, ids, 1, func(_ int, all []float32) { logProbs = slices.Clone(all) })
	return logProbs, err
}

// share is a log-probability as percent.
func share(logProb float64) string { return printable.Percent(math.Exp(logProb)) }
