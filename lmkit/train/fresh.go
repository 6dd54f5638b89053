package train

import (
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// What an LSTM begins with when it is to learn answers.
const (
	louder     = 10 // times its embeddings, which are then drawn from ±1
	remembered = 1  // added to the biases of its forget gates, whose gates then begin at 0.73 in place of 0.5
)

// FreshForAnswers is [lm.New] for a model that is to learn answers. Of an LSTM the embeddings are drawn from ±1 in
// place of ±0.1, and 1 is added to the biases of its forget gates (Jozefowicz, Zaremba and Sutskever, An empirical
// exploration of recurrent network architectures, 2015). Where each token is predicted from those right before it, both
// are learned soon. Where one answer comes at the end of a text, the way from a word to the answer multiplies the two
// at every step, and so small ones let nothing through to learn from: the model stays at chance.
func FreshForAnswers(e *backend.Engine, c lm.Config, tok token.Tokenizer, seed uint64) (*lm.Model, error) {
	m, err := lm.New(e, c, tok, seed)
	if err != nil || !c.Recurrent() {
		return m, err
	}
	defer m.Close()
	weights, err := m.Weights()
	if err != nil {
		return nil, err
	}
	for name, w := range weights {
		switch {
		case name == "embed.weight":
			for i := range w.Data {
				w.Data[i] *= louder
			}
		case strings.HasSuffix(name, ".input.bias"): // the gates i, f, g, o after each other
			n := len(w.Data) / 4
			for i := n; i < 2*n; i++ {
				w.Data[i] += remembered
			}
		}
	}
	return lm.FromWeights(e, m.Config(), tok, weights)
}
