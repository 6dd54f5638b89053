package render_test

import (
	"log"
	"os"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// Draw an attribution for a terminal. SVG, PNG and HTML draw the same as a picture or a page.
func ExampleText() {
	a := &explain.Attribution{
		Schema:    explain.Schema,
		Method:    explain.MethodInfo{Name: "occlusion"},
		Objective: explain.Contrast,
		Target:    explain.Token{ID: 1, Text: " are"},
		Foil:      &explain.Token{ID: 2, Text: " is"},
		Baseline:  "unk",
		Tokens:    []explain.InputToken{{ID: 3, Text: "The", End: 3}, {ID: 4, Text: " keys", Start: 3, End: 8}},
		Features:  []explain.Feature{{Text: "The", Tokens: []int{0}}, {Text: " keys", Tokens: []int{1}}},
		Scores:    []float64{-0.25, 2},
		Unit:      "logit",
		Value:     2.25,
		Base:      0.5,
	}
	if err := render.Text(os.Stdout, a, plot.Options{Width: 60}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// occlusion  why ` are` rather than ` is`
	//
	//   The·keys
	//
	//   ·keys  +2.00  ████████████████████████████████████████
	//   The    -0.25  ▒▒▒▒▒
	//
	// asked         why ` are` rather than ` is` (objective:
	//               contrast, in logit)
	// value         2.25 on the input, 0.5 on the baseline: a
	//               difference of 1.75
	// baseline      unk stands for an absent token
	// completeness  not promised: the scores of this method need
	//               not add up
	// necessity     not measured
	// sufficiency   not measured
	// cost          0 rows forward, 0 backward in 0 s
	// origin        seed 0
}
