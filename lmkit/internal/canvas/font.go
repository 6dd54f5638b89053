package canvas

import (
	"bytes"
	"embed"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/go-fonts/dejavu/dejavusans"
	"github.com/go-fonts/dejavu/dejavusansmono"
	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/shaping"
)

//go:embed fonts/*.ttf
var notoFiles embed.FS

// library is the fonts of a PNG, bundled, so that a picture is the same on every machine. An SVG takes the reader's
// fonts.
type library struct {
	sans, bold, mono *font.Font
	others           []*font.Font // for what the first ones lack, in the order in which they are asked
}

var fonts = sync.OnceValue(func() (l library) {
	parse := func(data []byte) *font.Font {
		face, err := font.ParseTTF(bytes.NewReader(data))
		if err != nil {
			return nil // a test opens them all
		}
		return face.Font
	}
	l.sans, l.bold, l.mono = parse(liberationsansregular.TTF), parse(liberationsansbold.TTF), parse(dejavusansmono.TTF)
	l.others = []*font.Font{parse(dejavusans.TTF)}
	files, _ := notoFiles.ReadDir("fonts") // an embedded folder can be read
	for _, f := range files {
		data, _ := notoFiles.ReadFile("fonts/" + f.Name())
		l.others = append(l.others, parse(data))
	}
	return l
})

// glyphs draws letters. The zero value is ready.
type glyphs struct {
	shaper shaping.HarfbuzzShaper
	faces  map[*font.Font]*font.Face // a font with what was looked up in it
}

func (g *glyphs) face(f *font.Font) *font.Face {
	if g.faces == nil {
		g.faces = map[*font.Font]*font.Face{}
	}
	face, ok := g.faces[f]
	if !ok {
		face = font.NewFace(f)
		g.faces[f] = face
	}
	return face
}

// chain returns the faces to try for a label: its own, then the others.
func (g *glyphs) chain(l Label) []*font.Face {
	first := fonts().sans
	switch {
	case l.Mono:
		first = fonts().mono
	case l.Bold:
		first = fonts().bold
	}
	faces := []*font.Face{g.face(first)}
	for _, f := range fonts().others {
		faces = append(faces, g.face(f))
	}
	return faces
}

func (t lettering) png(p *painter) {
	l := t.label
	o, width, foreign := p.letters(l, t.text, l.Size*p.scale)
	// Letters of other fonts may be wider than the room that was reckoned for them.
	if room := labelWidth(l, t.text) * p.scale; foreign && width > room && room > 0 {
		narrow := max(0.5, room/width)
		for _, polygon := range o {
			for i := range polygon {
				polygon[i].x *= narrow
			}
		}
		width *= narrow
	}
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

// has says whether a face has a picture for each character of a cluster.
func has(f *font.Face, cluster string) bool {
	return !strings.ContainsFunc(cluster, func(r rune) bool {
		if invisible(r) {
			return false
		}
		_, ok := f.NominalGlyph(r)
		return !ok
	})
}

// outlines appends the outlines of shaped glyphs, which start at x on the baseline 0, and returns where they end.
func outlines(o outline, run shaping.Output, x float64) (outline, float64) {
	scale := float64(run.Size) / 64 / float64(run.Face.Upem())
	for _, g := range run.Glyphs {
		if shape, ok := run.Face.GlyphDataOutline(g.GlyphID); ok {
			o = append(o, contours(shape.Segments, scale, x+float64(g.XOffset)/64, -float64(g.YOffset)/64)...)
		}
		x += float64(g.Advance) / 64
	}
	return o, x
}

// contours turns an outline in units of its font, with y up, into polygons in pixels, with y down.
func contours(segments []opentype.Segment, scale, x, y float64) (o outline) {
	at := func(p opentype.SegmentPoint) point { return point{x + scale*float64(p.X), y - scale*float64(p.Y)} }
	for _, s := range segments {
		if s.Op == opentype.SegmentOpMoveTo {
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
		case opentype.SegmentOpLineTo:
			*last = append(*last, a)
		case opentype.SegmentOpQuadTo: // as the cubic that is the same curve
			toA := point{from.x + 2*(a.x-from.x)/3, from.y + 2*(a.y-from.y)/3}
			toB := point{b.x + 2*(a.x-b.x)/3, b.y + 2*(a.y-b.y)/3}
			*last = bezier(*last, toA, toB, b)
		case opentype.SegmentOpCubeTo:
			*last = bezier(*last, a, b, c)
		}
	}
	return slices.DeleteFunc(o, func(polygon []point) bool { return len(polygon) < 3 })
}
