package token

import (
	"slices"
	"strings"
)

// A stretch is a part of a text as a model reads it, which may be normalised, and remembers where each byte came from.
type stretch struct {
	text  string
	start int   // where it starts in the text as it was written
	from  []int // of each byte, and of the end: the same; nil: the bytes are those of the text as it was written
}

// origin returns where byte i came from: its offset in the text as it was written. It never falls as i rises.
func (s stretch) origin(i int) int {
	if s.from == nil {
		return s.start + i
	}
	return s.from[i]
}

// cut returns a part of a stretch.
func (s stretch) cut(at Span) stretch {
	c := stretch{text: s.text[at.Start:at.End], start: s.origin(at.Start)}
	if s.from != nil {
		c.from = s.from[at.Start : at.End+1]
	}
	return c
}

// prepend returns s with text before it. What is put there comes from the place where s starts.
func (s stretch) prepend(text string) stretch {
	from := slices.Repeat([]int{s.start}, len(text))
	for i := range len(s.text) + 1 {
		from = append(from, s.origin(i))
	}
	return stretch{text: text + s.text, start: s.start, from: from}
}

// replace returns s with another text in place of old, everywhere. What is put there comes from where old started.
func (s stretch) replace(old, with string) stretch {
	if old == "" || !strings.Contains(s.text, old) {
		return s
	}
	var text strings.Builder
	var from []int
	for i := 0; i < len(s.text); {
		if strings.HasPrefix(s.text[i:], old) {
			text.WriteString(with)
			from = append(from, slices.Repeat([]int{s.origin(i)}, len(with))...)
			i += len(old)
		} else {
			text.WriteByte(s.text[i])
			from = append(from, s.origin(i))
			i++
		}
	}
	return stretch{text: text.String(), start: s.start, from: append(from, s.origin(len(s.text)))}
}
