package printable

import (
	"slices"
	"strings"

	"golang.org/x/text/unicode/bidi"
)

// direction is the way that the first letter of a text runs: 1 to the right, -1 to the left, 0 where there is no
// letter.
func direction(s string) int {
	for _, r := range s {
		switch class, _ := bidi.LookupRune(r); class.Class() {
		case bidi.L:
			return 1
		case bidi.R, bidi.AL:
			return -1
		}
	}
	return 0
}

// RightToLeft says whether a text runs from right to left, as its first letter does.
func RightToLeft(s string) bool { return direction(s) < 0 }

// Visual returns the parts of a line in the order in which they are seen from left to right, as indices. toLeft says
// whether the line runs to the left. Parts that run the other way keep their own order among each other; a part
// without letters goes with its neighbours where these agree, and else with the line.
func Visual(parts []string, toLeft bool) []int {
	line := 1
	if toLeft {
		line = -1
	}
	ways := make([]int, len(parts))
	for i, p := range parts {
		ways[i] = direction(p)
		if ways[i] == 0 && strings.ContainsAny(p, "0123456789") {
			ways[i] = 1
		}
	}
	for i := range ways {
		if ways[i] != 0 {
			continue
		}
		end := i
		for end < len(ways) && ways[end] == 0 {
			end++
		}
		way := line
		if i > 0 && end < len(ways) && ways[i-1] == ways[end] {
			way = ways[end]
		}
		for ; i < end; i++ {
			ways[i] = way
		}
	}
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	if toLeft {
		slices.Reverse(order)
		slices.Reverse(ways)
	}
	for i := 0; i < len(order); i++ {
		end := i
		for end < len(order) && ways[end] != line {
			end++
		}
		slices.Reverse(order[i:end])
		i = end
	}
	return order
}
