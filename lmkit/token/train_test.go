package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// mergesOf lists merges as a vocabulary file does.
func mergesOf(b *BPE) []string {
	var out []string
	for _, m := range b.merges {
		out = append(out, toFile(b.tokens[m.left])+" "+toFile(b.tokens[m.right]))
	}
	return out
}

func TestTrainAgreesWithAnotherImplementation(t *testing.T) {
	o := readOracle(t)
	b := must(TrainBPE(t.Context(), one(readFile(t, "testdata/text.txt")), 500))
	if got := mergesOf(b); !slices.Equal(got, o.Trained) {
		t.Errorf("merges %q, want %q", got, o.Trained)
	}
	b = must(TrainBPE(t.Context(), one(realData(t, "tinyshakespeare/input.txt")), 1256))
	if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(mergesOf(b), "\n")))); sum != o.TrainedShakespeare {
		t.Error("tinyshakespeare: not the same merges")
	}
}

// referenceTrain counts all pairs anew for each merge.
func referenceTrain(text string, size int) []merge {
	ids, words := map[string]ID{}, [][]ID{}
	for i, b := range byteOrder {
		ids[string([]byte{b})] = ID(i)
	}
	tokens := 256
	spelled := make(map[ID]string)
	for s, id := range ids {
		spelled[id] = s
	}
	for _, p := range pretokens(text) {
		var w []ID
		for i := range len(p) {
			w = append(w, ids[p[i:i+1]])
		}
		words = append(words, w)
	}
	var merges []merge
	for tokens < size {
		counts := map[pair]int{}
		for _, w := range words {
			for i := range len(w) - 1 {
				counts[pair{w[i], w[i+1]}]++
			}
		}
		best, most := pair{}, 1
		for p, n := range counts {
			if n > most || n == most && n > 1 && (p.left < best.left || p.left == best.left && p.right < best.right) {
				best, most = p, n
			}
		}
		if most < 2 {
			break
		}
		into, ok := ids[spelled[best.left]+spelled[best.right]]
		if !ok {
			into = ID(tokens)
			spelled[into] = spelled[best.left] + spelled[best.right]
			ids[spelled[into]] = into
			tokens++
		}
		merges = append(merges, merge{best, into})
		for i := range words {
			words[i] = mergeAll(words[i], best, into)
		}
	}
	return merges
}

func TestTrainAgreesWithCountingAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "aa", " ", "é", "."}), 1, 80).Draw(t,
			"text"), "")
		size := rapid.IntRange(256, 300).Draw(t, "size")
		b := must(TrainBPE(context.Background(), one(text), size))
		if want := referenceTrain(text, size); !slices.Equal(b.merges, want) {
			t.Fatalf("%q: merges %v, want %v", text, b.merges, want)
		}
	})
}

func TestTrainIgnoresTheOrderOfTexts(t *testing.T) {
	lines := strings.SplitAfter(readFile(t, "testdata/text.txt"), "\n")
	a := must(TrainBPE(t.Context(), slices.Values(lines), 400))
	slices.Reverse(lines)
	b := must(TrainBPE(t.Context(), slices.Values(lines), 400))
	if !slices.Equal(a.merges, b.merges) {
		t.Error("merges depend on the order of texts")
	}
}

func TestTrainSize(t *testing.T) {
	text := readFile(t, "testdata/text.txt")
	b := must(TrainBPE(t.Context(), one(text), 300, "<s>", "</s>"))
	if b.Size() != 300 || b.Token(298) != "<s>" || b.Token(299) != "</s>" || !slices.Equal(b.Special(), []ID{298, 299}) {
		t.Errorf("size %d, last tokens %q and %q, special %v", b.Size(), b.Token(298), b.Token(299), b.Special())
	}
	if b := must(TrainBPE(t.Context(), one("ab ab"), 10_000)); b.Size() != 257 {
		t.Errorf("a short text gave %d tokens", b.Size())
	}
}

func TestTrainRefuses(t *testing.T) {
	for _, test := range []struct {
		text    string
		size    int
		special []string
		want    string
	}{
		{"abc", 255, nil, "give 256"},
		{"abc", 256, []string{"<s>"}, "give 257"},
		{"", 300, nil, "nothing to learn"},
		{"<s>", 300, []string{"<s>"}, "nothing to learn"},
		{"a\xff", 300, nil, "text 0: byte 0xFF at offset 1"},
		{"abc", 300, []string{""}, "special token"},
		{"abc", 300, []string{"<s>", "<s>"}, "given twice"},
	} {
		if _, err := TrainBPE(t.Context(), one(test.text), test.size, test.special...); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %d, %q: error %v, want %q", test.text, test.size, test.special, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := TrainBPE(ctx, one("ab ab"), 300); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkTrainBPE(b *testing.B) {
	text := realData(b, "tinyshakespeare/input.txt")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		must(TrainBPE(b.Context(), one(text), 1256))
	}
}
