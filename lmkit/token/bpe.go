package token

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// BPE is byte-pair encoding (Sennrich et al. 2016) in the forms that language models have: the text is normalised and
// cut into pieces, and the symbols of each piece are merged pair by pair, the pair of the lowest rank going first.
//
//   - Byte-level (GPT-2, Radford et al. 2019; Llama 3, Qwen): symbols are bytes. Every text can be expressed.
//   - By characters (SentencePiece's, Kudo and Richardson 2018; Llama 2, Gemma): symbols are characters, a space is
//     written as ▁, and a character without a token falls back to tokens for its bytes.
//
// Decode(Encode(x)) is x, but for what normalising changed. A character whose bytes are split over several tokens
// belongs to the token that holds its first byte; the others have empty spans there.
//
// Special tokens, such as <|endoftext|>, are never made by merging, nor by a text that a person wrote: they are
// matched whole, where Options allow it.
type BPE struct {
	vocabulary               // its tokens are the bytes that Decode joins
	pieces     map[string]ID // what merging may make: bytes, or texts as the file has them
	texts      []string      // by characters: the tokens as the file has them
	names      []string      // by characters: the tokens as a reader should see them
	merges     []merge
	rules      map[pair]rule // the same by pair
	bytes      [256]ID       // the token of each byte, or that a byte falls back to; -1: none
	added      addedSet
	unknown    ID // -1: none
	settings
}

// settings are what differs from one BPE to the next beside the vocabulary.
type settings struct {
	byteLevel bool
	fallback  bool // a character without a token is the tokens of its bytes
	fuse      bool // characters without a token that stand side by side are one unknown token
	whole     bool // a piece that is a token is not merged (the format's ignore_merges)
	normal    []normaliser
	splits    []splitter
	before    []ID // what the file puts before and after each text
	after     []ID
	decode    decoding
	parts     parts
}

// pair is two tokens side by side; a merge makes one token of them. Merges of the same rank go from left to right.
type (
	pair  struct{ left, right ID }
	merge struct {
		pair
		into ID
	}
	rule struct {
		into ID
		rank int32
	}
)

// gpt2Settings are those of GPT-2, and of the vocabularies that are trained here.
func gpt2Settings() settings {
	pattern := splitter{find: finding{kind: "gpt2"}, behavior: "Isolated"}
	return settings{byteLevel: true, splits: []splitter{pattern}, parts: gpt2Parts()}
}

// newBPE checks that tokens and merges fit together. The tokens, which include the added ones, are raw bytes, or the
// texts of the file where symbols are characters. The rank of a merge is its place; ranks, if not nil, has others.
func newBPE(s settings, tokens []string, merges []merge, ranks []int32, added []addedToken) (*BPE, error) {
	b := &BPE{settings: s, pieces: make(map[string]ID, len(tokens)), merges: merges, unknown: -1}
	b.vocabulary = vocabulary{tokens: tokens}
	b.added = newAddedSet(added, func(text string) string { return b.normalise(stretch{text: text}).text })
	apart := b.added.apart()
	for i, t := range tokens {
		if apart[ID(i)] {
			continue
		}
		if t == "" {
			return nil, fmt.Errorf("token %d is empty: every token has at least one byte", i)
		}
		if before, dup := b.pieces[t]; dup {
			return nil, fmt.Errorf("token %q has two IDs, %d and %d: a vocabulary lists each token once", show(t), before, i)
		}
		b.pieces[t] = ID(i)
	}
	for i := range b.bytes {
		b.bytes[i] = -1
		text := string([]byte{byte(i)})
		if !b.byteLevel {
			text = byteName(byte(i))
		}
		if id, ok := b.pieces[text]; ok {
			b.bytes[i] = id
		}
	}
	b.rules = make(map[pair]rule, len(merges))
	for i, m := range merges {
		if _, dup := b.rules[m.pair]; dup {
			return nil, fmt.Errorf("merge %d joins %q and %q, as an earlier one does: list each merge once",
				i+1, show(tokens[m.left]), show(tokens[m.right]))
		}
		rank := int32(i)
		if ranks != nil {
			rank = ranks[i]
		}
		b.rules[m.pair] = rule{m.into, rank}
	}
	b.name()
	return b, nil
}

