package corpus

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"lmkit.internal/lmkit/internal/strict"
)

// Row is a row of a table, or a line of it that is none.
type Row struct {
	Line   int      // of the file; of a Parquet file the number of the row, from 1 on
	Offset int64    // of the file's bytes, how many are before it; of a Parquet file how many rows
	Names  []string // of its columns, in the file's order; those of JSON are sorted
	Cells  []any    // what stands in them: texts; of JSON what encoding/json reads with UseNumber; of Parquet numbers, too
	Broken string   // why the line is no row, as the end of a sentence that begins with its number; "": it is one
}

// Place is where a row begins, for RowsFrom to begin there. The zero value is the file's first row.
type Place struct {
	Line   int   `json:"line"`
	Offset int64 `json:"offset"`
}

// Place returns where the row begins.
func (r Row) Place() Place { return Place{r.Line, r.Offset} }

// Cell returns what stands in a column. ok says whether the row has the column, and something in it.
func (r Row) Cell(name string) (cell any, ok bool) {
	i := slices.Index(r.Names, name)
	if i < 0 || r.Cells[i] == nil || r.Cells[i] == "" {
		return nil, false
	}
	return r.Cells[i], true
}

// Text returns a column as a text: numbers and truth values as they are written, lists and objects as JSON. ok says
// whether the row has the column, and something in it.
func (r Row) Text(name string) (text string, ok bool) {
	cell, ok := r.Cell(name)
	if !ok {
		return "", false
	}
	switch cell := cell.(type) {
	case string:
		return cell, true
	case []any, map[string]any:
		b, err := json.Marshal(cell)
		return string(b), err == nil
	}
	return fmt.Sprint(cell), true
}

// Rows reads a file as a table, a row at a time: .jsonl has an object a line, .csv and .tsv begin with the names of
// their columns, .parquet has texts and numbers (of other columns none is read).
// Any other file is lines of text, each a row with the one column "text"; those that are empty are no rows. A line that
// is no row is yielded as broken, and the others go on; an error is about the whole file, and ends it.
func Rows(path string) iter.Seq2[Row, error] { return RowsFrom(path, Place{}) }

// RowsFrom is Rows from one of the rows on, without reading what is before it. Of a Parquet file no more than the group
// of rows that it is in is read again.
func RowsFrom(path string, from Place) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if err := readRows(path, from, func(r Row) bool { return yield(r, nil) }); err != nil {
			yield(Row{}, fmt.Errorf("read %s: %w", path, plain(err)))
		}
	}
}

