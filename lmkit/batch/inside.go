package batch

import (
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Inside says how much of a method's scores lie in the part of each prompt that is known to hold the cause: the passage
// in which an answer stands, say. A feature lies inside if any of its tokens does, wherever the part occurs.
type Inside struct {
	Items int `json:"items"` // that name such a part
	Lost  int `json:"lost"`  // others that name one which is not in their text, or is all that is scored
	// Share is the part that lies inside of all that an item's scores above 0 add up to: the mean over items, drawn again
	// for its interval. An item without such a score has 0.
	Share numerics.Interval   `json:"share"`
	Top   numerics.Proportion `json:"top"` // how often the largest score lies inside
	// Random is what scores that know nothing would reach in both on average: the mean share of the features inside.
	Random float64 `json:"random"`
}

// inside adds up what lies inside.
type inside struct {
	shares    []float64
	top, lost int
	random    float64
}

// add takes an explanation of a prompt, and the part of the prompt that is known to hold the cause.
func (s *inside) add(a *explain.Attribution, prompt, part string) {
	within, n := touches(a, prompt, part), 0
	all, in, top := 0.0, 0.0, floats.MaxIdx(a.Scores)
	for i, x := range a.Scores {
		all += max(0, x)
		if within[i] {
			n++
			in += max(0, x)
		}
	}
	if n == 0 || n == len(within) {
		s.lost++
		return
	}
	if within[top] && a.Scores[top] > 0 {
		s.top++
	}
	if all > 0 {
		in /= all
	}
	s.shares = append(s.shares, in)
	s.random += float64(n) / float64(len(within))
}

// summary returns nil if no text has such a part.
func (s *inside) summary() (*Inside, error) {
	n := len(s.shares)
	if n == 0 {
		return nil, nil
	}
	share, err := numerics.Bootstrap(s.shares, numerics.Resampling{})
	return &Inside{Items: n, Lost: s.lost, Share: share, Top: numerics.ProportionOf(s.top, n),
		Random: s.random / float64(n)}, err
}

// touches returns which features have a token of a part of the prompt, wherever that occurs.
func touches(a *explain.Attribution, prompt, part string) []bool {
	begin := begins(a, prompt)
	inside := make([]bool, len(a.Tokens))
	for at := 0; begin >= 0 && part != ""; {
		i := strings.Index(prompt[at:], part)
		if i < 0 {
			break
		}
		from, to := begin+at+i, begin+at+i+len(part)
		for k, t := range a.Tokens {
			inside[k] = inside[k] || t.Start < to && from < t.End
		}
		at += i + 1
	}
	features := make([]bool, len(a.Features))
	for i, f := range a.Features {
		for _, k := range f.Tokens {
			features[i] = features[i] || inside[k]
		}
	}
	return features
}

// begins returns the byte at which a prompt begins in the text that the tokens cover: 0, but for a conversation, which
// its template begins; -1: it is not there. Tokens that are pieces of characters do not tell what they cover, and may
// be anything.
func begins(a *explain.Attribution, prompt string) int {
	if !slices.ContainsFunc(a.Tokens, func(t explain.InputToken) bool { return t.Role != "" }) {
		return 0
	}
	end := 0
	for _, t := range a.Tokens {
		end = max(end, t.End)
	}
	text := make([]byte, end)
	for _, t := range a.Tokens {
		if len(t.Text) == t.End-t.Start {
			copy(text[t.Start:], t.Text)
		}
	}
	for at := range max(0, len(text)-len(prompt)+1) {
		i := 0
		for i < len(prompt) && (text[at+i] == prompt[i] || text[at+i] == 0) {
			i++
		}
		if i == len(prompt) {
			return at
		}
	}
	return -1
}
