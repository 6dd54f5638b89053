package bias

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// largest is how large a file of sentences may be: none that is published comes near it.
const largest = 256 << 20

// readWhole reads a file of text, without a mark of its byte order.
func readWhole(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	if !info.Mode().IsRegular() { // a device may never end
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if info.Size() > largest {
		return nil, fmt.Errorf("%s has %d MB: a file of sentences has %d at most", path, info.Size()>>20, largest>>20)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%s is no UTF-8 text", path)
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// jsonLines calls read with each line of a file that is not empty.
func jsonLines(path string, read func(line int, text []byte)) error {
	text, err := readWhole(path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for n := 1; lines.Scan(); n++ {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			read(n, line)
		}
	}
	return lines.Err()
}

// table calls read with each row of a table, and with what gives its cells by the names of their columns. Rows that
// are none are written down as broken.
func table(path string, comma rune, read func(line int, cell func(string) string), s *Suite, columns ...string) error {
	in, head, err := open(path, comma)
	if err != nil {
		return err
	}
	if lacks := missing(head, columns); lacks != nil {
		return fmt.Errorf("%s has no column %s; it has %s", path, strings.Join(lacks, ", "), strings.Join(head, ", "))
	}
	for {
		row, err := in.Read()
		if err == io.EOF {
			return nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			s.wrong(path, syntax.StartLine, "is no row of the table: %v", syntax.Err)
			continue
		}
		if err != nil {
			return err
		}
		line, _ := in.FieldPos(0)
		if len(row) != len(head) {
			s.wrong(path, line, "has %d columns of %d", len(row), len(head))
			continue
		}
		cell := func(name string) string {
			if i := slices.Index(head, name); i >= 0 {
				return row[i]
			}
			return ""
		}
		read(line, cell)
	}
}

// open returns the rows of a table, and the names of its columns.
func open(path string, comma rune) (*csv.Reader, []string, error) {
	text, err := readWhole(path)
	if err != nil {
		return nil, nil, err
	}
	in := csv.NewReader(bytes.NewReader(text))
	in.FieldsPerRecord, in.Comma, in.LazyQuotes = -1, comma, comma == '\t'
	head, err := in.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("%s has no line with the names of its columns", path)
	}
	return in, head, nil
}
