package corpus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lmkit.internal/lmkit/internal/kind"
	"lmkit.internal/lmkit/token"
)

// The header of llm.c's token files is 256 int32: a number that says what the file is, a version, how many IDs follow,
// and zeros.
const headerBytes = 256 * 4

// headers are the first number of such a header, and how many bytes an ID takes behind it.
var headers = map[uint32]int{20240520: 2, 20240801: 4}

// look finds out how the file is built, and whether its size and a sample of its IDs agree with that.
func (f *TokenFile) look() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, headerBytes)
	n, err := f.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	count, headed := f.header(head)
	rest := info.Size() - f.start
	f.tokens = int(rest / int64(f.each))
	switch {
	case headed && rest != count*int64(f.each):
		return fmt.Errorf("its header, of llm.c, says that %d tokens of %d bytes follow, but there are %d bytes: the file "+
			"is cut off, or two were put together", count, f.each, rest)
	case rest%int64(f.each) != 0:
		return fmt.Errorf("%d bytes are no whole number of tokens of %d bytes: the file is cut off, or was made for "+
			"another vocabulary than one of %d tokens", rest, f.each, f.vocab)
	case !headed && wider(head, f.each):
		return fmt.Errorf("every second number of %d bytes is 0, so that its IDs seem to take more; those of a "+
			"vocabulary of %d tokens take %d bytes: write them as uint%d", f.each, f.vocab, f.each, 8*f.each)
	}
	return f.sample(head)
}

// header reads the header of llm.c, if there is one.
func (f *TokenFile) header(head []byte) (count int64, ok bool) {
	if len(head) < headerBytes {
		return 0, false
	}
	each, ok := headers[binary.LittleEndian.Uint32(head)]
	for _, b := range head[12:] {
		ok = ok && b == 0
	}
	if ok {
		f.start, f.each = headerBytes, each
	}
	return int64(binary.LittleEndian.Uint32(head[8:])), ok
}

// wider reports whether numbers of so many bytes are the halves of small wider ones: every second one is 0, and of the
// others some are not.
func wider(head []byte, each int) bool {
	const enough = 512 // bytes
	var sum [2]int     // of the bytes of the one and the other half
	for i, b := range head {
		sum[i/each%2] += int(b)
	}
	return len(head) >= enough && sum[0] > 0 && sum[1] == 0
}

// sample reads some IDs, from the beginning to the end of the file.
func (f *TokenFile) sample(head []byte) error {
	const places, many = 32, 512
	ids := make([]token.ID, min(many, f.tokens))
	for i := range places {
		err := f.copy(ids, int(int64(f.tokens-len(ids))*int64(i)/(places-1)))
		if is := kind.Of(head); err != nil && is != "" {
			return errors.New(is)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
