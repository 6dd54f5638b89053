package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// readParquet reads the rows of the column "text", each as one line. Data sets write a blank line of WikiText, " \n"
// in the original files, as an empty row: here it is a blank line again.
func readParquet(path string) (Document, error) {
	text := ""
	err := withParquet(path, func(r io.ReaderAt, size int64) (err error) {
		text, err = parquetText(r, size)
		return err
	})
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return Document{}, fmt.Errorf("read corpus: %s: %w", path, file.Err)
	case err != nil:
		return Document{}, fmt.Errorf("read corpus: %s: not a Parquet file with text: %w", path, err)
	}
	if err := checkText(text); err != nil {
		return Document{}, fmt.Errorf("read corpus: %s %w", path, err)
	}
	return Document{Name: path, Text: text}, nil
}

// withParquet opens a file for a reader of parts of it.
func withParquet(path string, read func(r io.ReaderAt, size int64) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return read(f, info.Size())
}

func parquetText(r io.ReaderAt, size int64) (string, error) {
	p, err := openParquet(r, size, 0, func(all []parquetColumn) ([]string, error) {
		if !slices.Contains(all, parquetColumn{"text", holdsText}) {
			return nil, errors.New(`it has no column "text" of strings`)
		}
		return []string{"text"}, nil
	})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = p.each(func(_ int64, cells []any) error {
		line, _ := cells[0].(string)
		if line == "" {
			line = " \n"
		}
		b.WriteString(line)
		if line[len(line)-1] != '\n' {
			b.WriteByte('\n')
		}
		return nil
	})
	return b.String(), err
}

// parquetColumn is a column of a Parquet file, and what it holds: texts, numbers, or "", what is not read.
type parquetColumn struct{ name, holds string }

const (
	holdsText   = "texts"
	holdsNumber = "numbers"
)

// parquetReader reads rows of columns of a Parquet file.
type parquetReader struct {
	r     io.ReaderAt
	size  int64
	file  *parquet.File
	names []string // of the columns that are read
	row   int64    // the next one
	group int      // of rows, the one that it is in or before
	first int64    // row of that group
	cells []*cellReader
}

// openParquet opens a file to read the columns that choose says, of those that there are, from a row on.
func openParquet(r io.ReaderAt, size, from int64, choose func(all []parquetColumn) ([]string, error)) (
	p *parquetReader, err error,
) {
	defer damaged(&err)
	if err := checkFooter(r, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	var all []parquetColumn
	for _, c := range f.Root().Columns() {
		all = append(all, parquetColumn{c.Name(), holds(f, c.Name())})
	}
	p = &parquetReader{r: r, size: size, file: f, row: from}
	p.names, err = choose(all)
	return p, err
}

// damaged makes an error of a panic: the reader trusts some of what a damaged file claims.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("it is damaged: %v", p)
	}
}

// each gives each row to take, a text or a number a column, nil where there is none, until take returns an error.
func (p *parquetReader) each(take func(row int64, cells []any) error) (err error) {
	defer func() { err = errors.Join(err, p.close()) }()
	for {
		columns, err := p.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range columns[0] {
			cells := make([]any, len(columns))
			for k, c := range columns {
				cells[k] = c[i]
			}
			if err := take(p.row, cells); err != nil {
				return err
			}
			p.row++
		}
	}
}

// next reads some rows, a column after the other. The error is io.EOF where there are no more.
func (p *parquetReader) next() (columns [][]any, err error) {
	defer damaged(&err)
	for {
		if p.cells == nil {
			if err := p.open(); err != nil {
				return nil, err
			}
		}
		for _, c := range p.cells {
			cells, err := c.read(256)
			if err != nil {
				return nil, err
			}
			if columns = append(columns, cells); len(cells) != len(columns[0]) {
				return nil, errDamaged
			}
		}
		if len(columns[0]) > 0 {
			return columns, nil
		}
		columns = nil
		if err := p.end(); err != nil {
			return nil, err
		}
	}
}

// open begins the group that the next row is in. The error is io.EOF where there is none.
func (p *parquetReader) open() error {
	groups := p.file.RowGroups()
	for p.group < len(groups) && p.row >= p.first+groups[p.group].NumRows() {
		p.pass(groups[p.group])
	}
	if p.group == len(groups) {
		return io.EOF
	}
	chunks, claims := groups[p.group].ColumnChunks(), p.file.Metadata().RowGroups[p.group].Columns
	for _, name := range p.names {
		column, _ := p.file.Schema().Lookup(name)
		if column.ColumnIndex >= min(len(chunks), len(claims)) {
			return errors.New("it is damaged: a group of rows lacks a column")
		}
		if err := checkPages(p.r, p.size, claims[column.ColumnIndex].MetaData); err != nil {
			return err
		}
		c := &cellReader{pages: chunks[column.ColumnIndex].Pages()}
		p.cells = append(p.cells, c)
		if p.row > p.first {
			if err := c.pages.SeekToRow(p.row - p.first); err != nil {
				return err
			}
		}
	}
	return nil
}

