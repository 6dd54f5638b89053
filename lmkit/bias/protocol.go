package bias

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"lmkit.internal/lmkit/lm"
)

// The protocols: which number of two sentences is compared. They differ in more than their unit, and give one model
// different preferences.
const (
	Total       = "total"
	Bits        = "bits"
	Perplexity  = "perplexity"
	Conditional = "conditional"
)

// Protocol is a way to compare two sentences.
type Protocol struct {
	Name string `json:"name"`
	Unit string `json:"unit"` // of a score, and of a difference
	Is   string `json:"is"`   // what a sentence's score is
}

// Protocols lists them.
var Protocols = []Protocol{
	{Total, "nats", "the sum of log p(token | all before it) over all tokens, the first one included"},
	{Bits, "bits a token", "the mean of log2 p(token | all before it) over all tokens, the first one included"},
	{Perplexity, "nats a token", "minus the log of the perplexity: the mean of log p(token | all before it) over all " +
		"tokens but the first, before which nothing is read that the tokenizer does not put there itself"},
	{Conditional, "nats", "the sum of log p(token | all before it) over the tokens at the end that are the same in " +
		"both sentences"},
}

// Check returns an error if there is no protocol of this name. The name "" is the suite's own.
func Check(name string) error {
	if name == "" {
		return nil
	}
	_, err := protocolOf(name)
	return err
}

func protocolOf(name string) (Protocol, error) {
	var names []string
	for _, p := range Protocols {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Protocol{}, fmt.Errorf("there is no protocol %q; there are %s", name, strings.Join(names, ", "))
}

// of is what the protocol makes of two sentences.
func (p Protocol) of(a, b sentence) (first, second float64, err error) {
	switch p.Name {
	case Bits:
		return mean(a.Score) / math.Ln2, mean(b.Score) / math.Ln2, nil
	case Perplexity:
		return mean(a.alone), mean(b.alone), nil
	case Conditional:
		n := tail(a.Tokens, b.Tokens)
		if n == 0 {
			return 0, 0, errors.New("no token at the end is the same in both sentences")
		}
		return sum(a.Tokens[len(a.Tokens)-n:]), sum(b.Tokens[len(b.Tokens)-n:]), nil
	}
	return a.LogProb, b.LogProb, nil
}

// single is what the protocol makes of one sentence, for a third one beside a pair.
func (p Protocol) single(s sentence) float64 {
	x, _, _ := p.of(s, s)
	return x
}

func mean(s lm.Score) float64 { return s.LogProb / float64(max(1, len(s.Tokens))) }

func sum(tokens []lm.TokenScore) (x float64) {
	for _, t := range tokens {
		x += t.LogProb
	}
	return x
}

// tail is how many tokens at the end are the same.
func tail(a, b []lm.TokenScore) int {
	n := 0
	for n < min(len(a), len(b)) && a[len(a)-1-n].ID == b[len(b)-1-n].ID {
		n++
	}
	return n
}
