package token

import (
	"slices"
	"strings"
	"testing"
)

func TestCharNumbersByCodePoint(t *testing.T) {
	c := must(NewChar("hello\n wörld"))
	if got := strings.Join(c.tokens, ""); got != "\n dehlorwö" {
		t.Errorf("vocabulary %q", got)
	}
	e := must(c.Encode("öd\n"))
	if want := []ID{9, 2, 0}; !slices.Equal(e.IDs, want) {
		t.Errorf("IDs %v, want %v", e.IDs, want)
	}
	if want := []Span{{0, 2}, {2, 3}, {3, 4}}; !slices.Equal(e.Spans, want) {
		t.Errorf("spans %v, want %v", e.Spans, want)
	}
}

func TestCharUnknown(t *testing.T) {
	c := must(NewChar("abc"))
	_, err := c.Encode("ab√c")
	for _, part := range []string{`'√'`, "U+221A", "byte 2", "unknown token"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %s", err, part)
		}
	}
	if _, ok := c.Unknown(); ok {
		t.Error("there is an unknown token that nobody asked for")
	}
	u := must(c.WithUnknown("<unk>"))
	e := must(u.Encode("a√b"))
	if id, ok := u.Unknown(); !ok || id != 3 || !slices.Equal(e.IDs, []ID{0, 3, 1}) || e.Piece(1) != "√" {
		t.Errorf("unknown %d, IDs %v, spans %v", id, e.IDs, e.Spans)
	}
	if got := must(u.Decode(e.IDs)); got != "a<unk>b" {
		t.Errorf("decoded %q", got)
	}
}

func TestCharRefuses(t *testing.T) {
	abc := must(NewChar("abc"))
	for _, test := range []struct {
		name string
		err  func() error
		want string
	}{
		{"empty text", func() error { _, err := NewChar(""); return err }, "empty"},
		{"bytes", func() error { _, err := NewChar("a\xff"); return err }, "offset 1 is not UTF-8"},
		{"unnamed", func() error { _, err := abc.WithUnknown(""); return err }, "needs a name"},
		{"name of bytes", func() error { _, err := abc.WithUnknown("\xff"); return err }, "not UTF-8"},
		{"taken", func() error { _, err := abc.WithUnknown("b"); return err }, "two IDs"},
		{"twice", func() error { _, err := must(abc.WithUnknown("?")).WithUnknown("!"); return err }, "already"},
	} {
		if err := test.err(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}
