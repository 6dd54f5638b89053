package lmkit

import (
	"fmt"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/attention"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/explain/relevance"
	"lmkit.internal/lmkit/explain/shapley"
	"lmkit.internal/lmkit/explain/surrogate"
)

// Settings are what methods have in common to be set by name. A method that has no such setting ignores it; the zero
// value is each method's own default.
type Settings struct {
	Steps   int // points of an integral; 0: as many as the tolerance needs
	Samples int // random draws; 0: the method's default
	Budget  int // coalitions of features to try; 0: the method's default
}

// methods is every method by its stable name, in the order in which they are shown.
var methods = []struct {
	name, about string
	make        func(Settings) explain.Method
}{
	{"saliency", "size of the gradient", func(Settings) explain.Method { return gradient.Saliency{} }},
	{"input-x-gradient", "gradient times input", func(Settings) explain.Method { return gradient.InputXGradient{} }},
	{"integrated-gradients", "gradients along the way from the baseline; adds up", func(s Settings) explain.Method { return gradient.Integrated{Steps: s.Steps} }},
	{"sequential-ig", "integrated gradients, one feature at a time", func(s Settings) explain.Method { return gradient.Sequential{Steps: s.Steps} }},
	{"smoothgrad", "saliency averaged under noise", func(s Settings) explain.Method { return gradient.Smooth{Samples: s.Samples} }},
	{"expected-gradients", "integrated gradients over random baselines", func(s Settings) explain.Method { return gradient.Expected{Samples: s.Samples} }},
	{"occlusion", "what the objective loses when a feature is replaced", func(Settings) explain.Method { return perturb.Occlusion{} }},
	{"leave-one-out", "what the objective loses when a feature is cut out", func(Settings) explain.Method { return perturb.LeaveOneOut{} }},
	{"shapley", "fair shares; picks the way that suits length and budget", func(s Settings) explain.Method { return shapley.Auto{Budget: s.Budget} }},
	{"shapley-exact", "fair shares by all coalitions, up to 12 features", func(Settings) explain.Method { return shapley.Exact{} }},
	{"kernel-shap", "fair shares by a weighted linear fit", func(s Settings) explain.Method { return shapley.Kernel{Budget: s.Budget} }},
	{"permutation-shapley", "fair shares by random orders and their reverses", func(s Settings) explain.Method { return shapley.Permutation{Budget: s.Budget} }},
	{"owen", "fair shares along sentences, words and their pieces", func(s Settings) explain.Method { return shapley.Owen{Budget: s.Budget} }},
	{"lime", "a linear model near the input", func(s Settings) explain.Method { return surrogate.LIME{Samples: s.Samples} }},
	{"surrogate-tree", "a decision tree near the input", func(s Settings) explain.Method { return surrogate.LocalTree{Samples: s.Samples} }},
	{"lrp", "relevance handed back through an LSTM", func(Settings) explain.Method { return relevance.LRP{} }},
	{"lrp-half", "the same, gates take half", func(Settings) explain.Method { return relevance.LRPHalf{} }},
	{"attn-lrp", "relevance handed back through a Transformer", func(Settings) explain.Method { return relevance.AttnLRP{} }},
	{"cp-lrp", "the same, attention patterns held constant", func(Settings) explain.Method { return relevance.CPLRP{} }},
	{"deeplift", "what sets input and baseline apart; adds up", func(Settings) explain.Method { return relevance.DeepLIFT{} }},
	{"attention", "mean attention pattern", func(Settings) explain.Method { return attention.Raw{} }},
	{"rollout", "attention patterns multiplied over layers", func(Settings) explain.Method { return attention.Rollout{} }},
	{"attention-flow", "largest flow through the attention patterns", func(Settings) explain.Method { return attention.Flow{} }},
	{"grad-attention", "attention patterns weighted by gradients", func(Settings) explain.Method { return attention.Gradient{} }},
	{"value-zeroing", "how outputs turn without a token's values", func(Settings) explain.Method { return attention.ValueZeroing{} }},
	{"norm-attention", "size of what attention brings", func(Settings) explain.Method { return attention.Norm{} }},
	{"alti", "parts of attention's sum, over layers", func(Settings) explain.Method { return attention.ALTI{} }},
}

// Methods lists the names of all explanation methods, each with a line about it.
func Methods() (names, about []string) {
	for _, m := range methods {
		names, about = append(names, m.name), append(about, m.about)
	}
	return names, about
}

// Method finds an explanation method by its name.
func Method(name string, s Settings) (explain.Method, error) {
	for _, m := range methods {
		if m.name == name {
			return m.make(s), nil
		}
	}
	names, _ := Methods()
	return nil, fmt.Errorf("there is no method %q; there are %s", name, strings.Join(names, ", "))
}
