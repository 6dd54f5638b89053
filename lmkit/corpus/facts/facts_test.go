package facts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBuiltin(t *testing.T) {
	all := Builtin()
	if len(all) < 90 {
		t.Fatalf("%d facts", len(all))
	}
	count, seen := map[string]int{}, map[string]bool{}
	for _, f := range all {
		count[f.Relation]++
		if key := f.Text() + f.Answer + f.Other; seen[key] {
			t.Errorf("line %d: %q is there twice", f.Line, f.Text())
		} else {
			seen[key] = true
		}
		if !strings.Contains(strings.TrimSpace(f.Before)+" ", " ") || f.Before == "" {
			t.Errorf("line %d: the word that decides is the first one, which many models hold", f.Line)
		}
	}
	for _, relation := range []string{"capital", "opposite", "names", "agreement"} {
		if count[relation] < 20 {
			t.Errorf("%d facts of %s", count[relation], relation)
		}
	}
}

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader("\ufeff# a comment\r\n\r\n the-capital : The capital of { New York State | Japan}" +
		" is  {Albany|Tokyo}\r\nfrench: Ici, {a|b}: {c|d}"))
	want := []Fact{
		{Line: 3, Relation: "the-capital", Before: "The capital of ", Word: "New York State", After: " is", Instead: "Japan",
			Answer: "  Albany", Other: "  Tokyo"},
		{Line: 4, Relation: "french", Before: "Ici, ", Word: "a", After: ":", Instead: "b", Answer: " c", Other: " d"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if f := got[0]; f.Text() != "The capital of New York State is" || f.Changed() != "The capital of Japan is" {
		t.Errorf("%q and %q", f.Text(), f.Changed())
	}
	// Scripts that write no spaces have none before the answer.
	got, err = Read(strings.NewReader("首都: 日本的首都{东京|巴黎}"))
	if err == nil || !strings.Contains(err.Error(), "the answer: there are no braces") {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = Read(strings.NewReader("首都: {日本|法国}的首都是{东京|巴黎}"))
	if err != nil || got[0].Answer != "东京" || got[0].Text() != "日本的首都是" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"", "there are no facts; write one a line: capital: "},
		{"# nothing\n\n", "there are no facts"},
		{"\n\nThe capital of {France|Japan} is {Paris|Tokyo}", "line 3: it begins with no relation and colon, as in: "},
		{": The {a|b} is {c|d}", "line 1: it begins with no relation"},
		{"a|b: The {a|b} is {c|d}", "line 1: it begins with no relation"},
		{"x: The capital", "line 1: the word that decides: there are no braces for it"},
		{"x: The } of {a|b} is {c|d}", "line 1: the word that decides: there are no braces for it"},
		{"x: The {a|b is", "line 1: the word that decides: there are no braces"},
		{"x: The {a|b} is", "line 1: the answer: there are no braces for it"},
		{"x: The {a} is {c|d}", `line 1: the word that decides: the braces hold "a"; they hold two words`},
		{"x: The {a|b|c} is {c|d}", `the braces hold "a|b|c"`},
		{"x: The {a| } is {c|d}", `the braces hold "a| "`},
		{"x: The {a|b} is {c|d|e}", `line 1: the answer: the braces hold "c|d|e"`},
		{"x: The {a|{b} is {c|d}", `the braces hold "a|{b"`},
		{"x: The {a|a} is {c|d}", `line 1: the word that decides: both of its words are "a"`},
		{"x: The {a|b} is {c|c}", `line 1: the answer: both of its words are "c"`},
		{"x: The {a|b} is {c|d}.", `line 1: behind the answer stands "."; the answer ends the line`},
		{"x: The {a|b} is {c|d}\nx: \xff", "line 2: it is not UTF-8"},
		{"x: The {a|b} is {c|d}\nx: " + strings.Repeat("y", mostLine), "line 2: it has 10000 bytes or more"},
		{strings.Repeat("x: {a|b} {c|d}\n", mostFacts+1), "line 100001: there are more than 100000 facts"},
	} {
		_, err := Read(strings.NewReader(tt.file))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: got %v, want %q", tt.file, err, tt.want)
		} else if len(err.Error()) > 400 {
			t.Errorf("an error of %d bytes: %v", len(err.Error()), err)
		}
	}
}

// What is written as a fact is read as that fact.
func TestReadsWhatIsWritten(t *testing.T) {
	word := rapid.StringMatching(`[^\s{}|][^{}|\n\r\x00\x{85}\x{feff}]{0,8}[^\s{}|\x00\x{85}\x{feff}]`).Filter(
		func(s string) bool { return strings.TrimSpace(s) == s })
	rapid.Check(t, func(t *rapid.T) {
		f := Fact{Line: 1, Relation: "r", Before: word.Draw(t, "before") + " ", Word: word.Draw(t, "word"),
			After: " " + word.Draw(t, "after"), Answer: " " + word.Draw(t, "answer")}
		f.Instead, f.Other = f.Word+"'", f.Answer+"'"
		line := fmt.Sprintf("r: %s{%s|%s}%s {%s|%s}", f.Before, f.Word, f.Instead, f.After, f.Answer[1:], f.Other[1:])
		got, err := Read(strings.NewReader(line))
		if err != nil || len(got) != 1 || got[0] != f {
			t.Fatalf("%q: %+v, %v", line, got, err)
		}
	})
}

// No file crashes the reader, and an error names a line.
func FuzzRead(f *testing.F) {
	f.Add("capital: The capital of {France|Japan} is {Paris|Tokyo}\n# x\nx: {a|b}{c|d}")
	f.Fuzz(func(t *testing.T, file string) {
		all, err := Read(strings.NewReader(file))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") && !strings.HasPrefix(err.Error(), "there are no facts") {
				t.Fatal(err)
			}
			return
		}
		for _, f := range all {
			if f.Word == f.Instead || f.Answer == f.Other || f.Text() == f.Changed() || f.Relation == "" {
				t.Fatalf("%+v", f)
			}
		}
	})
}
