package canvas

import (
	"cmp"
	"image"
	"image/color"
	"slices"
)

const (
	near = 32  // of 255: how far red, green or blue of a pixel may be from what a palette has for it
	area = 256 // pixels of one colour from which on it is that of an area, and may be off by a quarter of near
)

// shade is a colour and how many pixels have it.
type shade struct {
	color.RGBA
	pixels int
}

// box is shades, the commonest first, that may become one. They differ most in one channel.
type box struct {
	shades          []shade
	channel, middle int
	cost            int // by how much they differ there, four times where two of them are colours of areas
}

func (s shade) channel(i int) int { return int([...]uint8{s.R, s.G, s.B}[i]) }

// palette returns an opaque picture with one byte for each pixel, of which a PNG takes a third of the room. The edges
// of letters and lines have thousands of shades that nobody tells apart: the nearest become one. A picture with so many
// colours that 256 do not come near to all of them is returned as it is.
func palette(img *image.RGBA) image.Image {
	shades := shadesOf(img)
	boxes := []box{boxOf(shades)}
	for len(boxes) < 256 {
		worst := 0
		for i, b := range boxes {
			if b.cost > boxes[worst].cost {
				worst = i
			}
		}
		if boxes[worst].cost == 0 {
			break // every colour has a box of its own
		}
		low, high := boxes[worst].halves()
		boxes[worst] = low
		boxes = append(boxes, high)
	}
	out := image.NewPaletted(img.Bounds(), nil)
	index := make(map[color.RGBA]uint8, len(shades))
	for i, b := range boxes {
		if b.cost > near {
			return img
		}
		out.Palette = append(out.Palette, b.shades[0].RGBA)
		for _, s := range b.shades {
			index[s.RGBA] = uint8(i)
		}
	}
	var last color.RGBA // pixels in a row are often alike
	var at uint8
	for i := range out.Pix {
		p := img.Pix[4*i:]
		if c := (color.RGBA{p[0], p[1], p[2], p[3]}); i == 0 || c != last {
			last, at = c, index[c]
		}
		out.Pix[i] = at
	}
	return out
}

// shadesOf returns the colours of a picture, the commonest first.
func shadesOf(img *image.RGBA) []shade {
	counts := map[color.RGBA]int{}
	var last color.RGBA
	run := 0
	for i := 0; i < len(img.Pix); i += 4 {
		p := img.Pix[i:]
		if c := (color.RGBA{p[0], p[1], p[2], p[3]}); c != last {
			counts[last] += run
			last, run = c, 0
		}
		run++
	}
	counts[last] += run
	shades := make([]shade, 0, len(counts))
	for c, n := range counts {
		if n > 0 {
			shades = append(shades, shade{c, n})
		}
	}
	slices.SortFunc(shades, func(a, b shade) int {
		return cmp.Or(cmp.Compare(b.pixels, a.pixels), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	return shades
}

func boxOf(shades []shade) box {
	b := box{shades: shades, cost: -1}
	for i := range 3 {
		low, high := 255, 0
		for _, s := range shades {
			low, high = min(low, s.channel(i)), max(high, s.channel(i))
		}
		if high-low > b.cost {
			b.channel, b.cost, b.middle = i, high-low, (low+high)/2
		}
	}
	if len(shades) > 1 && shades[1].pixels >= area {
		b.cost *= 4
	}
	return b
}

// halves cuts a box in the middle of its widest channel.
func (b box) halves() (low, high box) {
	var below, above []shade
	for _, s := range b.shades {
		if s.channel(b.channel) <= b.middle {
			below = append(below, s)
		} else {
			above = append(above, s)
		}
	}
	return boxOf(below), boxOf(above)
}
