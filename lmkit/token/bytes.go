package token

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The vocabularies of byte-level BPE write each byte as a printable character: the printable ones of Latin-1 as
// themselves, the others, in ascending order, as U+0100 and up. GPT-2 numbers the bytes in the order of these
// characters.
var (
	byteOrder [256]byte     // the byte of each of the first 256 IDs
	byteRune  [256]rune     // how a vocabulary file writes each byte
	runeByte  map[rune]byte // the inverse
)

func init() {
	printable := func(b int) bool { return '!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b }
	runeByte = make(map[rune]byte, 256)
	order, next := byteOrder[:0], rune(256)
	for b := range 256 {
		if byteRune[b] = rune(b); printable(b) {
			order = append(order, byte(b))
		}
	}
	for b := range 256 {
		if !printable(b) {
			byteRune[b] = next
			next++
			order = append(order, byte(b))
		}
		runeByte[byteRune[b]] = byte(b)
	}
}

// toFile writes raw bytes in the alphabet of vocabulary files.
func toFile(raw string) string {
	var out strings.Builder
	for i := range len(raw) {
		out.WriteRune(byteRune[raw[i]])
	}
	return out.String()
}

// fromFile reads what toFile wrote.
func fromFile(text string) (string, error) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		b, ok := runeByte[r]
		if !ok {
			return "", fmt.Errorf("token %q: %q is not a character of the byte-level alphabet", text, r)
		}
		out = append(out, b)
	}
	return string(out), nil
}

// byteName is how a vocabulary of characters names the token of a byte: <0xE2>.
func byteName(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

// byteNamed returns the byte that a token is named for.
func byteNamed(text string) (byte, bool) {
	if len(text) != 6 || text[:3] != "<0x" || text[5] != '>' {
		return 0, false
	}
	return escaped(`\x` + text[3:5])
}

// show writes raw bytes for a reader: bytes that are not UTF-8 as \xE2. A backslash that would read like the start of
// such an escape is written \x5C, so that unshow finds the way back.
func show(raw string) string {
	if utf8.ValidString(raw) && !strings.Contains(raw, `\x`) {
		return raw
	}
	var out strings.Builder
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRuneInString(raw[i:])
		if _, escape := escaped(raw[i:]); escape || r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&out, `\x%02X`, raw[i])
		} else {
			out.WriteString(raw[i : i+n])
		}
		i += n
	}
	return out.String()
}

// unshow returns the raw bytes of what show wrote.
func unshow(text string) string {
	if !strings.Contains(text, `\x`) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if b, ok := escaped(text[i:]); ok {
			out = append(out, b)
			i += len(`\xE2`)
		} else {
			out = append(out, text[i])
			i++
		}
	}
	return string(out)
}

// escaped returns the byte whose escape text starts with.
func escaped(text string) (byte, bool) {
	const digits = "0123456789ABCDEF"
	if len(text) < 4 || text[:2] != `\x` {
		return 0, false
	}
	high, low := strings.IndexByte(digits, text[2]), strings.IndexByte(digits, text[3])
	return byte(high<<4 | low), high >= 0 && low >= 0
}
