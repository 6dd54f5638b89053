package token

import (
	"testing"
	"testing/fstest"

	"lmkit.internal/lmkit/internal/strict/stricttest"
)

// Whatever stands in the place of something else in a tokenizer's files, the error is a short line of words.
func TestWordsOfWrongFiles(t *testing.T) {
	c, w, b := fixtures(t)
	for what, file := range map[string]string{
		"characters": string(must(Marshal(c))), "words": string(must(Marshal(w))), "bytes": string(must(Marshal(b))),
		"GPT-2's": gpt2File, "characters of pairs": charactersFile, "a pattern": patternFile,
	} {
		failed := 0
		for place, text := range stricttest.Wrong([]byte(file)) {
			_, err := Unmarshal(text)
			if wrong := stricttest.Unreadable(err); wrong != "" {
				t.Errorf("%s%s: %v: %s", what, place, err, wrong)
			}
			if err != nil {
				failed++
			}
		}
		if failed < 50 {
			t.Errorf("%s: only %d files were refused", what, failed)
		}
	}
	files := map[string]string{"vocab.json": `{"a":0,"b":1,"ab":2,"Ġ":3}`, "added_tokens.json": `{"<y>":4}`,
		"special_tokens_map.json": `{"bos_token":"a","eos_token":{"content":"b"}}`,
		"tokenizer_config.json": `{"add_bos_token":true,"bos_token":"a","add_prefix_space":false,
			"added_tokens_decoder":{"4":{"content":"<y>","special":true,"lstrip":false}}}`}
	for name, file := range files {
		for place, text := range stricttest.Wrong([]byte(file)) {
			folder := fstest.MapFS{"merges.txt": {Data: []byte("a b\n")}, name: {Data: text}}
			for other, text := range files {
				if other != name {
					folder[other] = &fstest.MapFile{Data: []byte(text)}
				}
			}
			_, err := ReadFolder(folder)
			if wrong := stricttest.Unreadable(err); wrong != "" {
				t.Errorf("%s%s: %v: %s", name, place, err, wrong)
			}
		}
	}
}

// The ID that is none is named with its token.
func TestTokenWithoutID(t *testing.T) {
	for _, id := range []string{"1e12", "1000000000000", "-99999999999", "0.5", `"0"`, "[0]", "{}", "true"} {
		folder := fstest.MapFS{"merges.txt": {Data: []byte("")}, "vocab.json": {Data: []byte(`{"a":0,"bad":` + id + `}`)}}
		want := `vocab.json: token "bad" has the ID ` + id + `, which is no whole number from 0 to 2147483647: ` +
			`give a JSON object of tokens and their IDs`
		if _, err := ReadFolder(folder); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
