package corpus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"unicode/utf8"
)

// pieceBytes is how much of a file is held at a time.
const pieceBytes = 4 << 20

// Pieces reads the files that [Files] reads, a few megabytes at a time. A piece ends after a single line break that
// text follows, so that the tokens of the pieces are those of the whole; where there is none, it ends at any line
// break, or else after a whole character. Between two files stands the separator, unless the first ends with it.
func Pieces(separator string, paths ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		files, err := list(paths)
		if err != nil {
			yield("", err)
			return
		}
		for i, path := range files {
			end := ""
			whole := pieces(path, pieceBytes, func(piece string, err error) bool {
				end = piece
				return yield(piece, err)
			})
			if !whole || i < len(files)-1 && !strings.HasSuffix(end, separator) && !yield(separator, nil) {
				return
			}
		}
	}
}

// pieces yields a file, and reports whether to go on.
func pieces(path string, size int, yield func(string, error) bool) bool {
	fail := func(err error) bool {
		yield("", fmt.Errorf("read corpus: %s: %w", path, plain(err)))
		return false
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a device may never end
		err = errors.New("is not a file or folder")
	}
	if err != nil {
		return fail(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	buf, held, first := make([]byte, size), 0, true
	for {
		n, err := io.ReadFull(f, buf[held:])
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fail(err)
		}
		text := buf[:held+n]
		end := len(text)
		if !last {
			end = cut(text)
		}
		piece := text[:end]
		if first {
			piece = bytes.TrimPrefix(piece, []byte("\ufeff"))
		}
		if len(piece) > 0 || first {
			if err := checkText(string(piece)); err != nil {
				yield("", fmt.Errorf("read corpus: %s %w", path, err))
				return false
			}
			if !yield(string(piece), nil) {
				return false
			}
		}
		first = false
		if last {
			return true
		}
		held = copy(buf, text[end:])
	}
}

// cut is where a piece that is not the last one of its file ends.
func cut(text []byte) int {
	any := 0
	for i := len(text) - 2; i > 0; i-- {
		if text[i] != '\n' {
			continue
		}
		if any == 0 {
			any = i + 1
		}
		if !space(text[i-1]) && !space(text[i+1]) {
			return i + 1
		}
	}
	if any > 0 {
		return any
	}
	end := len(text)
	for back := 1; back <= utf8.UTFMax && back < len(text); back++ {
		if utf8.RuneStart(text[len(text)-back]) {
			if !utf8.FullRune(text[len(text)-back:]) {
				end = len(text) - back
			}
			break
		}
	}
	return end
}

func space(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }
