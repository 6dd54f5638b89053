// Package batch explains the items of a file, one after the other, into a folder of results that can be gone on with.
package batch

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// Item is a row of a file, as a question.
type Item struct {
	Line  int            // of the file; of Parquet the number of the row
	ID    string         // what its column "id" says; "": it has none
	Label string         // what is right, where its column "label" says so
	Meta  map[string]any // its other columns
	// Request is what all items have in common, with what this one says in its place: prompt (or text, sentence,
	// question: see corpus.Prompts), messages, ids, target (or answer) and foil.
	Request lmkit.Request
	// Wrong is why the row is no question; "": it is one.
	Wrong string

	pair    *bias.Pair // of a suite, in place of a question
	at      corpus.Place
	earlier int // the line that has its ID already; 0: none has
}

// Source is a file of items.
type Source struct {
	// File is a table that corpus.Rows reads: .jsonl, .csv, .tsv, .parquet, or lines of text, each a prompt.
	File string `json:"file"`
	// Template is the prompt, where it is made of columns: "Review: {text}\nSentiment:"; "": a column holds the prompt.
	Template string `json:"template,omitempty"`
	// Label is the column that says what is right; "": "label". Of lines of text it is the mark before that, such as
	// "=>", and the last one on the line counts.
	Label string `json:"label,omitempty"`
	// Chat says that the prompt is what a person says to the model, after System, and that the answer begins with Reply.
	Chat   bool   `json:"chat,omitempty"`
	System string `json:"system,omitempty"`
	Reply  string `json:"reply,omitempty"`
}

// ReadCommon reads the JSON of what all items have in common: a request without a prompt, as strictly as
// lmkit.ReadRequest does.
func ReadCommon(from io.Reader) (r lmkit.Request, err error) {
	data, err := io.ReadAll(io.LimitReader(from, lmkit.MaxRequestBytes))
	if err == nil {
		err = strict.Unmarshal(data, &r)
	}
	if err == nil {
		err = CheckCommon(r)
	}
	if err != nil {
		return lmkit.Request{}, fmt.Errorf("the request: %w", err)
	}
	return r, nil
}

// CheckCommon returns all mistakes of what items have in common.
func CheckCommon(r lmkit.Request) error {
	if r.Prompt != "" || r.IDs != nil || r.Messages != nil {
		return &lmkit.Mistake{Problem: "the request has a prompt of its own; the items of the file have theirs"}
	}
	r.Prompt = "-"
	return r.Validate()
}

// own are the columns of an item that are no metadata.
var own = []string{"id", "label", "prompt", "messages", "ids", "target", "answer", "foil"}

// Items reads the items of a file, a row at a time, broken ones among them. A second item with the ID of an earlier one
// is wrong. An error is about the whole file, and ends it.
func Items(from Source, common lmkit.Request) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		first := map[string]int{} // the line on which an ID was first
		for x, err := range itemsFrom(from, common, corpus.Place{}) {
			if line, again := first[x.ID]; again && x.ID != "" {
				x.repeats(line)
			} else if x.ID != "" {
				first[x.ID] = x.Line
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

// repeats says that an earlier line has the item's ID.
func (x *Item) repeats(line int) {
	x.earlier = line
	x.Wrong = fmt.Sprintf("has the id %q, which line %d has already", x.ID, line)
}

// itemsFrom reads the items from one of the rows on, whatever their IDs.
func itemsFrom(from Source, common lmkit.Request, place corpus.Place) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		template, err := parseTemplate(from.Template)
		if err != nil {
			yield(Item{}, err)
			return
		}
		for row, err := range corpus.RowsFrom(from.File, place) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			x := Item{Line: row.Line, Request: common, Wrong: row.Broken, at: row.Place()}
			if x.Wrong == "" {
				x.fill(row, from, template)
			}
			if !yield(x, nil) {
				return
			}
		}
	}
}

