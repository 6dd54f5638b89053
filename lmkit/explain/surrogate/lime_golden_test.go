package surrogate

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"lmkit.internal/lmkit/explain"
)

// The same masks and values give the coefficients of the Python package lime; testdata/reference.py made the numbers.
func TestAgainstPython(t *testing.T) {
	data, err := os.ReadFile("testdata/lime.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Features                  int
		Masks                     []string
		Values, Scores            []float64
		Intercept, R2, Prediction float64
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for i, want := range cases {
		var in []explain.Coalition
		var weights []float64
		for _, mask := range want.Masks {
			c := make(explain.Coalition, len(mask))
			for f := range c {
				c[f] = mask[f] == '1'
			}
			in, weights = append(in, c), append(weights, kernel(c, 25))
		}
		got := linear(in, want.Values, weights, want.Features, true)
		near := func(name string, got, want float64) {
			if math.Abs(got-want) > 1e-6 {
				t.Errorf("case %d: %s is %v, want %v", i, name, got, want)
			}
		}
		near("the intercept", got.Intercept, want.Intercept)
		near("R2", got.R2, want.R2)
		near("the prediction", got.Prediction, want.Prediction)
		for f := range want.Scores {
			near("a score", got.Scores[f], want.Scores[f])
		}
	}
	if len(cases) != 7 {
		t.Errorf("%d cases, want 7", len(cases))
	}
}
