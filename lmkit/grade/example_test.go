package grade_test

import (
	"fmt"

	"lmkit.internal/lmkit/grade"
)

func Example() {
	said := []string{"two dogs run over the grass .", "a man sleeps ."}
	right := []string{"two dogs are running over the grass .", "a man is asleep ."}
	fmt.Printf("BLEU %.1f, chrF %.1f\n", grade.BLEU(said, right), grade.ChrF(said, right))
	// Output: BLEU 33.5, chrF 55.0
}
