// Package plot draws charts of numbers: curves, bars, heat maps, sums, trees and tables, as SVG, as PNG and as text.
//
// A chart is a struct with the numbers; SVG, PNG and Text write it, and depend on nothing else: the same chart gives
// the same bytes. A picture is one self-contained piece: no script, no font, style sheet or image from elsewhere.
// Numbers are printed as they were measured; a colour scale is symmetric around zero where the sign means something,
// and is printed.
package plot
