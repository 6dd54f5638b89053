package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// document is a tokenizer.json: the parts of the Hugging Face tokenizers format that decide which tokens a text has.
type document struct {
	Version       string          `json:"version"`
	Truncation    any             `json:"truncation"`
	Padding       any             `json:"padding"`
	Added         []addedEntry    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedEntry struct {
	ID         ID     `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type wordLevel struct {
	Type    string       `json:"type"`
	Vocab   orderedVocab `json:"vocab"`
	Unknown string       `json:"unk_token"`
}

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

// mergeEntry reads both forms of a merge, "a b" and ["a", "b"], and writes the first.
type mergeEntry [2]string

func (m mergeEntry) MarshalJSON() ([]byte, error) { return encodeJSON(m[0] + " " + m[1]) }

func (m *mergeEntry) UnmarshalJSON(data []byte) error {
	var line string
	if json.Unmarshal(data, &line) == nil {
		two, err := cutMerge(line)
		*m = two
		return err
	}
	var two []string
	if err := json.Unmarshal(data, &two); err != nil || len(two) != 2 {
		return fmt.Errorf("merge %s: a merge is two tokens, \"a b\" or [\"a\", \"b\"]", data)
	}
	*m = [2]string(two)
	return nil
}

// orderedVocab is an object of tokens and their IDs, written in the order of the IDs.
type orderedVocab struct {
	tokens []string      // to be written
	ids    map[string]ID // that were read
}

func (v orderedVocab) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, t := range v.tokens {
		key, err := encodeJSON(t)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(append(out, key...), ":%d", i)
	}
	return append(out, '}'), nil
}

func (v *orderedVocab) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &v.ids) }

// encodeJSON leaves < and > readable.
func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// The parts that the three tokenizers are written with.
const (
	charSplit = `{"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}`
	wordSplit = `{"type": "WhitespaceSplit"}`
	fuse      = `{"type": "Fuse"}`
	byteLevel = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`

	// basic_english, in its own order; the last pattern is white space to Python that is none to Unicode.
	wordNormalizer = `{"type": "Sequence", "normalizers": [
		{"type": "Lowercase"},
		{"type": "Replace", "pattern": {"String": "'"}, "content": " '  "},
		{"type": "Replace", "pattern": {"String": "\""}, "content": ""},
		{"type": "Replace", "pattern": {"String": "."}, "content": " . "},
		{"type": "Replace", "pattern": {"String": "<br />"}, "content": " "},
		{"type": "Replace", "pattern": {"String": ","}, "content": " , "},
		{"type": "Replace", "pattern": {"String": "("}, "content": " ( "},
		{"type": "Replace", "pattern": {"String": ")"}, "content": " ) "},
		{"type": "Replace", "pattern": {"String": "!"}, "content": " ! "},
		{"type": "Replace", "pattern": {"String": "?"}, "content": " ? "},
		{"type": "Replace", "pattern": {"String": ";"}, "content": " "},
		{"type": "Replace", "pattern": {"String": ":"}, "content": " "},
		{"type": "Replace", "pattern": {"Regex": "[\\x1c-\\x1f]"}, "content": " "}]}`
)

// Marshal returns the tokenizer.json of a tokenizer, in the Hugging Face tokenizers format. That library, given the file, finds the
// same tokens in every text.
func Marshal(t Tokenizer) ([]byte, error) {
	doc := document{Version: "1.0", Added: []addedEntry{}}
	var model any
	switch t := t.(type) {
	case *Char:
		doc.PreTokenizer, doc.Decoder = json.RawMessage(charSplit), json.RawMessage(fuse)
		m := wordLevel{Type: "WordLevel", Vocab: orderedVocab{tokens: t.tokens}}
		if t.unknown >= 0 {
			m.Unknown = t.tokens[t.unknown]
		}
		model = m
	case *Word:
		doc.Normalizer, doc.PreTokenizer = json.RawMessage(wordNormalizer), json.RawMessage(wordSplit)
		model = wordLevel{Type: "WordLevel", Vocab: orderedVocab{tokens: t.tokens}, Unknown: t.tokens[t.unknown]}
	case *BPE:
		doc.PreTokenizer, doc.PostProcessor, doc.Decoder = json.RawMessage(byteLevel), json.RawMessage(byteLevel), json.RawMessage(byteLevel)
		doc.Added, model = t.document()
	default:
		return nil, fmt.Errorf("tokenizer.json: a %T cannot be written: only Char, Word and BPE can", t)
	}
	var err error
	if doc.Model, err = encodeJSON(model); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	flat, err := encodeJSON(doc)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, flat, "", "  "); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// document returns the parts of a file that differ from one BPE to the next.
func (b *BPE) document() ([]addedEntry, bpeModel) {
	added, special := []addedEntry{}, map[ID]bool{}
	for _, a := range b.added {
		added = append(added, addedEntry{ID: a.id, Content: a.content, Normalized: a.normalized, Special: a.special})
		special[a.id] = true
	}
	m := bpeModel{Type: "BPE", Prefix: new(""), Suffix: new(""), Merges: []mergeEntry{}}
	for i, t := range b.tokens {
		if !special[ID(i)] {
			t = toFile(t)
		}
		m.Vocab.tokens = append(m.Vocab.tokens, t)
	}
	for _, r := range b.merges {
		m.Merges = append(m.Merges, mergeEntry{toFile(b.tokens[r.left]), toFile(b.tokens[r.right])})
	}
	if b.unknown >= 0 {
		m.Unknown = &m.Vocab.tokens[b.unknown]
	}
	return added, m
}

// Unmarshal reads a tokenizer.json: one that Marshal wrote, or a byte-level BPE in GPT-2's form. What it cannot follow
// exactly is an error that names the part.
func Unmarshal(data []byte) (Tokenizer, error) {
	t, err := unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func unmarshal(data []byte) (Tokenizer, error) {
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: give a file of the Hugging Face tokenizers format", err)
	}
	if len(doc.Model) == 0 {
		return nil, errors.New("there is no model: give a file of the Hugging Face tokenizers format")
	}
	if doc.Version != "1.0" {
		return nil, fmt.Errorf("version %q is not supported: lmkit reads \"1.0\"", doc.Version)
	}
	if doc.Truncation != nil {
		return nil, errors.New("truncation is not supported: set it to null")
	}
	if doc.Padding != nil {
		return nil, errors.New("padding is not supported: set it to null")
	}
	var head struct {
		Type   string          `json:"type"`
		Merges json.RawMessage `json:"merges"`
	}
	if err := json.Unmarshal(doc.Model, &head); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	switch {
	case head.Type == "BPE" || head.Type == "" && head.Merges != nil: // GPT-2's own file names no type
		return readBPE(doc)
	case head.Type == "WordLevel":
		return readWordLevel(doc)
	}
	return nil, fmt.Errorf("model type %q is not supported: lmkit reads BPE (byte-level) and WordLevel", head.Type)
}

func readWordLevel(doc document) (Tokenizer, error) {
	var model wordLevel
	if err := json.Unmarshal(doc.Model, &model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if len(doc.Added) > 0 {
		return nil, fmt.Errorf("added token %q: lmkit reads added tokens with BPE only: keep it in the vocabulary alone", doc.Added[0].Content)
	}
	if !isNull(doc.PostProcessor) {
		return nil, unsupported("post_processor", doc.PostProcessor, "none with WordLevel")
	}
	tokens, err := listTokens(model.Vocab.ids, nil)
	if err != nil {
		return nil, err
	}
	unknown := ID(-1)
	if id, ok := model.Vocab.ids[model.Unknown]; ok {
		unknown = id
	}
	switch {
	case sameJSON(doc.PreTokenizer, charSplit):
		if !isNull(doc.Normalizer) {
			return nil, unsupported("normalizer", doc.Normalizer, "none with characters")
		}
		if !sameJSON(doc.Decoder, fuse) {
			return nil, unsupported("decoder", doc.Decoder, "Fuse with characters")
		}
		return newChar(tokens, unknown)
	case sameJSON(doc.PreTokenizer, wordSplit):
		if !sameJSON(doc.Normalizer, wordNormalizer) {
			return nil, unsupported("normalizer", doc.Normalizer, "torchtext's basic_english, as lmkit writes it, with words")
		}
		if !isNull(doc.Decoder) {
			return nil, unsupported("decoder", doc.Decoder, "none with words")
		}
		if unknown < 0 {
			return nil, fmt.Errorf("unk_token %q is not in the vocabulary: words need an unknown token", model.Unknown)
		}
		return newWord(tokens, unknown)
	}
	return nil, unsupported("pre_tokenizer", doc.PreTokenizer, "with WordLevel: WhitespaceSplit (words), or Split on [\\s\\S] (characters)")
}

func readBPE(doc document) (Tokenizer, error) {
	var model bpeModel
	if err := json.Unmarshal(doc.Model, &model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := errors.Join(model.check(), doc.checkByteLevel()); err != nil {
		return nil, err
	}
	added := make([]addedToken, len(doc.Added))
	for i, a := range doc.Added {
		if a.SingleWord || a.LStrip || a.RStrip {
			return nil, fmt.Errorf("added token %q: single_word, lstrip and rstrip are not supported: set them to false", a.Content)
		}
		if a.Content == "" {
			return nil, fmt.Errorf("added token %d is empty: give its content", a.ID)
		}
		added[i] = addedToken{a.ID, a.Content, a.Special, a.Normalized}
	}
	merges := make([][2]string, len(model.Merges))
	for i, m := range model.Merges {
		merges[i] = m
	}
	b, err := assembleBPE(model.Vocab.ids, merges, added)
	if err != nil || model.Unknown == nil || *model.Unknown == "" {
		return b, err
	}
	id, ok := model.Vocab.ids[*model.Unknown]
	if !ok {
		return nil, fmt.Errorf("unk_token %q is not in the vocabulary: set it to null", *model.Unknown)
	}
	for c, id := range b.bytes {
		if id < 0 {
			return nil, fmt.Errorf("unk_token %q: lmkit reads one only where it is never used, but byte 0x%02X is not in the vocabulary", *model.Unknown, c)
		}
	}
	b.unknown = id
	return b, nil
}

// check refuses what would change which tokens a text has.
func (m *bpeModel) check() error {
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
	refuse(m.ByteFallback, "byte_fallback", true, "false")
	refuse(m.IgnoreMerges, "ignore_merges", true, "false")
	return errors.Join(errs...)
}

// checkByteLevel refuses all but GPT-2's way around the model.
func (d *document) checkByteLevel() error {
	if !isNull(d.Normalizer) {
		return unsupported("normalizer", d.Normalizer, "none with BPE")
	}
	pre := struct {
		Type   string `json:"type"`
		Prefix bool   `json:"add_prefix_space"`
		Regex  *bool  `json:"use_regex"`
	}{}
	if json.Unmarshal(d.PreTokenizer, &pre) != nil || pre.Type != "ByteLevel" || pre.Prefix || pre.Regex != nil && !*pre.Regex {
		return unsupported("pre_tokenizer", d.PreTokenizer, "ByteLevel with add_prefix_space false and use_regex true")
	}
	if partType(d.Decoder) != "ByteLevel" {
		return unsupported("decoder", d.Decoder, "ByteLevel with BPE")
	}
	if !isNull(d.PostProcessor) && partType(d.PostProcessor) != "ByteLevel" {
		return unsupported("post_processor", d.PostProcessor, "none or ByteLevel with BPE")
	}
	return nil
}

// unsupported says which part of a file lmkit does not read, and what it reads in its place.
func unsupported(part string, value json.RawMessage, reads string) error {
	var detail bytes.Buffer
	if isNull(value) {
		value = json.RawMessage("null")
	}
	_ = json.Compact(&detail, value) // decoded before, so it is valid
	text := detail.Bytes()
	if len(text) > 200 {
		text = append(text[:200], "..."...)
	}
	return fmt.Errorf("%s %s is not supported: lmkit reads %s", part, text, reads)
}

func isNull(part json.RawMessage) bool { return len(part) == 0 || string(part) == "null" }

func partType(part json.RawMessage) string {
	var head struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(part, &head) != nil {
		return ""
	}
	return head.Type
}

// sameJSON compares values, whatever their layout.
func sameJSON(got json.RawMessage, want string) bool {
	var a, b any
	return json.Unmarshal(got, &a) == nil && json.Unmarshal([]byte(want), &b) == nil && reflect.DeepEqual(a, b)
}
