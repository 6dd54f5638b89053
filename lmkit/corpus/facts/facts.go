// Package facts reads sentences in which one word decides another, as a country decides its capital: texts by which
// explanations of a model that was trained elsewhere can be tried, since a fact that the model knows has a known cause.
package facts

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fact is a text that a model goes on with, and the word of it that decides how: with another word in its place the
// right answer is another one. Nothing else differs between the two texts, so that for a model that gives both answers
// the word is the cause of the first one rather than the second, whatever goes on inside (a counterfactual).
type Fact struct {
	Line     int    // where it stands in its file
	Relation string // what ties word and answer together, such as "capital"

	Before, Word, After string // the text, in its three parts
	Instead             string // what takes the place of Word
	Answer, Other       string // what follows Word, and what follows Instead, each with the space before it
}

// Text is what the model reads.
func (f Fact) Text() string { return f.Before + f.Word + f.After }

// Changed is the text with the other word.
func (f Fact) Changed() string { return f.Before + f.Instead + f.After }

// What a file may hold at most.
const (
	mostLine  = 10_000  // bytes of a line
	mostFacts = 100_000 // a year of work for a model of a hundred million numbers
)

// Read reads facts, one a line:
//
//	capital: The capital of {France|Japan} is {Paris|Tokyo}
//
// The name before the colon is the relation. The first braces hold the word and what is put in its place; the second
// ones end the line and hold the answer to each. Empty lines, and lines that begin with #, say nothing. The error
// names the line.
func Read(r io.Reader) ([]Fact, error) {
	var all []Fact
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(all) == mostFacts {
			return nil, fmt.Errorf("line %d: there are more than %d facts; give a part of them", n, mostFacts)
		}
		f.Line = n
		all = append(all, f)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: it has %d bytes or more; a fact is a sentence", n+1, mostLine)
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, fmt.Errorf("there are no facts; write one a line: %s", example)
	}
	return all, nil
}

const example = "capital: The capital of {France|Japan} is {Paris|Tokyo}"

// parse reads a line.
func parse(line string) (f Fact, err error) {
	if !utf8.ValidString(line) {
		return f, errors.New("it is not UTF-8 text; save the file as UTF-8")
	}
	relation, text, ok := strings.Cut(line, ":")
	f.Relation = strings.TrimSpace(relation)
	if !ok || strings.ContainsFunc(f.Relation, notInName) || f.Relation == "" {
		return f, fmt.Errorf("it begins with no relation and colon, as in: %s", example)
	}
	var rest, end string
	if f.Before, f.Word, f.Instead, rest, err = choice(strings.TrimSpace(text)); err != nil {
		return f, fmt.Errorf("the word that decides: %w", err)
	}
	if f.After, f.Answer, f.Other, end, err = choice(rest); err != nil {
		return f, fmt.Errorf("the answer: %w", err)
	}
	if end != "" {
		return f, fmt.Errorf("behind the answer stands %q; the answer ends the line", cut(end))
	}
	text = strings.TrimRightFunc(f.After, unicode.IsSpace)
	space := f.After[len(text):]
	f.After, f.Answer, f.Other = text, space+f.Answer, space+f.Other
	return f, nil
}

// choice reads a text up to and with its first braces, which hold two different words.
func choice(text string) (before, first, second, after string, err error) {
	before, inside, opened := strings.Cut(text, "{")
	inside, after, closed := strings.Cut(inside, "}")
	first, second, two := strings.Cut(inside, "|")
	switch first, second = strings.TrimSpace(first), strings.TrimSpace(second); {
	case !opened || !closed || strings.Contains(before, "}"):
		err = fmt.Errorf("there are no braces for it, as in: %s", example)
	case !two || strings.ContainsAny(inside, "{") || strings.Contains(second, "|") || first == "" || second == "":
		err = fmt.Errorf("the braces hold %q; they hold two words with a | between, as in: %s", cut(inside), example)
	case first == second:
		err = fmt.Errorf("both of its words are %q; they must differ", cut(first))
	}
	return before, first, second, after, err
}

// notInName reports what the name of a relation does not hold: it becomes a column of a table.
func notInName(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_ ", r)
}

// cut keeps a foreign text from filling an error line.
func cut(s string) string {
	if runes := []rune(s); len(runes) > 40 {
		return string(runes[:40]) + "..."
	}
	return s
}

//go:embed builtin.txt
var builtin string

// Builtin is the facts that come with lmkit, in English: capitals, opposites, names and agreement.
func Builtin() []Fact {
	all, err := Read(strings.NewReader(builtin))
	if err != nil {
		return nil // a test reads it
	}
	return all
}
