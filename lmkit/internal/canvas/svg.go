package canvas

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// Fluid is the attribute of a picture that lets it shrink with what it is shown in. A page with a rule of its own for
// that, and no styles in its elements, leaves it out.
const Fluid = ` style="max-width:100%;height:auto"`

// SVG writes the picture: a light background, so that it reads in a dark viewer, and a label for who cannot see it.
func (c *Canvas) SVG(w io.Writer) error {
	var b strings.Builder
	for _, s := range c.shapes {
		s.svg(&b)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="%s" `+
		`viewBox="0 0 %s %s" width="%[2]s" height="%[3]s"%[4]s `+
		`font-family="%[5]s" font-size="12" fill="%[6]s">
<rect width="100%%" height="100%%" rx="6" fill="#ffffff"/>
%[7]s</svg>
`, html.EscapeString(c.about), Num(c.Width), Num(c.Height()), Fluid, sansFont, InkDark, b.String())
	return err
}

// Num prints a coordinate with at most two decimals.
func Num(x float64) string { return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64) }

// title returns an element's tooltip.
func title(s string) string {
	if s == "" {
		return ""
	}
	return "<title>" + html.EscapeString(s) + "</title>"
}
