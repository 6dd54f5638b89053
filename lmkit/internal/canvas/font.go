package canvas

import (
	"math"
	"sync"
	"unicode"

	"github.com/go-fonts/dejavu/dejavusans"
	"github.com/go-fonts/dejavu/dejavusansmono"
	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// The fonts of a PNG, bundled, so that a picture is the same on every machine. What the first ones lack, such as arrows,
// comes from the last, which has most alphabets but no Chinese, Japanese and Korean: these show as boxes. An SVG takes
// the reader's fonts instead.
var fonts = sync.OnceValue(func() (f struct{ sans, bold, mono []*sfnt.Font }) {
	parse := func(data []byte) *sfnt.Font {
		font, err := sfnt.Parse(data)
		if err != nil {
			return nil // a test opens them all
		}
		return font
	}
	mono, last := parse(dejavusansmono.TTF), parse(dejavusans.TTF)
	f.sans = []*sfnt.Font{parse(liberationsansregular.TTF), last}
	f.bold = []*sfnt.Font{parse(liberationsansbold.TTF), last}
	f.mono = []*sfnt.Font{mono, last}
	return f
})

// glyphs draws letters. The zero value is ready.
type glyphs struct{ buf sfnt.Buffer }

func (t lettering) png(p *painter) {
	l := t.label
	faces := fonts().sans
	if l.Mono {
		faces = fonts().mono
	} else if l.Bold {
		faces = fonts().bold
	}
	o, width := p.letters(faces, t.text, l.Size*p.scale)
	shift := map[string]float64{"middle": -width / 2, "end": -width}[l.Anchor]
	sin, cos := math.Sincos(l.Rotate * math.Pi / 180)
	for _, polygon := range o {
		for i, q := range polygon {
			x := q.x + shift
			polygon[i] = point{t.x*p.scale + x*cos - q.y*sin, (t.y+p.down)*p.scale + x*sin + q.y*cos}
		}
	}
	fill := l.Fill
	if fill == "" {
		fill = InkDark
	}
	p.fill(o, fill)
}

// letters returns the outlines of a text that starts at 0, 0, and its width, in pixels.
func (g *glyphs) letters(faces []*sfnt.Font, text string, size float64) (o outline, width float64) {
	ppem := fixed.Int26_6(math.Round(size * 64))
	for _, r := range text {
		if unicode.Is(unicode.Cf, r) {
			continue // steers text, and has no picture
		}
		face, index := g.find(faces, r)
		segments, err := face.LoadGlyph(&g.buf, index, ppem, nil)
		if err != nil {
			continue // a font that was parsed has every glyph that it named
		}
		o = append(o, contours(segments, width)...)
		advance, err := face.GlyphAdvance(&g.buf, index, ppem, font.HintingNone)
		if err == nil {
			width += float64(advance) / 64
		}
	}
	return o, width
}

// find returns the first font that has r, or the box for what is missing.
func (g *glyphs) find(faces []*sfnt.Font, r rune) (*sfnt.Font, sfnt.GlyphIndex) {
	for _, f := range faces {
		if index, err := f.GlyphIndex(&g.buf, r); err == nil && index != 0 {
			return f, index
		}
	}
	return faces[0], 0
}

func contours(segments sfnt.Segments, x float64) (o outline) {
	at := func(p fixed.Point26_6) point { return point{x + float64(p.X)/64, float64(p.Y) / 64} }
	for _, s := range segments {
		if s.Op == sfnt.SegmentOpMoveTo {
			o = append(o, []point{at(s.Args[0])})
			continue
		}
		if len(o) == 0 {
			continue
		}
		last := &o[len(o)-1]
		from := (*last)[len(*last)-1]
		a, b, c := at(s.Args[0]), at(s.Args[1]), at(s.Args[2])
		switch s.Op {
		case sfnt.SegmentOpLineTo:
			*last = append(*last, a)
		case sfnt.SegmentOpQuadTo: // as the cubic that is the same curve
			*last = bezier(*last, point{from.x + 2*(a.x-from.x)/3, from.y + 2*(a.y-from.y)/3}, point{b.x + 2*(a.x-b.x)/3, b.y + 2*(a.y-b.y)/3}, b)
		case sfnt.SegmentOpCubeTo:
			*last = bezier(*last, a, b, c)
		}
	}
	return o
}
