package net

import "fmt"

// Rules says how gradients pass what is not linear. The values that a model computes do not depend on it.
type Rules string

// The rules. Under the four that conserve relevance, an activation times its gradient is its relevance, and what the
// bias terms and the stabilisers take of it is the gradient by the activation one (see Build).
const (
	Ordinary Rules = ""         // derivatives
	AttnLRP  Rules = "attn-lrp" // Transformer: Achtibat et al., 2024
	CPLRP    Rules = "cp-lrp"   // Transformer: Ali et al., 2022: attention patterns and LayerNorm's scale are constants
	LRP      Rules = "lrp"      // LSTM: Arras et al., 2017: the epsilon rule, and a product's signal takes all
	LRPHalf  Rules = "lrp-half" // LSTM: Arras et al., 2019: the same, but gate and signal take half each
	DeepLIFT Rules = "deeplift" // multipliers between row 2i (the input) and row 2i+1 (its baseline): complete to rounding
)

// Conserve says whether activation times gradient is relevance.
func (r Rules) Conserve() bool { return r != Ordinary && r != DeepLIFT }

// Check says what is wrong with these rules for an architecture, if anything.
func (r Rules) Check(arch string) error {
	want := arch
	switch r {
	case Ordinary, DeepLIFT:
	case AttnLRP, CPLRP:
		want = Transformer
	case LRP, LRPHalf:
		want = LSTM
	default:
		return fmt.Errorf("there are no rules %q; there are %s, %s, %s, %s and %s", r, AttnLRP, CPLRP, LRP, LRPHalf, DeepLIFT)
	}
	if arch != want {
		return fmt.Errorf("%s is for %s, and this model is %s; %s", r, named(want), named(arch), instead(arch))
	}
	return nil
}

func named(arch string) string {
	if arch == LSTM {
		return "an LSTM"
	}
	return "a Transformer"
}

func instead(arch string) string {
	if arch == LSTM {
		return fmt.Sprintf("use %s, %s or %s", LRP, LRPHalf, DeepLIFT)
	}
	return fmt.Sprintf("use %s, %s or %s", AttnLRP, CPLRP, DeepLIFT)
}
