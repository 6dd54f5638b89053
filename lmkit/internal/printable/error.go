package printable

import "strings"

// Brief is an error with the text of err on one line: of one that is long the beginning and the end, in at most 500
// bytes of UTF-8, without what could steer a terminal. What files hold goes into errors, and may be anything. It is
// still the error that it was to errors.Is and errors.As.
func Brief(err error) error { return brief{err} }

type brief struct{ error }

func (b brief) Error() string {
	text := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' || !passes(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(b.error.Error(), "\uFFFD"))
	return Short(text, 500)
}

func (b brief) Unwrap() error { return b.error }
