// Package render draws explanations, alone or side by side, as text for a terminal, as SVG, as PNG and as HTML pages.
//
// Every function writes to an io.Writer, depends on nothing but its arguments, and writes the same bytes for the same
// arguments. A page holds charts of package plot, too; it is one file, without scripts, that fetches nothing.
package render
