package corpus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// readParquet reads the rows of the column "text", each as one line. Data sets write a blank line of WikiText, " \n" in the
// original files, as an empty row: here it is a blank line again.
func readParquet(path string) (Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return Document{}, fmt.Errorf("read corpus: %s: %w", path, plain(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Document{}, fmt.Errorf("read corpus: %s: %w", path, plain(err))
	}
	text, err := parquetText(f, info.Size())
	if err != nil {
		return Document{}, fmt.Errorf("read corpus: %s: not a Parquet file with text: %w", path, err)
	}
	if err := checkText(text); err != nil {
		return Document{}, fmt.Errorf("read corpus: %s %w", path, err)
	}
	return Document{Name: path, Text: text}, nil
}

func parquetText(r io.ReaderAt, size int64) (text string, err error) {
	defer func() {
		if p := recover(); p != nil { // the reader trusts some of what a damaged file claims
			text, err = "", fmt.Errorf("it is damaged: %v", p)
		}
	}()
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return "", err
	}
	column, ok := f.Schema().Lookup("text")
	if !ok || column.Node.Type().Kind() != parquet.ByteArray || column.MaxRepetitionLevel > 0 {
		return "", errors.New(`it has no column "text" of strings`)
	}
	var b strings.Builder
	for _, group := range f.RowGroups() {
		chunks := group.ColumnChunks()
		if column.ColumnIndex >= len(chunks) {
			return "", errors.New("it is damaged: a group of rows lacks a column")
		}
		if err := appendRows(&b, chunks[column.ColumnIndex]); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func appendRows(b *strings.Builder, chunk parquet.ColumnChunk) (err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	values := make([]parquet.Value, 256)
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for reader := page.Values(); ; {
			n, err := reader.ReadValues(values)
			for _, v := range values[:n] {
				line := v.ByteArray()
				if len(line) == 0 {
					line = []byte(" \n")
				}
				b.Write(line)
				if line[len(line)-1] != '\n' {
					b.WriteByte('\n')
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if n == 0 {
				return io.ErrNoProgress
			}
		}
		parquet.Release(page)
	}
}
