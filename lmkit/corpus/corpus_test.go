package corpus

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"lmkit.internal/lmkit/token"
	"pgregory.net/rapid"
)

func textOf(docs []Document) string {
	var b strings.Builder
	for _, d := range docs {
		b.WriteString(d.Text)
	}
	return b.String()
}

func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var docs []Document
		for _, text := range rapid.SliceOfN(rapid.StringN(0, 30, -1), 1, 5).Draw(t, "texts") {
			docs = append(docs, Document{"d", text})
		}
		split := Split{rapid.SampledFrom([]float64{0, .05, .1, .5}).Draw(t, "valid"),
			rapid.SampledFrom([]float64{0, .1, .3}).Draw(t, "test")}
		before := slices.Clone(docs)
		c, err := Cut("x", docs, split)
		all := textOf(docs)
		if err != nil {
			if len(all) > 100 {
				t.Fatal(err)
			}
			return
		}
		train, valid, test := textOf(c.Train), textOf(c.Valid), textOf(c.Test)
		if train+valid+test != all {
			t.Fatal("the parts do not make the whole")
		}
		if !slices.Equal(before, docs) {
			t.Fatal("the documents were changed")
		}
		for _, part := range []struct {
			got  string
			want float64
		}{{train, 1 - split.Valid - split.Test}, {valid, split.Valid}, {test, split.Test}} {
			// Rounding and one character at each end.
			if d := float64(len(part.got)) - part.want*float64(len(all)); d > 5 || d < -5 {
				t.Fatalf("a part has %d of %d bytes, want a fraction of %g", len(part.got), len(all), part.want)
			}
			if !utf8.ValidString(part.got) {
				t.Fatal("a character is cut in two")
			}
		}
	})
}

func TestCutByHand(t *testing.T) {
	docs := []Document{{"a", "0123456789"}, {"b", "01234567é"}, {"c", "xy"}}
	c, err := Cut("n", docs, Split{Valid: 0.5, Test: 0.125}) // of 22 bytes: cut at 8 and 19, inside é
	if err != nil {
		t.Fatal(err)
	}
	want := &Corpus{Name: "n", Train: []Document{{"a", "01234567"}}, Valid: []Document{{"a", "89"}, {"b", "01234567"}},
		Test: []Document{{"b", "é"}, {"c", "xy"}}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, want %+v", c, want)
	}
	for _, split := range []Split{{1, 0}, {-.1, 0}, {.5, .5}} {
		if _, err := Cut("n", docs, split); err == nil || !strings.Contains(err.Error(), "held-out fractions") {
			t.Errorf("%+v: error %v", split, err)
		}
	}
	if _, err := Cut("n", docs[2:], Split{Test: 0.9}); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Errorf("error %v, want one about too little text", err)
	}
}

// folder makes files and returns the folder that they are in.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFiles(t *testing.T) {
	dir := folder(t, map[string]string{
		"b.txt": "two\r\n", "a/z.md": "one", "c/d/e.TXT": "\ufeffthree", "skip.go": "package x", "empty.txt": "",
		"other/bad.text": "\xff",
		"bad/binary.txt": "ab\x00c", "bad/latin.txt": "caf\xe9", "bad/late.txt": "é\n\xc3(", "none/x.go": "x",
	})
	join := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	if err := os.Rename(join("bad"), join("bad.d")); err != nil { // so that the folder itself reads well
		t.Fatal(err)
	}
	bad := t.TempDir()
	if err := os.Rename(join("bad.d"), filepath.Join(bad, "bad")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		paths   []string
		want    []Document
		wantErr string
	}{
		{paths: []string{dir}, want: []Document{{join("a/z.md"), "one"}, {join("b.txt"), "two\r\n"},
			{join("c/d/e.TXT"), "three"}}},
		{paths: []string{join("skip.go"), join("a")}, want: []Document{{join("skip.go"), "package x"},
			{join("a/z.md"), "one"}}},
		{paths: nil, wantErr: "no file or folder"},
		{paths: []string{join("missing")}, wantErr: join("missing") + ": no such file"},
		{paths: []string{join("empty.txt")}, wantErr: "empty.txt is empty"},
		{paths: []string{join("none")}, wantErr: "no .txt or .md file"},
		{paths: []string{filepath.Join(bad, "bad")}, wantErr: "binary.txt is binary (a zero byte at offset 2)"},
		{paths: []string{filepath.Join(bad, "bad", "latin.txt")}, wantErr: "not UTF-8 (byte 0xe9 at offset 3)"},
		{paths: []string{filepath.Join(bad, "bad", "late.txt")}, wantErr: "not UTF-8 (byte 0xc3 at offset 3)"},
		{paths: []string{os.DevNull}, wantErr: "is not a file or folder"},
	} {
		got, err := Files(tt.paths...)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: error %v, want one line with %q", tt.paths, err, tt.wantErr)
			}
			continue
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v (%v), want %v", tt.paths, got, err, tt.want)
		}
	}
}

