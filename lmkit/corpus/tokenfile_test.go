package corpus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/token"
)

func writeTokens(t interface{ Fatal(...any) }, path string, vocab int, parts ...[]token.ID) {
	w, err := CreateTokens(path, vocab)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, p := range parts {
		if err := w.Append(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// A file on disk reads as the same tokens in memory do, wherever one reads, and so does a section of it.
func TestTokenFile(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		vocab := rapid.SampledFrom([]int{2, 300, 65536, 65537, 1 << 20}).Draw(t, "vocab")
		ids := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, vocab-1), func(i int) token.ID { return token.ID(i) }), 1,
			60).Draw(t, "ids")
		at := rapid.IntRange(0, len(ids)).Draw(t, "at")
		path := filepath.Join(dir, "tokens.bin")
		writeTokens(t, path, vocab, ids[:at], ids[at:])
		f, err := OpenTokens(path, vocab)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		from := rapid.IntRange(0, len(ids)).Draw(t, "from")
		n := rapid.IntRange(0, len(ids)-from).Draw(t, "n")
		got := make([]token.ID, n)
		if err := f.Copy(got, from); err != nil || !slices.Equal(got, ids[from:from+n]) || f.Len() != len(ids) {
			t.Fatalf("%v, %v of %v", got, err, ids)
		}
		s, err := Section(f, from, from+n)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Copy(got, 0); err != nil || !slices.Equal(got, ids[from:from+n]) || s.Len() != n {
			t.Fatalf("section: %v, %v of %v", got, err, ids)
		}
		if s.Copy(make([]token.ID, n+1), 0) == nil || f.Copy(make([]token.ID, 2), len(ids)-1) == nil {
			t.Fatal("read beyond the end")
		}
	})
}

func TestTokenFileErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "none.bin"), "no such file"},
		{dir, "not a file"},
		{write("odd.bin", "abc"), "no whole number of tokens"},
		{write("wrong.bin", "\x01\x00\x0b\x00"), "token 1 is ID 11, and the vocabulary has 10"},
	} {
		if _, err := OpenTokens(c.path, 10); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
	f, err := OpenTokens(write("changed.bin", "\x01\x00\x09\x00"), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write("changed.bin", "\x01\x00\x0b\x00")
	if err := f.Copy(make([]token.ID, 2), 0); err == nil ||
		!strings.Contains(err.Error(), "token 1 is ID 11, and the vocabulary has 10") {
		t.Error(err)
	}
	if err := os.Truncate(f.file.Name(), 2); err != nil {
		t.Fatal(err)
	}
	if err := f.Copy(make([]token.ID, 2), 0); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Error(err)
	}
	w, err := CreateTokens(filepath.Join(dir, "new.bin"), 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append([]token.ID{3, 10}); err == nil || !strings.Contains(err.Error(), "ID 10 is outside") {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new.bin")); err == nil {
		t.Error("a file that was not committed is there")
	}
}

// Pieces are whole characters, together the text, and their words those of the text.
func TestPieces(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		text := "x" + rapid.StringOf(rapid.SampledFrom([]rune("ab \n\n.é☃"))).Draw(t, "text")
		size := rapid.IntRange(16, 60).Draw(t, "size")
		path := filepath.Join(dir, "text.txt")
		if err := os.WriteFile(path, []byte("\ufeff"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		var all []string
		pieces(path, size, func(p string, err error) bool {
			if err != nil || !utf8.ValidString(p) || len(p) > size {
				t.Fatalf("%q: %v", p, err)
			}
			all = append(all, p)
			return true
		})
		if strings.Join(all, "") != text {
			t.Fatalf("%q is not %q", all, text)
		}
		for i, p := range all[:len(all)-1] {
			if lines := strings.Count(p, "\n"); lines > 0 && !strings.HasSuffix(p, "\n") && len(p) > 2 &&
				strings.Contains(p[1:], "\n") {
				t.Fatalf("piece %d, %q, has a line break and does not end at one", i, p)
			}
		}
	})
}

func TestPiecesErrors(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "none.txt"), os.DevNull} {
		failed := false
		for _, err := range Pieces("\n", path) {
			failed = failed || err != nil
		}
		if !failed {
			t.Errorf("%s: no error", path)
		}
	}
}
