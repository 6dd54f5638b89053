package notebook_test

import (
	"log"

	"github.com/janpfeifer/gonb/gonbui"

	"lmkit.internal/lmkit/notebook"
	"lmkit.internal/lmkit/plot"
)

// Show a chart. In a cell it is a picture; outside of a notebook, as here, it is text on standard output.
func ExampleShow() {
	gonbui.IsNotebook = false // what it is in any program that no kernel started
	err := notebook.Show(plot.Bars{
		Title:  "the next word",
		XLabel: "probability",
		Names:  []string{"are", "is"},
		Series: []plot.Series{{Values: []float64{0.75, 0.25}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// the next word
	//   are  0.75  ████████████████████████████████████████
	//   is   0.25  █████████████
	//   probability
}
