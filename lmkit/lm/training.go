package lm

import (
	"encoding/json"
	"slices"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/token"
)

// FromTraining is FromWeights for weights that training made. training (JSON) says how, as training.json does; ends are
// the tokens that end the model's texts.
func FromTraining(e *backend.Engine, c Config, tok token.Tokenizer, weights map[string]Array,
	training json.RawMessage, ends []token.ID) (*Model, error) {
	m, err := FromWeights(e, c, tok, weights)
	if err == nil {
		m.training, m.ends = training, sortEnds(slices.Clone(ends), c.Vocab)
	}
	return m, err
}

// MetUnknown reports whether the model knows what to make of its tokenizer's unknown token: training showed it the
// token, in the text or in place of words that were hidden. Where training.json does not say it, words do: a
// vocabulary of words is made with rarer ones left out, while characters and byte pairs hardly ever lack any.
func (m *Model) MetUnknown() bool {
	if m.tokenizer == nil {
		return false
	}
	if _, ok := m.tokenizer.Unknown(); !ok {
		return false
	}
	var said struct {
		Met      *bool `json:"met_unknown"`
		Settings *struct {
			Hide float64 `json:"hide"`
		} `json:"settings"`
	}
	if m.training != nil && json.Unmarshal(m.training, &said) == nil {
		switch {
		case said.Met != nil:
			return *said.Met
		case said.Settings != nil: // of an older run: its recipe hid words from the start
			return said.Settings.Hide > 0
		}
	}
	_, words := m.tokenizer.(*token.Word)
	return words
}
