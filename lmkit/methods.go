package lmkit

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/attention"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/explain/relevance"
	"lmkit.internal/lmkit/explain/shapley"
	"lmkit.internal/lmkit/explain/surrogate"
	"lmkit.internal/lmkit/lm"
)

// Settings are what methods have in common to be set by name. A method that has no such setting ignores it (see
// MethodInfo.Settings); the zero value is each method's own default.
type Settings struct {
	Steps   int   `json:"steps,omitempty"`   // points of an integral; 0: as many as the tolerance needs
	Samples int   `json:"samples,omitempty"` // random draws; 0: the method's default
	Budget  int   `json:"budget,omitempty"`  // coalitions of features to try (LIME's Samples); 0: the method's default
	Layers  []int `json:"layers,omitempty"`  // of a Transformer, from 0; nil: all
	Heads   []int `json:"heads,omitempty"`   // of a Transformer, from 0; nil: all
	// For matrices alone: see Matrices.
	Tap lm.Tap `json:"tap,omitempty"` // the activation that is looked at
	Cut int    `json:"cut,omitempty"` // how many tokens an LSTM has read before
}

// What methods need of what they explain.
const (
	NeedsValues    = "any model" // which features are present in, a number out
	NeedsGradients = "gradients"
	NeedsAttention = "attention"
)

// The axioms that methods keep, for any model.
const (
	Complete = "complete" // the scores add up to what the method promises
	Dummy    = "dummy"    // a feature that is its own baseline has 0
	// The scores of a sum of objectives are the sums: why A rather than B is the opposite of why B rather than A.
	Linear        = "linear"
	Antisymmetric = "antisymmetric" // the second half of linear, without the first
)

// MethodInfo is what is known of a method before it runs.
type MethodInfo struct {
	Name     string   `json:"name"`
	About    string   `json:"about"`
	Paper    string   `json:"paper"`
	Cost     string   `json:"cost"`               // rows forward (F) and backward (B), of M features and T tokens
	Needs    string   `json:"needs"`              // NeedsValues, NeedsGradients or NeedsAttention
	Arch     string   `json:"arch,omitempty"`     // the only architecture that it explains; "": all
	Axioms   []string `json:"axioms"`             // Complete, Dummy, Linear, Antisymmetric
	Settings []string `json:"settings,omitempty"` // those that it heeds: steps, samples, budget, layer, head
	// Found is, by architecture, how much of the planted causes the method ranks first: docs/leaderboard.md.
	Found map[string]float64 `json:"found"`
}

type entry struct {
	MethodInfo
	make func(Settings) explain.Method
}

// methods is every method by its stable name, in the order in which they are shown.
var methods = slices.Concat(gradients, blackBoxes, relevances, attentions)

var gradients = family(NeedsGradients, "", []entry{
	{MethodInfo{Name: "saliency", About: "size of the gradient", Paper: "Simonyan et al. 2013", Cost: "F + B"},
		func(Settings) explain.Method { return gradient.Saliency{} }},
	{MethodInfo{Name: "input-x-gradient", About: "gradient times input", Paper: "Shrikumar et al. 2016", Cost: "F + B",
		Axioms: list(Linear)},
		func(Settings) explain.Method { return gradient.InputXGradient{} }},
	{MethodInfo{Name: "integrated-gradients", About: "gradients along the way from the baseline; adds up",
		Paper: "Sundararajan et al. 2017", Cost: "n (F + B), n >= 24 as needed",
		Axioms: list(Complete, Dummy, Linear), Settings: list("steps", "budget")},
		func(s Settings) explain.Method { return gradient.Integrated{Steps: s.Steps, Budget: s.Budget} }},
	{MethodInfo{Name: "sequential-ig", About: "integrated gradients, one feature at a time", Paper: "Enguehard 2023",
		Cost:   "M n (F + B)",
		Axioms: list(Complete, Dummy, Linear), Settings: list("steps", "budget")},
		func(s Settings) explain.Method { return gradient.Sequential{Steps: s.Steps, Budget: s.Budget} }},
	{MethodInfo{Name: "smoothgrad", About: "saliency averaged under noise", Paper: "Smilkov et al. 2017",
		Cost: "n (F + B), n = 50", Settings: list("samples")},
		func(s Settings) explain.Method { return gradient.Smooth{Samples: s.Samples} }},
	{MethodInfo{Name: "expected-gradients", About: "integrated gradients over random baselines",
		Paper: "Erion et al. 2021", Cost: "n (2F + B), n = 200",
		Axioms: list(Linear), Settings: list("samples")}, // complete in expectation
		func(s Settings) explain.Method { return gradient.Expected{Samples: s.Samples} }},
})

