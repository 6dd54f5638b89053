package render

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// A PNG has twice the size of its SVG, shows something in all of its quarters' rows, and is the same each time.
func TestPNG(t *testing.T) {
	for name, f := range figures(t) {
		var b, again bytes.Buffer
		if err := f.PNG(&b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := f.PNG(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: drawn again it differs (%v)", name, err)
		}
		if dir := os.Getenv("LMKIT_PICTURES"); dir != "" { // to look at them
			if err := os.WriteFile(filepath.Join(dir, name+".png"), b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c, err := f.(drawing).draw()
		if err != nil {
			t.Fatal(err)
		}
		if want := image.Pt(int(math.Ceil(2*c.width)), int(math.Ceil(2*c.height()))); img.Bounds().Size() != want {
			t.Errorf("%s: %v pixels, want %v", name, img.Bounds().Size(), want)
		}
		if top, bottom := inked(img, 0, 0.5), inked(img, 0.5, 1); top < 200 || bottom < 200 {
			t.Errorf("%s: %d and %d pixels are painted in the upper and the lower half", name, top, bottom)
		}
		if at := img.At(1, 1); !same(at, color.White) {
			t.Errorf("%s: the corner is %v, want white", name, at)
		}
	}
}

// inked counts the pixels that are not white between two heights, given as shares.
func inked(img image.Image, from, to float64) (n int) {
	size := img.Bounds().Size()
	for y := int(from * float64(size.Y)); y < int(to*float64(size.Y)); y++ {
		for x := range size.X {
			if !same(img.At(x, y), color.White) {
				n++
			}
		}
	}
	return n
}

func same(a, b color.Color) bool {
	r1, g1, b1, a1 := a.RGBA()
	r2, g2, b2, a2 := b.RGBA()
	return r1 == r2 && g1 == g2 && b1 == b2 && a1 == a2
}
