package canvas

import (
	"image"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/shaping"
	"github.com/hajimehoshi/bitmapfont/v3"
	"github.com/rivo/uniseg"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/bidi"

	"lmkit.internal/lmkit/internal/printable"
)

// letters returns the outlines of a text that starts at 0, 0, and its width, in pixels. foreign: some of them are from
// another font than the label's own.
//
// A text is cut into runs of one direction, which are set in the order in which they are seen; a run is cut into
// pieces of one font and one script, and each piece is shaped: letters join, combine and change places as their script
// wants.
func (g *glyphs) letters(l Label, text string, size float64) (o outline, width float64, foreign bool) {
	chain := g.chain(l)
	for _, run := range visualRuns(text) {
		pieces := pieces(run.text, chain)
		if run.rtl {
			slices.Reverse(pieces)
		}
		for _, p := range pieces {
			foreign = foreign || p.face != chain[0]
			switch {
			case p.face != nil:
				o, width = outlines(o, g.shape(p, run.rtl, size), width)
			case p.pixels:
				o, width = pixels(o, p.text, size, width)
			default: // said in place of a box that would be the same for all
				said := piece{text: printable.Hex(p.text), face: chain[len(chain)-len(fonts().others)], script: language.Latin}
				o, width = outlines(o, g.shape(said, false, size), width)
			}
		}
	}
	return o, width, foreign
}

// run is a part of a text in one direction.
type run struct {
	text string
	rtl  bool
}

// visualRuns cuts a text into runs, and returns them from left to right as they are seen on a line that runs to the
// right.
func visualRuns(text string) (runs []run) {
	const leftToRight = "\u200e" // sets the direction of the line, and has no picture
	var p bidi.Paragraph
	if _, err := p.SetString(leftToRight + text); err != nil {
		return []run{{text: text}}
	}
	order, err := p.Order()
	if err != nil {
		return []run{{text: text}}
	}
	for i := range order.NumRuns() {
		r := order.Run(i)
		runs = append(runs, run{r.String(), r.Direction() == bidi.RightToLeft})
	}
	// A number inside of a text to the left is a run to the right, but takes part in the order of the text around it.
	for i := 0; i < len(runs); i++ {
		if !runs[i].rtl {
			continue
		}
		end := i + 1
		for end < len(runs) && (runs[end].rtl || number(runs[end].text)) {
			end++
		}
		slices.Reverse(runs[i:end])
		i = end - 1
	}
	return runs
}

// number says whether a run has digits, and nothing that runs to the right by itself.
func number(s string) bool {
	return strings.ContainsFunc(s, unicode.IsDigit) && !strings.ContainsFunc(s, func(r rune) bool {
		class, _ := bidi.LookupRune(r)
		return class.Class() == bidi.L
	})
}

// piece is a part of a run in one font and one script.
type piece struct {
	text   string
	face   *font.Face // nil: no outline font has it
	pixels bool       // the bitmap font has it
	script language.Script
}

// pieces cuts a run. What the same font and script can show stays together, so that its letters can join.
func pieces(text string, chain []*font.Face) (all []piece) {
	for state, rest := -1, text; len(rest) > 0; {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		p := piece{text: cluster, script: scriptOf(cluster)}
		if i := slices.IndexFunc(chain, func(f *font.Face) bool { return has(f, cluster) }); i >= 0 {
			p.face = chain[i]
		} else {
			p.pixels = hasPixels(cluster)
		}
		if n := len(all); n > 0 {
			last := &all[n-1]
			if p.script == language.Common {
				p.script = last.script
			} else if last.script == language.Common && p.face == last.face {
				last.script = p.script
			}
			if p.face == last.face && p.pixels == last.pixels && p.script == last.script {
				last.text += cluster
				continue
			}
		}
		all = append(all, p)
	}
	return all
}

// scriptOf returns the script of the first character of a cluster that has one.
func scriptOf(cluster string) language.Script {
	for _, r := range cluster {
		if s := language.LookupScript(r); s.Strong() {
			return s
		}
	}
	return language.Common
}

func (g *glyphs) shape(p piece, rtl bool, size float64) shaping.Output {
	text := []rune(strings.Map(func(r rune) rune {
		if steering(r) {
			return -1
		}
		return r
	}, p.text))
	direction := di.DirectionLTR
	if rtl {
		direction = di.DirectionRTL
	}
	return g.shaper.Shape(shaping.Input{
		Text: text, RunEnd: len(text), Direction: direction, Face: p.face, Script: p.script,
		Size: fixed.Int26_6(math.Round(size * 64)), Language: "en",
	})
}

// steering says whether a character only steers text: it has no picture, and does not shape the letters beside it.
func steering(r rune) bool { return unicode.Is(unicode.Cf, r) && r != joiner && r != nonJoiner }

// invisible says whether a font need not have a character for the text to be shown.
func invisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r)
}

const (
	joiner    = '\u200d'
	nonJoiner = '\u200c'
)

// The bitmap font shows Chinese, Japanese and Korean: 12 pixels an em, a bit each.
const pixelsPerEm = 12

// hasPixels says whether the bitmap font has a picture for each character of a cluster.
func hasPixels(cluster string) bool {
	return !strings.ContainsFunc(cluster, func(r rune) bool { return !invisible(r) && len(bits(r)) == 0 })
}

// bits returns the painted pixels of a character as rows of them, in pixels right of and below its place on the
// baseline.
func bits(r rune) (rows []image.Rectangle) {
	box, mask, from, _, ok := bitmapfont.FaceSC.Glyph(fixed.Point26_6{}, r)
	if !ok {
		return nil
	}
	for y := range box.Dy() {
		begin := -1
		for x := range box.Dx() + 1 {
			on := false
			if x < box.Dx() {
				_, _, _, alpha := mask.At(from.X+x, from.Y+y).RGBA()
				on = alpha > 0
			}
			switch {
			case on && begin < 0:
				begin = x
			case !on && begin >= 0:
				rows = append(rows, image.Rect(begin, y, x, y+1).Add(box.Min))
				begin = -1
			}
		}
	}
	return rows
}

// pixels appends the outlines of characters of the bitmap font, which start at x, and returns where they end.
func pixels(o outline, text string, size, x float64) (outline, float64) {
	scale := size / pixelsPerEm
	for _, r := range text {
		if invisible(r) {
			continue
		}
		for _, row := range bits(r) {
			left, right := x+scale*float64(row.Min.X), x+scale*float64(row.Max.X)
			top, bottom := scale*float64(row.Min.Y+1), scale*float64(row.Max.Y+1) // as deep as the letters beside them
			o = append(o, []point{{left, top}, {right, top}, {right, bottom}, {left, bottom}})
		}
		advance, _ := bitmapfont.FaceSC.GlyphAdvance(r)
		x += scale * float64(advance) / 64
	}
	return o, x
}
