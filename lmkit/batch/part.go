package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/whole"
)

// Packed is a row of a part that is Parquet: the columns that most readers look for, and the whole result.
type Packed struct {
	Line   int64  `parquet:"line" json:"line"`
	ID     string `parquet:"id" json:"id"`
	Label  string `parquet:"label" json:"label"`
	Prompt string `parquet:"prompt" json:"prompt"`
	JSON   string `parquet:"json,zstd" json:"-"` // the line that it is in the other format
}

// file is what a part is written to.
func (j Job) file(part Part) string {
	name := fmt.Sprintf(partFile, part.Index)
	if j.Parquet {
		name = strings.TrimSuffix(name, "jsonl") + "parquet"
	}
	return filepath.Join(j.Out, name)
}

// made reports whether a part is there.
func (j Job) made(part Part) bool {
	_, err := os.Stat(j.file(part))
	return err == nil
}

// write makes the files of a part of its rows: failures first, since a part that is there is done.
func (j Job) write(part Part, rows []outcome) error {
	var good, bad bytes.Buffer
	var packed []Packed
	for _, r := range rows {
		switch {
		case r.failed:
			bad.Write(r.line)
		case j.Parquet:
			x := Packed{JSON: strings.TrimSuffix(string(r.line), "\n")}
			if err := json.Unmarshal(r.line, &x); err != nil {
				return err
			}
			packed = append(packed, x)
		default:
			good.Write(r.line)
		}
	}
	if j.Parquet {
		if err := parquet.Write(&good, packed); err != nil {
			return err
		}
	}
	if bad.Len() > 0 {
		if err := whole.Write(filepath.Join(j.Out, fmt.Sprintf(failedFile, part.Index)), bad.Bytes()); err != nil {
			return err
		}
	}
	return whole.Write(j.file(part), good.Bytes())
}

// packedLines yields the results of a part that is Parquet, as lines.
func packedLines(name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for row, err := range corpus.Rows(name) {
			text, ok := row.Text("json")
			if err == nil && !ok {
				err = errors.New(name + " has no column json, and is no part of results")
			}
			if !yield([]byte(text), err) || err != nil {
				return
			}
		}
	}
}
