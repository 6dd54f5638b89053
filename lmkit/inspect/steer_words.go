package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Behaviour is a [Steer] as a person writes it down: in words.
type Behaviour struct {
	Lines     []string  `json:"lines"`            // texts of two labels, as ReadLabelled reads them
	Toward    string    `json:"toward,omitempty"` // the label of those that show the behaviour; "": that of the first
	Target    string    `json:"target"`           // the token that it makes likelier, by its text or as #ID
	Foil      string    `json:"foil"`             // the token that it makes less likely
	Prompts   []string  `json:"prompts,omitempty"`
	Neutral   string    `json:"neutral,omitempty"` // a text that steering should leave alone; "": one about a train
	Layers    []int     `json:"layers,omitempty"`
	Strengths []float64 `json:"strengths,omitempty"`
	Memory    int64     `json:"memory,omitempty"`
}

// neutralText is what steering should leave alone, where nothing else is given, and mostNeutral how many tokens of any
// such text are read.
const (
	neutralText = "The train to the coast leaves at nine in the morning. It stops at four stations on the way, and " +
		"the whole journey takes a little more than two hours. Tickets can be bought at the station or from the conductor."
	mostNeutral = 64
)

// Steer reads the words as tokens of a model.
func (x Behaviour) Steer(m *lm.Model) (s Steer, err error) {
	if x.Target == "" || x.Foil == "" {
		return s, errors.New("a behaviour is named by two tokens: give a target, which it makes likelier, and a foil")
	}
	texts, err := ReadLabelled(x.Lines)
	if err != nil {
		return s, err
	}
	x.Toward = cmp.Or(x.Toward, texts[0].Label)
	by := map[string][]string{}
	for _, t := range texts {
		by[t.Label] = append(by[t.Label], t.Text)
	}
	if len(by) != 2 || by[x.Toward] == nil {
		return s, fmt.Errorf("the texts have the labels %s: two are needed, and the one to steer toward is one of them",
			strings.Join(slices.Sorted(maps.Keys(by)), ", "))
	}
	s.Layers, s.Strengths, s.Memory = x.Layers, x.Strengths, x.Memory
	for label, texts := range by {
		to := &s.Away
		if label == x.Toward {
			to = &s.Toward
		}
		if *to, err = Encode(m, texts); err != nil {
			return s, err
		}
	}
	if s.Target, err = explain.FindToken(m, "", x.Target); err != nil {
		return s, err
	}
	if s.Foil, err = explain.FindToken(m, "", x.Foil); err != nil {
		return s, err
	}
	if x.Prompts != nil {
		if s.Prompts, err = Encode(m, x.Prompts); err != nil {
			return s, err
		}
	}
	neutral, err := Encode(m, []string{cmp.Or(x.Neutral, neutralText)})
	if err != nil {
		return s, fmt.Errorf("the neutral text: %w", err)
	}
	s.Neutral = neutral[0][:min(len(neutral[0]), mostNeutral)]
	return s, nil
}
