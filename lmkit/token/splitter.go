package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict"
)

// A splitter cuts a stretch into pieces, one of the format's pre_tokenizers. Merging never crosses the end of a piece.
type splitter struct {
	find     finding
	behavior string // what becomes of what was found: one of behaviors
	invert   bool   // what was found is what lies between

	// Metaspace alone: before it cuts, a space is written as replacement, which is put before the stretch, too.
	replacement string
	prepend     string // "always", "first" (before the text's first stretch) or "never"
	whole       bool   // it does not cut
}

// finding says what a splitter looks for.
type finding struct {
	kind    string          // "gpt2", "line", "digits", "text" or "regexp"
	digits  int             // line: how many at once; digits: 1, or 0 for all of a run
	pattern string          // text, regexp
	regexp  *regexp2.Regexp // of pattern
}

var behaviors = []string{"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"}

// patternTimeout bounds how long a file's own pattern may look for one match: patterns can be written that take for
// ever.
const patternTimeout = 5 * time.Second

// split calls yield with each piece.
func (p *splitter) split(s stretch, yield func(stretch) error) error {
	if p.replacement != "" {
		s = s.replace(" ", p.replacement)
		first := p.prepend == "always" || p.prepend == "first" && s.origin(0) == 0
		if first && (len(s.text) < len(p.replacement) || s.text[:len(p.replacement)] != p.replacement) {
			s = s.prepend(p.replacement)
		}
		if p.whole {
			return yield(s)
		}
	}
	if p.behavior == "Isolated" && (p.find.kind == "gpt2" || p.find.kind == "line") { // they find everything
		for at := 0; at < len(s.text); {
			n := p.find.first(s.text[at:])
			if err := yield(s.cut(Span{at, at + n})); err != nil {
				return err
			}
			at += n
		}
		return nil
	}
	found, err := p.find.all(s.text)
	if err != nil {
		return err
	}
	for _, at := range p.pieces(found, len(s.text)) {
		if err := yield(s.cut(at)); err != nil {
			return err
		}
	}
	return nil
}

// A match is a part of a text, and whether it was found or lies between.
type match struct {
	Span
	found bool
}

// pieces turns what was found in a text of n bytes into pieces, by the behavior.
func (p *splitter) pieces(found []Span, n int) []Span {
	var parts []match
	end := 0
	for _, f := range append(found, Span{n, n}) {
		parts = append(parts, match{Span{end, f.Start}, p.invert}, match{f, !p.invert})
		end = f.End
	}
	parts = slices.DeleteFunc(parts, func(m match) bool { return m.Start == m.End })
	var out []Span
	before := false // whether the part before was found
	switch p.behavior {
	case "Isolated", "Removed":
		for _, m := range parts {
			if !m.found || p.behavior == "Isolated" {
				out = append(out, m.Span)
			}
		}
	case "MergedWithNext":
		for _, m := range slices.Backward(parts) {
			if m.found && !before && len(out) > 0 {
				out[len(out)-1].Start = m.Start
			} else {
				out = append(out, m.Span)
			}
			before = m.found
		}
		slices.Reverse(out)
	default: // MergedWithPrevious, Contiguous
		for _, m := range parts {
			join := m.found && !before
			if p.behavior == "Contiguous" {
				join = m.found == before
			}
			if join && len(out) > 0 {
				out[len(out)-1].End = m.End
			} else {
				out = append(out, m.Span)
			}
			before = m.found
		}
	}
	return out
}

// first returns the length of the first piece by one of the patterns that find everything.
func (f *finding) first(text string) int {
	if f.kind == "gpt2" {
		return gpt2Piece(text)
	}
	return linePiece(text, f.digits)
}

// all returns what is found in text, in order.
func (f *finding) all(text string) ([]Span, error) {
	var out []Span
	switch f.kind {
	case "gpt2", "line":
		for at := 0; at < len(text); {
			n := f.first(text[at:])
			out = append(out, Span{at, at + n})
			at += n
		}
	case "digits":
		for i, r := range text {
			if !unicode.IsNumber(r) {
				continue
			}
			if n := len(out); f.digits == 0 && n > 0 && out[n-1].End == i {
				out[n-1].End += utf8.RuneLen(r)
			} else {
				out = append(out, Span{i, i + utf8.RuneLen(r)})
			}
		}
	case "text":
		for at := 0; at+len(f.pattern) <= len(text); {
			if text[at:at+len(f.pattern)] != f.pattern {
				at++
				continue
			}
			out = append(out, Span{at, at + len(f.pattern)})
			at += len(f.pattern)
		}
	default:
		return f.matches(text)
	}
	return out, nil
}

// matches returns what the regular expression matches. It counts in characters, spans in bytes.
func (f *finding) matches(text string) ([]Span, error) {
	var out []Span
	runes := []rune(text)
	at, bytes := 0, 0
	err := f.regexp.FindRunesMatches(runes, 0, func(m regexp2.MatchView) bool {
		index, n, _ := m.GroupRange(0)
		for ; at < index; at++ {
			bytes += utf8.RuneLen(runes[at])
		}
		start := bytes
		for ; at < index+n; at++ {
			bytes += utf8.RuneLen(runes[at])
		}
		out = append(out, Span{start, bytes})
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("the tokenizer's pattern %q took too long here: %w", printable.Short(f.pattern, 80), err)
	}
	return out, nil
}

// newFinding prepares what a pattern of the format finds: by hand where the pattern is a known one, which is faster.
func newFinding(p literalOrNot) (finding, error) {
	if p.Regex == "" && p.String == "" {
		return finding{}, errors.New("a pattern is some text")
	}
	if p.Regex == "" {
		return finding{kind: "text", pattern: p.String}, nil
	}
	if p.Regex == gpt2Pattern {
		return finding{kind: "gpt2"}, nil
	}
	if digits, known := linePattern(p.Regex); known {
		return finding{kind: "line", digits: digits}, nil
	}
	re, err := regexp2.Compile(p.Regex)
	if err != nil {
		return finding{}, err
	}
	re.MatchTimeout = patternTimeout
	return finding{kind: "regexp", pattern: p.Regex, regexp: re}, nil
}

// splitStep is a step of the part "pre_tokenizer", with the settings of each kind.
type splitStep struct {
	Type       string       `json:"type"`
	Pattern    literalOrNot `json:"pattern"`
	Behavior   string       `json:"behavior"`
	Invert     bool         `json:"invert"`
	Individual bool         `json:"individual_digits"`
	Prefix     *bool        `json:"add_prefix_space"`
	Trim       bool         `json:"trim_offsets"` // of no effect on tokens
	UseRegex   *bool        `json:"use_regex"`
	Replace    string       `json:"replacement"`
	Scheme     string       `json:"prepend_scheme"`
	Cut        *bool        `json:"split"`
	StrRep     string       `json:"str_rep"` // an older spelling of replacement, beside it
}

// readSplitters reads the part "pre_tokenizer" of a tokenizer.json, and whether it is byte-level: then the model's
// tokens are bytes.
func readSplitters(part json.RawMessage) (out []splitter, byteLevel bool, err error) {
	err = eachStep(part, "pretokenizers", func(kind string, step json.RawMessage) error {
		if byteLevel {
			return unsupported("pre_tokenizer", part, "ByteLevel as the last one")
		}
		var s splitStep
		if err := strict.Known(step, &s); err != nil {
			return unsupported("pre_tokenizer", step, "the settings it knows ("+err.Error()+")")
		}
		if kind == "ByteLevel" {
			byteLevel = true
			if s.Prefix != nil && *s.Prefix {
				return unsupported("pre_tokenizer", step, "ByteLevel with add_prefix_space false")
			}
			if s.UseRegex == nil || *s.UseRegex {
				out = append(out, splitter{find: finding{kind: "gpt2"}, behavior: "Isolated"})
			}
			return nil
		}
		p, err := s.splitter(step)
		out = append(out, p)
		return err
	})
	return out, byteLevel, err
}

func (s *splitStep) splitter(step json.RawMessage) (splitter, error) {
	switch s.Type {
	case "Split":
		find, err := newFinding(s.Pattern)
		if err != nil || !slices.Contains(behaviors, s.Behavior) {
			return splitter{}, unsupported("pre_tokenizer", step, "Split with a pattern that .NET's regular expressions know")
		}
		return splitter{find: find, behavior: s.Behavior, invert: s.Invert}, nil
	case "Digits":
		if s.Individual {
			return splitter{find: finding{kind: "digits", digits: 1}, behavior: "Isolated"}, nil
		}
		return splitter{find: finding{kind: "digits"}, behavior: "Contiguous"}, nil
	case "Metaspace":
		if s.Scheme == "" {
			s.Scheme = "always"
			if s.Prefix != nil && !*s.Prefix { // as it was written before there was a prepend_scheme
				s.Scheme = "never"
			}
		}
		if utf8.RuneCountInString(s.Replace) != 1 || !slices.Contains([]string{"always", "first", "never"}, s.Scheme) {
			return splitter{}, unsupported("pre_tokenizer", step,
				"Metaspace with one character and prepend_scheme always, first or never")
		}
		return splitter{find: finding{kind: "text", pattern: s.Replace}, behavior: "MergedWithNext",
			replacement: s.Replace, prepend: s.Scheme, whole: s.Cut != nil && !*s.Cut}, nil
	}
	return splitter{}, unsupported("pre_tokenizer", step, "ByteLevel, Split, Digits, Metaspace, and a Sequence of them")
}
