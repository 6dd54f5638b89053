package token

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadFolder(t *testing.T) {
	const vocab = `{"a":0,"b":1,"ab":2,"Ġ":3,"<s>":4,"</s>":5,"<|endoftext|>":6}`
	const merges = "#version: 0.2\na b\n"
	for _, test := range []struct {
		what   string
		files  map[string]string // beside vocab.json and merges.txt; "-" is no file
		text   string
		want   []ID
		reason string
	}{
		{what: "GPT-2's files", text: "ab<|endoftext|>b<s>", want: []ID{2, 6, 1}, reason: "byte 0x3C"},
		{what: "GPT-2's files", text: "ab<|endoftext|>b", want: []ID{2, 6, 1}},
		{what: "no merges", files: map[string]string{"merges.txt": ""}, text: "ab", want: []ID{0, 1}},
		{what: "special tokens in the map",
			files: map[string]string{
				"special_tokens_map.json": `{"bos_token":"<s>","eos_token":{"content":"</s>"},"pad_token":"<pad>"}`},
			text: "a<s>b</s>", want: []ID{0, 4, 1, 5}},
		{what: "a begin token", files: map[string]string{
			"tokenizer_config.json": `{"add_bos_token":true,"bos_token":"</s>"}`}, text: "ab", want: []ID{5, 2}},
		{what: "a begin token in the map", files: map[string]string{"tokenizer_config.json": `{"add_bos_token":true}`,
			"special_tokens_map.json": `{"bos_token":{"content":"</s>"}}`}, text: "ab", want: []ID{5, 2}},
		{what: "added tokens with IDs", files: map[string]string{"added_tokens.json": `{"bab":7}`}, text: "abab",
			want: []ID{0, 7}},
		{what: "added tokens with flags", files: map[string]string{
			"tokenizer_config.json": `{"added_tokens_decoder":{"7":{"content":"<x>","rstrip":true,"special":true}}}`},
			text: "a<x> b", want: []ID{0, 7, 1}},
		{what: "tokenizer.json first", files: map[string]string{"tokenizer.json": gpt2File}, text: " a", want: []ID{3}},
		{what: "half", files: map[string]string{"merges.txt": "-"}, reason: "not merges.txt"},
		{what: "none", files: map[string]string{"vocab.json": "-", "merges.txt": "-"}, reason: fs.ErrNotExist.Error()},
		{what: "a space before", files: map[string]string{"tokenizer_config.json": `{"add_prefix_space":true}`},
			reason: "add_prefix_space"},
		{what: "no such begin token", files: map[string]string{
			"tokenizer_config.json": `{"add_bos_token":true,"bos_token":"<q>"}`}, reason: `bos_token "<q>"`},
		{what: "no number", files: map[string]string{"tokenizer_config.json": `{"added_tokens_decoder":{"x":{}}}`},
			reason: "no token ID"},
		{what: "no JSON", files: map[string]string{"added_tokens.json": `[`}, reason: "added_tokens.json"},
		{what: "a wrong merge", files: map[string]string{"merges.txt": "a\n"}, reason: "merges.txt: line 1"},
		{what: "a wrong vocabulary", files: map[string]string{"vocab.json": "[]"}, reason: "vocab.json"},
	} {
		folder := fstest.MapFS{"vocab.json": {Data: []byte(vocab)}, "merges.txt": {Data: []byte(merges)}}
		for name, text := range test.files {
			folder[name] = &fstest.MapFile{Data: []byte(text)}
			if text == "-" {
				delete(folder, name)
			}
		}
		tok, err := ReadFolder(folder)
		var e Encoding
		if err == nil {
			e, err = EncodeWith(tok, test.text, Options{Special: true})
		}
		switch {
		case test.reason == "" && err != nil:
			t.Errorf("%s: %v", test.what, err)
		case test.reason != "" && (err == nil || !strings.Contains(err.Error(), test.reason)):
			t.Errorf("%s: error %v, want %q", test.what, err, test.reason)
		case test.what == "none" && !errors.Is(err, fs.ErrNotExist):
			t.Errorf("%s: %v", test.what, err)
		case test.reason == "" && !slices.Equal(e.IDs, test.want):
			t.Errorf("%s: %v, want %v", test.what, e.IDs, test.want)
		}
	}
}
