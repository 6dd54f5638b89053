package lmkit

import (
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/attention"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/shapley"
	"lmkit.internal/lmkit/lm"
)

// MatrixInfo is what is known of a method that scores pairs before it runs.
type MatrixInfo struct {
	Name  string `json:"name"`
	About string `json:"about"` // rows by columns, and what a value says
	Paper string `json:"paper"`
	// rows forward (F) and backward (B), of M features, T tokens and L layers
	Cost     string   `json:"cost"`
	Arch     string   `json:"arch,omitempty"`     // the only architecture that it explains; "": all
	Settings []string `json:"settings,omitempty"` // steps, samples, budget, layer, head, tap, cut, method
}

type matrixEntry struct {
	MatrixInfo
	make func(Settings) explain.MatrixMethod
}

// matrices is every method that scores pairs by its stable name, in the order in which they are shown.
var matrices = []matrixEntry{
	{MatrixInfo{Name: "predictions", About: "predictions by tokens: how much each prediction in the text depends " +
		"on each token before it",
		Paper: "Simonyan et al. 2013", Cost: "T (F + B)"},
		func(Settings) explain.MatrixMethod { return gradient.Predictions{} }},
	{MatrixInfo{Name: "layers", About: "layers by tokens: how much of the prediction goes through each token " +
		"behind each layer",
		Paper: "Sundararajan et al. 2017", Cost: "L n (F + B), n >= 24 as needed", Settings: list("steps")},
		func(s Settings) explain.MatrixMethod { return gradient.Layers{Steps: s.Steps} }},
	{MatrixInfo{Name: "heads", About: "layers by heads: how much of the prediction goes through each attention head",
		Paper: "Hao et al. 2021", Cost: "L n (F + B), n >= 24 as needed", Arch: lm.Transformer,
		Settings: list("steps", "layer")},
		func(s Settings) explain.MatrixMethod { return gradient.Heads{Layers: s.Layers, Steps: s.Steps} }},
	{MatrixInfo{Name: "activation", About: "tokens by heads: how much of the prediction goes through one " +
		"activation (--tap)",
		Paper: "Hao et al. 2021", Cost: "n (F + B), n >= 24 as needed", Settings: list("steps", "tap")},
		func(s Settings) explain.MatrixMethod { return gradient.Activation{Tap: s.Tap, Steps: s.Steps} }},
	{MatrixInfo{Name: "carried-state", About: "parts of the state that an LSTM carries over a cut (--cut), and " +
		"the tokens behind it",
		Paper: "Sundararajan et al. 2017", Cost: "n (4 F + B), n >= 24 as needed", Arch: lm.LSTM,
		Settings: list("steps", "cut")},
		func(s Settings) explain.MatrixMethod { return gradient.Carried{Cut: s.Cut, Steps: s.Steps} }},
	{MatrixInfo{Name: "interactions", About: "features by features: how much more two do together than each alone",
		Paper: "Grabisch and Roubens 1999", Cost: "2^M F up to 12 features, else (M^2 + 2) F", Settings: list("budget")},
		func(s Settings) explain.MatrixMethod { return shapley.Interactions{Budget: s.Budget} }},
	{MatrixInfo{Name: "answer", About: "the tokens of an answer by the tokens of the input, and of the answer before " +
		"them (--method)", Paper: "Sarti et al. 2023",
		Cost:     "the method's for each token of the answer; of occlusion (M + K) F for all K",
		Settings: list("method", "steps", "budget")},
		func(Settings) explain.MatrixMethod { return explain.PerToken{} }},
	{MatrixInfo{Name: "attention", About: "readers by tokens read: the mean attention " +
		"pattern", Paper: "Bahdanau et al. 2015", Cost: "F",
		Arch: lm.Transformer, Settings: list("layer", "head")},
		func(s Settings) explain.MatrixMethod { return attention.Raw{Layers: s.Layers, Heads: s.Heads} }},
	{MatrixInfo{Name: "rollout", About: "the same, multiplied over layers", Paper: "Abnar and Zuidema 2020", Cost: "F",
		Arch: lm.Transformer},
		func(Settings) explain.MatrixMethod { return attention.Rollout{} }},
	{MatrixInfo{Name: "attention-flow", About: "the same, as the largest flow", Paper: "Abnar and Zuidema 2020",
		Cost: "F, and T^2 maximum flows",
		Arch: lm.Transformer},
		func(Settings) explain.MatrixMethod { return attention.Flow{} }},
	{MatrixInfo{Name: "grad-attention", About: "the same, weighted by gradients", Paper: "Chefer et al. 2021",
		Cost: "F + B", Arch: lm.Transformer},
		func(Settings) explain.MatrixMethod { return attention.Gradient{} }},
	{MatrixInfo{Name: "value-zeroing", About: "how each token's output turns without another one's " +
		"values", Paper: "Mohebbi et al. 2023",
		Cost: "L T F", Arch: lm.Transformer, Settings: list("layer")},
		func(s Settings) explain.MatrixMethod { return attention.ValueZeroing{Layers: s.Layers} }},
	{MatrixInfo{Name: "norm-attention", About: "size of what each token brings to each", Paper: "Kobayashi et al. 2020",
		Cost: "F",
		Arch: lm.Transformer, Settings: list("layer")},
		func(s Settings) explain.MatrixMethod { return attention.Norm{Layers: s.Layers} }},
	{MatrixInfo{Name: "alti", About: "parts of attention's sum, over layers", Paper: "Ferrando et al. 2022", Cost: "F",
		Arch: lm.Transformer},
		func(Settings) explain.MatrixMethod { return attention.ALTI{} }},
	{MatrixInfo{Name: "randomised", About: "methods by stages: how much of a method's ranking is left as the " +
		"model's weights become random",
		Paper: "Adebayo et al. 2018", Cost: "each method's, for each part of the model", Settings: list("method")},
		func(Settings) explain.MatrixMethod { return faithful.Randomised{} }},
	{MatrixInfo{Name: "robustness", About: "methods by measures: infidelity, what sums of scores miss of real " +
		"changes, and max-sensitivity, how far scores turn when the embeddings hardly move",
		Paper: "Yeh et al. 2019", Cost: "each method's, n + 2 times, n = 10 (--samples); 64 F",
		Settings: list("method", "samples")},
		func(s Settings) explain.MatrixMethod { return faithful.Robust{Samples: s.Samples} }},
}

