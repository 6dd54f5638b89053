package corpus

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"lmkit.internal/lmkit/token"
)

// The same pairs come out of every kind of file.
func TestPairsOfEveryKind(t *testing.T) {
	type row struct {
		Text  string `parquet:"text"`
		Label string `parquet:"label"`
	}
	rows := []row{{"a fine film", "positive"}, {"dull, and \"long\"", "negative"}, {"ça va", "very good"}}
	var want []Pair
	for i, r := range rows {
		want = append(want, Pair{r.Text + " =>", " " + r.Label, i + 1})
	}
	dir := folder(t, map[string]string{
		"a.txt": "a fine film => positive\r\ndull, and \"long\" => negative  \n\nça va => very good",
		"a.csv": "\ufefflabel,text,other\npositive,a fine film,1\nnegative,\"dull, and \"\"long\"\"\",2\n" +
			"very good,ça va,3\n",
		"a.tsv": "text\tlabel\na fine film\tpositive\ndull, and \"long\"\tnegative\nça va\tvery good\n",
		"a.jsonl": `{"text":"a fine film","label":"positive"}` + "\n" +
			`{"label":"negative","text":"dull, and \"long\"","n":3}` + "\n" + `{"text":"ça va","label":"very good"}`,
		"a.parquet": table(t, rows),
	})
	for name, answer := range map[string]string{"a.txt": "=>", "a.csv": "label", "a.tsv": "label", "a.jsonl": "label",
		"a.parquet": "label"} {
		got, broken, err := Pairs(filepath.Join(dir, name), PairsIn{Answer: answer})
		if err != nil || len(broken) > 0 || len(got) != len(want) {
			t.Errorf("%s: %v, %v, %v", name, got, broken, err)
			continue
		}
		for i := range got {
			got[i].Line = want[i].Line // of a table the names have a line
			if got[i] != want[i] {
				t.Errorf("%s: pair %d is %+v, want %+v", name, i, got[i], want[i])
			}
		}
	}
}

// A line that holds no pair is named, with what is wrong, and the others go on.
func TestPairsThatAreNone(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.txt": "good => 1\nno mark\n => 2\nno answer =>\nbad \xff => 3\na => b => c\n",
		"a.csv": "text,label\ngood,1\nshort\n,2\nno answer,\n\"x\"y,3\nfine,4\n",
		"a.jsonl": `{"text":"good","label":1}` + "\n{\n" + `{"text":"x"}` + "\n" + `{"text":"","label":"2"}` + "\n" +
			`{"text":"t","label":true}` + "\n",
	})
	for _, tt := range []struct {
		name, answer string
		good         []string
		broken       []int
	}{
		{"a.txt", "=>", []string{"good => 1", "a => b => c"}, []int{2, 3, 4, 5}},
		{"a.csv", "label", []string{"good => 1", "fine => 4"}, []int{3, 4, 5, 6}},
		{"a.jsonl", "label", []string{"good => 1", "t => true"}, []int{2, 3, 4}},
	} {
		got, broken, err := Pairs(filepath.Join(dir, tt.name), PairsIn{Answer: tt.answer})
		var texts []string
		var lines []int
		for _, p := range got {
			texts = append(texts, p.Prompt+p.Answer)
		}
		for _, b := range broken {
			lines = append(lines, b.Line)
			if b.Why == "" || strings.Contains(b.Why, "\n") {
				t.Errorf("%s line %d: %q", tt.name, b.Line, b.Why)
			}
		}
		if err != nil || !slices.Equal(texts, tt.good) || !slices.Equal(lines, tt.broken) {
			t.Errorf("%s: %q, broken %v (%v), want %q and %v", tt.name, texts, lines, err, tt.good, tt.broken)
		}
	}
}

