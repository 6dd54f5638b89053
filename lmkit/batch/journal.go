package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lmkit.internal/lmkit/internal/whole"
)

// journal is the part that is being made: a file with a line that says which one, and a line for each of its rows that
// is done. A killed run loses no more than the rows that it was asking about.
type journal struct {
	dir  string
	file *os.File
	part int
	rows []outcome
}

// head is the first line of a journal.
type head struct {
	Part *int `json:"unfinished_part"`
}

// openJournal opens the journal of a folder, and reads what a stopped run left in it. It fails where another process
// is writing to the folder.
func openJournal(dir string) (*journal, error) {
	f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the results in %s: %w", dir, plain(err))
	}
	j := &journal{dir: dir, file: f, part: -1}
	if !whole.Claim(f) {
		return nil, errors.Join(fmt.Errorf("another run is writing to %s; wait for its end, or choose another folder", dir),
			f.Close())
	}
	return j, j.read()
}

// read takes the lines of a stopped run, up to the first that is not whole.
func (j *journal) read() error {
	data, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		text, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole || !json.Valid(text) {
			return nil
		}
		data = rest
		if first {
			var h head
			if json.Unmarshal(text, &h) != nil || h.Part == nil {
				return nil
			}
			j.part = *h.Part
			continue
		}
		var f Failure
		failed := json.Unmarshal(text, &f) == nil && f.Error != ""
		j.rows = append(j.rows, outcome{line: append(text, '\n'), failed: failed})
	}
}

// begin takes up a part, with the rows of it that are done already, which it returns: whole groups of so many.
func (j *journal) begin(part, group int) (kept []outcome, err error) {
	h, err := line(head{&part})
	if err != nil {
		return nil, err
	}
	size := 0
	if j.part == part {
		kept, size = j.rows[:len(j.rows)/group*group], len(h)
		for _, r := range kept {
			size += len(r.line)
		}
	}
	j.part, j.rows = part, kept
	if err := j.file.Truncate(int64(size)); err != nil {
		return nil, err
	}
	if _, err := j.file.Seek(int64(size), io.SeekStart); err != nil || size > 0 {
		return kept, err
	}
	_, err = j.file.Write(h)
	return nil, err
}

// add writes what came of some rows.
func (j *journal) add(rows []outcome) error {
	var b bytes.Buffer
	for _, r := range rows {
		b.Write(r.line)
	}
	j.rows = append(j.rows, rows...)
	_, err := j.file.Write(b.Bytes())
	return err
}

// close gives the folder free. The journal of a run that is done goes.
func (j *journal) close(done bool) error {
	var gone error
	if done {
		gone = os.Remove(j.file.Name())
	}
	return errors.Join(gone, j.file.Close())
}
