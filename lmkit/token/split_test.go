package token

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func pieces(text string, spans []Span) []string {
	var out []string
	for _, s := range spans {
		out = append(out, text[s.Start:s.End])
	}
	return out
}

func TestWords(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" \n", []string{" \n"}},
		{"a", []string{"a"}},
		{" The cat's  hat.\n", []string{" The", " cat's", "  hat.\n"}},
		{"é\u00a0灯台", []string{"é", "\u00a0灯", "台"}},
		{"foo(bar) «x» a-b 3.14", []string{"foo(bar)", " «x»", " a-b", " 3.14"}},
		{"我喜欢猫。你", []string{"我", "喜", "欢", "猫。", "你"}},
		{"東京は「猫」、です！", []string{"東", "京", "は", "「猫」、", "で", "す！"}},
		{"カタカナ語", []string{"カタカナ", "語"}},
		{"iPhone手机3月", []string{"iPhone", "手", "机", "3", "月"}},
		{" 我 😀 very", []string{" 我", " 😀", " very"}},
		{"안녕하세요 세계", []string{"안녕하세요", " 세계"}},
		{"यह सच है।ठीक", []string{"यह", " सच", " है।", "ठीक"}},
		{"が\u3099か", []string{"が\u3099", "か"}},
		{"ฉันชอบแมว", []string{"ฉั", "น", "ช", "อ", "บ", "แม", "ว"}},
		{"ทำไมเขามา ๒๕ iPhone", []string{"ทำ", "ไม", "เขา", "มา", " ๒๕", " iPhone"}},
		{"ໄປໃສ", []string{"ໄປ", "ໃສ"}},
		{"ខ្ញុំស្រឡាញ់ឆ្មា។", []string{"ខ្ញុំ", "ស្រ", "ឡា", "ញ់", "ឆ្មា។"}},
		{"မြန်မာစာ။", []string{"မြန်", "မာ", "စာ။"}},
		{"မင်္ဂလာပါ", []string{"မင်္ဂ", "လာ", "ပါ"}},
		{"Androidของฉัน", []string{"Android", "ข", "อ", "ง", "ฉั", "น"}},
		{"བོད་ཡིག་གི", []string{"བོད་", "ཡིག་", "གི"}},
	} {
		if got := pieces(test.text, Words(test.text)); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

func TestSentences(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"\n\n", []string{"\n\n"}},
		{"No end", []string{"No end"}},
		{"One. Two! Three? Four", []string{"One.", " Two!", " Three?", " Four"}},
		{"Pi is 3.14 or so. Yes.", []string{"Pi is 3.14 or so.", " Yes."}},
		{"He said \"go.\" (So she went.) Then?!\n", []string{"He said \"go.\"", " (So she went.)", " Then?!\n"}},
		{"A title\nA line\n\n  another", []string{"A title", "\nA line", "\n\n  another"}},
		{"a . b !", []string{"a .", " b !"}},
		{"Dit «oui.» Non.", []string{"Dit «oui.»", " Non."}},
		{"我喜欢猫。你喜欢狗。", []string{"我喜欢猫。", "你喜欢狗。"}},
		{"「行く。」と言った！本当？", []string{"「行く。」", "と言った！", "本当？"}},
		{"यह सच है। ठीक है।", []string{"यह सच है।", " ठीक है।"}},
		{"ខ្ញុំទៅ។ អ្នកមក។", []string{"ខ្ញុំទៅ។", " អ្នកមក។"}},
		{"Er sagte „Geh.“ Dann »Nein!« Gut.", []string{"Er sagte „Geh.“", " Dann »Nein!«", " Gut."}},
		{"¿Qué? ¡No! Sí.", []string{"¿Qué?", " ¡No!", " Sí."}},
		{"Τι; Ναι\u037E Όχι.", []string{"Τι; Ναι\u037E", " Όχι."}},
		{"ሰላም። እንዴት፧ ደህና።", []string{"ሰላም።", " እንዴት፧", " ደህና።"}},
		{"བོད་ཡིག། དེ།", []string{"བོད་ཡིག།", " དེ།"}},
		{"یہ سچ ہے۔ ٹھیک؟ ہاں", []string{"یہ سچ ہے۔", " ٹھیک؟", " ہاں"}},
		{"Hm… yes。Then", []string{"Hm…", " yes。", "Then"}},
	} {
		if got := pieces(test.text, Sentences(test.text)); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

func TestWordsTileAndNestInSentences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		words, sentences := Words(text), Sentences(text)
		for _, spans := range [][]Span{words, sentences} {
			end := 0
			for _, s := range spans {
				if s.Start != end || s.End <= s.Start {
					t.Fatalf("%q: spans %v do not tile", text, spans)
				}
				end = s.End
			}
			if end != len(text) {
				t.Fatalf("%q: spans %v end before the text", text, spans)
			}
			for _, s := range spans {
				if !utf8.ValidString(text[s.Start:s.End]) {
					t.Fatalf("%q: %v cuts a character", text, s)
				}
			}
		}
		for _, s := range sentences {
			if !slices.ContainsFunc(words, func(w Span) bool { return w.Start == s.Start }) {
				t.Fatalf("%q: sentence %v starts within a word", text, s)
			}
		}
	})
}

