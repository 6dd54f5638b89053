package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// readParquet reads the rows of the column "text", each as one line. Data sets write a blank line of WikiText, " \n"
// in the original files, as an empty row: here it is a blank line again.
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
	if err := checkFooter(r, size); err != nil {
		return "", err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return "", err
	}
	column, ok := f.Schema().Lookup("text")
	if !ok || column.Node.Type().Kind() != parquet.ByteArray || column.MaxRepetitionLevel > 0 {
		return "", errors.New(`it has no column "text" of strings`)
	}
	var b strings.Builder
	for i, group := range f.RowGroups() {
		chunks, claims := group.ColumnChunks(), f.Metadata().RowGroups[i].Columns
		if column.ColumnIndex >= min(len(chunks), len(claims)) {
			return "", errors.New("it is damaged: a group of rows lacks a column")
		}
		if err := checkPages(r, size, claims[column.ColumnIndex].MetaData); err != nil {
			return "", err
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
