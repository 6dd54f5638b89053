package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	rows, err := parquetColumns(r, size, func([]string) ([]string, error) { return []string{"text"}, nil })
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, line := range rows[0] {
		if line == "" {
			line = " \n"
		}
		b.WriteString(line)
		if line[len(line)-1] != '\n' {
			b.WriteByte('\n')
		}
	}
	return b.String(), nil
}

// parquetColumns reads columns of a Parquet file, a text a row. Which ones choose says, of those that there are.
func parquetColumns(r io.ReaderAt, size int64, choose func(names []string) ([]string, error)) (
	rows [][]string, err error,
) {
	defer func() {
		if p := recover(); p != nil { // the reader trusts some of what a damaged file claims
			rows, err = nil, fmt.Errorf("it is damaged: %v", p)
		}
	}()
	if err := checkFooter(r, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range f.Root().Columns() {
		names = append(names, c.Name())
	}
	chosen, err := choose(names)
	if err != nil {
		return nil, err
	}
	rows = make([][]string, len(chosen))
	for i, name := range chosen {
		if rows[i], err = parquetColumn(f, r, size, name); err != nil {
			return nil, err
		}
		if len(rows[i]) != len(rows[0]) {
			return nil, errDamaged
		}
	}
	return rows, nil
}

// parquetColumn reads one column of texts.
func parquetColumn(f *parquet.File, r io.ReaderAt, size int64, name string) (rows []string, err error) {
	column, ok := f.Schema().Lookup(name)
	if !ok || column.Node.Type().Kind() != parquet.ByteArray || column.MaxRepetitionLevel > 0 {
		return nil, fmt.Errorf("it has no column %q of strings", name)
	}
	for i, group := range f.RowGroups() {
		chunks, claims := group.ColumnChunks(), f.Metadata().RowGroups[i].Columns
		if column.ColumnIndex >= min(len(chunks), len(claims)) {
			return nil, errors.New("it is damaged: a group of rows lacks a column")
		}
		if err := checkPages(r, size, claims[column.ColumnIndex].MetaData); err != nil {
			return nil, err
		}
		if rows, err = appendRows(rows, chunks[column.ColumnIndex]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func appendRows(rows []string, chunk parquet.ColumnChunk) (_ []string, err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	values := make([]parquet.Value, 256)
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		for reader := page.Values(); ; {
			n, err := reader.ReadValues(values)
			for _, v := range values[:n] {
				rows = append(rows, string(v.ByteArray()))
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			if n == 0 {
				return nil, io.ErrNoProgress
			}
		}
		parquet.Release(page)
	}
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
