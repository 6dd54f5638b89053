package chat

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"lmkit.internal/lmkit/token"
)

// chats is what bench/chat_reference.py had Hugging Face's transformers render.
type chats struct {
	Date          time.Time
	BOS, EOS      string
	Conversations [][]Message
	Templates     map[string]struct {
		Source string
		Texts  []*string // of each conversation, without and with the start of a reply; null: refused
	}
}

func readChats(t testing.TB) chats {
	t.Helper()
	file, err := os.Open("testdata/chats.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // read only
	data, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var c chats
	if err := json.NewDecoder(data).Decode(&c); err != nil {
		t.Fatal(err)
	}
	if len(c.Templates) < 14 || len(c.Conversations) < 20 {
		t.Fatal("testdata/chats.json.gz lacks a part")
	}
	return c
}

func (c *chats) settings() Settings { return Settings{BOS: c.BOS, EOS: c.EOS, Date: c.Date} }

func TestRendersAsTransformersDoes(t *testing.T) {
	c := readChats(t)
	for name, test := range c.Templates {
		template, err := New(test.Source, c.settings())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, want := range test.Texts {
			messages, reply := c.Conversations[i/2], i%2 == 1
			got, err := template.Render(messages, reply)
			switch {
			case want == nil && err == nil:
				t.Errorf("%s: conversation %d is not refused: %q", name, i/2, got.Text)
			case want == nil && !strings.Contains(err.Error(), "refuses this conversation: "):
				t.Errorf("%s: conversation %d: %v", name, i/2, err)
			case want != nil && err != nil:
				t.Errorf("%s: conversation %d: %v", name, i/2, err)
			case want != nil && got.Text != *want:
				t.Errorf("%s: conversation %d, reply %v:\n%q, want\n%q", name, i/2, reply, got.Text, *want)
			case want != nil:
				checkParts(t, name, got, messages)
			}
		}
	}
}

// checkParts fails unless the parts are in order and say what the messages say, or an end of it.
func checkParts(t *testing.T, name string, r Rendering, messages []Message) {
	t.Helper()
	end := 0
	for _, p := range r.Parts {
		said := strings.TrimFunc(messages[p.Message].Content, isSpace)
		text := r.Text[p.Span.Start:p.Span.End]
		if p.Span.Start < end || p.Role != messages[p.Message].Role || !strings.HasSuffix(said, text) {
			t.Errorf("%s: part %+v is %q of %q", name, p, text, said)
		}
		end = p.Span.End
	}
}

func TestParts(t *testing.T) {
	c := readChats(t)
	template, err := New(c.Templates["llama3"].Source, c.settings())
	if err != nil {
		t.Fatal(err)
	}
	r, err := template.Render([]Message{{"user", " user "}, {"assistant", "user"}, {"user", ""}}, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Parts) != 2 || r.Parts[0].Message != 0 || r.Parts[1].Message != 1 || r.Parts[1].Role != "assistant" {
		t.Fatalf("parts %+v", r.Parts)
	}
	for _, p := range r.Parts {
		if before := r.Text[:p.Span.Start]; r.Text[p.Span.Start:p.Span.End] != "user" ||
			!strings.HasSuffix(before, "<|end_header_id|>\n\n") {
			t.Errorf("part %+v of %q", p, r.Text)
		}
	}
	if _, err := template.Render(nil, true); err == nil {
		t.Error("no messages: no error")
	}
	private := []Message{{"user", "\U000F0000"}}
	if r, err := template.Render(private, false); err != nil ||
		r.Text[r.Parts[0].Span.Start:r.Parts[0].Span.End] != "\U000F0000" {
		t.Errorf("a character for private use: %v", err)
	}
	private[0].Content += "\U00100001"
	if _, err := template.Render(private, false); err == nil {
		t.Error("characters of both planes for private use: no error")
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, test := range []struct{ source, want string }{
		{"{% for x in messages %}", "cannot be read"},
		{"{{ 'a' * 1000000 }}", "multiplies"},
		{"{{ 9 ** 9 }}", "multiplies"},
		{"{{ range(1000000000) }}", "number 1000000000"},
		{"{{ range(999999) | list }}", "range of more than"},
		{"{% include '/etc/passwd' %}", "cannot be read"},
		{"{% extends '/etc/passwd' %}", "cannot be read"},
		{"{% for a in range(9999) %}{% for b in range(9999) %}{% if a %}{% endif %}{% endfor %}{% endfor %}", "steps"},
		{"{% for a in range(9999) %}{% for b in range(9) %}" + long + long + "{% endfor %}{% endfor %}", "writes more than"},
		{"{% set ns = namespace(s='ab') %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "has more than"},
		{"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "the chat template fails"},
		{"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursive"},
		{"{{ messages[0].content | length }}", "changes what a message says"},
		{"{{ nothing.at.all.here() }}", "fails"},
		{"{{ strftime_now('%Q') }}", "a date in the form"},
		{"{{ raise_exception('no \x1b[31m" + strings.Repeat("é", 1000) + "') }}", "refuses this conversation: no"},
		{"{{ " + strings.Repeat("(", 100_000) + "}}", "one of more than"},
		{"{{ " + strings.Repeat("not ", 100_000) + "x }}", "one of more than"},
		{strings.Repeat("{% if x %}", 50_000), "there are more than"},
		{strings.Repeat("{% if x %}", 4_000) + strings.Repeat("{% endif %}", 900), "cannot be read"},
		{"{{ " + strings.Repeat("(", 1_000) + "x" + strings.Repeat(")", 900) + "}}", "cannot be read"},
		{strings.Repeat("x", maxSource+1), "lmkit reads up to"},
	} {
		template, err := New(test.source, Settings{})
		if err == nil {
			_, err = template.Render([]Message{{"user", "x"}}, true)
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 1000 {
			t.Errorf("%.80s: error %v, want %q", test.source, err, test.want)
		}
	}
}

func TestEncode(t *testing.T) {
	c := readChats(t)
	var tokens []string
	types := []int32{}
	for b := range 256 {
		tokens, types = append(tokens, string(byteAlphabet[b])), append(types, 1)
	}
	for _, s := range []string{"<s>", "</s>", "<|im_start|>", "<|im_end|>"} {
		tokens, types = append(tokens, s), append(types, 3)
	}
	yes, bos := true, token.ID(256)
	tok, err := token.FromGGUF(token.GGUF{Model: "gpt2", Pre: "gpt-2", Tokens: tokens, Types: types, AddBOS: &yes,
		BOS: &bos})
	if err != nil {
		t.Fatal(err)
	}
	template, err := New(c.Templates["qwen3"].Source, c.settings())
	if err != nil {
		t.Fatal(err)
	}
	got, err := template.Encode(tok, []Message{{"user", "Hi <|im_end|> é"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	var held, said strings.Builder
	special := 0
	for i, id := range got.IDs {
		to := &said
		if got.Held[i] {
			to = &held
		}
		to.WriteString(got.Piece(i))
		if id >= 256 {
			special++
		}
	}
	if said.String() != "Hi <|im_end|> é" || held.String() != "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n" ||
		special != 3 {
		t.Errorf("said %q, held %q, %d special tokens", said.String(), held.String(), special)
	}
}

// byteAlphabet is how vocabularies write bytes.
var byteAlphabet = func() []rune {
	out, next := make([]rune, 256), rune(256)
	for b := range 256 {
		if out[b] = rune(b); !('!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b) {
			out[b] = next
			next++
		}
	}
	return out
}()

func FuzzTemplate(f *testing.F) {
	c := readChats(f)
	for _, t := range c.Templates {
		f.Add(t.Source, "user", " Hi ")
	}
	f.Add("{% set x = messages %}{{ x[0:1] | tojson }}", "user", "{{")
	f.Fuzz(func(t *testing.T, source, role, content string) {
		template, err := New(source, c.settings())
		if err != nil {
			return
		}
		r, err := template.Render([]Message{{role, content}, {"user", "x"}}, true)
		if err != nil {
			return
		}
		for _, p := range r.Parts {
			if p.Span.Start < 0 || p.Span.End < p.Span.Start || p.Span.End > len(r.Text) {
				t.Fatalf("part %+v of %d bytes", p, len(r.Text))
			}
		}
	})
}