var blackBoxes = family(NeedsValues, "", []entry{
	{MethodInfo{Name: "occlusion", About: "what the objective loses when a feature is replaced",
		Paper: "Zeiler and Fergus 2014", Cost: "(M + 1) F", Axioms: list(Dummy, Linear)},
		func(Settings) explain.Method { return perturb.Occlusion{} }},
	{MethodInfo{Name: "leave-one-out", About: "what the objective loses when a feature is cut out",
		Paper: "Li et al. 2016", Cost: "M F", Axioms: list(Linear)},
		func(Settings) explain.Method { return perturb.LeaveOneOut{} }},
	{MethodInfo{Name: "shapley", About: "fair shares; picks the way that suits length and budget", Paper: "Shapley 1953",
		Cost:   "2^M F up to 12 features, else (2M + 2048) F",
		Axioms: list(Complete, Linear), Settings: list("budget")},
		func(s Settings) explain.Method { return shapley.Auto{Budget: s.Budget} }},
	{MethodInfo{Name: "shapley-exact", About: "fair shares by all coalitions, up to 12 features", Paper: "Shapley 1953",
		Cost: "2^M F", Axioms: list(Complete, Dummy, Linear)},
		func(Settings) explain.Method { return shapley.Exact{} }},
	{MethodInfo{Name: "kernel-shap", About: "fair shares by a weighted linear fit", Paper: "Lundberg and Lee 2017; " +
		"Covert and Lee 2021", Cost: "(2M + 2048) F, or 2^M F",
		Axioms: list(Complete, Linear), Settings: list("budget")},
		func(s Settings) explain.Method { return shapley.Kernel{Budget: s.Budget} }},
	{MethodInfo{Name: "permutation-shapley", About: "fair shares by random orders and their reverses",
		Paper: "Castro et al. 2009; Mitchell et al. 2022", Cost: "(2M + 2048) F, or 2^M F",
		Axioms: list(Complete, Dummy, Linear), Settings: list("budget")},
		func(s Settings) explain.Method { return shapley.Permutation{Budget: s.Budget} }},
	{MethodInfo{Name: "owen", About: "fair shares along sentences, words and their pieces", Paper: "Owen 1977",
		Cost:   "about M^2 F",
		Axioms: list(Complete, Antisymmetric), Settings: list("budget")},
		func(s Settings) explain.Method { return shapley.Owen{Budget: s.Budget} }},
	{MethodInfo{Name: "lime", About: "a linear model near the input", Paper: "Ribeiro et al. 2016",
		Cost: "5000 F, or 2^M F", Axioms: list(Linear), Settings: list("samples", "budget")},
		func(s Settings) explain.Method { return surrogate.LIME{Samples: s.samples()} }},
	{MethodInfo{Name: "surrogate-tree", About: "a decision tree near the input", Paper: "Craven and Shavlik 1995",
		Cost: "5000 F, or 2^M F", Axioms: list(Antisymmetric), Settings: list("samples", "budget")},
		func(s Settings) explain.Method { return surrogate.LocalTree{Samples: s.samples()} }},
})

var relevances = slices.Concat(
	family(NeedsGradients, lm.LSTM, []entry{
		{MethodInfo{Name: "lrp", About: "relevance handed back through an LSTM", Paper: "Arras et al. 2017", Cost: "F + B",
			Axioms: list(Complete, Linear)},
			func(Settings) explain.Method { return relevance.LRP{} }},
		{MethodInfo{Name: "lrp-half", About: "the same, gates take half", Paper: "Arras et al. 2019", Cost: "F + B",
			Axioms: list(Complete, Linear)},
			func(Settings) explain.Method { return relevance.LRPHalf{} }},
	}),
	family(NeedsGradients, lm.Transformer, []entry{
		{MethodInfo{Name: "attn-lrp", About: "relevance handed back through a Transformer", Paper: "Achtibat et al. 2024",
			Cost: "F + B", Axioms: list(Complete, Linear)},
			func(Settings) explain.Method { return relevance.AttnLRP{} }},
		{MethodInfo{Name: "cp-lrp", About: "the same, attention patterns held constant", Paper: "Ali et al. 2022",
			Cost: "F + B", Axioms: list(Complete, Linear)},
			func(Settings) explain.Method { return relevance.CPLRP{} }},
		{MethodInfo{Name: "gim", About: "gradient times difference from the baseline, mended for attention",
			Paper: "Edin et al. 2025", Cost: "F + B", Axioms: list(Dummy, Linear)},
			func(Settings) explain.Method { return relevance.GIM{} }},
	}),
	family(NeedsGradients, "", []entry{
		{MethodInfo{Name: "deeplift", About: "what sets input and baseline apart; adds up", Paper: "Shrikumar et al. 2017",
			Cost: "2 (F + B)", Axioms: list(Complete, Dummy, Linear)},
			func(Settings) explain.Method { return relevance.DeepLIFT{} }},
	}))

