// Package canvas gathers the shapes of a picture (rectangles, lines, curves, texts, images) and writes them as SVG or
// paints them as PNG.
//
// A picture grows from top to bottom: Canvas.Y is what is taken already. Coordinates are those of the SVG, in pixels
// of a page; a PNG has two pixels for each. The same shapes give the same bytes on every machine: fonts are bundled,
// and nothing in an SVG runs or fetches anything.
package canvas
