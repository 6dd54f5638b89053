// Package render draws attributions, matrices, curves and comparisons as text for a terminal, as SVG and as HTML.
//
// Every function writes to an io.Writer, depends on nothing but its arguments, and writes the same bytes for the same
// arguments. A picture is one self-contained piece: no script, no font, style sheet or image from elsewhere. Numbers are
// printed as they were measured; a colour scale is symmetric around zero where the sign means something, and is printed.
package render
