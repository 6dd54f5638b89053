package inspect

import (
	"cmp"
	"errors"
	"fmt"
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

// Validate says what is wrong with the words, if anything, as far as that can be told without a model.
func (x Behaviour) Validate() error {
	_, _, err := x.sides()
	return err
}

// sides returns the texts that show the behaviour, and the others.
func (x Behaviour) sides() (toward, away []string, err error) {
	if x.Target == "" || x.Foil == "" {
		return nil, nil, errors.New("a behaviour is named by two tokens: give a target, which it makes likelier, and a foil")
	}
	texts, err := ReadLabelled(x.Lines)
	if err != nil {
		return nil, nil, err
	}
	x.Toward = cmp.Or(x.Toward, texts[0].Label)
	for _, t := range texts {
		if t.Label == x.Toward {
			toward = append(toward, t.Text)
		} else {
			away = append(away, t.Text)
		}
	}
	if all := labels(texts); len(all) != 2 || toward == nil {
		return nil, nil, fmt.Errorf("the texts have the labels %s: two are needed, and the one to steer toward is one of "+
			"them", strings.Join(all, ", "))
	}
	return toward, away, nil
}

// Steer reads the words as tokens of a model.
func (x Behaviour) Steer(m *lm.Model) (s Steer, err error) {
	toward, away, err := x.sides()
	if err != nil {
		return s, err
	}
	s.Layers, s.Strengths, s.Memory = x.Layers, x.Strengths, x.Memory
	if s.Toward, err = Encode(m, toward); err != nil {
		return s, err
	}
	if s.Away, err = Encode(m, away); err != nil {
		return s, err
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
