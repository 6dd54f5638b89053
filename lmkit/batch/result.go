package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/lm"
)

// Result is the explanation of one item: a line of JSON in a part of a folder of results. Its attributions and its
// matrix are those of lmkit.Answer, but for their seconds, which are 0: the same items give the same bytes.
type Result struct {
	Line  int    `json:"line"`            // of the file of items
	ID    string `json:"id,omitempty"`    // as the item has it
	Label string `json:"label,omitempty"` // what is right, as the item has it
	// Prompt is the text that was asked about; of a conversation what its user says first.
	Prompt       string                 `json:"prompt,omitempty"`
	Meta         map[string]any         `json:"meta,omitempty"` // the item's other columns
	Attributions []*explain.Attribution `json:"attributions,omitempty"`
	Matrix       *explain.Matrix        `json:"matrix,omitempty"`
	Notes        []string               `json:"notes,omitempty"` // what was left out or chosen, and why
}

// Failure is a row without an explanation: a line of JSON in a file beside the parts.
type Failure struct {
	Line  int    `json:"line"`
	ID    string `json:"id,omitempty"`
	Error string `json:"error"`
}

// String is the failure as a line for a person: where the row stands in its file, and what is wrong with it.
func (f Failure) String() string { return fmt.Sprintf("line %d %s", f.Line, f.Error) }

// Explain explains an item.
func Explain(ctx context.Context, m *lm.Model, x Item) (Result, error) {
	r := Result{Line: x.Line, ID: x.ID, Label: x.Label, Prompt: x.said(), Meta: x.Meta}
	if x.Wrong != "" {
		return r, errors.New(x.Wrong)
	}
	a, err := x.Request.Answer(ctx, m)
	if err != nil {
		return r, err
	}
	r.Attributions, r.Matrix, r.Notes = a.Attributions, a.Matrix, a.Notes
	for _, a := range r.Attributions {
		a.Cost.Seconds, a.Cost.CompileSeconds = 0, 0
	}
	if r.Matrix != nil {
		r.Matrix.Cost.Seconds, r.Matrix.Cost.CompileSeconds = 0, 0
	}
	return r, nil
}

// written is a result as it is written: what package explain writes stands in it as it is.
type written struct {
	Line         int             `json:"line"`
	ID           string          `json:"id,omitempty"`
	Label        string          `json:"label,omitempty"`
	Prompt       string          `json:"prompt,omitempty"`
	Meta         map[string]any  `json:"meta,omitempty"`
	Attributions json.RawMessage `json:"attributions,omitempty"`
	Matrix       json.RawMessage `json:"matrix,omitempty"`
	Notes        []string        `json:"notes,omitempty"`
}

// encode returns the line that a result is.
func (r Result) encode() ([]byte, error) {
	w := written{Line: r.Line, ID: r.ID, Label: r.Label, Prompt: r.Prompt, Meta: r.Meta, Notes: r.Notes}
	var b bytes.Buffer
	if len(r.Attributions) > 0 {
		if err := explain.Write(&b, r.Attributions...); err != nil {
			return nil, err
		}
		w.Attributions = bytes.Clone(b.Bytes())
		if len(r.Attributions) == 1 {
			w.Attributions = append(append([]byte("["), w.Attributions...), ']')
		}
	}
	if r.Matrix != nil {
		b.Reset()
		if err := explain.WriteMatrix(&b, r.Matrix); err != nil {
			return nil, err
		}
		w.Matrix = b.Bytes()
	}
	return line(w)
}

// line is a value as one line of JSON.
func line(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// decode reads what encode wrote.
func decode(data []byte) (r Result, err error) {
	var w written
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	if err := in.Decode(&w); err != nil {
		return r, fmt.Errorf("is no result: %w", strict.Plain(err))
	}
	r = Result{Line: w.Line, ID: w.ID, Label: w.Label, Prompt: w.Prompt, Meta: w.Meta, Notes: w.Notes}
	if w.Attributions != nil {
		if r.Attributions, err = explain.Read(bytes.NewReader(w.Attributions)); err != nil {
			return r, err
		}
	}
	if w.Matrix != nil {
		if r.Matrix, err = explain.ReadMatrix(bytes.NewReader(w.Matrix)); err != nil {
			return r, err
		}
	}
	if len(r.Attributions) == 0 && r.Matrix == nil {
		return r, errors.New("holds no explanation")
	}
	return r, nil
}

// outcome is what came of an item.
type outcome struct {
	line   []byte
	failed bool // the line is a Failure
	broken bool // the row was no item
	reason string
}
