package token

import (
	"fmt"
	"unicode/utf8"
)

// encoder makes an encoding: it goes through a text once, from start to end.
type encoder struct {
	Encoding
	bpe     *BPE
	options Options
	merger  merger
	seen    map[string][]covered // by piece: most of a text is the same few
	end     int                  // what is before it is covered
}

// emit appends a token that covers the text from where the one before ended up to end.
func (w *encoder) emit(id ID, end int) {
	end = max(end, w.end)
	w.IDs = append(w.IDs, id)
	w.Spans = append(w.Spans, Span{w.end, end})
	if w.Held != nil {
		w.Held = append(w.Held, false)
	}
	w.end = end
}

// surround appends tokens that cover nothing, which no one wrote.
func (w *encoder) surround(ids []ID) {
	if len(ids) > 0 && w.Held == nil {
		w.Held = make([]bool, len(w.IDs))
	}
	for _, id := range ids {
		w.emit(id, w.end)
		w.Held[len(w.Held)-1] = true
	}
}

// skips returns which added tokens are not matched in a stretch: special ones, but where the options allow them.
func (w *encoder) skips(s stretch) func(addedToken, Span) bool {
	return func(t addedToken, at Span) bool {
		if !t.special || !w.options.Special {
			return t.special
		}
		start, end := s.origin(at.Start), s.origin(at.End)
		for _, written := range w.options.Written {
			if start < written.End && written.Start < end {
				return true
			}
		}
		return false
	}
}

// stretch appends the tokens of a normalised stretch.
func (w *encoder) stretch(s stretch) error {
	for at, id := range w.bpe.added.split(s.text, 1, w.skips(s)) {
		if id >= 0 {
			w.emit(id, s.origin(at.End))
		} else if err := w.cut(s.cut(at), w.bpe.splits); err != nil {
			return err
		}
	}
	return nil
}

// cut cuts a stretch into pieces by each splitter in turn, and appends the tokens of the pieces.
func (w *encoder) cut(s stretch, by []splitter) error {
	if len(by) == 0 {
		return w.piece(s)
	}
	return by[0].split(s, func(part stretch) error { return w.cut(part, by[1:]) })
}

// piece appends the tokens of a piece.
func (w *encoder) piece(s stretch) error {
	tokens, known := w.seen[s.text]
	if !known {
		if id, ok := w.bpe.pieces[s.text]; ok && w.bpe.whole {
			tokens = []covered{{id, int32(len(s.text))}}
		} else {
			if err := w.load(s); err != nil {
				return err
			}
			tokens = w.merger.merge(w.bpe)
		}
		w.seen[s.text] = tokens
	}
	at := 0
	for _, t := range tokens {
		at += int(t.bytes)
		w.emit(t.id, s.origin(nextCharacter(s.text, at)))
	}
	return nil
}

// load gives the merger the symbols of a piece.
func (w *encoder) load(s stretch) error {
	b, m := w.bpe, &w.merger
	m.symbols = m.symbols[:0]
	if b.byteLevel {
		for i := range len(s.text) {
			id := b.bytes[s.text[i]]
			if id < 0 {
				return fmt.Errorf("byte 0x%02X at offset %d is not in the vocabulary: "+
					"remove the character, or use a vocabulary with all 256 bytes", s.text[i], s.origin(i))
			}
			m.add(id, 1)
		}
		return nil
	}
	unknown := false // whether the symbol before is the unknown token
	for i, r := range s.text {
		n := utf8.RuneLen(r)
		if id, ok := b.pieces[s.text[i:i+n]]; ok {
			m.add(id, n)
			unknown = false
			continue
		}
		if w.fallBack(s.text[i : i+n]) {
			unknown = false
			continue
		}
		if b.unknown < 0 {
			return fmt.Errorf("character %q (%U) at byte %d is not in the vocabulary, which has no unknown token: remove it",
				r, r, s.origin(i))
		}
		if unknown && b.fuse {
			m.symbols[len(m.symbols)-1].bytes += int32(n)
			continue
		}
		m.add(b.unknown, n)
		unknown = true
	}
	return nil
}

// fallBack gives the merger the tokens of a character's bytes, if the vocabulary has all of them and falls back to
// them.
func (w *encoder) fallBack(character string) bool {
	for i := range len(character) {
		if !w.bpe.fallback || w.bpe.bytes[character[i]] < 0 {
			return false
		}
	}
	for i := range len(character) {
		w.merger.add(w.bpe.bytes[character[i]], 1)
	}
	return true
}
