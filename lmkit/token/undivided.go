package token

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// dictionaries are the scripts whose words have neither a space between them nor a rule that tells them apart.
var dictionaries = []struct {
	name  string
	table *unicode.RangeTable
}{
	{"Thai", unicode.Thai}, {"Lao", unicode.Lao}, {"Khmer", unicode.Khmer}, {"Burmese", unicode.Myanmar},
	{"Tai Le", unicode.Tai_Le}, {"New Tai Lue", unicode.New_Tai_Lue}, {"Tai Tham", unicode.Tai_Tham},
	{"Tai Viet", unicode.Tai_Viet}, {"Ahom", unicode.Ahom},
}

// undivided is the name of such a script that a character is of, or "".
func undivided(r rune) string {
	for _, d := range dictionaries {
		if unicode.Is(d.table, r) {
			return d.name
		}
	}
	return ""
}

// Undivided lists the scripts in a text, such as Thai, whose words only a dictionary tells apart, which lmkit does not
// have. What [Words] returns of them is less than a word: a consonant with all that is written around it.
func Undivided(text string) (scripts []string) {
	for _, r := range text {
		if r < 0x0E00 {
			continue
		}
		if name := undivided(r); name != "" && !slices.Contains(scripts, name) {
			scripts = append(scripts, name)
		}
	}
	return scripts
}

// tsheg is the mark that Tibetan writes between syllables.
const tsheg = '\u0F0B'

// Characters of the scripts without spaces that are written with what follows, and with what stands before: vowels on
// the left and signs that put a consonant below another; vowels on the right, and marks of repetition.
const (
	withNext   = "เแโใไເແໂໃໄ\u17D2\u1039\u1A60\uAAB5\uAAB6\uAAB9\uAABB\uAABC"
	withBefore = "ะาำๅๆฯະາຳໆຯៗ"
	burmeseEnd = "\u103A\u1039" // a consonant under it ends a syllable, or stands above the next one
)

// written reports whether the character last and what is after it are written as one.
func written(last rune, after string) bool {
	next, n := utf8.DecodeRuneInString(after)
	if strings.ContainsRune(withNext, last) || strings.ContainsRune(withBefore, next) {
		return true
	}
	sign, _ := utf8.DecodeRuneInString(strings.TrimLeft(after[n:], "\u1037"))
	return unicode.Is(unicode.Myanmar, next) && unicode.Is(unicode.Myanmar, last) && strings.ContainsRune(burmeseEnd, sign)
}
