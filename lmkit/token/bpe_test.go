package token

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func loadGPT2(t testing.TB) *BPE {
	t.Helper()
	b, err := LoadGPT2(strings.NewReader(realData(t, "gpt2-bpe/encoder.json")),
		strings.NewReader(realData(t, "gpt2-bpe/vocab.bpe")))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Go's regexp has no lookahead: a run of white space that something follows gives its last character back by hand.
var (
	whiteSpace = `\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}`
	gpt2Regexp = regexp.MustCompile(`^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^` + whiteSpace + `\p{L}\p{N}]+|[` +
		whiteSpace + `]+)`)
	onlySpace = regexp.MustCompile(`^[` + whiteSpace + `]+$`)
)

func referencePretokens(text string) []string {
	var out []string
	for text != "" {
		p := gpt2Regexp.FindString(text)
		if _, last := utf8.DecodeLastRuneInString(p); onlySpace.MatchString(p) && len(p) < len(text) && len(p) > last {
			p = p[:len(p)-last]
		}
		out = append(out, p)
		text = text[len(p):]
	}
	return out
}

// pretokens are the pieces of a text by GPT-2's pattern.
func pretokens(text string) []string {
	var out []string
	for text != "" {
		n := gpt2Piece(text)
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

// referenceBPE is the algorithm of the tokenizers library and of tiktoken, as plainly as can be: the pair of the
// lowest rank is merged, the leftmost one, until no pair has a rank.
func referenceBPE(b *BPE, pretoken string) []string {
	rank := map[[2]string]int{}
	for i, m := range b.merges {
		rank[[2]string{b.tokens[m.left], b.tokens[m.right]}] = i
	}
	return referenceMerge(rank, pretoken)
}

func referenceMerge(rank map[[2]string]int, pretoken string) []string {
	var word []string
	for i := range len(pretoken) {
		word = append(word, pretoken[i:i+1])
	}
	for {
		best, least := 0, math.MaxInt
		for i := range len(word) - 1 {
			if r, ok := rank[[2]string{word[i], word[i+1]}]; ok && r < least {
				best, least = i, r
			}
		}
		if least == math.MaxInt {
			return word
		}
		word = slices.Replace(word, best, best+2, word[best]+word[best+1])
	}
}

func TestPretokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		if got, want := pretokens(text), referencePretokens(text); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestGPT2KnownIDs(t *testing.T) {
	b := loadGPT2(t)
	if b.Size() != 50257 || !slices.Equal(b.Special(), []ID{50256}) {
		t.Errorf("size %d, special %v", b.Size(), b.Special())
	}
	for text, want := range map[string][]ID{
		"Hello world": {15496, 995}, " the": {262}, "\n": {198}, "": nil, "!": {0}, "<|endoftext|>": {50256},
		"😀": {47249, 222},
	} {
		if e := must(b.EncodeWith(text, Options{Special: true})); !slices.Equal(e.IDs, want) {
			t.Errorf("%q: IDs %v, want %v", text, e.IDs, want)
		}
	}
	for id := range ID(b.Size()) {
		if got, ok := b.Lookup(b.Token(id)); !ok || got != id {
			t.Errorf("token %d shows as %q, which is %d, %v", id, b.Token(id), got, ok)
		}
	}
}

func TestGPT2AgreesWithOtherImplementations(t *testing.T) {
	b, o := loadGPT2(t), readOracle(t)
	for i, text := range o.Texts {
		e := must(b.EncodeWith(text, Options{Special: true}))
		checkTiling(t, e)
		if !slices.Equal(e.IDs, o.GPT2[i]) {
			t.Errorf("%q: IDs %v, want %v", text, e.IDs, o.GPT2[i])
		}
	}
	for name, want := range o.Streams {
		text := realData(t, name)
		e := must(b.Encode(text))
		checkTiling(t, e)
		sum := sha256.New()
		if err := binary.Write(sum, binary.LittleEndian, e.IDs); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sum.Sum(nil)); len(e.IDs) != want.GPT2 || got != want.GPT2Sum {
			t.Errorf("%s: %d tokens, want %d: not the same tokens", name, len(e.IDs), want.GPT2)
		}
	}
}

func TestGPT2AgreesWithThePublishedAlgorithm(t *testing.T) {
	b := loadGPT2(t)
	rank := map[[2]string]int{}
	for i, m := range b.merges {
		rank[[2]string{b.tokens[m.left], b.tokens[m.right]}] = i
	}
	seen := map[string]bool{}
	for _, name := range []string{"tinyshakespeare/input.txt", "wikitext-2/valid.txt"} {
		text := realData(t, name)[:200_000]
		for _, p := range referencePretokens(strings.ToValidUTF8(text, "")) {
			if seen[p] {
				continue
			}
			seen[p] = true
			var got []string
			for _, id := range must(b.Encode(p)).IDs {
				got = append(got, b.tokens[id])
			}
			if want := referenceMerge(rank, p); !slices.Equal(got, want) {
				t.Errorf("%q: %q, want %q", p, got, want)
			}
		}
	}
}

// Random merges, unlike trained ones, can have a lower rank than the merges they build on.
func TestMergeAgreesWithThePublishedAlgorithm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := []string{"a", "b", "c"}
		tokens := slices.Clone(letters)
		var rules [][2]string
		for range rapid.IntRange(0, 12).Draw(t, "merges") {
			m := [2]string{rapid.SampledFrom(tokens).Draw(t, "left"), rapid.SampledFrom(tokens).Draw(t, "right")}
			if slices.Contains(rules, m) {
				continue
			}
			rules = append(rules, m)
			if !slices.Contains(tokens, m[0]+m[1]) {
				tokens = append(tokens, m[0]+m[1])
			}
		}
		vocab := map[string]ID{}
		for i, x := range tokens {
			vocab[x] = ID(i)
		}
		b := must(assembleBPE(vocab, rapid.Permutation(rules).Draw(t, "order"), nil))
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(letters), 1, 40).Draw(t, "text"), "")
		var got []string
		for _, id := range must(b.Encode(text)).IDs {
			got = append(got, b.tokens[id])
		}
		if want := referenceBPE(b, text); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestSpansOfSplitCharacters(t *testing.T) {
	b := must(TrainBPE(t.Context(), one("x"), 256))
	e := must(b.Encode("a😀é"))
	want := []Span{{0, 1}, {1, 5}, {5, 5}, {5, 5}, {5, 5}, {5, 7}, {7, 7}}
	if !slices.Equal(e.Spans, want) {
		t.Errorf("spans %v, want %v", e.Spans, want)
	}
	if got := b.Token(e.IDs[1]); got != `\xF0` {
		t.Errorf("first byte of the emoji shows as %q", got)
	}
}

