package token

import (
	"flag"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// realData opens a file of the real data that some tests read, or skips.
func realData(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv("LMKIT_TEST_DATA")
	if folder == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		folder = filepath.Join(root, "..", "shared", "data")
	}
	data, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
	if err != nil {
		t.Skipf("real data is not here (set LMKIT_TEST_DATA to its folder): %v", err)
	}
	return string(data)
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// golden compares got with a file of testdata, or writes it there.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, name); want != string(got) {
		t.Errorf("%s differs from what is written now: run go test -update and look at the difference", name)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func one(text string) iter.Seq[string] { return slices.Values([]string{text}) }

// fixtures are the tokenizers of one small text.
func fixtures(t testing.TB) (*Char, *Word, *BPE) {
	t.Helper()
	text := readFile(t, "testdata/text.txt")
	c := must(must(NewChar(text)).WithUnknown("<unk>"))
	w := must(NewWord(one(text), WordConfig{MinCount: 2}))
	b := must(TrainBPE(t.Context(), one(text), 500, "<|endoftext|>"))
	return c, w, b
}

// checkTiling fails unless the spans of an encoding tile its text. An empty span is for bytes of a shared character.
func checkTiling(t interface{ Fatalf(string, ...any) }, e Encoding) {
	if len(e.IDs) != len(e.Spans) {
		t.Fatalf("%q: %d IDs, %d spans", e.Text, len(e.IDs), len(e.Spans))
	}
	if len(e.Spans) == 0 {
		return
	}
	end := 0
	for i, s := range e.Spans {
		if s.Start != end || s.End < s.Start {
			t.Fatalf("%q: span %d is %v, after one that ended at %d", e.Text, i, s, end)
		}
		if !utf8.ValidString(e.Piece(i)) {
			t.Fatalf("%q: span %d cuts a character", e.Text, i)
		}
		end = s.End
	}
	if end != len(e.Text) {
		t.Fatalf("%q: spans end at %d of %d", e.Text, end, len(e.Text))
	}
}

// anyText draws texts that are rich in what tokenizers trip over.
func anyText() *rapid.Generator[string] {
	bits := []string{" ", "  ", "\n", "\t", "\r\n", "\u0085", "\u00a0", "\u3000", "\x1c", "'", "\"", "'s", "'ll", "don't",
		"the", " The", "A", ".", ",", "!", "?", "(", ")", ";", ":",
		"<br />", "<BR />", "<unk>", "<|endoftext|>", "<|", "é", "e\u0301", "İ", "ß", "Σ", "灯台", "😀", "👨‍👩‍👧", "🇸🇪", "0",
		"1871", "½", "\\x41", "\\", "\ufffd", "\x00", "aaaa"}
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(bits), rapid.StringN(1, 4, 16))).Draw(t, "bits"), "")
	})
}

func TestTilingAndRoundTrip(t *testing.T) {
	c, w, b := fixtures(t)
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		whole := must(NewChar(text + "x"))
		for _, tok := range []Tokenizer{c, w, b, whole} {
			e, err := tok.Encode(text)
			if err != nil {
				t.Fatal(err)
			}
			if e.Text != text {
				t.Fatalf("%T: text %q became %q", tok, text, e.Text)
			}
			checkTiling(t, e)
			back, err := tok.Decode(e.IDs)
			if err != nil {
				t.Fatal(err)
			}
			if (tok == b || tok == whole) && back != text {
				t.Fatalf("%T: %q decodes to %q", tok, text, back)
			}
		}
	})
}

func TestLookupIsTheInverseOfToken(t *testing.T) {
	c, w, b := fixtures(t)
	for _, tok := range []Tokenizer{c, w, b} {
		for id := range ID(tok.Size()) {
			text := tok.Token(id)
			if !utf8.ValidString(text) || text == "" {
				t.Errorf("%T: token %d shows as %q", tok, id, text)
			}
			if got, ok := tok.Lookup(text); !ok || got != id {
				t.Errorf("%T: token %d shows as %q, which is %d, %v", tok, id, text, got, ok)
			}
		}
		for _, id := range []ID{-1, ID(tok.Size())} {
			if got := tok.Token(id); got != "" {
				t.Errorf("%T: token %d shows as %q", tok, id, got)
			}
			if _, err := tok.Decode([]ID{0, id}); err == nil || !strings.Contains(err.Error(), "outside the vocabulary") {
				t.Errorf("%T: decode of ID %d: %v", tok, id, err)
			}
		}
		if _, ok := tok.Lookup("no such token"); ok {
			t.Errorf("%T: found a token that is not there", tok)
		}
		if _, err := tok.Encode("ab\xe2\x82"); err == nil ||
			!strings.Contains(err.Error(), "byte 0xE2 at offset 2 is not UTF-8") {
			t.Errorf("%T: invalid UTF-8: %v", tok, err)
		}
	}
}

func TestShowIsReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte(`\\xxE2`)))).Draw(t, "raw"))
		if shown := show(raw); !utf8.ValidString(shown) || unshow(shown) != raw {
			t.Fatalf("%q shows as %q, which reads as %q", raw, shown, unshow(shown))
		}
	})
}
