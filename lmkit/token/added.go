package token

import (
	"fmt"
	"iter"
	"strings"
)

// An addedToken is matched whole, wherever its content stands in a text, before anything else is tokenized.
type addedToken struct {
	id         ID
	content    string
	special    bool // a mark that is no part of the language
	normalized bool // matched after those that are not: the format's two rounds
}

// splitAdded yields text in pieces: an added token with its ID, or a stretch without one with -1. The leftmost match
// wins, then the longest; what is not "normalized" is matched first.
func splitAdded(text string, added []addedToken) iter.Seq2[string, ID] {
	return func(yield func(string, ID) bool) {
		for piece, id := range splitRound(text, added, false) {
			if id >= 0 {
				if !yield(piece, id) {
					return
				}
				continue
			}
			for piece, id := range splitRound(piece, added, true) {
				if !yield(piece, id) {
					return
				}
			}
		}
	}
}

func splitRound(text string, added []addedToken, normalized bool) iter.Seq2[string, ID] {
	return func(yield func(string, ID) bool) {
		next := make([]int, len(added)) // where each added token stands next: found once, kept until passed
		for i, a := range added {
			next[i] = -1
			if a.normalized == normalized {
				next[i] = strings.Index(text, a.content)
			}
		}
		for at := 0; at < len(text); {
			first := -1
			for i, a := range added {
				if 0 <= next[i] && next[i] < at {
					if next[i] = strings.Index(text[at:], a.content); next[i] >= 0 {
						next[i] += at
					}
				}
				if next[i] >= 0 && (first < 0 || next[i] < next[first] ||
					next[i] == next[first] && len(a.content) > len(added[first].content)) {
					first = i
				}
			}
			if first < 0 {
				yield(text[at:], -1)
				return
			}
			if next[first] > at && !yield(text[at:next[first]], -1) {
				return
			}
			at = next[first] + len(added[first].content)
			if !yield(added[first].content, added[first].id) {
				return
			}
		}
	}
}

// newSpecial makes added tokens of these texts, numbered from first on.
func newSpecial(texts []string, first ID) ([]addedToken, error) {
	var added []addedToken
	seen := map[string]bool{}
	for i, t := range texts {
		if t == "" || checkUTF8(t) != nil {
			return nil, fmt.Errorf("special token %q: a special token is some UTF-8 text", t)
		}
		if seen[t] {
			return nil, fmt.Errorf("special token %q is given twice: give it once", t)
		}
		seen[t] = true
		added = append(added, addedToken{id: first + ID(i), content: t, special: true})
	}
	return added, nil
}