func TestLongPretoken(t *testing.T) {
	text := strings.Repeat("a", 1<<20)
	b := must(TrainBPE(t.Context(), one(text), 262))
	e := must(b.Encode(text))
	if checkTiling(t, e); len(e.IDs) != 1<<14 || b.Token(e.IDs[0]) != strings.Repeat("a", 64) {
		t.Errorf("%d tokens, first %q", len(e.IDs), b.Token(e.IDs[0]))
	}
}

func TestAddedTokens(t *testing.T) {
	b := must(TrainBPE(t.Context(), one("x<a>y<ab>"), 300, "<a>", "<a><b>", "a>y"))
	for _, test := range []struct {
		text string
		want []string
	}{
		{"<a>", []string{"<a>"}},
		{"1<a>2<a>3", []string{"1", "<a>", "2", "<a>", "3"}},
		{"<a><b><a>", []string{"<a><b>", "<a>"}},
		{"<a>y a>y", []string{"<a>", "y", " ", "a>y"}},
		{"<a", []string{"<", "a"}},
	} {
		var got []string
		for _, id := range must(b.EncodeWith(test.text, Options{Special: true})).IDs {
			got = append(got, b.Token(id))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
	added := []addedToken{{id: 0, content: "ab", normalized: true}, {id: 1, content: "bc"}}
	var got []ID
	set := newAddedSet(added, func(text string) string { return text })
	none := func(addedToken, Span) bool { return false }
	text := "abcab"
	for at, id := range set.split(text, 0, none) {
		if id >= 0 {
			got = append(got, id)
			continue
		}
		for _, id := range set.split(text[at.Start:at.End], 1, none) {
			got = append(got, id)
		}
	}
	if want := []ID{-1, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("two rounds: %v, want %v", got, want)
	}
}

func BenchmarkGPT2Encode(b *testing.B) {
	tok, text := loadGPT2(b), realData(b, "wikitext-2/test.txt")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		must(tok.Encode(text))
	}
}
