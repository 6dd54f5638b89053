package token

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func words(text string) []string {
	var out []string
	for w := range basicEnglish(text) {
		out = append(out, string(w.text))
	}
	return out
}

func TestBasicEnglish(t *testing.T) {
	o := readOracle(t)
	for i, text := range o.Texts {
		want := slices.Clone(o.Words[i])
		for j := range want {
			want[j] = strings.ReplaceAll(want[j], "ς", "σ") // lower-casing here is character by character
		}
		if got := words(text); !slices.Equal(got, want) {
			t.Errorf("%q: words %q, want %q", text, got, want)
		}
	}
}

func TestWordsOfRealText(t *testing.T) {
	o := readOracle(t)
	for name, want := range o.Streams {
		got := words(realData(t, name))
		if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(got, "\n")))); len(got) != want.Words ||
			sum != want.WordsSum {
			t.Errorf("%s: %d words, want %d: not the same words", name, len(got), want.Words)
		}
	}
}

func TestWordSpans(t *testing.T) {
	w := must(NewWord(one("a b . ,"), WordConfig{}))
	for _, test := range []struct {
		text   string
		pieces []string
	}{
		{"", nil},
		{" \";: <br />\n", nil},
		{"a", []string{"a"}},
		{"  a  \"b\" .\n", []string{"  a", "  \"b", "\" .\n"}},
		{"\"A.\"", []string{"\"A", ".\""}},
		{"a;b:c", []string{"a", ";b", ":c"}},
		{"a<br />b", []string{"a", "<br />b"}},
		{"İİ ẞx.", []string{"İİ", " ẞx", "."}},
		{"it's", []string{"it", "'", "s"}},
	} {
		e := must(w.Encode(test.text))
		checkTiling(t, e)
		var got []string
		for i := range e.Spans {
			got = append(got, e.Piece(i))
		}
		if !slices.Equal(got, test.pieces) {
			t.Errorf("%q: pieces %q, want %q", test.text, got, test.pieces)
		}
	}
}

func TestWordVocabulary(t *testing.T) {
	texts := slices.Values([]string{"b a. C c", "<unk> <unk> <unk> a, d (B)"})
	for _, test := range []struct {
		cfg  WordConfig
		want string
	}{
		{WordConfig{}, "<unk> a b c ( ) , . d"},
		{WordConfig{MinCount: 2}, "<unk> a b c"},
		{WordConfig{MaxSize: 3}, "<unk> a b"},
		{WordConfig{MinCount: 2, MaxSize: 100}, "<unk> a b c"},
		{WordConfig{MaxSize: 1}, "<unk>"},
	} {
		w := must(NewWord(texts, test.cfg))
		if got := strings.Join(w.tokens, " "); got != test.want {
			t.Errorf("%+v: vocabulary %q, want %q", test.cfg, got, test.want)
		}
	}
	w := must(NewWord(texts, WordConfig{}))
	e := must(w.Encode("A <unk> zebra <UNK>"))
	if !slices.Equal(e.IDs, []ID{1, 0, 0, 0}) {
		t.Errorf("IDs %v", e.IDs)
	}
	if got := must(w.Decode(e.IDs)); got != "a <unk> <unk> <unk>" {
		t.Errorf("decoded %q", got)
	}
	if id, ok := w.Unknown(); id != 0 || !ok {
		t.Errorf("unknown is %d, %v", id, ok)
	}
}

func TestNewWordRefuses(t *testing.T) {
	for _, test := range []struct {
		text string
		cfg  WordConfig
		want []string
	}{
		{"a", WordConfig{MinCount: -1, MaxSize: -2}, []string{"MinCount is -1", "MaxSize is -2"}},
		{" <unk> \n", WordConfig{}, []string{"no word in 1 texts"}},
		{"a\xff", WordConfig{}, []string{"text 0", "not UTF-8"}},
	} {
		_, err := NewWord(one(test.text), test.cfg)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, %+v: error %v, want %q", test.text, test.cfg, err, want)
			}
		}
	}
}

func BenchmarkWordEncode(b *testing.B) {
	text := realData(b, "wikitext-2/test.txt")
	w := must(NewWord(one(text), WordConfig{}))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		must(w.Encode(text))
	}
}