// A file without pairs is one clear line.
func TestPairsOfTheWrongFile(t *testing.T) {
	dir := folder(t, map[string]string{"a.txt": "no pair\n", "a.csv": "x,y\n1,2\n", "a.json": "[]", "b.csv": "",
		"c.csv": "label,score\n1,2\n", "a.parquet": table(t, []struct {
			N int64 `parquet:"label"`
		}{{1}}), "b.parquet": "hello"})
	for name, want := range map[string]string{
		"a.txt": `no pair of a text and an answer: line 1 has no "label"`, "a.csv": `no column "label"; it has "x", "y"`,
		"a.json": ".jsonl", "b.csv": "names of its columns", "c.csv": "not said which column has the texts",
		"a.parquet": "not said which column", "b.parquet": "short", "none.txt": "no such file",
		"none.parquet": "no such file",
		".":            "is not a file",
	} {
		_, _, err := Pairs(filepath.Join(dir, name), PairsIn{Answer: "label"})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") ||
			strings.Count(err.Error(), dir) != 1 {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// What is predicted of an example is its answer and the end, after the tokens of its text, whatever the texts are.
func TestExamples(t *testing.T) {
	tok, err := token.NewWord(slices.Values([]string{"a b c d e => <eos>"}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	end, _ := tok.Lookup("<eos>")
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "zebra"})
		text := rapid.SliceOfN(word, 1, 9).Draw(t, "text")
		answer := rapid.SliceOfN(word, 1, 4).Draw(t, "answer")
		p := Pair{Prompt: strings.Join(text, " ") + " =>", Answer: " " + strings.Join(answer, " ")}
		got, err := Examples(tok, []Pair{p}, end)
		if err != nil {
			t.Fatal(err)
		}
		var want []token.ID
		for _, w := range append(append(append(slices.Clone(text), "=>"), answer...), "<eos>") {
			id, ok := tok.Lookup(w)
			if !ok {
				id, _ = tok.Unknown()
			}
			want = append(want, id)
		}
		if !slices.Equal(got[0].Tokens, want) || got[0].Scored != len(answer)+1 {
			t.Fatalf("%q: %+v, want %v", p.Prompt+p.Answer, got[0], want)
		}
	})
	if _, err := Examples(tok, []Pair{{Prompt: "a =>", Answer: ";", Line: 7}}, end); err == nil ||
		!strings.Contains(err.Error(), "line 7") {
		t.Errorf("an answer without tokens: %v", err)
	}
}

// Each example comes once an epoch, whole, with its targets where they belong; epochs have orders of their own, which
// are the same whenever they are asked for.
func TestShuffled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "examples")
		rows := rapid.IntRange(1, 9).Draw(t, "rows")
		examples := make([]Example, n)
		for i := range examples {
			length := rapid.IntRange(2, 20).Draw(t, "length")
			tokens := make([]token.ID, length)
			for k := range tokens {
				tokens[k] = token.ID(i*100 + k)
			}
			examples[i] = Example{tokens, rapid.IntRange(0, length-1).Draw(t, "scored")}
		}
		b, err := Shuffled(examples, rows, 3)
		if err != nil {
			t.Fatal(err)
		}
		if !Reorders(b) || !Reorders(Hide(b, 0, 0.1, 1)) {
			t.Fatal("the order is not said to change")
		}
		var orders []string
		for epoch := range 2 {
			seen, order := map[int]bool{}, ""
			for i := range b.Len() {
				batch, err := b.At(epoch*b.Len() + i)
				if err != nil {
					t.Fatal(err)
				}
				order += fmt.Sprint(batch.Inputs)
				again, _ := b.At(epoch*b.Len() + i)
				if !slices.Equal(again.Inputs, batch.Inputs) || !slices.Equal(again.After, batch.After) {
					t.Fatal("the same index gives another batch")
				}
				each := len(batch.Targets) / batch.Rows
				if batch.Rows != rows || len(batch.After) != len(batch.Targets) || !batch.Fresh {
					t.Fatalf("batch %+v", batch)
				}
				for r := range rows {
					targets := batch.Targets[r*each : (r+1)*each]
					if targets[0] == Ignore {
						continue // a row of padding
					}
					x := int(targets[0]) / 100
					e := examples[x]
					if seen[x] {
						t.Fatalf("example %d comes twice", x)
					}
					seen[x] = true
					last := len(e.Tokens) - 1
					if !slices.Equal(batch.Inputs[r*batch.Length:r*batch.Length+last], e.Tokens[:last]) {
						t.Fatalf("example %d is not whole", x)
					}
					for k, target := range targets {
						if k >= e.scored() {
							if target != Ignore {
								t.Fatalf("example %d has a target too many", x)
							}
							continue
						}
						at := int(batch.After[r*each+k])
						if target != e.Tokens[at+1] || at != last-e.scored()+k {
							t.Fatalf("example %d: target %d is %d after %d", x, k, target, at)
						}
					}
				}
			}
			if len(seen) != n {
				t.Fatalf("epoch %d has %d of %d examples", epoch, len(seen), n)
			}
			orders = append(orders, order)
		}
		if n > 40 && orders[0] == orders[1] {
			t.Fatal("two epochs have one order")
		}
	})
	if _, err := Shuffled(nil, 3, 0); err == nil {
		t.Error("no examples")
	}
	if _, err := Shuffled([]Example{{Tokens: []token.ID{1}}}, 3, 0); err == nil {
		t.Error("an example of one token")
	}
}

func FuzzPairs(f *testing.F) {
	f.Add("a => b\n", ".txt")
	f.Add("text,label\na,b\n\"", ".csv")
	f.Add(`{"text":"a","label":"b"}`, ".jsonl")
	f.Add(table(f, []struct {
		Text  string `parquet:"text"`
		Label string `parquet:"label"`
	}{{"a", "b"}}, parquet.Compression(&parquet.Snappy)), ".parquet")
	f.Fuzz(func(t *testing.T, text, ext string) {
		if !slices.Contains([]string{".txt", ".csv", ".tsv", ".jsonl", ".parquet"}, ext) {
			return
		}
		dir := folder(t, map[string]string{"x" + ext: text})
		for _, in := range []PairsIn{{Answer: "=>"}, {Answer: "label"}, {Answer: "label", Prompt: "text"}} {
			pairs, _, err := Pairs(filepath.Join(dir, "x"+ext), in)
			for _, p := range pairs {
				if err != nil || strings.TrimSpace(p.Prompt) == "" || strings.TrimSpace(p.Answer) == "" || p.Line < 1 {
					t.Fatalf("%+v, %v", p, err)
				}
			}
		}
	})
}
