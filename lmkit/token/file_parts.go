package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/strict"
)

// parts are what stands around the model in a tokenizer.json, as it was read or will be written.
type parts struct {
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
}

// gpt2Parts are those of GPT-2, and of the vocabularies that are trained here.
func gpt2Parts() parts {
	const byteLevel = `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`
	part := func() json.RawMessage { return json.RawMessage(byteLevel) }
	return parts{PreTokenizer: part(), PostProcessor: part(), Decoder: part()}
}

// compact returns the parts without white space, so that they stay the same when they are written and read.
func (p parts) compact() parts {
	for _, part := range []*json.RawMessage{&p.Normalizer, &p.PreTokenizer, &p.PostProcessor, &p.Decoder} {
		var out bytes.Buffer
		if isNull(*part) || json.Compact(&out, *part) != nil {
			*part = nil
			continue
		}
		*part = out.Bytes()
	}
	return p
}

// decoding says how the texts of tokens become a text.
type decoding struct {
	replace  [][2]string // in each token, in turn: old, new
	fallback bool        // <0xE2> is that byte
	strip    int         // how often stripped is taken off the start of the whole
	stripped string
	first    bool // the first token loses its spaces (Metaspace)
}

// token returns what a token decodes to.
func (d *decoding) token(text string) string {
	if b, ok := byteNamed(text); ok && d.fallback {
		return string([]byte{b})
	}
	for _, r := range d.replace {
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	return text
}

// readDecoder reads the part "decoder" of a tokenizer.json.
func readDecoder(part json.RawMessage, byteLevel bool) (decoding, error) {
	var d decoding
	if byteLevel {
		if partType(part) != "ByteLevel" {
			return d, unsupported("decoder", part, "ByteLevel with ByteLevel")
		}
		return d, nil
	}
	fused := false
	err := eachStep(part, "decoders", func(kind string, step json.RawMessage) error {
		var s struct {
			Type    string       `json:"type"`
			Pattern literalOrNot `json:"pattern"`
			Content string       `json:"content"`
			Start   int          `json:"start"`
			Stop    int          `json:"stop"`
			Replace string       `json:"replacement"`
			Scheme  string       `json:"prepend_scheme"`
			Prefix  *bool        `json:"add_prefix_space"`
			Cut     *bool        `json:"split"`
			StrRep  string       `json:"str_rep"`
		}
		wrong := unsupported("decoder", step,
			"ByteLevel, Metaspace, and a Sequence of Replace of a String, ByteFallback, Fuse and then Strip at the start")
		switch err := strict.Known(step, &s); {
		case err != nil || d.strip > 0 || fused && kind != "Strip":
			return wrong
		case kind == "Replace" && s.Pattern.String != "" && !d.fallback:
			d.replace = append(d.replace, [2]string{s.Pattern.String, s.Content})
		case kind == "ByteFallback":
			d.fallback = true
		case kind == "Fuse":
			fused = true
		case kind == "Strip" && fused && s.Stop == 0 && s.Start >= 0 && s.Start < 100 && s.Content != "":
			d.strip, d.stripped = s.Start, s.Content
		case kind == "Metaspace" && s.Replace != "":
			d.replace = append(d.replace, [2]string{s.Replace, " "})
			d.first = s.Scheme != "never" && (s.Scheme != "" || s.Prefix == nil || *s.Prefix)
		default:
			return wrong
		}
		return nil
	})
	if err == nil && len(d.replace) == 0 && !fused && !d.fallback {
		err = unsupported("decoder", part, "ByteLevel with bytes, and with characters what puts spaces in place of ▁")
	}
	return d, err
}

// surroundBy reads the part "post_processor" of a tokenizer.json: the tokens that stand before and after every text.
func (b *BPE) surroundBy(part json.RawMessage) error {
	return eachStep(part, "processors", func(kind string, step json.RawMessage) error {
		if kind == "ByteLevel" { // moves offsets, not tokens
			return nil
		}
		type piece struct {
			Special *struct {
				ID string `json:"id"`
			} `json:"SpecialToken"`
			Sequence *struct {
				ID string `json:"id"`
			} `json:"Sequence"`
		}
		var s struct {
			Single  []piece `json:"single"`
			Special map[string]struct {
				IDs []ID `json:"ids"`
			} `json:"special_tokens"`
		}
		var before, after []ID
		texts := 0
		err := json.Unmarshal(step, &s)
		for _, p := range s.Single {
			switch {
			case p.Sequence != nil && p.Sequence.ID == "A":
				texts++
			case p.Special == nil || len(s.Special[p.Special.ID].IDs) == 0:
				texts = -1
			case texts == 0:
				before = append(before, s.Special[p.Special.ID].IDs...)
			default:
				after = append(after, s.Special[p.Special.ID].IDs...)
			}
		}
		if kind != "TemplateProcessing" || err != nil || texts != 1 {
			return unsupported("post_processor", step, "ByteLevel, TemplateProcessing with one text, and a Sequence of them")
		}
		for _, id := range append(before, after...) {
			if id < 0 || int(id) >= len(b.tokens) {
				return fmt.Errorf("post_processor: token %d is outside the vocabulary of %d", id, len(b.tokens))
			}
		}
		b.before, b.after = append(before, b.before...), append(b.after, after...)
		return nil
	})
}

// surround sets the tokens before and after every text, in the file's part for them, too.
func (b *BPE) surround(before, after []ID) {
	b.before, b.after = before, after
	if len(before)+len(after) == 0 {
		return
	}
	type special struct {
		ID     string   `json:"id"`
		IDs    []ID     `json:"ids"`
		Tokens []string `json:"tokens"`
	}
	var single []any
	tokens := map[string]special{}
	add := func(ids []ID) {
		for _, id := range ids {
			name := b.fileText(id)
			single = append(single, map[string]any{"SpecialToken": map[string]any{"id": name, "type_id": 0}})
			tokens[name] = special{name, []ID{id}, []string{name}}
		}
	}
	add(before)
	single = append(single, map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}})
	add(after)
	pair := append(slices.Clip(single), map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 1}})
	b.parts.PostProcessor, _ = encodeJSON(map[string]any{ // texts and numbers can always be written
		"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens,
	})
}
