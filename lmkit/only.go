package lmkit

import (
	"errors"
	"fmt"
	"strings"

	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// findPart finds a part of a text by what stands there, or by how it begins and ends, with "..." between. In a
// conversation it is looked for in what the messages say.
func findPart(text, part string, c *chat.Conversation) (token.Span, error) {
	within := []token.Span{{End: len(text)}}
	if c != nil {
		within = nil
		for _, p := range c.Parts {
			within = append(within, p.Span)
		}
	}
	first, last, dots := strings.Cut(part, "...")
	first, last = strings.TrimSpace(first), strings.TrimSpace(last)
	var found []token.Span
	for _, w := range within {
		found = append(found, places(text, part, w)...)
	}
	if dots && first != "" && last != "" && len(found) == 0 {
		for _, w := range within {
			for _, begin := range places(text, first, w) {
				if ends := places(text, last, token.Span{Start: begin.End, End: w.End}); len(ends) > 0 {
					found = append(found, token.Span{Start: begin.Start, End: ends[0].End})
				}
			}
		}
	}
	switch {
	case strings.TrimSpace(part) == "":
		return token.Span{}, errors.New("a part of the text that is to be explained is empty; leave it out")
	case len(found) == 0:
		return token.Span{}, fmt.Errorf("the text has no part %q: copy it from there, or name its first and last words, "+
			"with ... between", part)
	case len(found) > 1:
		return token.Span{}, fmt.Errorf("the text has the part %q %d times: name more of it", part, len(found))
	}
	return found[0], nil
}

// places returns where a part stands in a span of the text.
func places(text, part string, within token.Span) (all []token.Span) {
	for at := within.Start; part != ""; {
		i := strings.Index(text[at:within.End], part)
		if i < 0 {
			break
		}
		all = append(all, token.Span{Start: at + i, End: at + i + len(part)})
		at += i + len(part)
	}
	return all
}