// scripts draws texts in many scripts, with and without spaces.
func scripts() *rapid.Generator[string] {
	bits := []string{" ", " ", "\n", "\u3000", "café", "noir", "😀", "👨‍👩‍👧", "東京", "は", "猫", "。", "！", "「", "」", "«", "»",
		"oui.", "ไทย", "เขา", "ພາສາລາວ", "ភាសាខ្មែរ", "។", "မြန်မာ", "၏", "བོད་ཡིག", "།", "हिन्दी", "।", "שלום",
		"مرحبا", "؟", "e\u0301", "...", "…", "3.14", "a-b", "(", ")", "한국어", "カタカナ", "x", "!?", "\"", "'s"}
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOf(rapid.SampledFrom(bits)).Draw(t, "bits"), "")
	})
}

// No word begins with a mark, and scripts without spaces are cut: a word has at most one consonant more than vowels and
// signs join.
func TestScriptsWithoutSpaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(dictionaries).Draw(t, "script")
		var all []rune
		for _, r := range d.table.R16 {
			for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
				all = append(all, c)
			}
		}
		for _, r := range d.table.R32 {
			for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
				all = append(all, c)
			}
		}
		text := string(rapid.SliceOfN(rapid.SampledFrom(all), 1, 30).Draw(t, "text"))
		if got := Undivided("some " + text); !slices.Equal(got, []string{d.name}) {
			t.Fatalf("%q is said to be in %q, not in %s", text, got, d.name)
		}
		for i, word := range pieces(text, Words(text)) {
			first, _ := utf8.DecodeRuneInString(word)
			if i > 0 && unicode.IsMark(first) {
				t.Fatalf("%q is cut before a mark: %q", text, word)
			}
			letters, joined, last := 0, 0, ' '
			for i, r := range word {
				if unicode.IsLetter(r) {
					letters++
				}
				if i > 0 && (unicode.IsMark(r) || !isWordRune(r) || unicode.IsNumber(r) || written(last, word[i:])) {
					joined++
				}
				last = r
			}
			if letters > joined+1 {
				t.Fatalf("%q is one word of %q", word, text)
			}
		}
	})
	if got := Undivided("Größe, 東京, हिन्दी, 한국어, עברית"); got != nil {
		t.Errorf("%q need a dictionary", got)
	}
}

// Where a token is a byte, the tokens of each word and sentence spell it: no piece of a character goes elsewhere.
func TestGroupsOfBytesSpellTheWords(t *testing.T) {
	bytes := must(TrainBPE(t.Context(), one("x"), 256))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(scripts(), anyText()).Draw(t, "text")
		e := must(bytes.Encode(text))
		for _, parts := range [][]Span{Words(text), Sentences(text)} {
			for k, tokens := range e.Group(parts) {
				piece := text[parts[k].Start:parts[k].End]
				want := strings.TrimSpace(piece)
				if want == "" {
					want = piece
				}
				if got := e.Cover(tokens); got != want || len(tokens) < len(want) {
					t.Fatalf("%q: %d tokens spell %q, want %q", text, len(tokens), got, want)
				}
			}
		}
	})
}

// Whatever the tokenizer, each token that is not held is in one group, in order, and a group's name is what its tokens
// cover.
func TestGroups(t *testing.T) {
	c, w, b := fixtures(t)
	f := readFamilies(t)
	toks := []Tokenizer{c, w, b}
	for _, name := range []string{"llama2", "llama3", "gemma", "qwen2", "pythia"} {
		toks = append(toks, must(Unmarshal(f.Families[name].Tokenizer)))
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(scripts(), anyText()).Draw(t, "text")
		for _, tok := range toks {
			e := must(tok.Encode(text))
			for _, parts := range [][]Span{Words(text), Sentences(text)} {
				next := 0
				for _, tokens := range e.Group(parts) {
					for _, i := range tokens {
						for e.Held != nil && e.Held[next] {
							next++
						}
						if i != next {
							t.Fatalf("%T: %q: token %d is in no group, or in two", tok, text, next)
						}
						next++
					}
					if len(tokens) > 0 && !strings.Contains(text, e.Cover(tokens)) {
						t.Fatalf("%T: %q: a group is called %q", tok, text, e.Cover(tokens))
					}
				}
				for next < len(e.IDs) && e.Held != nil && e.Held[next] {
					next++
				}
				if next != len(e.IDs) && len(parts) > 0 {
					t.Fatalf("%T: %q: token %d is in no group", tok, text, next)
				}
			}
		}
	})
}

func TestGroupsAreNamedByTheirTokens(t *testing.T) {
	w := must(NewWord(one("the keys near he said hello"), WordConfig{}))
	for text, want := range map[string][]string{
		"the keys : near":      {"the", "keys", ": near"},
		"the keys ; near":      {"the", "keys", "; near"},
		"he said \" hello":     {"he", "said", "\" hello"},
		"the keys <br /> near": {"the", "keys", "<br /> near"},
		"the: keys":            {"the", ": keys"},
		"the keys ;":           {"the", "keys ;"},
	} {
		e := must(w.Encode(text))
		var got []string
		for _, tokens := range e.Group(Words(text)) {
			if len(tokens) > 0 {
				got = append(got, e.Cover(tokens))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