// fill takes what a row says.
func (x *Item) fill(row corpus.Row, from Source, t template) {
	if from.Label != "" && len(row.Names) == 1 && !slices.Contains(row.Names, from.Label) {
		row = from.split(row)
	}
	x.ID, _ = row.Text("id")
	x.Label, _ = row.Text(cmp.Or(from.Label, "label"))
	prompt, err := x.prompt(row, t)
	if err == nil {
		err = x.tokens(row)
	}
	if err != nil {
		x.Wrong = err.Error()
		return
	}
	for _, said := range []struct {
		column string
		to     *string
	}{{"answer", &x.Request.Target}, {"target", &x.Request.Target}, {"foil", &x.Request.Foil}} {
		if text, ok := row.Text(said.column); ok {
			*said.to = text
		}
	}
	if from.Chat && x.Request.Prompt != "" {
		x.Request.Messages, x.Request.Prompt = from.conversation(x.Request.Prompt), ""
	}
	for i, name := range row.Names {
		if row.Cells[i] == nil || name == prompt || name == from.Label || slices.Contains(own, name) {
			continue
		}
		if x.Meta == nil {
			x.Meta = map[string]any{}
		}
		x.Meta[name] = row.Cells[i]
	}
	if err := x.Request.Validate(); err != nil {
		x.Wrong = "is no question: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}

// split takes a line of text apart at the last mark before the label: a prompt that ends with the mark, and the label.
// A line without the mark has none.
func (s Source) split(row corpus.Row) corpus.Row {
	line, _ := row.Text("text")
	at := strings.LastIndex(line, s.Label)
	if at < 0 {
		return row
	}
	end := at + len(s.Label)
	return corpus.Row{Line: row.Line, Names: []string{"prompt", "text", s.Label},
		Cells: []any{line[:end], strings.TrimSpace(line[:at]), strings.TrimSpace(line[end:])}}
}

// conversation is what is said to the model.
func (s Source) conversation(said string) (messages []chat.Message) {
	if s.System != "" {
		messages = append(messages, chat.Message{Role: chat.System, Content: s.System})
	}
	messages = append(messages, chat.Message{Role: chat.User, Content: said})
	if s.Reply != "" {
		messages = append(messages, chat.Message{Role: chat.Assistant, Content: s.Reply})
	}
	return messages
}

// prompt takes the text that the model is to go on from, and returns the name of the column that holds it.
func (x *Item) prompt(row corpus.Row, t template) (column string, err error) {
	r := &x.Request
	if _, ok := row.Cell("messages"); ok {
		return "", nil
	}
	if _, ok := row.Cell("ids"); ok {
		return "", nil
	}
	if t != nil {
		r.Prompt, err = t.fill(row)
		return "", err
	}
	for _, name := range corpus.Prompts {
		if text, ok := row.Text(name); ok {
			r.Prompt = text
			return name, nil
		}
	}
	return "", fmt.Errorf("has no prompt: no column %s has a text, and no messages or ids", strings.Join(corpus.Prompts,
		", "))
}

// tokens takes a conversation or token IDs.
func (x *Item) tokens(row corpus.Row) error {
	if cell, ok := row.Cell("messages"); ok {
		messages, err := lmkit.ReadMessages(bytes.NewReader(asJSON(cell)))
		if err != nil {
			return fmt.Errorf("has messages that are none: %w", err)
		}
		x.Request.Messages = messages
	}
	if cell, ok := row.Cell("ids"); ok {
		var ids []token.ID
		if err := strict.Unmarshal(asJSON(cell), &ids); err != nil {
			return fmt.Errorf("has ids that are no list of whole numbers: %w", err)
		}
		x.Request.IDs = ids
	}
	return nil
}

// asJSON is a list as JSON; a table of texts has it as JSON already.
func asJSON(cell any) []byte {
	if text, is := cell.(string); is {
		return []byte(text)
	}
	b, _ := json.Marshal(cell) // it came from JSON
	return b
}

// said is the text of the question that a person would know it by.
func (x *Item) said() string {
	last := slices.IndexFunc(x.Request.Messages, func(m chat.Message) bool { return m.Role == chat.User })
	if last >= 0 {
		return x.Request.Messages[last].Content
	}
	return x.Request.Prompt
}
