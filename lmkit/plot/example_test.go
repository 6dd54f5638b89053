package plot_test

import (
	"log"
	"os"

	"lmkit.internal/lmkit/plot"
)

// Draw numbers as bars, here as text for a terminal. SVG and PNG write the same chart as a picture.
func ExampleBars() {
	next := plot.Bars{
		Title:  "the next word",
		XLabel: "probability",
		Names:  []string{"are", "is"},
		Series: []plot.Series{{Values: []float64{0.75, 0.25}}},
	}
	if err := next.Text(os.Stdout, plot.Options{Width: 40}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// the next word
	//   are  0.75  █████████████████████████
	//   is   0.25  ████████
	//   probability
}

// Say term by term how a number came about.
func ExampleWaterfall() {
	sum := plot.Waterfall{Sum: plot.Sum{
		Title: "why are rather than is",
		Unit:  "logit",
		Base:  0.5,
		Value: 2,
		Terms: []plot.Term{{Name: "keys", Value: 2}, {Name: "man", Value: -0.5}},
	}}
	if err := sum.Text(os.Stdout, plot.Options{Width: 40}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// why are rather than is
	//   base          0.5
	//   keys        +2.00  ███████████████
	//   man         -0.50  ▒▒▒▒
	//   value           2  logit
}
