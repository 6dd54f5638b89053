package plot

import (
	"bytes"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/canvas/canvastest"
)

func TestLargeMatrixIsOneImage(t *testing.T) {
	m := attention(200, 1, []string{"a"})
	var b bytes.Buffer
	if err := m.SVG(&b); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Count(s, "<image ") != 1 || strings.Contains(s, "<title>") || len(s) > 200_000 {
		t.Errorf("%d bytes, %d images", len(s), strings.Count(s, "<image "))
	}
	canvastest.Safe(t, "large matrix", b.Bytes())
}
