package shapley

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Tree groups features in twos: a leaf is one feature, any other node is two trees.
type Tree struct {
	Feature     int // of a leaf
	Left, Right *Tree
}

// TokenTree groups the features of a text, given as pieces of it in their order: paragraphs into sentences, clauses,
// words with their punctuation, and pieces of words. Each part is cut at its strongest boundary; of equal ones, at
// that next to the middle, so that the tree stays flat. Where no piece holds any white space, each piece is taken for
// a word.
func TokenTree(pieces []string) *Tree {
	if len(pieces) == 0 {
		return nil
	}
	spaced := false
	for _, p := range pieces {
		spaced = spaced || strings.ContainsFunc(p, unicode.IsSpace)
	}
	cuts := make([]int, len(pieces)) // cuts[i]: before piece i
	for i := 1; i < len(pieces); i++ {
		cuts[i] = boundary(pieces[i-1], pieces[i], spaced)
	}
	var grow func(from, to int) *Tree
	grow = func(from, to int) *Tree {
		if to-from == 1 {
			return &Tree{Feature: from}
		}
		best := from + 1
		for i := from + 1; i < to; i++ {
			if cuts[i] > cuts[best] || cuts[i] == cuts[best] && abs(2*i-from-to) < abs(2*best-from-to) {
				best = i
			}
		}
		return &Tree{Left: grow(from, best), Right: grow(best, to)}
	}
	return grow(0, len(pieces))
}

// The boundaries between pieces of a text, the weakest first.
const (
	insideWord = iota
	beforeMark // between a word and the mark that ends or opens what it belongs to
	betweenWords
	afterComma
	betweenClauses
	betweenSentences
	betweenParagraphs
)

const (
	closing = ".,;:!?)]}…’”»\"'"
	opening = "([{“„«¿¡"
)

// boundary returns how strongly a text is cut between two pieces of it.
func boundary(before, after string, spaced bool) int {
	a, b := strings.TrimSpace(before), strings.TrimSpace(after)
	tail := strings.TrimRightFunc(before, func(r rune) bool { return unicode.IsSpace(r) && r != '\n' })
	head := strings.TrimLeftFunc(after, func(r rune) bool { return unicode.IsSpace(r) && r != '\n' })
	space := !spaced || a == "" || b == "" || a[len(a)-1] != before[len(before)-1] || b[0] != after[0]
	ended := strings.TrimRight(a, ")]}’”»\"'")
	switch {
	case strings.HasSuffix(tail, "\n") || strings.HasPrefix(head, "\n"):
		return betweenParagraphs
	case b != "" && strings.Trim(b, closing) == "":
		return beforeMark
	case a != "" && strings.Trim(a, opening) == "":
		return beforeMark
	case !space:
		return insideWord
	case endsIn(ended, ".!?…"):
		return betweenSentences
	case endsIn(a, ";:–—)]}") || strings.IndexAny(b, "([{–—") == 0:
		return betweenClauses
	case endsIn(a, ","):
		return afterComma
	}
	return betweenWords
}

func endsIn(s, marks string) bool {
	for _, r := range marks {
		if strings.HasSuffix(s, string(r)) {
			return true
		}
	}
	return false
}

func abs(x int) int { return max(x, -x) }

// Validate returns all that keeps the tree from grouping M features, each in one leaf.
func (t *Tree) Validate(M int) error {
	var errs []error
	seen := make([]int, M)
	var walk func(*Tree)
	walk = func(t *Tree) {
		switch {
		case t == nil || (t.Left == nil) != (t.Right == nil):
			errs = append(errs, errors.New("a node of the tree has one branch; it must have two or none"))
		case t.Left != nil:
			walk(t.Left)
			walk(t.Right)
		case t.Feature < 0 || t.Feature >= M:
			errs = append(errs, fmt.Errorf("the tree holds feature %d, but there are %d", t.Feature, M))
		default:
			seen[t.Feature]++
		}
	}
	walk(t)
	for f, n := range seen {
		if n != 1 {
			errs = append(errs, fmt.Errorf("feature %d is in %d leaves of the tree; it must be in one", f, n))
		}
	}
	return errors.Join(errs...)
}

// features returns the leaves from left to right.
func (t *Tree) features() []int {
	if t.Left == nil {
		return []int{t.Feature}
	}
	return append(t.Left.features(), t.Right.features()...)
}

// MarshalJSON writes a tree as nested pairs of features: [[0,1],2].
func (t *Tree) MarshalJSON() ([]byte, error) {
	if t.Left == nil {
		return json.Marshal(t.Feature)
	}
	return json.Marshal([]*Tree{t.Left, t.Right})
}
