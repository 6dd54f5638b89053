package method_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"lmkit.internal/examples/method"
	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/token"
)

// A method from outside answers the same questions as those of lmkit, and its answers carry the same evidence.
func ExampleKeepOne() {
	m, err := lmkit.Open("../../lmkit/lm/testdata/reference/gpt2")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	question := explain.Question{IDs: []token.ID{4, 1, 12, 7, 9}, Baseline: "mean"}
	occlusion, err := lmkit.Method("occlusion", lmkit.Settings{})
	if err != nil {
		log.Fatal(err)
	}
	as, err := explain.Explain(context.Background(), m, question, method.KeepOne{}, occlusion)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range as {
		e := a.Evidence
		fmt.Printf("%s: %.2f; it falls by %.2f without the top feature, by %.2f with it alone\n", a.Method.Name,
			a.Scores, e.Necessity.Drop, e.Sufficiency.Drop)
	}
	// Output:
	// keep-one: [0.18 0.03 0.06 -0.25 0.09]; it falls by 0.06 without the top feature, by -0.43 with it alone
	// occlusion: [0.06 -0.07 0.08 -0.43 -0.40]; it falls by 0.08 without the top feature, by -0.31 with it alone
}

// Without a model: on any function of which features are present.
func ExampleKeepOne_Play() {
	either := explain.Func(func(_ context.Context, texts []string) ([]float64, error) {
		out := make([]float64, len(texts))
		for i, text := range texts {
			if strings.Contains(text, "good") || strings.Contains(text, "superb") {
				out[i] = 1
			}
		}
		return out, nil
	})
	game, words, err := either.Game("good food, superb wine", "")
	if err != nil {
		log.Fatal(err)
	}
	scores, err := method.KeepOne{}.Play(context.Background(), game)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(words, scores)
	// Output:
	// [good food, superb wine] [1 0 1 0]
}