var attentions = family(NeedsAttention, lm.Transformer, []entry{
	{MethodInfo{Name: "attention", About: "mean attention pattern", Paper: "Bahdanau et al. 2015", Cost: "F",
		Settings: list("layer", "head")},
		func(s Settings) explain.Method { return attention.Raw{Layers: s.Layers, Heads: s.Heads} }},
	{MethodInfo{Name: "rollout", About: "attention patterns multiplied over layers", Paper: "Abnar and Zuidema 2020",
		Cost: "F"},
		func(Settings) explain.Method { return attention.Rollout{} }},
	{MethodInfo{Name: "attention-flow", About: "largest flow through the attention patterns",
		Paper: "Abnar and Zuidema 2020", Cost: "F, and T maximum flows"},
		func(Settings) explain.Method { return attention.Flow{} }},
	{MethodInfo{Name: "grad-attention", About: "attention patterns weighted by gradients", Paper: "Chefer et al. 2021",
		Cost: "F + B"},
		func(Settings) explain.Method { return attention.Gradient{} }},
	{MethodInfo{Name: "value-zeroing", About: "how outputs turn without a token's values", Paper: "Mohebbi et al. 2023",
		Cost: "layers T F", Settings: list("layer")},
		func(s Settings) explain.Method { return attention.ValueZeroing{Layers: s.Layers} }},
	{MethodInfo{Name: "norm-attention", About: "size of what attention brings", Paper: "Kobayashi et al. 2020", Cost: "F",
		Settings: list("layer")},
		func(s Settings) explain.Method { return attention.Norm{Layers: s.Layers} }},
	{MethodInfo{Name: "alti", About: "parts of attention's sum, over layers", Paper: "Ferrando et al. 2022", Cost: "F"},
		func(Settings) explain.Method { return attention.ALTI{} }},
})

func list(of ...string) []string { return of }

// family fills in what the methods of a family have in common.
func family(needs, arch string, of []entry) []entry {
	for i := range of {
		m := &of[i].MethodInfo
		m.Needs, m.Arch = needs, arch
		if m.Axioms == nil {
			m.Axioms = []string{}
		}
	}
	return of
}

func (s Settings) samples() int {
	if s.Budget > 0 {
		return s.Budget
	}
	return s.Samples
}

// measured is Found of each method: architecture, then method. It is the run in docs/leaderboard.md.
//
//go:embed measured.json
var measured []byte

// Methods lists all explanation methods. Besides them there is Auto, which is one of them.
func Methods() []MethodInfo {
	var found map[string]map[string]float64
	if err := json.Unmarshal(measured, &found); err != nil {
		found = nil // a test reads it
	}
	var all []MethodInfo
	for _, m := range methods {
		info := m.MethodInfo
		info.Found = map[string]float64{}
		for arch, scores := range found {
			if score, ok := scores[m.Name]; ok {
				info.Found[arch] = score
			}
		}
		all = append(all, info)
	}
	return all
}

// MethodNames lists the names of all explanation methods.
func MethodNames() []string {
	var names []string
	for _, m := range methods {
		names = append(names, m.Name)
	}
	return names
}

// Method finds an explanation method by its name; "auto" is Auto.
func Method(name string, s Settings) (explain.Method, error) {
	if name == autoName {
		return Auto{Budget: s.Budget}, nil
	}
	for _, m := range methods {
		if m.Name == name {
			return m.make(s), nil
		}
	}
	return nil, fmt.Errorf("there is no method %q; there are %s, and %s", name, strings.Join(MethodNames(), ", "),
		autoName)
}
