package faithful_test

import (
	"context"
	"fmt"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/explain/perturb"
)

// review is a classifier in plain Go, as a game over the words of a text: the probability that the text is kind.
type review []string

func (r review) Features() int { return len(r) }

func (r review) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	out := make([]float64, len(of))
	for i, c := range of {
		out[i] = 0.5
		for w, in := range c {
			if in && r[w] == "superb" {
				out[i] = 0.9
			}
		}
	}
	return out, nil
}

// Metrics need no model of this module: any number that depends on which features are present will do.
func ExampleErase() {
	ctx := context.Background()
	text := review(strings.Fields("the food was superb and cheap"))
	occlusion, _, err := perturb.Occlusion{}.Play(ctx, text)
	if err != nil {
		fmt.Println(err)
		return
	}
	length := make([]float64, len(text))
	for i, w := range text {
		length[i] = -float64(len(w)) // the shortest first: a poor explanation
	}
	for _, scores := range [][]float64{occlusion, length} {
		e, err := faithful.Erase(ctx, text, faithful.Order(scores), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("comprehensiveness %.2f, sufficiency %.2f\n", e.Comprehensiveness(), e.Sufficiency())
	}
	// Output:
	// comprehensiveness 0.40, sufficiency 0.00
	// comprehensiveness 0.00, sufficiency 0.40
}
