package token

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// families is what bench/text_reference.py found with the libraries that define the formats.
type families struct {
	Texts, Block int
	Pieces       []string
	Families     map[string]struct {
		Tokenizer json.RawMessage
		Digests   []string
	}
	Scores struct {
		Tokens            []string
		Scores            []float32
		Types             []int32
		BOS, EOS, Unknown ID
		Digests           []string
	}
}

func readFamilies(t testing.TB) families {
	t.Helper()
	file, err := os.Open("testdata/families.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // read only
	data, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var f families
	if err := json.NewDecoder(data).Decode(&f); err != nil {
		t.Fatal(err)
	}
	if len(f.Families) < 16 || f.Texts < 3000 || len(f.Scores.Digests) == 0 {
		t.Fatal("testdata/families.json.gz lacks a part")
	}
	return f
}

// make puts the texts together, as make_texts of the script does.
func (f *families) make() []string {
	state := uint64(1)
	draw := func(n int) int {
		state = state*6364136223846793005 + 1442695040888963407
		return int((state >> 33) % uint64(n))
	}
	texts := make([]string, f.Texts)
	for i := range texts {
		var text strings.Builder
		for range draw(12) {
			text.WriteString(f.Pieces[draw(len(f.Pieces))])
		}
		texts[i] = text.String()
	}
	return texts
}

// compare fails where the digest of a block of texts is not the reference's.
func (f *families) compare(t *testing.T, name string, digests []string, read func(i int) ([]ID, string)) {
	t.Helper()
	for block, want := range digests {
		sum := sha256.New()
		for i := block * f.Block; i < (block+1)*f.Block; i++ {
			ids, decoded := read(i)
			line := must(encodeJSON([]any{ids, decoded}))
			sum.Write([]byte(strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(string(line))))
		}
		if got := hex.EncodeToString(sum.Sum(nil)[:6]); got != want {
			t.Errorf("%s: texts %d to %d have other tokens: bench/text_reference.py --show %s NUMBER prints what is right",
				name, block*f.Block, (block+1)*f.Block-1, name)
		}
	}
}

func TestFamiliesAgreeWithTheLibrary(t *testing.T) {
	f := readFamilies(t)
	texts := f.make()
	for name, family := range f.Families {
		tok := must(Unmarshal(family.Tokenizer)).(*BPE)
		f.compare(t, name, family.Digests, func(i int) ([]ID, string) {
			e := must(tok.EncodeWith(texts[i], Options{Special: i%2 == 0}))
			checkTiling(t, e)
			if e.IDs == nil {
				e.IDs = []ID{}
			}
			return e.IDs, must(tok.Decode(e.IDs))
		})
		again := must(Unmarshal(must(Marshal(tok)))).(*BPE)
		for _, text := range texts[:200] {
			if a, b := must(tok.Encode(text)), must(again.Encode(text)); !slices.Equal(a.IDs, b.IDs) {
				t.Errorf("%s: %q has other tokens after the tokenizer was written and read", name, text)
			}
		}
	}
}

func (f *families) gguf() GGUF {
	s := f.Scores
	return GGUF{Model: "llama", Tokens: s.Tokens, Scores: s.Scores, Types: s.Types, BOS: &s.BOS, EOS: &s.EOS,
		Unknown: &s.Unknown}
}

func TestScoresAgreeWithSentencePiece(t *testing.T) {
	f := readFamilies(t)
	texts := f.make()
	tok := must(FromGGUF(f.gguf()))
	f.compare(t, "scores", f.Scores.Digests, func(i int) ([]ID, string) {
		text := strings.ReplaceAll(texts[i], "\x00", "")
		e := must(tok.Encode(text))
		checkTiling(t, e)
		if !slices.Equal(e.Held[:1], []bool{true}) || slices.Contains(e.Held[1:], true) {
			t.Errorf("%q: held %v", text, e.Held)
		}
		return e.IDs, must(tok.Decode(e.IDs[1:]))
	})
}

// What a person wrote never becomes a special token, unless the options say so, and where they say what a person
// wrote, not there.
func TestWrittenTextHasNoSpecialTokens(t *testing.T) {
	f := readFamilies(t)
	for name, family := range f.Families {
		tok := must(Unmarshal(family.Tokenizer)).(*BPE)
		if !tok.byteLevel && !tok.fallback {
			continue // what has no token is the unknown one here, which is special
		}
		special := tok.added.apart()
		for _, a := range tok.added.tokens {
			if !a.special {
				continue
			}
			text := "the" + a.content + "lamp " + a.content + a.content
			plain := must(tok.Encode(text))
			for i, id := range plain.IDs {
				if special[id] && (plain.Held == nil || !plain.Held[i]) {
					t.Errorf("%s: %q has the special token %q", name, text, tok.Token(id))
				}
			}
			e := must(tok.EncodeWith(text, Options{Special: true, Bare: true, Written: []Span{{5, 6}}}))
			checkTiling(t, e)
			n := 0
			for i, id := range e.IDs {
				if id == a.id && !a.word {
					n++
					if e.Spans[i].Start < 6 {
						t.Errorf("%s: %q: %q is special at %v", name, text, a.content, e.Spans[i])
					}
				}
			}
			if n != 2 && !a.word {
				t.Errorf("%s: %q: %d special tokens, want 2", name, text, n)
			}
			if e.Held != nil {
				t.Errorf("%s: a bare text has tokens that nobody wrote", name)
			}
		}
	}
}

// Where nothing is normalised away, a text comes back, whichever kind of vocabulary it went through.
func TestFamiliesRoundTrip(t *testing.T) {
	f := readFamilies(t)
	toks := map[string]*BPE{}
	for _, name := range []string{"gpt2", "smollm2", "llama3", "olmo2", "tekken", "gpt4o", "several", "llama2", "mistral",
		"gemma"} {
		toks[name] = must(Unmarshal(f.Families[name].Tokenizer)).(*BPE)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ReplaceAll(anyText().Draw(t, "text"), "▁", "_")
		for name, tok := range toks {
			e, err := tok.EncodeWith(text, Options{Bare: true})
			if err != nil {
				t.Fatal(err)
			}
			checkTiling(t, e)
			back, err := tok.Decode(e.IDs)
			if err != nil {
				t.Fatal(err)
			}
			if name == "mistral" && strings.HasPrefix(text, " ") { // it puts no second space before one
				text = text[1:]
			}
			if back != text && name != "mistral" {
				t.Fatalf("%s: %q decodes to %q", name, text, back)
			}
		}
	})
}

