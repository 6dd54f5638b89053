package chat

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadFolder(t *testing.T) {
	const source = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, test := range []struct {
		what   string
		folder fstest.MapFS
		want   string // the rendering of "x", or the error
	}{
		{"in the configuration", fstest.MapFS{
			"tokenizer_config.json": file(`{"chat_template": "` + source +
				`", "bos_token": "<s>", "eos_token": {"content": "</s>"}}`)}, "<s>x</s>"},
		{"one of several", fstest.MapFS{"tokenizer_config.json": file(
			`{"chat_template": [{"name": "tool_use", "template": "{{ no }}"}, {"name": "default", "template": "` + source +
				`"}], "bos_token": null}`)}, "x"},
		{"a file of its own", fstest.MapFS{
			"tokenizer_config.json": file(`{"chat_template": "old", "bos_token": "<s>"}`), "chat_template.jinja": file(source)},
			"<s>x"},
		{"an older file of its own", fstest.MapFS{"chat_template.json": file(`{"chat_template": "` + source + `"}`)}, "x"},
		{"none", fstest.MapFS{"tokenizer_config.json": file(`{}`)}, ErrNone.Error()},
		{"null", fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": null}`)}, ErrNone.Error()},
		{"no files", fstest.MapFS{}, ErrNone.Error()},
		{"no default", fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": [{"name": "a", "template": ""}]}`)},
			"the name default"},
		{"a number", fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": 7}`)}, "neither a text nor"},
		{"not JSON", fstest.MapFS{"tokenizer_config.json": file(`{`)}, "tokenizer_config.json: "},
		{"a token that is a list", fstest.MapFS{"tokenizer_config.json": file(`{"bos_token": []}`)}, "a token is a text"},
		{"a folder", fstest.MapFS{"chat_template.jinja/x": file("")}, "is no file"},
	} {
		template, err := ReadFolder(test.folder)
		got := ""
		if err == nil {
			var r Rendering
			r, err = template.Render([]Message{{"user", "x"}}, false)
			got = r.Text
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, test.want) || (test.want == ErrNone.Error()) != errors.Is(err, ErrNone) {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}
