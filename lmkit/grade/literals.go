package grade

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// literal is a condition, and the examples of the half that is searched for which it holds.
type literal struct {
	name  string
	holds func(Example) bool
	in    set
}

const (
	mostValues     = 50 // of a column that is looked at value by value
	mostThresholds = 32 // of a number: its values, or where they are more, so many quantiles
	mostWords      = 1000
)

// literalsOf returns the conditions that hold for least examples or more, and not for all.
func literalsOf(examples []Example, least int) (all []literal) {
	for _, l := range slices.Concat(columnLiterals(examples), lengthLiterals(examples), wordLiterals(examples, least)) {
		l.in = newSet(len(examples))
		for i, e := range examples {
			if l.holds(e) {
				l.in.add(i)
			}
		}
		if n := l.in.size(); n >= least && n < len(examples) {
			all = append(all, l)
		}
	}
	return all
}

// Words returns the words of a text as they are counted: in lower case, split where Unicode says that words end.
func Words(text string) (words []string) {
	text = strings.ToLower(text)
	for state := -1; text != ""; {
		var word string
		word, text, state = uniseg.FirstWordInString(text, state)
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
			words = append(words, word)
		}
	}
	return words
}

// wordLiterals are about the words that least texts or more have; of too many, the most frequent ones.
func wordLiterals(examples []Example, least int) (all []literal) {
	count := map[string]int{}
	has := map[string]map[string]bool{} // by text, since texts are asked about word by word
	for _, e := range examples {
		has[e.Text] = map[string]bool{}
		for _, w := range Words(e.Text) {
			if !has[e.Text][w] {
				has[e.Text][w] = true
				count[w]++
			}
		}
	}
	words := slices.DeleteFunc(slices.Sorted(maps.Keys(count)), func(w string) bool { return count[w] < least })
	slices.SortStableFunc(words, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	for _, w := range words[:min(len(words), mostWords)] {
		all = append(all, literal{name: fmt.Sprintf("has the word %q", w), holds: func(e Example) bool {
			if known, ok := has[e.Text]; ok {
				return known[w]
			}
			return slices.Contains(Words(e.Text), w)
		}})
	}
	return all
}

// lengthLiterals are about how many words texts have.
func lengthLiterals(examples []Example) []literal {
	known := map[string]float64{}
	length := func(e Example) (float64, bool) {
		n, ok := known[e.Text]
		if !ok {
			n = float64(len(Words(e.Text)))
			known[e.Text] = n
		}
		return n, e.Text != ""
	}
	return thresholds(examples, "text of at least %s words", "text of at most %s words", length)
}

// columnLiterals are about columns: of numbers, what is above or below; of a few texts, each of them.
func columnLiterals(examples []Example) (all []literal) {
	values := map[string]map[string]bool{}
	for _, e := range examples {
		for name, v := range e.Columns {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][v] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		number := func(e Example) (float64, bool) {
			x, err := strconv.ParseFloat(e.Columns[name], 64)
			return x, err == nil && x == x
		}
		all = append(all, columnOf(examples, name, slices.Sorted(maps.Keys(values[name])), number)...)
	}
	return all
}

func columnOf(examples []Example, name string, values []string, number func(Example) (float64, bool)) (all []literal) {
	const fewValues = 10 // even of numbers, such as 0 and 1
	numbers := !slices.ContainsFunc(values, func(v string) bool { _, err := strconv.ParseFloat(v, 64); return err != nil })
	if numbers && len(values) > fewValues {
		return thresholds(examples, name+" at least %s", name+" at most %s", number)
	}
	if len(values) > mostValues {
		return nil
	}
	for _, v := range values {
		all = append(all, literal{name: fmt.Sprintf("%s is %q", name, v), holds: func(e Example) bool {
			have, ok := e.Columns[name]
			return ok && have == v
		}})
	}
	return all
}

// thresholds are the conditions that a number is at least so much, or at most, and what they are called.
func thresholds(examples []Example, least, most string, number func(Example) (float64, bool)) (all []literal) {
	var values []float64
	for _, e := range examples {
		if x, ok := number(e); ok {
			values = append(values, x)
		}
	}
	slices.Sort(values)
	distinct := slices.Compact(slices.Clone(values))
	if len(distinct) > mostThresholds {
		distinct = nil
		for k := 1; k < mostThresholds; k++ {
			distinct = append(distinct, values[k*len(values)/mostThresholds])
		}
		distinct = slices.Compact(distinct)
	}
	for _, t := range distinct {
		text := strconv.FormatFloat(t, 'g', -1, 64)
		within := func(inside func(x float64) bool) func(Example) bool {
			return func(e Example) bool { x, ok := number(e); return ok && inside(x) }
		}
		all = append(all,
			literal{name: strings.ReplaceAll(least, "%s", text), holds: within(func(x float64) bool { return x >= t })},
			literal{name: strings.ReplaceAll(most, "%s", text), holds: within(func(x float64) bool { return x <= t })})
	}
	return all
}