// Spans point into the text as it was written, whatever normalising does.
func TestSpansUnderNormalising(t *testing.T) {
	f := readFamilies(t)
	for _, test := range []struct {
		family, text string
		at           int // a token starts here, or the one that covers it does
		want         string
	}{
		{"qwen2", "e\u0301 the", len("e\u0301"), " the"},
		{"qwen2", "a\u0302\u0323\u0323 lamp", len("a\u0302\u0323\u0323"), " lamp"},
		{"qwen2", "\u1100\u1161\u11a8 the", 9, " the"},
		{"llama2", "the lamp", 0, "the"},
		{"llama2", "the lamp", 3, " lamp"},
		{"gemma", "the lamp", 3, " lamp"},
		{"mistral", "é\u0301 the", 4, " the"},
	} {
		tok := must(Unmarshal(f.Families[test.family].Tokenizer)).(*BPE)
		e := must(tok.Encode(test.text))
		checkTiling(t, e)
		ok := slices.ContainsFunc(e.Spans, func(s Span) bool { return s.Start == test.at && s.End == test.at+len(test.want) })
		if !ok {
			t.Errorf("%s: %q: no token covers %q: %v", test.family, test.text, test.want, e.Spans)
		}
	}
}

// A run of marks may be long: nothing is put into it.
func TestComposeAgreesWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := []string{"a", "e", "q", "\u0301", "\u0302", "\u0323", "\u0307", "\u0344", "\u0958", "\u1100", "\u1161",
			"\u11a8", "가", "\u212b", "\u0f71", "\u0f72", "灯", " "}
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(bits), 0, 20).Draw(t, "bits"), "")
		s := stretch{text: text}.compose()
		if want := norm.NFC.String(text); s.text != want {
			t.Fatalf("%q: %q, want %q", text, s.text, want)
		}
		last := 0
		for i := range len(s.text) + 1 {
			if o := s.origin(i); o < last || o > len(text) {
				t.Fatalf("%q: byte %d comes from %d, after %d", text, i, o, last)
			} else {
				last = o
			}
		}
		if last != len(text) {
			t.Fatalf("%q: the end comes from %d", text, last)
		}
	})
	long := "a" + strings.Repeat("\u0315\u0301", 50)
	if s := (stretch{text: long}).compose(); strings.Contains(s.text, "\u034f") || len([]rune(s.text)) != 100 {
		t.Errorf("a run of 100 marks has %d characters", len([]rune(s.text)))
	}
}
