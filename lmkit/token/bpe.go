package token

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// BPE is byte-level byte-pair encoding as GPT-2 does it (Radford et al. 2019, after Sennrich et al. 2016): the text is
// cut into pre-tokens (words with the space before them, numbers, punctuation, white space), and the bytes of each
// are merged pair by pair, the pair that was learned first going first. Every text can be expressed, and
// Decode(Encode(x)) is x.
//
// A character whose bytes are split over several tokens belongs to the token that holds its first byte; the others
// have empty spans there.
//
// Special tokens, such as <|endoftext|>, are never made by merging: where their text stands in the input, they are matched whole.
type BPE struct {
	vocabulary
	merges  []merge
	rank    map[pair]int
	bytes   [256]ID // the token of each byte; -1: none
	added   []addedToken
	unknown ID // -1: none
}

// pair is two tokens side by side; a merge makes one token of them.
type (
	pair  struct{ left, right ID }
	merge struct {
		pair
		into ID
	}
)

// newBPE checks that tokens and merges fit together. The tokens are raw bytes, and include the added ones.
func newBPE(tokens []string, merges []merge, added []addedToken) (*BPE, error) {
	b := &BPE{vocabulary: vocabulary{tokens: tokens, ids: make(map[string]ID, len(tokens))}, merges: merges, added: added, unknown: -1}
	special := map[ID]bool{}
	for _, a := range added {
		special[a.id] = true
	}
	for i, t := range tokens {
		if special[ID(i)] {
			continue
		}
		if t == "" {
			return nil, fmt.Errorf("token %d is empty: every token has at least one byte", i)
		}
		if before, dup := b.ids[t]; dup {
			return nil, fmt.Errorf("token %q has two IDs, %d and %d: a vocabulary lists each token once", show(t), before, i)
		}
		b.ids[t] = ID(i)
	}
	for i := range b.bytes {
		b.bytes[i] = -1
		if id, ok := b.ids[string([]byte{byte(i)})]; ok {
			b.bytes[i] = id
		}
	}
	b.rank = make(map[pair]int, len(merges))
	for i, m := range merges {
		if _, dup := b.rank[m.pair]; dup {
			return nil, fmt.Errorf("merge %d joins %q and %q, as an earlier one does: list each merge once", i+1, show(tokens[m.left]), show(tokens[m.right]))
		}
		b.rank[m.pair] = i
	}
	for _, a := range added {
		if _, taken := b.ids[a.content]; !taken {
			b.ids[a.content] = a.id
		}
	}
	return b, nil
}

// Encode returns the tokens of text. It fails on invalid UTF-8, and on a byte that the vocabulary does not have (one
// that was trained here, and GPT-2's, have all).
func (b *BPE) Encode(text string) (Encoding, error) {
	if err := checkUTF8(text); err != nil {
		return Encoding{}, fmt.Errorf("encode: %w", err)
	}
	e := Encoding{Text: text}
	seen := map[string][]ID{} // by pre-token: most of a text is the same few
	var m merger
	start, at := 0, 0
	emit := func(id ID) {
		at += len(b.tokens[id])
		end := nextCharacter(text, at)
		e.IDs = append(e.IDs, id)
		e.Spans = append(e.Spans, Span{start, end})
		start = end
	}
	for piece, id := range splitAdded(text, b.added) {
		if id >= 0 {
			emit(id)
			continue
		}
		for p := range pretokens(piece) {
			ids, ok := seen[p]
			if !ok {
				if missing := b.missing(p); missing >= 0 {
					return Encoding{}, fmt.Errorf("encode: byte 0x%02X at offset %d is not in the vocabulary: "+
						"use one that was trained with all 256 bytes", p[missing], at+missing)
				}
				ids = m.merge(b, p)
				seen[p] = ids
			}
			for _, id := range ids {
				emit(id)
			}
		}
	}
	return e, nil
}

// missing returns the index of the first byte of text that the vocabulary cannot express, or -1.
func (b *BPE) missing(text string) int {
	for i := range len(text) {
		if b.bytes[text[i]] < 0 {
			return i
		}
	}
	return -1
}

// nextCharacter returns the first offset from at on where a character starts, or the end of text.
func nextCharacter(text string, at int) int {
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return at
}

// Decode returns the bytes of the tokens. They are valid UTF-8 when the IDs came from Encode; others can hold parts of
// characters. So the text of a stream of tokens is the sum of its parts.
func (b *BPE) Decode(ids []ID) (string, error) { return b.join(ids, "") }

// Token returns the text of a token, with bytes that are not UTF-8 as \xE2.
func (b *BPE) Token(id ID) string { return show(b.vocabulary.Token(id)) }

// Lookup returns the ID of a token by its text, as Token shows it.
func (b *BPE) Lookup(text string) (ID, bool) { return b.vocabulary.Lookup(unshow(text)) }

// Unknown returns the token that the vocabulary's file names for the purpose. No text is ever encoded as it: bytes
// express everything.
func (b *BPE) Unknown() (ID, bool) { return max(b.unknown, 0), b.unknown >= 0 }

// Special returns the IDs of the tokens that are matched whole, such as <|endoftext|>, in ascending order.
func (b *BPE) Special() []ID {
	ids := map[ID]bool{}
	for _, a := range b.added {
		ids[a.id] = true
	}
	return slices.Sorted(maps.Keys(ids))
}
