package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/token"
)

// A token file is the IDs one after another, little-endian, with nothing around them: two bytes each where the
// vocabulary has at most 65,536 tokens, else four. (The train.bin of nanoGPT.) That of llm.c has a header before them,
// which says how many bytes they take.

// tokenBytes is how many bytes of a token file an ID takes.
func tokenBytes(vocab int) int {
	if vocab > math.MaxUint16+1 {
		return 4
	}
	return 2
}

// TokenFile is a Stream that stays on disk, whatever its size: each Copy reads what it needs, and the system keeps in
// memory what it has room for.
type TokenFile struct {
	file         *os.File
	start        int64 // where the first ID is
	tokens, each int
	vocab        int
}

// OpenTokens opens a token file whose IDs are below vocab. A file whose size is no multiple of an ID's is an error, as
// is one that is not made of such IDs where it is looked at: at its beginning, and here and there. An ID outside the
// vocabulary elsewhere is one when it is read.
func OpenTokens(path string, vocab int) (*TokenFile, error) {
	fail := func(err error) (*TokenFile, error) {
		return nil, fmt.Errorf("read tokens: %s: %w", path, plain(err))
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // before it is opened: a pipe would be waited for
		err = errors.New("not a file")
	}
	if err != nil {
		return fail(err)
	}
	file, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	f := &TokenFile{file: file, each: tokenBytes(vocab), vocab: vocab}
	if err := f.look(); err != nil {
		file.Close()
		return fail(err)
	}
	return f, nil
}

// Len is the number of tokens.
func (f *TokenFile) Len() int { return f.tokens }

// Close closes the file.
func (f *TokenFile) Close() error { return f.file.Close() }

// Copy reads the tokens from position from on.
func (f *TokenFile) Copy(dst []token.ID, from int) error {
	if err := f.copy(dst, from); err != nil {
		return fmt.Errorf("read tokens: %s: %w", f.file.Name(), plain(err))
	}
	return nil
}

func (f *TokenFile) copy(dst []token.ID, from int) error {
	if from < 0 || from > f.tokens || len(dst) > f.tokens-from {
		return fmt.Errorf("it has %d, not %d from position %d", f.tokens, len(dst), from)
	}
	buf := make([]byte, len(dst)*f.each)
	if _, err := f.file.ReadAt(buf, f.start+int64(from)*int64(f.each)); err != nil {
		return fmt.Errorf("%w: was it cut off meanwhile?", plain(err))
	}
	for i := range dst {
		id := uint32(0)
		if f.each == 2 {
			id = uint32(binary.LittleEndian.Uint16(buf[2*i:]))
		} else {
			id = binary.LittleEndian.Uint32(buf[4*i:])
		}
		if id >= uint32(f.vocab) {
			return fmt.Errorf("token %d is ID %d, and the vocabulary has %d: it was made with another tokenizer, or its IDs "+
				"do not take %d bytes each", from+i, id, f.vocab, f.each)
		}
		dst[i] = token.ID(id)
	}
	return nil
}

// TokenWriter writes a token file. The file is there, whole, once Commit has returned.
type TokenWriter struct {
	file  *whole.File
	to    *bufio.Writer
	vocab int
	buf   []byte
}

// CreateTokens begins the token file at path, for IDs below vocab.
func CreateTokens(path string, vocab int) (*TokenWriter, error) {
	f, err := whole.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write tokens: %s: %w", path, plain(err))
	}
	return &TokenWriter{file: f, to: bufio.NewWriterSize(f, 1<<20), vocab: vocab}, nil
}

// Append writes tokens after those that are there.
func (w *TokenWriter) Append(ids []token.ID) error {
	w.buf = w.buf[:0]
	for _, id := range ids {
		if id < 0 || int(id) >= w.vocab {
			return fmt.Errorf("write tokens: ID %d is outside the vocabulary of %d", id, w.vocab)
		}
		if tokenBytes(w.vocab) == 2 {
			w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(id))
		} else {
			w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(id))
		}
	}
	if _, err := w.to.Write(w.buf); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	return nil
}

// Commit puts the file in its place.
func (w *TokenWriter) Commit() error {
	if err := w.to.Flush(); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	if err := w.file.Commit(); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	return nil
}

// Close drops a file that was not committed. After Commit it does nothing.
func (w *TokenWriter) Close() error { return w.file.Close() }

// Section is the part of a stream from position from up to, but not including, to.
func Section(s Stream, from, to int) (Stream, error) {
	if from < 0 || to > s.Len() || from > to {
		return nil, fmt.Errorf("positions %d to %d of a stream of %d tokens", from, to, s.Len())
	}
	return section{s, from, to - from}, nil
}

type section struct {
	Stream
	from, n int
}

func (s section) Len() int { return s.n }

func (s section) Copy(dst []token.ID, from int) error {
	if from < 0 || from > s.n || len(dst) > s.n-from {
		return fmt.Errorf("read %d tokens from position %d: the stream has %d", len(dst), from, s.n)
	}
	return s.Stream.Copy(dst, s.from+from)
}
