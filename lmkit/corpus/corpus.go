// Package corpus turns documents into a stream of tokens, and the stream into batches.
package corpus

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"lmkit.internal/lmkit/internal/kind"
)

// Document is a text with a name that tells a reader where it comes from.
type Document struct{ Name, Text string }

// Corpus is text to learn from, and text that is held out. A part may be empty.
type Corpus struct {
	Name               string
	Train, Valid, Test []Document
}

// Separate puts a separator after each document but the last, unless it ends with one already: without it the last
// word of one would run into the first of the next.
func Separate(docs []Document, by string) []Document {
	out := slices.Clone(docs)
	for i := range len(out) - 1 {
		if !strings.HasSuffix(out[i].Text, by) {
			out[i].Text += by
		}
	}
	return out
}

// Texts is the text of each document of some parts, with a line break between documents.
func Texts(parts ...[]Document) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, docs := range parts {
			for _, d := range Separate(docs, "\n") {
				if !yield(d.Text) {
					return
				}
			}
		}
	}
}

// Split says which fractions of a text are held out. The zero Split holds out nothing.
type Split struct{ Valid, Test float64 }

// Validate returns an error unless the fractions leave something to train on.
func (s Split) Validate() error {
	if !(s.Valid >= 0 && s.Test >= 0 && s.Valid+s.Test < 1) {
		return fmt.Errorf("held-out fractions %g (validation) and %g (test): need 0 or more each, and less than 1 together",
			s.Valid, s.Test)
	}
	return nil
}

// Cut splits documents, in their order and as if they were one text, into a first stretch to train on, a second for
// validation and a last for testing. It cuts at the byte that the fractions say, or before the character that this
// byte is part of; a document that is cut in two keeps its name in both.
func Cut(name string, docs []Document, split Split) (*Corpus, error) {
	if err := split.Validate(); err != nil {
		return nil, fmt.Errorf("split %s: %w", name, err)
	}
	total := 0
	for _, d := range docs {
		total += len(d.Text)
	}
	c := &Corpus{Name: name}
	c.Train, c.Test = cutAt(docs, int(float64(total)*(1-split.Test)))
	c.Train, c.Valid = cutAt(c.Train, int(float64(total)*(1-split.Valid-split.Test)))
	if len(c.Train) == 0 || (len(c.Valid) == 0) != (split.Valid == 0) || (len(c.Test) == 0) != (split.Test == 0) {
		return nil,
			fmt.Errorf("split %s: %d bytes are too few to hold out %g and %g of them: give more text or hold out less",
				name, total, split.Valid, split.Test)
	}
	return c, nil
}

// cutAt returns the first size bytes of docs, and the rest.
func cutAt(docs []Document, size int) (head, tail []Document) {
	for i, d := range docs {
		if size < len(d.Text) {
			for size > 0 && !utf8.RuneStart(d.Text[size]) {
				size--
			}
			head = docs[:i:i]
			if size > 0 {
				head = append(head, Document{d.Name, d.Text[:size]})
			}
			return head, append([]Document{{d.Name, d.Text[size:]}}, docs[i+1:]...)
		}
		size -= len(d.Text)
	}
	return docs, nil
}

// checkText returns an error unless text is something to read.
func checkText(text string) error {
	if text == "" {
		return errors.New("is empty: give a file with text in it")
	}
	i, bad := strings.IndexByte(text, 0), invalidUTF8(text)
	if is := kind.Of([]byte(text[:min(kind.Head, len(text))])); is != "" && max(i, bad) >= 0 {
		return fmt.Errorf("is no text: %s", is)
	}
	if i >= 0 {
		return fmt.Errorf("is binary (a zero byte at offset %d): give a text file", i)
	}
	if bad >= 0 {
		return fmt.Errorf("is not UTF-8 (byte 0x%02x at offset %d): convert it, for example with iconv -f LATIN1 -t UTF-8",
			text[bad], bad)
	}
	return nil
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
