// Package canvastest checks pictures: that they are as they were, that their markup runs and fetches nothing, and that
// their pixels show something.
package canvastest

import (
	"bytes"
	"encoding/xml"
	"flag"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/canvas"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Golden fails unless draw writes what the file of that name in testdata holds, twice.
func Golden(t testing.TB, name string, draw func(io.Writer) error) {
	t.Helper()
	var b, again bytes.Buffer
	if err := draw(&b); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := draw(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("%s: drawn again it differs (%v)", name, err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s: differs from the golden file (%v): look at it, then run the test with -update", name, err)
	}
}

// PNG fails unless the pixels of a picture are twice the size of its SVG, show something in the upper and in the lower
// half, and are the same each time. The variable LMKIT_PICTURES names a folder for the pictures, to look at them.
func PNG(t testing.TB, name string, draw func(io.Writer) error, of canvas.Drawing) {
	t.Helper()
	var b, again bytes.Buffer
	if err := draw(&b); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := draw(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("%s: drawn again it differs (%v)", name, err)
	}
	if dir := os.Getenv("LMKIT_PICTURES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	c, err := of.Draw()
	if err != nil {
		t.Fatal(err)
	}
	if want := image.Pt(int(math.Ceil(2*c.Width)), int(math.Ceil(2*c.Height()))); img.Bounds().Size() != want {
		t.Errorf("%s: %v pixels, want %v", name, img.Bounds().Size(), want)
	}
	if top, bottom := inked(img, 0, 0.5), inked(img, 0.5, 1); top < 200 || bottom < 200 {
		t.Errorf("%s: %d and %d pixels are painted in the upper and the lower half", name, top, bottom)
	}
	if at := img.At(1, 1); !same(at, color.White) {
		t.Errorf("%s: the corner is %v, want white", name, at)
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

// T is a test, of package testing or of package rapid.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// SafeSVG fails unless draw writes markup that is Safe, with a label for who cannot see it, and on a light background.
func SafeSVG(t testing.TB, name string, draw func(io.Writer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := draw(&b); err != nil {
		t.Fatal(err)
	}
	Safe(t, name, b.Bytes())
	if s := b.String(); !strings.Contains(s, `role="img" aria-label="`) || !strings.Contains(s, `fill="#ffffff"/>`) {
		t.Errorf("%s: no label or no light background", name)
	}
}

// Safe fails unless markup is well-formed, runs nothing and fetches nothing.
func Safe(t T, name string, markup []byte) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(markup))
	forbidden := map[string]bool{
		"script":        true,
		"link":          true,
		"iframe":        true,
		"object":        true,
		"embed":         true,
		"base":          true,
		"foreignobject": true,
	}
	inStyle := false
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: not well-formed: %v", name, err)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			if tag := strings.ToLower(x.Name.Local); forbidden[tag] {
				t.Fatalf("%s: <%s>", name, tag)
			}
			inStyle = x.Name.Local == "style"
			for _, a := range x.Attr {
				checkAttr(t, name, a)
			}
		case xml.EndElement:
			inStyle = false
		case xml.CharData:
			if inStyle &&
				(bytes.Contains(x, []byte("url(")) || bytes.Contains(x, []byte("@import")) || bytes.Contains(x, []byte("//"))) {
				t.Fatalf("%s: a style sheet that fetches", name)
			}
		case xml.ProcInst:
			t.Fatalf("%s: a processing instruction", name)
		}
	}
}

func checkAttr(t T, name string, a xml.Attr) {
	key, v := strings.ToLower(a.Name.Local), strings.ToLower(a.Value)
	switch {
	case strings.HasPrefix(key, "on"):
		t.Fatalf("%s: the attribute %s runs something", name, key)
	case (key == "href" || key == "src") && !strings.HasPrefix(v, "data:image/png;base64,") && !strings.HasPrefix(v, "#"):
		t.Fatalf("%s: %s=%q fetches", name, key, v)
	case key == "srcset" || key == "action" || key == "formaction" || key == "data":
		t.Fatalf("%s: the attribute %s", name, key)
	case key != "title" && key != "aria-label" && key != "xmlns" &&
		(strings.Contains(v, "url(") || strings.Contains(v, "://")):
		t.Fatalf("%s: %s=%q refers to elsewhere", name, key, v)
	}
}
