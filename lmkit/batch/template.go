package batch

import (
	"fmt"
	"strings"

	"lmkit.internal/lmkit/corpus"
)

// template is a text with places for columns: a piece of text, a column, a piece of text, and so on.
type template []string

// parseTemplate reads a template: {name} is a column, {{ and }} are braces, and \n and \t, which are hard to give to a
// command, are a line break and a tab. It returns nil for an empty one.
func parseTemplate(text string) (t template, err error) {
	if text == "" {
		return nil, nil
	}
	var piece strings.Builder
	inside := false
	text = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(text)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch doubled := i+1 < len(text) && text[i+1] == c; {
		case !inside && doubled && (c == '{' || c == '}'):
			piece.WriteByte(c)
			i++
		case !inside && c == '{', inside && c == '}' && piece.Len() > 0:
			t = append(t, piece.String())
			piece.Reset()
			inside = !inside
		case c == '{' || c == '}':
			return nil, fmt.Errorf("the template %q has a %q out of place; a column is {name}, and {{ is a brace", text, c)
		default:
			piece.WriteByte(c)
		}
	}
	if inside || len(t) == 0 {
		return nil, fmt.Errorf("the template %q names no column; write {text} for the column \"text\"", text)
	}
	return append(t, piece.String()), nil
}

// fill puts the columns of a row into their places.
func (t template) fill(row corpus.Row) (string, error) {
	var b strings.Builder
	for i, piece := range t {
		if i%2 == 0 {
			b.WriteString(piece)
			continue
		}
		text, ok := row.Text(piece)
		if !ok {
			return "", fmt.Errorf("has nothing in the column %q, which the template names", piece)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