// readRows gives each row of a file to take, until it returns false.
func readRows(path string, from Place, take func(Row) bool) (err error) {
	t := rowReader{take, from}
	switch ext := extension(path); ext {
	case ".csv", ".tsv":
		err = withFile(path, func(f io.ReadSeeker) error { return t.csv(f, ext == ".tsv") })
	case ".jsonl", ".ndjson":
		err = withFile(path, t.jsonLines)
	case ".parquet":
		err = t.parquet(path)
	case ".json":
		err = errors.New("it is one JSON value, and no table: write an object a line, as .jsonl")
	default:
		err = withFile(path, t.lines)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// IsTable reports whether a file has columns, as its name tells, and not lines of text.
func IsTable(path string) bool { return isTable(extension(path)) }

func isTable(extension string) bool {
	return slices.Contains([]string{".csv", ".tsv", ".parquet", ".jsonl", ".ndjson"}, extension)
}

func extension(path string) string { return strings.ToLower(filepath.Ext(path)) }

// errEnough ends the reading of a table when no more rows are asked for.
var errEnough = errors.New("enough")

// rowReader reads the rows of a file.
type rowReader struct {
	take func(Row) bool // takes each; false: no more
	from Place          // the first one
}

func (t rowReader) give(r Row) error {
	if !t.take(r) {
		return errEnough
	}
	return nil
}

func (t rowReader) lines(f io.ReadSeeker) error {
	return eachFrom(f, t.from, func(at Place, line string) error {
		row := Row{Line: at.Line, Offset: at.Offset}
		if !utf8.ValidString(line) {
			row.Broken = notUTF8
		} else {
			row.Names, row.Cells = []string{"text"}, []any{line}
		}
		return t.give(row)
	})
}

const notUTF8 = "is no UTF-8 text"

func (t rowReader) csv(f io.ReadSeeker, tabs bool) error {
	reader := func() *csv.Reader {
		in := csv.NewReader(f)
		in.FieldsPerRecord = -1
		if tabs {
			in.Comma, in.LazyQuotes = '\t', true
		}
		return in
	}
	in := reader()
	head, err := in.Read()
	if err != nil {
		return fmt.Errorf("it has no line with the names of its columns: %w", err)
	}
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	if t.from.Offset > 0 {
		if _, err := f.Seek(t.from.Offset, io.SeekStart); err != nil {
			return err
		}
		in = reader()
	}
	lines := -1 // before the place where reading began
	for {
		row := Row{Names: head, Offset: t.from.Offset + in.InputOffset()}
		cells, err := in.Read()
		if err == io.EOF {
			return nil
		}
		var syntax *csv.ParseError
		switch {
		case errors.As(err, &syntax):
			row.Line, row.Broken = syntax.StartLine, fmt.Sprintf("is no row of the table: %v", syntax.Err)
		case err != nil:
			return err
		default:
			row.Line, _ = in.FieldPos(0)
			row.fill(cells)
		}
		if lines < 0 {
			lines = max(0, t.from.Line-row.Line)
		}
		row.Line += lines
		if err := t.give(row); err != nil {
			return err
		}
	}
}

// fill takes the cells of a line, of which there must be as many as names.
func (r *Row) fill(cells []string) {
	if len(cells) != len(r.Names) {
		r.Broken = fmt.Sprintf("has %d columns of %d", len(cells), len(r.Names))
	}
	for _, c := range cells {
		if !utf8.ValidString(c) {
			r.Broken = notUTF8
		}
		r.Cells = append(r.Cells, c)
	}
}

func (t rowReader) jsonLines(f io.ReadSeeker) error {
	return eachFrom(f, t.from, func(at Place, line string) error {
		row := Row{Line: at.Line, Offset: at.Offset}
		var object map[string]any
		in := json.NewDecoder(strings.NewReader(line))
		in.UseNumber()
		switch err := in.Decode(&object); {
		case !utf8.ValidString(line):
			row.Broken = notUTF8
		case err != nil || object == nil || strings.TrimSpace(line[in.InputOffset():]) != "":
			row.Broken = "is no JSON object"
		default:
			if err := strict.Once([]byte(line)); err != nil {
				row.Broken = fmt.Sprintf("has no one meaning: %v", err)
			}
		}
		if row.Broken == "" {
			for name := range object {
				row.Names = append(row.Names, name)
			}
			slices.Sort(row.Names)
			for _, name := range row.Names {
				row.Cells = append(row.Cells, object[name])
			}
		}
		return t.give(row)
	})
}

func (t rowReader) parquet(path string) error {
	return withParquet(path, func(f io.ReaderAt, size int64) error {
		p, err := openParquet(f, size, t.from.Offset, func(all []parquetColumn) (names []string, err error) {
			for _, c := range all {
				if c.holds != "" {
					names = append(names, c.name)
				}
			}
			if names == nil {
				err = errors.New("it has no column of texts or numbers")
			}
			return names, err
		})
		if err != nil {
			return err
		}
		return p.each(func(n int64, cells []any) error {
			row := Row{Line: int(n) + 1, Offset: n, Names: p.names, Cells: cells}
			for _, c := range cells {
				if s, is := c.(string); is && !utf8.ValidString(s) {
					row.Broken = notUTF8
				}
			}
			return t.give(row)
		})
	})
}

func withFile(path string, read func(io.ReadSeeker) error) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a device may never end
		err = errors.New("is not a file")
	}
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(read(f), f.Close())
}

// longestLine bounds what a line may take: a file without line breaks is no table.
const longestLine = 64 << 20

// eachFrom calls read with each line that is not empty, and where it begins, until it returns an error.
func eachFrom(f io.ReadSeeker, from Place, read func(at Place, line string) error) error {
	if _, err := f.Seek(from.Offset, io.SeekStart); err != nil {
		return err
	}
	at, next := from, from.Offset
	s := bufio.NewScanner(f)
	s.Buffer(nil, longestLine)
	s.Split(func(data []byte, atEnd bool) (int, []byte, error) {
		n, line, err := bufio.ScanLines(data, atEnd)
		next += int64(n)
		return n, line, err
	})
	for at.Line = max(1, at.Line); s.Scan(); at = (Place{at.Line + 1, next}) {
		line := strings.TrimSuffix(s.Text(), "\r")
		if at.Line == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) != "" {
			if err := read(at, line); err != nil {
				return err
			}
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line is longer than %d MB", longestLine>>20)
	}
	return s.Err()
}
