package corpus

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/token"
)

// numbers are IDs one after another, each in so many bytes.
func numbers(each int, ids []token.ID) (b []byte) {
	for _, id := range ids {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(id)), 0, 0, 0, 0)[:len(b)+each]
	}
	return b
}

// What stands before the IDs is no ID, and says how they are written. A header that does not fit the file is an error.
func TestTokenHeaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "train.bin")
	rapid.Check(t, func(t *rapid.T) {
		magic := rapid.SampledFrom([]uint32{20240520, 20240801}).Draw(t, "magic")
		vocab := rapid.SampledFrom([]int{50, 50257, 128256}).Draw(t, "vocab")
		most := min(vocab, 65536) - 1
		ids := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, most), func(i int) token.ID { return token.ID(i) }), 0,
			700).Draw(t, "ids")
		extra := rapid.SampledFrom([]int{0, 0, 0, -1, 1, 7}).Draw(t, "what the header says is wrong by")
		head := make([]byte, headerBytes)
		binary.LittleEndian.PutUint32(head, magic)
		binary.LittleEndian.PutUint32(head[4:], rapid.Uint32Max(9).Draw(t, "version"))
		binary.LittleEndian.PutUint32(head[8:], uint32(len(ids)+extra))
		if err := os.WriteFile(path, append(head, numbers(headers[magic], ids)...), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := OpenTokens(path, vocab)
		if extra != 0 {
			if err == nil || !strings.Contains(err.Error(), "its header, of llm.c, says") {
				t.Fatalf("%v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got := make([]token.ID, f.Len())
		if err := f.Copy(got, 0); err != nil || !slices.Equal(got, ids) {
			t.Fatalf("%v of %v, %v", got, ids, err)
		}
	})
}

// A file whose IDs take another number of bytes than they should is an error when it is opened, and not IDs that
// nobody wrote.
func TestTokenWidths(t *testing.T) {
	path := filepath.Join(t.TempDir(), "train.bin")
	rapid.Check(t, func(t *rapid.T) {
		vocab := rapid.SampledFrom([]int{2, 300, 50257, 65536, 65537, 128256}).Draw(t, "vocab")
		ids := rapid.SliceOfN(rapid.Map(rapid.IntRange(1, min(vocab, 65536)-1),
			func(i int) token.ID { return token.ID(i) }), 300, 900).Draw(t, "ids")
		each := rapid.SampledFrom([]int{2, 4, 8}).Draw(t, "bytes")
		if err := os.WriteFile(path, numbers(each, ids), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := OpenTokens(path, vocab)
		if each == tokenBytes(vocab) {
			if err != nil || f.Len() != len(ids) {
				t.Fatal(err)
			}
			f.Close()
			return
		}
		if err == nil || !strings.Contains(err.Error(), "bytes") {
			t.Fatalf("IDs of %d bytes for a vocabulary of %d: %v", each, vocab, err)
		}
	})
}

// An ID that the vocabulary does not have is found at once, where the file is looked at.
func TestTokensOfAnotherTokenizer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "train.bin")
	for n := range []int{1, 3, 511, 512, 513, 5000} {
		for _, at := range []int{0, n} {
			ids := make([]token.ID, n+1)
			for i := range ids {
				ids[i] = token.ID(1 + i%9)
			}
			ids[at] = 10
			if err := os.WriteFile(path, numbers(2, ids), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenTokens(path, 10); err == nil || !strings.Contains(err.Error(), "is ID 10") {
				t.Errorf("%d of %d: %v", at, n+1, err)
			}
		}
	}
}

// Files of other kinds are named.
func TestNoTokens(t *testing.T) {
	dir := t.TempDir()
	for first, want := range map[string]string{
		"\x93NUMPY\x01\x00": "array of NumPy", "PK\x03\x04\x14\x00": "ZIP archive", "\x80\x04\x95\xff": "a pickle",
		"\x1f\x8b\x08\xff": "gzip", "version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
	} {
		path := filepath.Join(dir, "train.bin")
		if err := os.WriteFile(path, []byte(first+strings.Repeat("\xff", 200+len(first)%2)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenTokens(path, 300); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", first, err)
		}
	}
}
