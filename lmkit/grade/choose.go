package grade

import (
	"context"
	"errors"
	"math"
	"strings"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
)

// together is how many texts are asked about before progress is told.
const together = 256

// Choice is what a model makes of the labels after one text.
type Choice struct {
	// LogProbs says how likely it finds each label, in nats, in the order of Config.Labels: the sum over the tokens of
	// the label, and of the end of the text where labels begin one another.
	LogProbs []float64
	Said     int    // the label that it finds most likely
	Right    int    // the label that is right; -1: none of them
	Error    string // why the text cannot be asked about; "": it was
}

// Probs returns the probabilities of the labels among each other: e^LogProbs, made to add up to 1.
func (c Choice) Probs() []float64 { return softmax(c.LogProbs, 1) }

// Mass returns how much of all probability the labels have together. Where it is small, the model was not about to say
// any of them.
func (c Choice) Mass() (sum float64) {
	for _, l := range c.LogProbs {
		sum += math.Exp(l)
	}
	return sum
}

// Margin returns by how many nats the model finds what it says more likely than what is right.
func (c Choice) Margin() float64 {
	if c.Right < 0 {
		return math.MaxFloat64
	}
	return c.LogProbs[c.Said] - c.LogProbs[c.Right]
}

// softmax returns the probabilities in proportion to e^(logs/temperature).
func softmax(logs []float64, temperature float64) []float64 {
	top, sum := math.Inf(-1), 0.0
	for _, l := range logs {
		top = max(top, l)
	}
	out := make([]float64, len(logs))
	for i, l := range logs {
		out[i] = math.Exp((l - top) / temperature)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// Ambiguous reports whether one label begins another: which of them is meant shows only where it ends, so that the
// end of the text is scored with them.
func Ambiguous(labels []string) bool {
	for i, a := range labels {
		for k, b := range labels {
			if i != k && strings.HasPrefix(b, a) {
				return true
			}
		}
	}
	return false
}

// Choose asks a model how likely it finds each of the labels of c after each text. A text that it cannot be asked about
// has an error, and the others go on.
func Choose(ctx context.Context, m *lm.Model, pairs []corpus.Pair, c Config) ([]Choice, error) {
	if len(c.Labels) == 0 {
		return nil, errors.New("there are no labels to choose from")
	}
	n := len(c.Labels)
	ended := Ambiguous(c.Labels) && len(m.Ends()) > 0
	choices := make([]Choice, 0, len(pairs))
	for from := 0; from < len(pairs); from += together {
		part := pairs[from:min(from+together, len(pairs))]
		var passages []lm.Passage
		for _, p := range part {
			for _, l := range c.Labels {
				passages = append(passages, lm.Passage{Text: l, After: p.Prompt, Ended: ended})
			}
		}
		scores, _, err := m.Score(ctx, passages)
		if err != nil {
			return nil, err
		}
		for i, p := range part {
			choices = append(choices, choice(scores[i*n:(i+1)*n], c.Labels, p.Answer))
		}
		c.Progress.At("asking", int64(len(choices)), int64(len(pairs)), "texts")
	}
	return choices, nil
}

func choice(scores []lm.Score, labels []string, right string) Choice {
	x := Choice{Right: -1}
	for k, s := range scores {
		if s.Error != "" {
			x.Error = s.Error
		}
		x.LogProbs = append(x.LogProbs, s.LogProb)
		if s.LogProb > x.LogProbs[x.Said] {
			x.Said = k
		}
		if same(labels[k], right) {
			x.Right = k
		}
	}
	return x
}

// Choices says how right choices among the labels of c are. None of them may have an error.
func Choices(pairs []corpus.Pair, choices []Choice, c Config) (*Report, error) {
	if len(pairs) == 0 || len(choices) != len(pairs) {
		return nil, errors.New("there are no examples to measure on")
	}
	var said []string
	var margins []float64
	for _, x := range choices {
		said, margins = append(said, c.Labels[x.Said]), append(margins, x.Margin())
	}
	r := report(pairs, said, margins, c)
	r.classes(pairs, said, c.Labels)
	return r, nil
}
