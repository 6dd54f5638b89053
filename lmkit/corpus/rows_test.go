package corpus

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

// The same rows come out of every kind of table, with their numbers; lines of text have one column.
func TestRows(t *testing.T) {
	type row struct {
		Text  string   `parquet:"text"`
		Count int32    `parquet:"count"`
		Share *float64 `parquet:"share,optional"`
		Tags  []string `parquet:"tags"`
	}
	half := 0.5
	dir := folder(t, map[string]string{
		"a.csv": "\ufefftext,count,share\na film,-3,0.5\n\"two\nlines\",4,\nshort\n\xff,1,2\n",
		"a.jsonl": `{"text":"a film","count":-3,"share":0.5}` + "\n\n" +
			`{"count":4,"text":"two\nlines","share":null}` + "\n[]\nnull\n{} {}\n",
		"a.parquet": table(t, []row{{"a film", -3, &half, []string{"x"}}, {"two\nlines", 4, nil, nil}}),
		"a.txt":     "a film\r\n\ntwo",
	})
	for name, broken := range map[string][]int{"a.csv": {5, 6}, "a.jsonl": {4, 5, 6}, "a.parquet": nil} {
		var said []string
		var wrong []int
		for r, err := range Rows(filepath.Join(dir, name)) {
			if err != nil {
				t.Fatal(name, err)
			}
			if r.Broken != "" {
				wrong = append(wrong, r.Line)
				continue
			}
			text := ""
			for _, column := range []string{"text", "count", "share", "tags"} {
				cell, ok := r.Text(column)
				if !ok {
					cell = "nothing"
				}
				text += cell + "|"
			}
			said = append(said, text)
		}
		want := []string{"a film|-3|0.5|nothing|", "two\nlines|4|nothing|nothing|"}
		if !slices.Equal(said, want) || !slices.Equal(wrong, broken) {
			t.Errorf("%s: %q, broken %v; want %q and %v", name, said, wrong, want, broken)
		}
	}
	var lines []string
	for r, err := range Rows(filepath.Join(dir, "a.txt")) {
		text, _ := r.Text("text")
		if lines = append(lines, text); err != nil || r.Line != 1 {
			t.Errorf("line %d: %v", r.Line, err)
		}
		break // no more are read
	}
	if !slices.Equal(lines, []string{"a film"}) {
		t.Errorf("%q", lines)
	}
	if r := (Row{Names: []string{"a"}, Cells: []any{map[string]any{"b": json.Number("1.0")}}}); true {
		if text, _ := r.Text("a"); text != `{"b":1.0}` {
			t.Error(text)
		}
	}
}

// Reading from a row on gives what reading all gives from there on, of every kind of table.
func TestRowsFrom(t *testing.T) {
	type row struct {
		Text  string   `parquet:"text"`
		Share *float64 `parquet:"share,optional"`
	}
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOfN(rapid.SampledFrom([]string{"a film", "two\nlines", " \"said\" ", "", "naïve, so", "\r\n"}), 1,
			30).Draw(rt, "texts")
		var rows []row
		var table, lines, objects strings.Builder
		out := csv.NewWriter(&table)
		if err := out.Write([]string{"text", "share"}); err != nil {
			rt.Fatal(err)
		}
		for i, text := range texts {
			share := float64(i)
			rows = append(rows, row{Text: text})
			if i%3 == 0 {
				rows[i].Share = &share
			}
			if err := out.Write([]string{text, fmt.Sprint(i)}[:1+i%2]); err != nil { // half of them are broken
				rt.Fatal(err)
			}
			out.Flush()
			if i%4 == 1 {
				table.WriteString("\n\"open\" quote,1\n\n")
			}
			b, _ := json.Marshal(row{Text: text})
			fmt.Fprintf(&lines, "%s%s", text, []string{"\n", "\r\n"}[i%2])
			fmt.Fprintf(&objects, "%s\n%s", b, []string{"", "\n", "{oops\n"}[i%3])
		}
		var packed bytes.Buffer
		w := parquet.NewGenericWriter[row](&packed, parquet.PageBufferSize(64),
			parquet.MaxRowsPerRowGroup(int64(rapid.IntRange(1, 12).Draw(rt, "group"))))
		if _, err := w.Write(rows); err != nil || w.Close() != nil {
			rt.Fatal(err)
		}
		dir := folder(t, map[string]string{"a.csv": "\ufeff" + table.String(), "a.txt": lines.String(),
			"a.jsonl": objects.String(), "a.parquet": packed.String()})
		for _, name := range []string{"a.csv", "a.txt", "a.jsonl", "a.parquet"} {
			read := func(from Place) (all []Row) {
				for r, err := range RowsFrom(filepath.Join(dir, name), from) {
					if err != nil {
						rt.Fatal(name, err)
					}
					all = append(all, r)
				}
				return all
			}
			all := read(Place{})
			for i, r := range all {
				if got := read(r.Place()); !reflect.DeepEqual(got, all[i:]) {
					rt.Fatalf("%s from row %d, %+v:\n%+v\nwant\n%+v", name, i, r.Place(), got, all[i:])
				}
			}
		}
	})
}

// No file makes the reader of tables fail in another way than with an error.
func FuzzRows(f *testing.F) {
	f.Add(".jsonl", "{\"text\": 1e999}\n{\"text\": {\"text\": []}}")
	f.Add(".csv", "a,a\n1,2\n")
	f.Add(".txt", "\x00\n")
	f.Fuzz(func(t *testing.T, extension, content string) {
		if !slices.Contains([]string{".txt", ".csv", ".tsv", ".jsonl", ".parquet", ".json"}, extension) {
			return
		}
		path := filepath.Join(t.TempDir(), "x"+extension)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		for r, err := range Rows(path) {
			if err != nil {
				if strings.Count(err.Error(), path) != 1 {
					t.Error(err)
				}
				return
			}
			if r.Line < 1 || r.Broken == "" && len(r.Cells) != len(r.Names) {
				t.Errorf("%+v", r)
			}
		}
	})
}
