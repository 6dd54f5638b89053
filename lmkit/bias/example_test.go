package bias_test

import (
	"fmt"

	"lmkit.internal/lmkit/bias"
)

func Example() {
	s, err := bias.Open("{He|She} says that {his|her} friend is a [nurse|doctor].", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range s.Pairs {
		fmt.Printf("%s: %s / %s\n", p.ID, p.First, p.Second)
	}
	// bias.Measure(ctx, model, s, bias.Config{}) says which ones the model prefers.

	// Output:
	// nurse: He says that his friend is a nurse. / She says that her friend is a nurse.
	// doctor: He says that his friend is a doctor. / She says that her friend is a doctor.
}