// pass goes on to the next group.
func (p *parquetReader) pass(group parquet.RowGroup) {
	p.first += group.NumRows()
	p.group++
}

// end ends the group that is being read, of which no row is left.
func (p *parquetReader) end() error {
	p.pass(p.file.RowGroups()[p.group])
	if p.row != p.first {
		return errDamaged
	}
	return p.close()
}

// close gives free what the group takes.
func (p *parquetReader) close() (err error) {
	for _, c := range p.cells {
		err = errors.Join(err, c.pages.Close())
	}
	p.cells = nil
	return err
}

// cellReader reads the cells of a column of a group of rows.
type cellReader struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader // of the page; nil: the next one has not been read
}

// read returns the next n cells, or those that are left.
func (c *cellReader) read(n int) (cells []any, err error) {
	values := make([]parquet.Value, n)
	for len(cells) < n {
		if c.values == nil {
			if c.page, err = c.pages.ReadPage(); err == io.EOF {
				return cells, nil
			} else if err != nil {
				return nil, err
			}
			c.values = c.page.Values()
		}
		got, err := c.values.ReadValues(values[:n-len(cells)])
		for _, v := range values[:got] {
			cells = append(cells, cellOf(v))
		}
		switch {
		case err == io.EOF:
			parquet.Release(c.page)
			c.values = nil
		case err != nil:
			return nil, err
		case got == 0:
			return nil, io.ErrNoProgress
		}
	}
	return cells, nil
}

// holds says what a column holds.
func holds(f *parquet.File, name string) string {
	column, ok := f.Schema().Lookup(name)
	if !ok || column.MaxRepetitionLevel > 0 {
		return ""
	}
	switch t := column.Node.Type(); t.Kind() {
	case parquet.ByteArray:
		return holdsText
	case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double:
		return holdsNumber
	}
	return ""
}

// cellOf returns a value of a Parquet file as Go has it; nil for none.
func cellOf(v parquet.Value) any {
	switch v.Kind() {
	case parquet.ByteArray:
		return string(v.ByteArray())
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return v.Int32()
	case parquet.Int64:
		return v.Int64()
	case parquet.Float:
		return v.Float()
	case parquet.Double:
		return v.Double()
	}
	return nil
}

// The reader allocates what a file claims to hold. checkFooter and checkPages compare the claims with what is there.

var errDamaged = errors.New("it is damaged: it claims more than it holds")

func checkFooter(r io.ReaderAt, size int64) error {
	const marks = 12 // "PAR1", and after the footer its length and "PAR1"
	if size < marks {
		return errors.New("it is too short")
	}
	var length [4]byte
	if _, err := r.ReadAt(length[:], size-8); err != nil {
		return err
	}
	if int64(binary.LittleEndian.Uint32(length[:])) > size-marks {
		return errDamaged
	}
	return nil
}

func checkPages(r io.ReaderAt, size int64, chunk format.ColumnMetaData) error {
	const (
		ratio = 1100     // more than deflate can compress, its bound being 1032
		free  = 64 << 20 // bytes that any page may have: other methods have no bound
	)
	from, length := chunk.DataPageOffset, chunk.TotalCompressedSize
	if dictionary := chunk.DictionaryPageOffset; dictionary > 0 {
		from = dictionary
	}
	if from < 0 || length < 0 || from > size || length > size-from {
		return errDamaged
	}
	section := io.NewSectionReader(r, from, length)
	buffer := bufio.NewReader(section)
	decoder := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReader(buffer))
	for {
		if _, err := buffer.Peek(1); err == io.EOF {
			return nil
		}
		var page format.PageHeader
		if err := decoder.Decode(&page); err != nil {
			return err
		}
		packed, unpacked := int64(page.CompressedPageSize), int64(page.UncompressedPageSize)
		read, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		left := length - read + int64(buffer.Buffered())
		if packed < 0 || packed > left || unpacked > max(free, ratio*packed) {
			return errDamaged
		}
		if _, err := buffer.Discard(int(packed)); err != nil {
			return err
		}
	}
}