func TestOpticks(t *testing.T) {
	c, err := Opticks()
	if err != nil {
		t.Fatal(err)
	}
	text := textOf(c.Train) + textOf(c.Valid) + textOf(c.Test)
	if len(text) < 500_000 || !strings.Contains(text, "differently refrangible") {
		t.Errorf("%d bytes that do not read like the book", len(text))
	}
	if n := len(textOf(c.Valid)); n < len(text)/21 || n > len(text)/19 {
		t.Errorf("%d of %d bytes for validation", n, len(text))
	}
	if _, err := opticksIn(t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "has no src/testdata/Isaac.Newton-Opticks.txt") {
		t.Errorf("error %v", err)
	}
	// A Go installation that has only the packed book gives the same text.
	root, err := goroot()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(opticks[2])))
	if err != nil {
		t.Skip("this Go installation has no packed copy")
	}
	dir := folder(t, map[string]string{opticks[2]: string(packed)})
	other, err := opticksIn(dir)
	if err != nil || textOf(other.Test) != textOf(c.Test) {
		t.Errorf("the packed copy differs (%v)", err)
	}
	broken := folder(t, map[string]string{opticks[2]: string(packed[:1000])})
	if _, err := opticksIn(broken); err == nil {
		t.Error("a cut copy passes")
	}
	var structural bzip2.StructuralError
	if _, err := opticksIn(folder(t, map[string]string{opticks[2]: "no bzip2"})); !errors.As(err, &structural) {
		t.Errorf("error %v", err)
	}
}

func TestGrammar(t *testing.T) {
	c, err := Grammar(1, 2000)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for name, docs := range map[string][]Document{"train": c.Train, "valid": c.Valid, "test": c.Test} {
		lines := strings.Split(strings.TrimSuffix(textOf(docs), "\n"), "\n")
		if want := map[string]int{"train": 1600, "valid": 200, "test": 200}[name]; len(lines) != want {
			t.Errorf("%s has %d sentences, want %d", name, len(lines), want)
		}
		for _, s := range lines {
			if part, ok := seen[s]; ok {
				t.Errorf("%q is in %s and in %s", s, part, name)
			}
			seen[s] = name
		}
	}
	again, _ := Grammar(1, 2000)
	longer, _ := Grammar(1, 3000)
	other, _ := Grammar(2, 2000)
	if !reflect.DeepEqual(c, again) || !strings.HasPrefix(textOf(longer.Train), textOf(c.Train)) ||
		textOf(c.Train) == textOf(other.Train) {
		t.Error("the text does not follow from the seed, or a longer one does not go on from a shorter one")
	}
	for _, n := range []int{-1, 9, GrammarMax + 1} {
		if _, err := Grammar(1, n); err == nil {
			t.Errorf("%d sentences: no error", n)
		}
	}
	if most, err := Grammar(3, GrammarMax); err != nil || strings.Count(textOf(most.Train), "\n") != GrammarMax*8/10 {
		t.Errorf("the largest grammar: error %v", err)
	}
}

