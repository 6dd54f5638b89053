package corpus

import (
	"math/rand/v2"

	"lmkit.internal/lmkit/token"
)

// Hide exchanges a share of the inputs of each batch for the token unknown; targets stay (word dropout: Iyyer et al.,
// 2015). A model that has seen it knows what it is not to know a word, and the unknown token is a fair baseline of
// explanations. Without it, what a model makes of a token that it never met is accident. What is hidden depends on the
// seed and the batch's index alone.
func Hide(b Batches, unknown token.ID, share float64, seed uint64) Batches {
	return hidden{b, unknown, share, seed}
}

type hidden struct {
	Batches
	unknown token.ID
	share   float64
	seed    uint64
}

func (h hidden) At(i int) (Batch, error) {
	b, err := h.Batches.At(i)
	if err != nil {
		return b, err
	}
	rng := rand.New(rand.NewPCG(h.seed, uint64(i)))
	for k := range b.Inputs {
		if rng.Float64() < h.share {
			b.Inputs[k] = h.unknown
		}
	}
	return b, nil
}

// Holds says whether a token occurs in a stream.
func Holds(s Stream, id token.ID) (bool, error) {
	buf := make([]token.ID, min(1<<16, s.Len()))
	for from := 0; from < s.Len(); from += len(buf) {
		part := buf[:min(len(buf), s.Len()-from)]
		if err := s.Copy(part, from); err != nil {
			return false, err
		}
		for _, t := range part {
			if t == id {
				return true, nil
			}
		}
	}
	return false, nil
}
