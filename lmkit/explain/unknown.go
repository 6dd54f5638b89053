package explain

import (
	"fmt"
	"slices"
)

// mostNamed is how many words a warning names at most.
const mostNamed = 5

// unknowns warns of input tokens that the model does not know: it read one and the same token in their place, so that
// their scores say nothing of the words as they are written. Against the baseline unk they are their own baseline.
func (p *Problem) unknowns() (warnings []string) {
	unk := slices.ContainsFunc(p.Baselines, func(b Baseline) bool { return b.Name == "unk" })
	if unk && !p.Model.MetUnknown() {
		warnings = append(warnings, "training never showed the model its unknown token, whose embedding is as "+
			"random as at first: "+
			"choose another baseline than unk, such as mean")
	}
	var words []string
	for _, t := range p.Tokens {
		if word := fmt.Sprintf("%q", t.Text); t.Unknown && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return warnings
	}
	named := listed(words[:min(len(words), mostNamed)], len(words))
	unknown, _ := p.Model.Tokenizer().Unknown()
	text := fmt.Sprintf("the model does not know %s: it read %s there", named, p.Model.TokenText(unknown))
	if unk {
		text += ", which is also the baseline unk, against which the scores of such words are 0 by construction"
	}
	return append(warnings, text)
}