// Matrices lists all methods that score pairs.
func Matrices() []MatrixInfo {
	var all []MatrixInfo
	for _, m := range matrices {
		all = append(all, m.MatrixInfo)
	}
	return all
}

// Matrix finds a method that scores pairs by its name. Some are by other methods, or compare them.
func Matrix(name string, s Settings, compared ...explain.Method) (explain.MatrixMethod, error) {
	i := slices.IndexFunc(matrices, func(m matrixEntry) bool { return m.Name == name })
	if i < 0 {
		var names []string
		for _, m := range matrices {
			names = append(names, m.Name)
		}
		return nil, fmt.Errorf("there is no matrix %q; there are %s", name, strings.Join(names, ", "))
	}
	m := matrices[i]
	switch {
	case m.heeds("tap") && s.Tap == "":
		return nil, fmt.Errorf("the matrix %s is about one activation: name it, such as block.0.attn.z or lstm.0.cell", name)
	case m.heeds("cut") && s.Cut == 0:
		return nil, fmt.Errorf("the matrix %s is about a cut in the text: say after how many tokens", name)
	case m.heeds("method"):
		if len(compared) == 0 {
			return nil, fmt.Errorf("the matrix %s is by methods: name at least one", name)
		}
	}
	made := m.make(s)
	if x, ok := made.(comparison); ok {
		return x.Compare(compared...), nil
	}
	return made, nil
}

// comparison is a matrix that measures other methods.
type comparison interface {
	Compare(methods ...explain.Method) explain.MatrixMethod
}

func (m MatrixInfo) heeds(setting string) bool { return slices.Contains(m.Settings, setting) }
