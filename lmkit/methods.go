package lmkit

import (
	"fmt"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
)

// Settings are what methods have in common to be set by name. A method that has no such setting ignores it; the zero
// value is each method's own default.
type Settings struct {
	Steps   int // points of an integral; 0: as many as the tolerance needs
	Samples int // random draws; 0: the method's default
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
