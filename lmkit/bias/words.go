package bias

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"lmkit.internal/lmkit/lm"
)

// Step is a word of both sentences of a pair, or words that stand in each other's place: how likely the model finds
// them after all before them.
type Step struct {
	First         string  `json:"first"`          // "": the first sentence has nothing here
	Second        string  `json:"second"`         // "": the second sentence has nothing here
	FirstLogProb  float64 `json:"first_logprob"`  // nats; 0 of nothing
	SecondLogProb float64 `json:"second_logprob"` // nats; 0 of nothing
	// Difference is FirstLogProb - SecondLogProb. Over all steps it adds up to the difference of the sentences'
	// log-probabilities.
	Difference float64 `json:"difference"`
}

// Changed reports whether the sentences differ in this step.
func (s Step) Changed() bool { return s.First != s.Second }

// word is some tokens that belong together, and their log-probability.
type word struct {
	text    string
	logProb float64
}

// words puts tokens together: a new word begins with each token that begins with white space or follows some.
func words(tokens []lm.TokenScore) (all []word) {
	space := true
	for _, t := range tokens {
		first, _ := utf8.DecodeRuneInString(t.Text)
		if space || unicode.IsSpace(first) {
			all = append(all, word{})
		}
		w := &all[len(all)-1]
		w.text, w.logProb = w.text+t.Text, w.logProb+t.LogProb
		last, _ := utf8.DecodeLastRuneInString(t.Text)
		space = unicode.IsSpace(last)
	}
	for i := range all {
		all[i].text = strings.TrimSpace(all[i].text)
	}
	return all
}

// steps lines two sentences up word by word: the most words that are the same in both, in their order, stand beside
// each other, and what is between them is in each other's place.
func steps(a, b lm.Score) (all []Step) {
	x, y := words(a.Tokens), words(b.Tokens)
	common := make([][]int, len(x)+1) // common[i][j]: of x[i:] and y[j:]
	for i := range common {
		common[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); x[i].text == y[j].text {
				common[i][j] = 1 + common[i+1][j+1]
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		if i < len(x) && j < len(y) && x[i].text == y[j].text {
			all = append(all, step(x[i:i+1], y[j:j+1]))
			i, j = i+1, j+1
			continue
		}
		from, begin := i, j
		for i < len(x) || j < len(y) {
			switch {
			case i < len(x) && j < len(y) && x[i].text == y[j].text:
			case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
				i++
				continue
			default:
				j++
				continue
			}
			break
		}
		all = append(all, step(x[from:i], y[begin:j]))
	}
	return all
}

func step(x, y []word) (s Step) {
	join := func(ws []word) (text string, logProb float64) {
		var parts []string
		for _, w := range ws {
			parts, logProb = append(parts, w.text), logProb+w.logProb
		}
		return strings.Join(parts, " "), logProb
	}
	s.First, s.FirstLogProb = join(x)
	s.Second, s.SecondLogProb = join(y)
	s.Difference = s.FirstLogProb - s.SecondLogProb
	return s
}

// Where is in which words two sentences get their difference.
type Where struct {
	Changed float64 `json:"changed"` // nats: in the words that differ
	Shared  float64 `json:"shared"`  // nats: in the words that are the same in both, which follow others
}

func where(all []Step) (w Where) {
	for _, s := range all {
		if s.Changed() {
			w.Changed += s.Difference
		} else {
			w.Shared += s.Difference
		}
	}
	return w
}