// name finds what each token decodes to, and how a reader sees it.
func (b *BPE) name() {
	b.ids = make(map[string]ID, len(b.tokens))
	if b.byteLevel {
		maps.Copy(b.ids, b.pieces)
		for _, a := range b.added.tokens {
			if _, taken := b.ids[a.content]; !taken {
				b.ids[a.content] = a.id
			}
		}
		return
	}
	b.texts = b.tokens
	b.tokens, b.names = make([]string, len(b.texts)), make([]string, len(b.texts))
	for i, t := range b.texts {
		b.tokens[i] = b.decode.token(t)
		b.names[i] = b.tokens[i]
		_, isByte := byteNamed(t)
		if _, taken := b.ids[b.tokens[i]]; taken || isByte || b.tokens[i] == "" {
			b.names[i] = t
		}
		if _, taken := b.ids[b.names[i]]; !taken {
			b.ids[b.names[i]] = ID(i)
		}
	}
}

// Encode returns the tokens of text as text that a person wrote, after the tokens that the model's file puts before
// every text. It fails on invalid UTF-8, and on a byte or character that the vocabulary cannot express.
func (b *BPE) Encode(text string) (Encoding, error) { return b.EncodeWith(text, Options{}) }

// EncodeWith is Encode with options.
func (b *BPE) EncodeWith(text string, o Options) (Encoding, error) {
	if err := checkUTF8(text); err != nil {
		return Encoding{}, fmt.Errorf("encode: %w", err)
	}
	w := encoder{bpe: b, options: o, seen: map[string][]covered{}, Encoding: Encoding{Text: text}}
	if !o.Bare {
		w.surround(b.before)
	}
	for at, id := range b.added.split(text, 0, w.skips(stretch{text: text})) {
		if id >= 0 {
			w.emit(id, at.End)
		} else if err := w.stretch(b.normalise(stretch{text: text}.cut(at))); err != nil {
			return Encoding{}, fmt.Errorf("encode: %w", err)
		}
	}
	if n := len(w.Spans); n > 0 {
		w.Spans[n-1].End, w.end = len(text), len(text)
	}
	if !o.Bare {
		w.surround(b.after)
	}
	return w.Encoding, nil
}

func (b *BPE) normalise(s stretch) stretch {
	for _, n := range b.normal {
		s = n.apply(s)
	}
	return s
}

// Decode returns the bytes of the tokens. They are valid UTF-8 when the IDs came from Encode; others can hold parts
// of characters. So the text of a stream of tokens is the sum of its parts, but for a space that the vocabulary puts
// before a text.
func (b *BPE) Decode(ids []ID) (string, error) {
	text, err := b.join(ids, "")
	if err != nil {
		return "", err
	}
	if b.decode.first && len(ids) > 0 {
		first := b.tokens[ids[0]]
		return strings.ReplaceAll(first, " ", "") + text[len(first):], nil
	}
	for range b.decode.strip {
		text = strings.TrimPrefix(text, b.decode.stripped)
	}
	return text, nil
}

// Token returns the text of a token, with bytes that are not UTF-8 as \xE2.
func (b *BPE) Token(id ID) string {
	if b.names != nil && 0 <= id && int(id) < len(b.names) {
		return b.names[id]
	}
	return show(b.vocabulary.Token(id))
}

// Lookup returns the ID of a token by its text, as Token shows it.
func (b *BPE) Lookup(text string) (ID, bool) {
	if b.names == nil {
		text = unshow(text)
	}
	return b.vocabulary.Lookup(text)
}

// Unknown returns the token that the vocabulary's file names for the purpose. Where bytes express everything, no text
// is ever encoded as it.
func (b *BPE) Unknown() (ID, bool) { return max(b.unknown, 0), b.unknown >= 0 }

// Special returns the IDs of the tokens that are matched whole, such as <|endoftext|>, in ascending order.
func (b *BPE) Special() []ID {
	ids := map[ID]bool{}
	for _, a := range b.added.tokens {
		ids[a.id] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// nextCharacter returns the first offset from at on where a character starts, or the end of text.
func nextCharacter(text string, at int) int {
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return at
}
