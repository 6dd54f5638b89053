package render

import (
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
)

// A model that does not know a word reads its unknown token in the word's place, the same for all such words. Their
// scores say nothing of the words, so pictures mark them, and name them apart from the features that are ranked.

// unknownMark follows the text of a token that the model does not know.
const unknownMark = "[unknown]"

// isUnknown says whether the model knows no token of a feature.
func isUnknown(a *explain.Attribution, f int) bool {
	tokens := a.Features[f].Tokens
	return len(tokens) > 0 && !slices.ContainsFunc(tokens, func(t int) bool { return !a.Tokens[t].Unknown })
}

// unscored says whether a feature cannot have a score: it is the unknown token, and so is the baseline that it is
// compared with.
func unscored(a *explain.Attribution, f int) bool {
	return a.Scores[f] == 0 && a.Baseline == "unk" && isUnknown(a, f)
}

// ranked returns the features from the largest score to the smallest, and apart from them those that the model does
// not know.
func ranked(a *explain.Attribution) (known, unknown []int) {
	for _, f := range explain.Ranked(a.Scores) {
		if isUnknown(a, f) {
			unknown = append(unknown, f)
		} else {
			known = append(known, f)
		}
	}
	return known, unknown
}

// unknownLine names the features that the model does not know, with their scores; "" where it knows all.
func unknownLine(a *explain.Attribution, unknown []int, format func(float64) string) string {
	if len(unknown) == 0 {
		return ""
	}
	var list []string
	for _, f := range unknown[:min(len(unknown), mostNames)] {
		list = append(list, printable.Quoted(a.Features[f].Text)+place(a, f)+" "+scoreText(a, f, format))
	}
	if more := len(unknown) - mostNames; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return "not known to the model, and not ranked: " + strings.Join(list, ", ")
}

// scoreText is a feature's score, or "no score".
func scoreText(a *explain.Attribution, f int, format func(float64) string) string {
	if unscored(a, f) {
		return "no score"
	}
	return format(a.Scores[f])
}

// tokenText is a token's text in a picture, with a mark where the model does not know it.
func tokenText(t explain.InputToken, columns int) string {
	if t.Unknown {
		return printable.Shorten(printable.Visible(t.Text), columns-len(unknownMark)) + unknownMark
	}
	return printable.Shorten(printable.Visible(t.Text), columns)
}
