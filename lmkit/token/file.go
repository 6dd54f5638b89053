package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict"
)

// document is a tokenizer.json: the parts of the Hugging Face tokenizers format that decide which tokens a text has.
type document struct {
	Version    string       `json:"version"`
	Truncation any          `json:"truncation"` // a setting of a call, as padding is: not followed
	Padding    any          `json:"padding"`
	Added      []addedEntry `json:"added_tokens"`
	parts
	Model json.RawMessage `json:"model"`
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

// token returns the added token that an entry describes.
func (e addedEntry) token() addedToken {
	return addedToken{id: e.ID, content: e.Content, special: e.Special, normalized: e.Normalized,
		before: e.LStrip, after: e.RStrip, word: e.SingleWord}
}

// orderedVocab is an object of tokens and their IDs, written in the order of the IDs.
type orderedVocab struct {
	tokens []string // to be written
	ids    idsOf    // that were read
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

func (v *orderedVocab) UnmarshalJSON(data []byte) error { return strict.Decode(data, &v.ids) }

// idsOf are tokens and their IDs.
type idsOf map[string]ID

// UnmarshalJSON reads an object of them. The error names the token whose ID is none.
func (v *idsOf) UnmarshalJSON(data []byte) error {
	err := strict.Decode(data, (*map[string]ID)(v))
	var each map[string]json.RawMessage
	if err == nil || json.Unmarshal(data, &each) != nil {
		return err
	}
	for _, text := range slices.Sorted(maps.Keys(each)) {
		if json.Unmarshal(each[text], new(ID)) != nil {
			return fmt.Errorf("token %.80q has the ID %s, which is no whole number from 0 to %d", text,
				printable.Short(string(each[text]), 40), math.MaxInt32)
		}
	}
	return err
}

// encodeJSON leaves < and > readable.
func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// Marshal returns the tokenizer.json of a tokenizer, in the Hugging Face tokenizers format. That library, given the
// file, finds the same tokens in every text, but where a vocabulary of scores (FromGGUF) has two ways to make the
// same token.
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
		doc.parts = t.parts
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

// Unmarshal reads a tokenizer.json: one that Marshal wrote, or a BPE of the forms that BPE lists. What changes the
// tokens and cannot be followed exactly is an error that names the part; the settings of a call (truncation, padding)
// are passed over.
func Unmarshal(data []byte) (Tokenizer, error) {
	t, err := unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", printable.Brief(err))
	}
	return t, nil
}

func unmarshal(data []byte) (Tokenizer, error) {
	var doc document
	if err := unmarshalOnce(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: give a file of the Hugging Face tokenizers format", err)
	}
	if len(doc.Model) == 0 {
		return nil, errors.New("there is no model: give a file of the Hugging Face tokenizers format")
	}
	if doc.Version != "1.0" {
		return nil, fmt.Errorf("version %q is not supported: lmkit reads \"1.0\"", doc.Version)
	}
	var head struct {
		Type   string          `json:"type"`
		Merges json.RawMessage `json:"merges"`
	}
	if err := strict.Decode(doc.Model, &head); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	switch {
	case head.Type == "BPE" || head.Type == "" && head.Merges != nil: // GPT-2's own file names no type
		return readBPE(doc)
	case head.Type == "WordLevel":
		return readWordLevel(doc)
	}
	return nil, fmt.Errorf("model type %q is not supported: lmkit reads BPE and WordLevel", head.Type)
}

// unmarshalOnce reads a JSON value in which no key stands twice.
func unmarshalOnce(data []byte, v any) error {
	if err := strict.Once(data); err != nil {
		return err
	}
	return strict.Decode(data, v)
}

// unsupported says which part of a file lmkit does not read, and what it reads in its place.
func unsupported(part string, value json.RawMessage, reads string) error {
	var detail bytes.Buffer
	if isNull(value) {
		value = json.RawMessage("null")
	}
	_ = json.Compact(&detail, value) // decoded before, so it is valid
	return fmt.Errorf("%s %s is not supported: lmkit reads %s", part, printable.Short(detail.String(), 200), reads)
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
