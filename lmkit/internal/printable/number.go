package printable

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Number prints x with up to three significant digits, as a person would: 3.1, -0.4, 12300, 1.2e-05.
func Number(x float64) string {
	size := math.Abs(x)
	switch {
	case x == 0:
		return "0"
	case size < 1e-4 || size >= 1e6 || math.IsNaN(x):
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	s := strconv.FormatFloat(x, 'f', max(0, 2-int(math.Floor(math.Log10(size)))), 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Percent prints a share as a percentage.
func Percent(x float64) string { return Number(100*x) + "%" }

// ScoreFormat returns how to print each score of a list whose largest size is top: signed, all with the same decimals,
// so that they align and none that matters is rounded away.
func ScoreFormat(top float64) func(float64) string {
	verb, decimals := byte('f'), 2
	switch {
	case top >= 1e6 || top > 0 && top < 1e-4:
		verb = 'e'
	case top >= 1000:
		decimals = 0
	case top > 0 && top < 0.1:
		decimals = 1 - int(math.Floor(math.Log10(top)))
	}
	return func(x float64) string {
		s := strconv.FormatFloat(x, verb, decimals, 64)
		if x >= 0 && s[0] != '+' && s[0] != '-' {
			s = "+" + s
		}
		return s
	}
}

// Count prints how many there are of a thing, in the plural where that is not one: 1 row, 2 rows.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