// TestGrammarAgrees parses sentences without the grammar's own help: the verb of the main clause is the last of is,
// are, was and were, the subject the second or third word.
func TestGrammarAgrees(t *testing.T) {
	many := map[string]bool{}
	for _, w := range slices.Concat(things, persons) {
		many[w.one], many[w.many] = false, true
	}
	verbs := map[string]bool{"is": false, "was": false, "are": true, "were": true}
	c, err := Grammar(5, 4000)
	if err != nil {
		t.Fatal(err)
	}
	checked, tempting := 0, 0
	for line := range strings.Lines(textOf(c.Train)) {
		words := strings.Fields(strings.ToLower(strings.TrimSuffix(line, ".\n")))
		if words[0] != "the" && !slices.Contains(counts, words[0]) || words[2] == "of" {
			continue
		}
		subject, between, verb := "", 0, ""
		for _, w := range words {
			if _, ok := verbs[w]; ok {
				verb = w
				break
			}
			if number, ok := many[w]; ok {
				if subject == "" {
					subject = w
				} else if number != many[subject] {
					between++
				}
			}
		}
		if verb == "" {
			continue
		}
		checked++
		if between > 0 {
			tempting++
		}
		if many[subject] != verbs[verb] {
			t.Errorf("%q: %s %s", strings.TrimSpace(line), subject, verb)
		}
	}
	if checked < 500 || tempting < 200 {
		t.Errorf("only %d sentences to check, %d of them with a noun of the other number in between", checked, tempting)
	}
}

// TestGrammarFacts checks that each person has one town, pet, colour and number throughout, and that the training text
// states each fact that the other parts use.
func TestGrammarFacts(t *testing.T) {
	c, err := Grammar(9, 6000)
	if err != nil {
		t.Fatal(err)
	}
	learned := map[string]string{} // "Anna/town" -> "Rome"
	for _, part := range [][]Document{c.Train, c.Valid, c.Test} {
		training := &part[0] == &c.Train[0]
		for line := range strings.Lines(textOf(part)) {
			words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" .,\n", r) })
			name := ""
			for _, w := range words {
				if slices.Contains(names, w) {
					name = w
				}
			}
			if name == "" {
				continue
			}
			for fact, values := range map[string][]string{"town": towns, "pet": pets, "colour": colours, "number": counts} {
				for _, w := range words {
					if !slices.Contains(values, w) {
						continue
					}
					key := name + "/" + fact
					if old, ok := learned[key]; !ok && training {
						learned[key] = w
					} else if old != w {
						t.Fatalf("%q: %s was %q before", strings.TrimSpace(line), key, old)
					}
				}
			}
		}
	}
	if len(learned) != 4*len(names) {
		t.Errorf("the training text states %d facts, want %d", len(learned), 4*len(names))
	}
}

// letters is a tokenizer of one token a byte that cannot express "#".
type letters struct{ calls *[]string }

func (l letters) Encode(text string) (token.Encoding, error) {
	*l.calls = append(*l.calls, text)
	e := token.Encoding{Text: text}
	for i := range len(text) {
		if text[i] == '#' {
			return e, errors.New("no token for #")
		}
		e.IDs = append(e.IDs, token.ID(text[i]))
	}
	return e, nil
}
func (letters) Decode([]token.ID) (string, error) { return "", nil }
func (letters) Size() int                         { return 256 }
func (letters) Token(token.ID) string             { return "" }
func (letters) Lookup(string) (token.ID, bool)    { return 0, false }
func (letters) Unknown() (token.ID, bool)         { return 0, false }

func TestEncode(t *testing.T) {
	docs := []Document{{"one", "a\n\nb\r\nc"}, {"two", "d\n"}}
	line, doc, large := token.ID('/'), token.ID('.'), token.ID(256)
	for _, tt := range []struct {
		docs    []Document
		ends    Ends
		want    string
		calls   int
		wantErr string
	}{
		{docs: docs, want: "a\n\nb\r\ncd\n", calls: 2},
		{docs: docs, ends: Ends{Document: &doc}, want: "a\n\nb\r\nc.d\n.", calls: 2},
		{docs: docs, ends: Ends{Line: &line}, want: "a//b/c/d/", calls: 5},
		{docs: docs, ends: Ends{Line: &line, Document: &doc}, want: "a//b/c/.d/.", calls: 5},
		{docs: docs, ends: Ends{Line: &large}, wantErr: "end token 256 is outside the vocabulary of 256"},
		{docs: nil, wantErr: "no documents"},
		{docs: []Document{{"x", "a\n#"}}, wantErr: "document x: no token for #"},
		{docs: []Document{{"x", "a\n#"}}, ends: Ends{Line: &line}, wantErr: "document x line 2: no token for #"},
	} {
		var calls []string
		m, err := Encode(letters{&calls}, tt.docs, tt.ends)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
			continue
		}
		got := make([]byte, len(m))
		for i, id := range m {
			got[i] = byte(id)
		}
		if err != nil || string(got) != tt.want || len(calls) != tt.calls {
			t.Errorf("%+v: %q in %d calls (%v), want %q in %d", tt.ends, got, len(calls), err, tt.want, tt.calls)
		}
	}
}

