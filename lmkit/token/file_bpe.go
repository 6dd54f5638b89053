package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict"
)

type bpeModel struct {
	Type         string       `json:"type"`
	Dropout      *float64     `json:"dropout"`
	Unknown      *string      `json:"unk_token"`
	Prefix       *string      `json:"continuing_subword_prefix"`
	Suffix       *string      `json:"end_of_word_suffix"`
	FuseUnknown  bool         `json:"fuse_unk"`
	ByteFallback bool         `json:"byte_fallback"`
	IgnoreMerges bool         `json:"ignore_merges"`
	Vocab        orderedVocab `json:"vocab"`
	Merges       []mergeEntry `json:"merges"`
}

// mergeEntry reads both forms of a merge, "a b" and ["a", "b"], and writes the first, or where a token holds a space
// the second.
type mergeEntry [2]string

func (m mergeEntry) MarshalJSON() ([]byte, error) {
	if strings.Contains(m[0]+m[1], " ") {
		return encodeJSON(m[:])
	}
	return encodeJSON(m[0] + " " + m[1])
}

func (m *mergeEntry) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		var line string
		if err := strict.Decode(data, &line); err != nil {
			return err
		}
		two, err := cutMerge(line)
		*m = two
		return err
	}
	var two []string
	if err := json.Unmarshal(data, &two); err != nil || len(two) != 2 {
		return fmt.Errorf("merge %s: a merge is two tokens, \"a b\" or [\"a\", \"b\"]",
			printable.Short(string(data), 80))
	}
	*m = [2]string(two)
	return nil
}

// readBPE makes a tokenizer of a file's parts.
func readBPE(doc document) (Tokenizer, error) {
	var model bpeModel
	if err := strict.Known(doc.Model, &model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	s, err := readSettings(doc, model)
	if err != nil {
		return nil, err
	}
	added := make([]addedToken, len(doc.Added))
	for i, a := range doc.Added {
		if a.Content == "" {
			return nil, fmt.Errorf("added token %d is empty: give its content", a.ID)
		}
		added[i] = a.token()
	}
	merges := make([][2]string, len(model.Merges))
	for i, m := range model.Merges {
		merges[i] = m
	}
	b, err := assemble(s, model.Vocab.ids, merges, added)
	if err != nil {
		return nil, err
	}
	if err := b.surroundBy(doc.PostProcessor); err != nil {
		return nil, err
	}
	if model.Unknown == nil || *model.Unknown == "" {
		return b, nil
	}
	id, ok := model.Vocab.ids[*model.Unknown]
	if !ok {
		return nil, fmt.Errorf("unk_token %q is not in the vocabulary: set it to null", *model.Unknown)
	}
	for c, id := range b.bytes {
		if id < 0 && b.byteLevel {
			return nil, fmt.Errorf("unk_token %q: lmkit reads one with bytes only where it is never used, "+
				"but byte 0x%02X is not in the vocabulary", *model.Unknown, c)
		}
	}
	b.unknown = id
	return b, nil
}

// readSettings reads all but the vocabulary, and refuses what would change which tokens a text has.
func readSettings(doc document, m bpeModel) (settings, error) {
	s := settings{parts: doc.parts.compact(), fuse: m.FuseUnknown, fallback: m.ByteFallback, whole: m.IgnoreMerges}
	var errs [4]error
	s.normal, errs[0] = readNormalisers(doc.Normalizer)
	s.splits, s.byteLevel, errs[1] = readSplitters(doc.PreTokenizer)
	if errs[1] == nil {
		s.decode, errs[2] = readDecoder(doc.Decoder, s.byteLevel)
	}
	errs[3] = m.check(s.byteLevel)
	return s, errors.Join(errs[:]...)
}

// check refuses what would change which tokens a text has.
func (m *bpeModel) check(byteLevel bool) error {
	var errs []error
	refuse := func(wrong bool, part string, value any, cure string) {
		if wrong {
			errs = append(errs, fmt.Errorf("model: %s %v is not supported: lmkit reads %s", part, value, cure))
		}
	}
	if m.Dropout != nil {
		refuse(*m.Dropout != 0, "dropout", *m.Dropout, "null")
	}
	if m.Prefix != nil {
		refuse(*m.Prefix != "", "continuing_subword_prefix", *m.Prefix, "null or an empty one")
	}
	if m.Suffix != nil {
		refuse(*m.Suffix != "", "end_of_word_suffix", *m.Suffix, "null or an empty one")
	}
	refuse(m.ByteFallback && byteLevel, "byte_fallback", true, "false with ByteLevel")
	return errors.Join(errs...)
}

// document returns the parts of a file that differ from one BPE to the next.
func (b *BPE) document() ([]addedEntry, bpeModel) {
	added := []addedEntry{}
	for _, a := range b.added.tokens {
		added = append(added, addedEntry{ID: a.id, Content: a.content, Normalized: a.normalized, Special: a.special,
			LStrip: a.before, RStrip: a.after, SingleWord: a.word})
	}
	m := bpeModel{Type: "BPE", Prefix: new(""), Suffix: new(""), Merges: []mergeEntry{},
		FuseUnknown: b.fuse, ByteFallback: b.fallback, IgnoreMerges: b.whole}
	for i := range b.tokens {
		m.Vocab.tokens = append(m.Vocab.tokens, b.fileText(ID(i)))
	}
	for _, r := range b.merges {
		m.Merges = append(m.Merges, mergeEntry{b.fileText(r.left), b.fileText(r.right)})
	}
	if b.unknown >= 0 {
		m.Unknown = &m.Vocab.tokens[b.unknown]
	}
	return added, m
}

// fileText returns a token as a file has it.
func (b *BPE) fileText(id ID) string {
	text := b.tokens[id]
	if !b.byteLevel {
		return b.texts[id]
	}
	if _, merged := b.pieces[text]; !merged || b.pieces[text] != id {
		return text // an added token
	}
	return toFile(text)
}
