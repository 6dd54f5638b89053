package token

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"lmkit.internal/lmkit/internal/strict"
)

// A normaliser changes a stretch before it is tokenized, one of the format's normalizers.
type normaliser struct {
	kind     string // "NFC", "Prepend" or "Replace"
	old, new string // Prepend puts new; Replace puts new in place of old
}

func (n normaliser) apply(s stretch) stretch {
	switch {
	case s.text == "":
		return s
	case n.kind == "NFC":
		return s.compose()
	case n.kind == "Prepend":
		return s.prepend(n.new)
	}
	return s.replace(n.old, n.new)
}

// readNormalisers reads the part "normalizer" of a tokenizer.json.
func readNormalisers(part json.RawMessage) ([]normaliser, error) {
	const reads = "NFC, Prepend, Replace of a String, and a Sequence of them"
	var out []normaliser
	err := eachStep(part, "normalizers", func(kind string, step json.RawMessage) error {
		var s struct {
			Type    string       `json:"type"`
			Prepend string       `json:"prepend"`
			Pattern literalOrNot `json:"pattern"`
			Content string       `json:"content"`
		}
		if strict.Known(step, &s) != nil || !slices.Contains([]string{"NFC", "Prepend", "Replace"}, kind) ||
			kind == "Replace" && s.Pattern.String == "" {
			return unsupported("normalizer", step, reads)
		}
		n := normaliser{kind: kind, old: s.Pattern.String, new: s.Content}
		if kind == "Prepend" {
			n.new = s.Prepend
		}
		out = append(out, n)
		return nil
	})
	return out, err
}

// literalOrNot is a pattern of the format: a text that stands for itself, or a regular expression.
type literalOrNot struct {
	String string `json:"String,omitempty"`
	Regex  string `json:"Regex,omitempty"`
}

// eachStep calls do for a part of a tokenizer.json, or for each step where the part is a Sequence, which holds its
// steps under the name list. A part that is null has no steps.
func eachStep(part json.RawMessage, list string, do func(kind string, step json.RawMessage) error) error {
	return eachStepWithin(part, list, 0, do)
}

func eachStepWithin(
	part json.RawMessage, list string, depth int, do func(kind string, step json.RawMessage) error,
) error {
	if isNull(part) {
		return nil
	}
	kind := partType(part)
	if kind != "Sequence" {
		return do(kind, part)
	}
	if depth > 8 {
		return fmt.Errorf("%s: more than eight sequences within each other: write them as one", list)
	}
	var s map[string]json.RawMessage
	var steps []json.RawMessage
	if err := strict.Decode(part, &s); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	if err := strict.Decode(s[list], &steps); err != nil {
		return fmt.Errorf("%s: a Sequence lists its steps under this name: %w", list, err)
	}
	for _, step := range steps {
		if err := eachStepWithin(step, list, depth+1, do); err != nil {
			return err
		}
	}
	return nil
}

// compose returns s in Unicode's normalisation form C. A composed character comes from where its base started.
//
// It is written out because norm.NFC puts a joiner into runs of more than thirty marks, which would be a token.
func (s stretch) compose() stretch {
	if norm.NFC.IsNormalString(s.text) {
		return s
	}
	marks := s.decompose()
	var out []mark
	base := -1 // index in out of the last starter
	for _, m := range marks {
		if base >= 0 {
			blocked := len(out)-1 > base && (out[len(out)-1].class >= m.class)
			if r, ok := composed(out[base].r, m.r); ok && !blocked {
				out[base].r = r
				continue
			}
		}
		if m.class == 0 {
			base = len(out)
		}
		out = append(out, m)
	}
	var text strings.Builder
	c := stretch{start: s.start}
	last := s.start
	for _, m := range out {
		last = max(last, m.from)
		text.WriteRune(m.r)
		for len(c.from) < text.Len() {
			c.from = append(c.from, last)
		}
	}
	c.text, c.from = text.String(), append(c.from, s.origin(len(s.text)))
	return c
}

// A mark is a character of a decomposed text, with its combining class and where it came from.
type mark struct {
	r     rune
	class uint8
	from  int
}

// decompose returns the canonical decomposition of s, its marks in canonical order.
func (s stretch) decompose() []mark {
	var out []mark
	for i, r := range s.text {
		if r < 0xC0 { // nothing below has a decomposition or a class
			out = append(out, mark{r, 0, s.origin(i)})
			continue
		}
		for _, d := range norm.NFD.String(string(r)) {
			class := norm.NFD.PropertiesString(string(d)).CCC()
			out = append(out, mark{d, class, s.origin(i)})
		}
	}
	for i := 0; i < len(out); {
		end := i + 1
		if out[i].class != 0 {
			for end < len(out) && out[end].class != 0 {
				end++
			}
			slices.SortStableFunc(out[i:end], func(a, b mark) int { return int(a.class) - int(b.class) })
		}
		i = end
	}
	return out
}

// composed returns the character that two characters side by side are canonically equal to, if there is one.
func composed(a, b rune) (rune, bool) {
	if b < 0x300 { // no character below is the second of a pair
		return 0, false
	}
	both := string(a) + string(b)
	if !norm.NFC.IsNormalString(both) {
		if r := []rune(norm.NFC.String(both)); len(r) == 1 {
			return r[0], true
		}
	}
	return 0, false
}
