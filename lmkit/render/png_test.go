package render

import (
	"testing"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/canvas/canvastest"
)

func TestPNG(t *testing.T) {
	for name, f := range figures(t) {
		canvastest.PNG(t, name, f.PNG, f.(canvas.Drawing))
	}
}
