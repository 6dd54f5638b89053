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
	// GIM is derivatives with what gradients of attention miss put right (Edin et al., 2025): Transformer.
	GIM Rules = "gim"
	// DeepLIFT gives multipliers between row 2i, the input, and row 2i+1, its baseline: complete to rounding.
	DeepLIFT Rules = "deeplift"
)

// Conserve says whether activation times gradient is relevance.
func (r Rules) Conserve() bool { return r != Ordinary && r != GIM && r != DeepLIFT }

// Check says what is wrong with these rules for a model, if anything.
func (r Rules) Check(c Config) error {
	switch r {
	case Ordinary, DeepLIFT:
	case AttnLRP, CPLRP, GIM:
		if !c.Attends() {
			return fmt.Errorf("%s is for a Transformer, and this model is an LSTM; use %s, %s or %s", r, LRP, LRPHalf, DeepLIFT)
		}
	case LRP, LRPHalf:
		if !c.Recurrent() {
			return fmt.Errorf("%s is for an LSTM, and this model is a Transformer; use %s, %s or %s",
				r, AttnLRP, CPLRP, DeepLIFT)
		}
	default:
		return fmt.Errorf("there are no rules %q; there are %s, %s, %s, %s, %s and %s",
			r, AttnLRP, CPLRP, LRP, LRPHalf, GIM, DeepLIFT)
	}
	return nil
}
