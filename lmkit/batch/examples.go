package batch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"strings"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/grade"
)

// Right says whether the model is right about a result. Where the item's label is the target or the foil of its
// contrast, the model is right if it prefers it to the other; else if its first choice is the label, or the first token
// of it. known is false where the item has no label, or the result no first choice.
func (r Result) Right() (right, known bool) {
	if r.Label == "" || len(r.Attributions) == 0 {
		return false, false
	}
	a, label := r.Attributions[0], strings.TrimSpace(r.Label)
	if a.Foil != nil {
		of := a.Asked()
		switch {
		case slices.Contains(answers(of.Target, of.Answer, of.Any), label):
			return a.Value > 0, true
		case slices.Contains(answers(*of.Foil, of.FoilAnswer, of.Any), label):
			return a.Value < 0, true
		}
	}
	if a.Choice == nil {
		return false, false
	}
	choice := strings.TrimSpace(a.Choice.Text)
	return choice != "" && strings.HasPrefix(label, choice), true
}

// answers are the texts that are one side of what is explained: a token, an answer of several, or each of a set.
func answers(first explain.Token, all []explain.Token, any bool) (texts []string) {
	if len(all) == 0 {
		all = []explain.Token{first}
	}
	for _, t := range all {
		texts = append(texts, t.Text)
	}
	if !any {
		texts = []string{strings.Join(texts, "")}
	}
	for i := range texts {
		texts[i] = strings.TrimSpace(texts[i])
	}
	return texts
}

// Examples reads how wrong a model was about each item: from a folder of results, where it is wrong if its first choice
// is not the item's label; or from a table, such as classify writes, which has a column "loss", or "said" and "label",
// of which the latter say right or wrong. column names another column of losses; "": these. What else the items have
// becomes columns to look at; without is how many items do not say it.
func Examples(path, column string) (all []grade.Example, without int, err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return examplesOf(path)
	}
	var broken string
	for row, err := range corpus.Rows(path) {
		if err != nil {
			return nil, 0, err
		}
		e, why := example(row, column)
		if why != "" {
			broken = cmp.Or(broken, fmt.Sprintf("line %d %s", row.Line, why))
			without++
			continue
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, without, fmt.Errorf("%s says of no row how wrong the model was: %s", path, cmp.Or(broken, "it is empty"))
	}
	return all, without, nil
}

// examplesOf reads a folder of results.
func examplesOf(dir string) (all []grade.Example, without int, err error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, 0, err
	}
	if m.Score || m.Suite != nil {
		return nil, 0, fmt.Errorf("%s holds scores, which are neither right nor wrong", dir)
	}
	for r, err := range judgedOf(m, dir) {
		if err != nil {
			return nil, 0, err
		}
		if !r.known {
			without++
			continue
		}
		e := grade.Example{Line: r.line, Text: r.prompt, Columns: map[string]string{"label": r.label}}
		if !r.right {
			e.Loss = 1
		}
		takeMeta(&e, r.meta)
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, without, fmt.Errorf("%s has no result whose item has a label: give the items a column \"label\"", dir)
	}
	return all, without, nil
}

// judged is an item, and whether the model is right about it.
type judged struct {
	line          int
	prompt, label string
	meta          map[string]any
	right, known  bool
}

// judgedOf reads a folder of explanations or labels.
func judgedOf(m Manifest, dir string) iter.Seq2[judged, error] {
	return func(yield func(judged, error) bool) {
		if m.Labels != nil {
			for c, err := range linesOfParts[Classified](dir) {
				if !yield(judged{c.Line, c.Prompt, c.Label, c.Meta, c.Said == c.Label, c.Loss != nil}, err) || err != nil {
					return
				}
			}
			return
		}
		for r, err := range Results(dir) {
			right, known := r.Right()
			if !yield(judged{r.Line, r.Prompt, r.Label, r.Meta, right, known}, err) || err != nil {
				return
			}
		}
	}
}

// notLooked are the columns of a table that say how wrong the model was, or where an item is from.
var notLooked = []string{"line", "id", "said", "p", "scores", "loss", "prompt", "text", "sentence", "question", "meta"}

// example reads a row of a table; why says what it lacks.
func example(row corpus.Row, column string) (e grade.Example, why string) {
	if row.Broken != "" {
		return e, row.Broken
	}
	said, has := row.Text("said")
	label, labelled := row.Text("label")
	loss, ok := row.Text(cmp.Or(column, "loss"))
	switch {
	case column == "" && has && labelled:
		if strings.TrimSpace(said) != strings.TrimSpace(label) {
			e.Loss = 1
		}
	case ok:
		var x json.Number
		if json.Unmarshal([]byte(loss), &x) != nil {
			return e, fmt.Sprintf("has the loss %q, which is no number", loss)
		}
		e.Loss, _ = x.Float64()
	case column != "":
		return e, fmt.Sprintf("has nothing in the column %q", column)
	default:
		return e, "has no \"loss\", and no \"said\" with a \"label\""
	}
	if e.Loss < 0 || math.IsInf(e.Loss, 0) {
		return e, fmt.Sprintf("has the loss %v; a loss is 0 or more", e.Loss)
	}
	e.Line, e.Columns = row.Line, map[string]string{}
	if line, ok := row.Text("line"); ok { // of the file that was classified
		_ = json.Unmarshal([]byte(line), &e.Line)
	}
	for _, name := range corpus.Prompts {
		if text, ok := row.Text(name); ok {
			e.Text = text
			break
		}
	}
	for i, name := range row.Names {
		if text, ok := row.Text(name); ok && name != column && !slices.Contains(notLooked, name) {
			e.Columns[name] = text
		}
		if meta, is := row.Cells[i].(map[string]any); is && name == "meta" {
			takeMeta(&e, meta)
		}
	}
	return e, ""
}

// takeMeta takes what an item says beside its question: what is written in its text, where there is one, and columns.
func takeMeta(e *grade.Example, meta map[string]any) {
	for name, cell := range meta {
		row := corpus.Row{Names: []string{name}, Cells: []any{cell}}
		text, ok := row.Text(name)
		switch {
		case !ok:
		case slices.Contains(corpus.Prompts, name):
			e.Text = text // in place of the prompt that a template made of it
		default:
			e.Columns[name] = text
		}
	}
}
