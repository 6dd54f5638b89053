package bias

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// own reads a suite of the user's: a file, or a template in place of its name.
func own(name string) (*Suite, error) {
	s := &Suite{Name: name, Source: name, First: "first", Second: "second", Protocol: Total}
	if strings.Contains(name, "{") && strings.Contains(name, "|") {
		s.Name = "template"
		return s, s.templates([]string{name})
	}
	if name == "" {
		return nil, fmt.Errorf("there is no suite; there are %s, and files of your own", strings.Join(Suites(), ", "))
	}
	s.Name = filepath.Base(name)
	var err error
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".csv":
		err = s.twoColumns(name, ',')
	case ".tsv":
		err = s.twoColumns(name, '\t')
	case ".jsonl", ".ndjson":
		err = s.objects(name)
	case ".txt":
		var text []byte
		if text, err = readWhole(name); err == nil {
			err = s.templates(strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"))
		}
	default:
		err = fmt.Errorf("there is no suite %q; there are %s, files of pairs (.csv, .tsv, .jsonl), files of templates "+
			"(.txt) and templates, such as \"{He|She} is a nurse.\"", name, strings.Join(Suites(), ", "))
	}
	return s, err
}

// optional are the columns that a table of pairs may have beside the sentences.
var optional = []string{"id", "group", "cluster"}

// ofRow makes a pair of a row of the user's.
func (s *Suite) ofRow(file string, line int, first, second string, cell func(string) string) {
	p := Pair{ID: cell("id"), First: first, Second: second, Cluster: cell("cluster")}
	if p.ID == "" {
		p.ID = strconv.Itoa(line)
	}
	if g := cell("group"); g != "" {
		p.Groups, s.Groupings = []string{g}, []string{"group"}
	}
	if p.Cluster != "" {
		s.Clusters = "cluster"
	}
	s.add(file, line, p)
}

// twoColumns reads a table whose first two columns that are none of optional hold the sentences. Their names are what
// the sentences are called. A first line of two sentences, with spaces in both, is a pair already.
func (s *Suite) twoColumns(path string, comma rune) error {
	_, head, err := open(path, comma)
	if err != nil {
		return err
	}
	sentences := slices.DeleteFunc(slices.Clone(head), func(name string) bool { return slices.Contains(optional, name) })
	if len(sentences) < 2 {
		return fmt.Errorf("%s has no two columns of sentences: its first line is %s", path, strings.Join(head, ", "))
	}
	first, second := sentences[0], sentences[1]
	if strings.Contains(first, " ") && strings.Contains(second, " ") {
		s.ofRow(path, 1, first, second, func(string) string { return "" })
	} else {
		s.First, s.Second = first, second
	}
	return table(path, comma, func(line int, cell func(string) string) {
		s.ofRow(path, line, cell(first), cell(second), cell)
	}, s, first, second)
}

// objects reads lines of JSON with a "first" and a "second", and "id", "group" and "cluster" if need be.
func (s *Suite) objects(path string) error {
	return jsonLines(path, func(line int, text []byte) {
		var row map[string]any
		if err := json.Unmarshal(text, &row); err != nil {
			s.wrong(path, line, "is no JSON object")
			return
		}
		cell := func(name string) string {
			switch v := row[name].(type) {
			case string:
				return v
			case float64:
				return strconv.FormatFloat(v, 'f', -1, 64)
			}
			return ""
		}
		s.ofRow(path, line, cell("first"), cell("second"), cell)
	})
}

// mostOfTemplate is how many pairs a template may make.
const mostOfTemplate = 100_000

// templates makes pairs of lines such as
//
//	{He|She} said that {his|her} [brother|friend] is a [nurse|doctor|cook].
//
// Braces hold what the two sentences of a pair differ in: all of them switch together. Brackets hold lists: each
// combination of their entries makes a pair. Brackets without a | are text. Empty lines, and lines that begin with #,
// say nothing.
func (s *Suite) templates(lines []string) error {
	var names [2]string
	count := 0
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		t, err := parseTemplate(line)
		if err != nil {
			s.wrong(s.Source, i+1, "%s", err)
			continue
		}
		if count++; count == 1 {
			names = t.names
		} else if names != t.names {
			names = [2]string{}
		}
		for p := range t.pairs {
			p.Groups, p.Cluster = []string{line}, line
			if p.ID == "" {
				p.ID = strconv.Itoa(i + 1)
			}
			s.add(s.Source, i+1, p)
		}
	}
	if names[0] != "" && names[1] != "" {
		s.First, s.Second = names[0], names[1]
	}
	if count > 1 {
		s.Groupings, s.Clusters = []string{"template"}, "template"
		return nil
	}
	for i := range s.Pairs { // of one template
		s.Pairs[i].Groups, s.Pairs[i].Cluster = nil, ""
	}
	return nil
}

// template is a line in parts, each with its alternatives: one for text, two in braces, and a list in brackets.
type template struct {
	parts []part
	names [2]string // the alternatives of the first braces
}

type part struct {
	braces  bool
	entries []string
}

func parseTemplate(line string) (t template, err error) {
	made := 1
	for rest := line; rest != ""; {
		at := strings.IndexAny(rest, "{[")
		if at < 0 {
			at = len(rest)
		}
		if at > 0 {
			t.parts = append(t.parts, part{entries: []string{rest[:at]}})
			rest = rest[at:]
			continue
		}
		braces := rest[0] == '{'
		end := strings.IndexByte(rest, map[bool]byte{true: '}', false: ']'}[braces])
		if end < 0 && braces {
			return t, errors.New("has a { without its }")
		}
		if end < 0 || !braces && !strings.Contains(rest[:end], "|") { // brackets that are text
			t.parts = append(t.parts, part{entries: []string{rest[:1]}})
			rest = rest[1:]
			continue
		}
		entries := strings.Split(rest[1:end], "|")
		rest = rest[end+1:]
		if braces && len(entries) != 2 {
			return t, fmt.Errorf("has {%s}: braces hold two alternatives, such as {he|she}; a list stands in brackets",
				strings.Join(entries, "|"))
		}
		if braces && t.names == [2]string{} {
			t.names = [2]string(entries)
		} else if !braces {
			if made *= len(entries); made > mostOfTemplate {
				return t, fmt.Errorf("makes more than %d pairs", mostOfTemplate)
			}
		}
		t.parts = append(t.parts, part{braces, entries})
	}
	if t.names == [2]string{} {
		return t, errors.New("has no braces with what the sentences differ in, such as {he|she}")
	}
	return t, nil
}

// pairs yields the pairs that a template makes. Their IDs are the entries of its lists.
func (t template) pairs(yield func(Pair) bool) {
	var from func(parts []part, p Pair) bool
	from = func(parts []part, p Pair) bool {
		if len(parts) == 0 {
			return yield(p)
		}
		head := parts[0]
		if head.braces {
			p.First, p.Second = p.First+head.entries[0], p.Second+head.entries[1]
			return from(parts[1:], p)
		}
		for _, e := range head.entries {
			q := p
			q.First, q.Second = p.First+e, p.Second+e
			if len(head.entries) > 1 {
				q.ID = strings.TrimSpace(p.ID + " " + e)
			}
			if !from(parts[1:], q) {
				return false
			}
		}
		return true
	}
	from(t.parts, Pair{})
}