// TestEncodeWords checks the built-in texts against the real word tokenizer: a line is its words, and every sentence
// ends.
func TestEncodeWords(t *testing.T) {
	c, err := Grammar(1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	text := textOf(c.Train)
	words, err := token.NewWord(slices.Values([]string{text}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	stop, ok := words.Lookup(".")
	if !ok {
		t.Fatal("no full stop in the vocabulary")
	}
	unknown, _ := words.Unknown()
	whole, err := Encode(words, c.Train, Ends{})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := Encode(words, c.Train, Ends{Line: &unknown})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(whole, unknown) {
		t.Error("the training text has unknown words")
	}
	stops, ends := 0, 0
	for i, id := range lines {
		if id == stop {
			stops++
		}
		if id == unknown {
			ends++
			if i == 0 || lines[i-1] != stop {
				t.Fatalf("the line that ends at token %d does not end with a full stop", i)
			}
		}
	}
	if sentences := strings.Count(text, "\n"); stops != sentences || ends != sentences ||
		len(lines) != len(whole)+sentences {
		t.Errorf("%d full stops and %d ends for %d sentences; %d tokens with ends, %d without", stops, ends, sentences,
			len(lines), len(whole))
	}
	held, err := Encode(words, slices.Concat(c.Valid, c.Test), Ends{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(slices.Clone(held), func(id token.ID) bool { return id != unknown })); n > 0 {
		t.Errorf("%d of the %d held-out words do not occur in training", n, len(held))
	}
}

// Between two documents stands a separator, once, for every kind of tokenizer, whether they are held in memory or read
// from disk; nothing is added before the first or after the last, nor to a single one.
func TestDocumentsAreApart(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`[a-z]([a-z ]|\n){0,9}[a-z\n]`), 1, 4).Draw(rt, "texts")
		dir, err := os.MkdirTemp("", "apart")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		for i, text := range texts {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.txt", i)), []byte(text), 0o644); err != nil {
				rt.Fatal(err)
			}
		}
		docs, err := Files(dir)
		if err != nil {
			rt.Fatal(err)
		}
		char, err := token.Spec{Kind: token.KindChar}.Learn(ctx, Texts(docs), Texts(docs))
		if err != nil {
			rt.Fatal(err)
		}
		pairs, err := token.TrainBPE(ctx, Texts(docs), 260)
		if err != nil {
			rt.Fatal(err)
		}
		special, err := token.TrainBPE(ctx, Texts(docs), 260, "<|endoftext|>")
		if err != nil {
			rt.Fatal(err)
		}
		for _, tok := range []token.Tokenizer{char, pairs, special} {
			by := "\n"
			if tok == special {
				by = "<|endoftext|>"
			}
			want := ""
			for i, text := range texts {
				if want += text; i < len(texts)-1 && !strings.HasSuffix(text, by) {
					want += by
				}
			}
			stream, err := Encode(tok, Separate(docs, token.Separator(tok)), Ends{})
			if err != nil {
				rt.Fatal(err)
			}
			if got, err := tok.Decode(stream); err != nil || got != want {
				rt.Fatalf("%q becomes %q, %v; want %q", texts, got, err, want)
			}
			read := ""
			for piece, err := range Pieces(token.Separator(tok), dir) {
				if err != nil {
					rt.Fatal(err)
				}
				read += piece
			}
			if read != want {
				rt.Fatalf("from disk %q becomes %q; want %q", texts, read, want)
			}
		}
	})
}
