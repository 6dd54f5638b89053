package canvas

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"strconv"
	"strings"

	ximage "golang.org/x/image/draw"
	"golang.org/x/image/vector"
)

const (
	density    = 2    // pixels of a PNG for each unit of its SVG: sharp on a fine screen, and in print
	mostPixels = 16e6 // of a PNG; larger pictures get fewer pixels for each unit
)

// PNG paints the picture on white.
func (c *Canvas) PNG(w io.Writer) error {
	return png.Encode(w, palette(c.paint()))
}

func (c *Canvas) paint() *image.RGBA {
	scale := min(density, math.Sqrt(mostPixels/(c.Width*c.Height())))
	img := image.NewRGBA(image.Rect(0, 0, int(math.Ceil(c.Width*scale)), int(math.Ceil(c.Height()*scale))))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	p := &painter{img: img, scale: scale}
	for _, s := range c.shapes {
		s.png(p)
	}
	return img
}

// painter paints shapes onto an image.
type painter struct {
	img   *image.RGBA
	scale float64
	down  float64 // how far down the picture's top is, in its units
	glyphs
}

func paint(hex string) image.Image {
	v, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil {
		v = 0
	}
	return image.NewUniform(color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255})
}

// outline is closed polygons in pixels. Where they overlap they must turn the same way, or they cut holes.
type outline [][]point

func (p *painter) fill(o outline, hex string) {
	lo, hi := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, polygon := range o {
		for _, q := range polygon {
			lo, hi = point{min(lo.x, q.x), min(lo.y, q.y)}, point{max(hi.x, q.x), max(hi.y, q.y)}
		}
	}
	size := p.img.Bounds().Size()
	if !(lo.x < hi.x) || hi.x < 0 || hi.y < 0 || lo.x > float64(size.X) || lo.y > float64(size.Y) {
		return
	}
	// Of what leaves the paper only the part on it is rasterised; the rest is clamped to just outside of it.
	clamp := func(q point) point {
		return point{max(-2, min(float64(size.X)+2, q.x)), max(-2, min(float64(size.Y)+2, q.y))}
	}
	lo, hi = clamp(lo), clamp(hi)
	x0, y0 := int(math.Floor(lo.x)), int(math.Floor(lo.y))
	r := vector.NewRasterizer(int(math.Ceil(hi.x))-x0+1, int(math.Ceil(hi.y))-y0+1)
	for _, polygon := range o {
		for i, q := range polygon {
			q = clamp(q)
			x, y := float32(q.x-float64(x0)), float32(q.y-float64(y0))
			if i == 0 {
				r.MoveTo(x, y)
			} else {
				r.LineTo(x, y)
			}
		}
		r.ClosePath()
	}
	r.Draw(p.img, r.Bounds().Add(image.Pt(x0, y0)), paint(hex), image.Point{})
}

func (g group) png(p *painter) {
	for _, s := range g.shapes {
		s.png(p)
	}
}

// pixels returns the rectangle at whole pixels, so that neighbours leave no seam.
func (p *painter) pixels(x, y, w, h float64) image.Rectangle {
	at := func(v float64) int { return int(math.Round(v * p.scale)) }
	y += p.down
	return image.Rect(at(x), at(y), at(x+w), at(y+h))
}

func (r rectangle) png(p *painter) {
	way := rounded(r.x, r.y, r.w, r.h, min(r.style.Radius, r.w/2, r.h/2))
	switch {
	case r.style.Fill == "":
	case r.style.Radius > 0:
		p.fill(p.flatten(way), r.style.Fill)
	default:
		draw.Draw(p.img, p.pixels(r.x, r.y, r.w, r.h), paint(r.style.Fill), image.Point{}, draw.Src)
	}
	p.stroke(way, r.style)
}

func (d disc) png(p *painter) {
	way := rounded(d.x-d.r, d.y-d.r, 2*d.r, 2*d.r, d.r)
	if d.style.Fill != "" {
		p.fill(p.flatten(way), d.style.Fill)
	}
	p.stroke(way, d.style)
}

func (s stroke) png(p *painter) {
	if s.style.Fill != "" {
		p.fill(p.flatten(s.path), s.style.Fill)
	}
	p.stroke(s.path, s.style)
}

func (i picture) png(p *painter) {
	ximage.NearestNeighbor.Scale(p.img, p.pixels(i.x, i.y, i.w, i.h), i.img, i.img.Bounds(), draw.Src, nil)
}

// rounded returns the way around a rectangle with round corners.
func rounded(x, y, w, h, r float64) Path {
	const k = 0.4477 // of the radius: where a Bézier curve's handles must be for a quarter of a circle, from the corner
	var p Path
	right, bottom := x+w, y+h
	p.Move(x+r, y)
	p.Line(right-r, y)
	p.Cubic(right-k*r, y, right, y+k*r, right, y+r)
	p.Line(right, bottom-r)
	p.Cubic(right, bottom-k*r, right-k*r, bottom, right-r, bottom)
	p.Line(x+r, bottom)
	p.Cubic(x+k*r, bottom, x, bottom-k*r, x, bottom-r)
	p.Line(x, y+r)
	p.Cubic(x, y+k*r, x+k*r, y, x+r, y)
	return p
}

// flatten turns a path into polygons in pixels.
func (p *painter) flatten(way Path) outline {
	var o outline
	for _, s := range way.steps {
		if s.op == 'M' || len(o) == 0 {
			o = append(o, nil)
		}
		last := &o[len(o)-1]
		at := make([]point, len(s.at))
		for i, q := range s.at {
			at[i] = point{q.x * p.scale, (q.y + p.down) * p.scale}
		}
		if s.op != 'C' {
			*last = append(*last, at[0])
			continue
		}
		*last = bezier(*last, at[0], at[1], at[2])
	}
	return o
}

// bezier appends a cubic curve from the last point of a polygon.
func bezier(polygon []point, c1, c2, to point) []point {
	from := polygon[len(polygon)-1]
	length := math.Hypot(c1.x-from.x, c1.y-from.y) + math.Hypot(c2.x-c1.x, c2.y-c1.y) + math.Hypot(to.x-c2.x, to.y-c2.y)
	n := max(2, min(64, int(length/2)))
	for i := 1; i <= n; i++ {
		t := float64(i) / float64(n)
		a, b, c, d := (1-t)*(1-t)*(1-t), 3*t*(1-t)*(1-t), 3*t*t*(1-t), t*t*t
		polygon = append(polygon, point{a*from.x + b*c1.x + c*c2.x + d*to.x, a*from.y + b*c1.y + c*c2.y + d*to.y})
	}
	return polygon
}
