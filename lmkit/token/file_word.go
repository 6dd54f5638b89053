package token

import (
	"fmt"

	"lmkit.internal/lmkit/internal/strict"
)

type wordLevel struct {
	Type    string       `json:"type"`
	Vocab   orderedVocab `json:"vocab"`
	Unknown string       `json:"unk_token"`
}

// The parts that characters and words are written with.
const (
	charSplit = `{"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}`
	wordSplit = `{"type": "WhitespaceSplit"}`
	fuse      = `{"type": "Fuse"}`
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

func readWordLevel(doc document) (Tokenizer, error) {
	var model wordLevel
	if err := strict.Known(doc.Model, &model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if len(doc.Added) > 0 {
		return nil, fmt.Errorf("added token %q: lmkit reads added tokens with BPE only: keep it in the vocabulary alone",
			doc.Added[0].Content)
	}
	if !isNull(doc.PostProcessor) {
		return nil, unsupported("post_processor", doc.PostProcessor, "none with WordLevel")
	}
	tokens, err := listTokens(model.Vocab.ids, nil)
	if err != nil {
		return nil, err
	}
	unknown := ID(-1)
	if id, ok := model.Vocab.ids[model.Unknown]; ok && model.Unknown != "" {
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
	return nil, unsupported("pre_tokenizer", doc.PreTokenizer, "with WordLevel: WhitespaceSplit (words), or Split on "+
		"[\\s\\S] (characters)")
}
