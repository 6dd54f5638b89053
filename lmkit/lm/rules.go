package lm

import (
	"fmt"
	"slices"

	"lmkit.internal/lmkit/internal/net"
)

// Rules says how gradients pass what is not linear; values do not depend on it. Under the rules that conserve
// relevance (all but Ordinary and DeepLIFT) an activation times its gradient is its relevance: what all activations of
// one layer have, together with what later constants took (Answer.Constants), is the objective, which must be in
// logits. Under DeepLIFT rows 2i and 2i+1 are an input and its baseline, of one length and with one objective; the
// gradients are multipliers, equal for both: their sum with the difference of the two activations is the difference of
// the objectives.
type Rules = net.Rules

// The rules; package relevance names their papers.
const (
	Ordinary = net.Ordinary // derivatives
	AttnLRP  = net.AttnLRP  // Transformer: relevance; products share it equally, softmax by its first-order expansion
	CPLRP    = net.CPLRP    // Transformer: relevance; attention patterns are constants
	LRP      = net.LRP      // LSTM: relevance; a product's signal takes all, its gate nothing
	LRPHalf  = net.LRPHalf  // LSTM: relevance; signal and gate take half each
	GIM      = net.GIM      // Transformer: gradients of softer patterns, norms' scales constant, products shared
	DeepLIFT = net.DeepLIFT // multipliers between an input and its baseline
)

// validateRules reports what a query lacks for its rules.
func (m *Model) validateRules(q Query) error {
	if err := q.Rules.Check(m.config); err != nil {
		return err
	}
	if q.Rules.Conserve() && len(q.Of) > 0 && q.Of[0].Unit != Logit && q.Of[0].Unit != "" {
		return fmt.Errorf("%s shares out logits, and the objective is in %s: choose %s, or the rules %s",
			q.Rules, q.Of[0].Unit, Logit, DeepLIFT)
	}
	if q.Rules != DeepLIFT {
		return nil
	}
	if len(q.Rows)%2 != 0 {
		return fmt.Errorf("%s compares pairs of rows, and there are %d rows: an odd number", DeepLIFT, len(q.Rows))
	}
	for i := 0; i < len(q.Rows); i += 2 {
		if a, b := len(q.Rows[i]), len(q.Rows[i+1]); a != b {
			return fmt.Errorf("%s compares rows %d and %d, which have %d and %d tokens: give them one length",
				DeepLIFT, i, i+1, a, b)
		}
		if !slices.Equal(q.objective(i).Terms, q.objective(i+1).Terms) {
			return fmt.Errorf("%s compares rows %d and %d: give them one objective", DeepLIFT, i, i+1)
		}
	}
	return nil
}
