package canvas

import (
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// A picture of up to 256 colours is kept to the pixel; of more, no pixel is far off, and the colours of areas are
// hardly off. Noise in all colours is left as it is.
func TestPalette(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		few := rapid.SliceOfN(rapid.Uint32(), 1, 30).Draw(t, "colours of areas")
		edges := rapid.SampledFrom([]int{0, 100, 1000, 5000}).Draw(t, "pixels of edges")
		noise := rapid.Bool().Draw(t, "noise")
		img := image.NewRGBA(image.Rect(0, 0, 192, 128))
		solid := func(i int) color.RGBA {
			c := few[i%len(few)]
			return color.RGBA{uint8(c >> 16), uint8(c >> 8), uint8(c), 255}
		}
		// An edge mixes the colour of a letter with that of the ground.
		mixed := func(a, b color.RGBA, share int) color.RGBA {
			mix := func(x, y uint8) uint8 { return uint8((int(x)*share + int(y)*(255-share)) / 255) }
			return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
		}
		for y := range 128 {
			for x := range 192 {
				img.SetRGBA(x, y, solid(x*len(few)/192))
			}
		}
		touched := map[image.Point]bool{}
		for range edges {
			at := image.Pt(random.IntN(192), random.IntN(128))
			c := mixed(solid(0), img.RGBAAt(at.X, at.Y), random.IntN(256))
			if noise {
				c = color.RGBA{uint8(random.Uint32()), uint8(random.Uint32()), uint8(random.Uint32()), 255}
			}
			img.SetRGBA(at.X, at.Y, c)
			touched[at] = true
		}
		colours := len(shadesOf(img))
		got := palette(img)
		paletted, ok := got.(*image.Paletted)
		if !ok && got != image.Image(img) {
			t.Fatalf("a picture of %d colours became a %T", colours, got)
		}
		if !ok && !noise && len(few) <= 2 {
			t.Errorf("a picture of one line of shades has no palette")
		}
		if ok && len(paletted.Palette) > 256 {
			t.Errorf("a palette of %d colours", len(paletted.Palette))
		}
		if ok && noise && edges >= 5000 {
			t.Errorf("%d colours at random became %d", colours, len(paletted.Palette))
		}
		far := func(a, b uint8) int { return max(int(a), int(b)) - min(int(a), int(b)) }
		for y := range 128 {
			for x := range 192 {
				a, b := img.RGBAAt(x, y), color.RGBAModel.Convert(got.At(x, y)).(color.RGBA)
				allowed := near
				if !touched[image.Pt(x, y)] {
					allowed = near / 4
				}
				if colours <= 256 {
					allowed = 0
				}
				if off := max(far(a.R, b.R), far(a.G, b.G), far(a.B, b.B)); off > allowed {
					t.Fatalf("at %d,%d %v became %v, of %d colours", x, y, a, b, colours)
				}
			}
		}
	})
}

// A PNG with a palette takes less than half of the bytes that its pixels took one by one.
func TestPNGIsSmall(t *testing.T) {
	c := New(700)
	for i := range 20 {
		c.Text(10, c.Y+14, Label{Size: 12}, "the keys near the box are on the table")
		c.Rect(300, c.Y, 60, 16, Style{Fill: Diverging(float64(i-10) / 10).Hex()}, "")
		c.Y += 20
	}
	var small, large counter
	if err := c.PNG(&small); err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(&large, c.paint()); err != nil {
		t.Fatal(err)
	}
	if 2*small > large {
		t.Errorf("%d bytes with a palette, %d without", small, large)
	}
}

type counter int

func (n *counter) Write(p []byte) (int, error) {
	*n += counter(len(p))
	return len(p), nil
}
