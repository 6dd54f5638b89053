package faithful

import (
	"context"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/explain"
)

// Finding is how well scores find the features that are known to be the cause. Tied scores count as if their order were
// drawn at random, and the numbers are the expectation: scores that are all alike find what chance does.
type Finding struct {
	Precision float64 `json:"precision"` // at k, the number of causes: the share of the k best features that are causes
	MeanRank  float64 `json:"mean_rank"` // of the causes; 1 is the best feature, (k+1)/2 the best possible
	Mass      float64 `json:"mass"`      // the share of the positive scores that lies on causes; 0 if no score is positive
	Pointing  float64 `json:"pointing"`  // 1 if the best feature is a cause (the pointing game)
}

// Find compares scores, largest first, with the causes (features, each once); Find(Sizes(scores), causes) ignores
// signs. Precision at k and mean rank: Bastings et al., Will you find these shortcuts?, 2022. Mass: Arras et al.,
// CLEVR-XAI, 2022 (relevance mass accuracy). Pointing: Zhang et al., Top-down neural attention by excitation
// backprop, 2018.
func Find(scores []float64, causes []int) (Finding, error) {
	if err := checkFinite(scores); err != nil {
		return Finding{}, err
	}
	if len(causes) == 0 {
		return Finding{}, errors.New("there are no causes to be found")
	}
	if err := checkSet(len(scores), causes); err != nil {
		return Finding{}, fmt.Errorf("the causes: %w", err)
	}
	var f Finding
	k := len(causes)
	isCause := make([]bool, len(scores))
	for _, c := range causes {
		isCause[c] = true
	}
	order := Order(scores)
	for lo := 0; lo < len(order); { // a group of tied features, at places lo to hi-1
		hi, hits := lo, 0
		for ; hi < len(order) && scores[order[hi]] == scores[order[lo]]; hi++ {
			if isCause[order[hi]] {
				hits++
			}
		}
		share := float64(hits) / float64(hi-lo)
		f.Precision += share * float64(max(0, min(hi, k)-lo)) / float64(k)
		f.MeanRank += float64(hits) * float64(lo+1+hi) / 2 / float64(k)
		if lo == 0 {
			f.Pointing = share
		}
		lo = hi
	}
	f.Mass = mass(scores, isCause)
	return f, nil
}

// mass returns the share of the positive scores that lies on causes. Scores are divided by the largest one first, so
// that the sum does not overflow.
func mass(scores []float64, isCause []bool) float64 {
	top := 0.0
	for _, s := range scores {
		top = max(top, s)
	}
	if top == 0 {
		return 0
	}
	var on, all float64
	for i, s := range scores {
		if s > 0 {
			all += s / top
			if isCause[i] {
				on += s / top
			}
		}
	}
	return on / all
}

// Verification says whether a planted cause, the truth about a text, is also the truth about a model.
type Verification struct {
	Margin  float64 `json:"margin"`  // by which the model prefers the right answer; not positive: it does not
	Without float64 `json:"without"` // the margin with the causes hidden
	Only    float64 `json:"only"`    // the margin with nothing but the causes
}

// Verify plays a game whose value is the margin by which the model prefers the right answer. Cost: three coalitions.
func Verify(ctx context.Context, g explain.Game, causes []int) (Verification, error) {
	M := g.Features()
	if len(causes) == 0 {
		return Verification{}, errors.New("there are no causes to verify")
	}
	if err := checkSet(M, causes); err != nil {
		return Verification{}, fmt.Errorf("the causes: %w", err)
	}
	v, err := play(ctx, g, []explain.Coalition{explain.All(M), explain.All(M).Without(causes...),
		explain.Only(M, causes...)})
	if err != nil {
		return Verification{}, err
	}
	return Verification{Margin: v[0], Without: v[1], Only: v[2]}, nil
}

// Right says that the model gives the right answer.
func (v Verification) Right() bool { return v.Margin > 0 }

// Necessary says that hiding the causes destroys at least half of the margin of a right answer.
func (v Verification) Necessary() bool { return v.Right() && v.Without <= v.Margin/2 }

// Sufficient says that the right answer stays when only the causes are kept.
func (v Verification) Sufficient() bool { return v.Right() && v.Only > 0 }

// Holds says that the causes are necessary and sufficient: the model uses them as the text's author meant.
func (v Verification) Holds() bool { return v.Necessary() && v.Sufficient() }
