package explain_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/explain/shapley"
	"lmkit.internal/lmkit/explain/surrogate"
)

// kindness returns a classifier in plain Go: how kind a review is, from 0 to 1.
func kindness(_ context.Context, texts []string) ([]float64, error) {
	out := make([]float64, len(texts))
	for i, text := range texts {
		out[i] = 0.5
		if strings.Contains(text, "not good") {
			out[i] = 0.1
		} else if strings.Contains(text, "good") {
			out[i] = 0.9
		}
	}
	return out, nil
}

// Any function over texts can be explained. Occlusion says that "good" made the review unkind; fair shares know that it
// only did so together with "not". Package faithful tests such scores on the same game.
func ExampleFunc() {
	ctx := context.Background()
	game, words, err := explain.Func(kindness).Game("the food was not good at all", "...")
	if err != nil {
		fmt.Println(err)
		return
	}
	fair, how, err := shapley.Auto{}.Play(ctx, game, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	occlusion, _, err := perturb.Occlusion{}.Play(ctx, game)
	if err != nil {
		fmt.Println(err)
		return
	}
	lime, err := surrogate.LIME{}.Play(ctx, game, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%-4s  %s  occlusion  lime\n", "", how.Chosen)
	for i, word := range words {
		fmt.Printf("%-4s  %+13.2f  %+9.2f  %+.2f\n", word, fair.Scores[i], occlusion[i], lime.Scores[i])
	}
	// Output:
	//       shapley-exact  occlusion  lime
	// the           +0.00      +0.00  +0.02
	// food          +0.00      +0.00  +0.02
	// was           +0.00      +0.00  +0.02
	// not           -0.40      -0.80  -0.53
	// good          +0.00      -0.40  -0.13
	// at            +0.00      +0.00  +0.02
	// all           +0.00      +0.00  +0.02
}

func TestFuncGame(t *testing.T) {
	var seen []string
	echo := explain.Func(func(_ context.Context, texts []string) ([]float64, error) {
		seen = append(seen, texts...)
		return make([]float64, len(texts)), nil
	})
	of := []explain.Coalition{{true, true, true}, {false, true, true}, {true, false, true}, {true, true, false},
		{false, false, false}}
	for absent, want := range map[string][]string{
		"":    {" it  is\nso ", "  is\nso ", " it\nso ", " it  is", ""},
		"[-]": {" it  is\nso ", " [-]  is\nso ", " it  [-]\nso ", " it  is\n[-] ", " [-]  [-]\n[-] "},
	} {
		seen = nil
		g, words, err := echo.Game(" it  is\nso ", absent)
		if err != nil || !slices.Equal(words, []string{"it", "is", "so"}) || g.Features() != 3 {
			t.Fatal(words, err)
		}
		if _, err := g.Values(context.Background(), of); err != nil || !slices.Equal(seen, want) {
			t.Errorf("absent %q: %q, %v; want %q", absent, seen, err, want)
		}
	}
}

func TestFuncErrors(t *testing.T) {
	short := explain.Func(func(context.Context, []string) ([]float64, error) { return nil, nil })
	if _, _, err := explain.Func(nil).Game("a", ""); err == nil {
		t.Error("no function, and no error")
	}
	if _, _, err := short.Game(" \n", ""); err == nil {
		t.Error("no words, and no error")
	}
	g, _, err := short.Game("a b", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Values(context.Background(), []explain.Coalition{{true, true}}); err == nil ||
		!strings.Contains(err.Error(), "0 numbers for 1 texts") {
		t.Errorf("got %v", err)
	}
}
