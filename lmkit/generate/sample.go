package generate

import (
	"errors"
	"math"
	"math/rand/v2"

	"lmkit.internal/lmkit/token"
)

// choice is a token that may come next.
type choice struct {
	id     token.ID
	logit  float64
	weight float64 // proportional to the probability
}

// before orders choices: the more likely first, equally likely ones by ID.
func (a choice) before(b choice) bool {
	return a.logit > b.logit || a.logit == b.logit && a.id < b.id
}

// choose picks the next token, with its log-probability by the model. The choice depends on the logits, the seed and
// the step alone.
func (c Config) choose(logits []float32, seed uint64, step int) (token.ID, float64, error) {
	best := 0
	for i, x := range logits {
		if x-x != 0 {
			return 0, 0, errors.New("the model predicts numbers that are not finite: its weights are too large, or its training diverged")
		}
		if x > logits[best] {
			best = i
		}
	}
	top, sum := float64(logits[best]), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	id := token.ID(best)
	if c.Temperature > 0 {
		id = draw(c.choices(logits, top), rand.New(rand.NewPCG(seed, uint64(step))).Float64())
	}
	return id, float64(logits[id]) - top - math.Log(sum), nil
}

// choices is the tokens that the settings leave, with their weights: at least one. top is the largest logit. The
// temperature is not 0.
func (c Config) choices(logits []float32, top float64) []choice {
	all := make([]choice, len(logits))
	total := 0.0
	for i, x := range logits {
		all[i] = choice{token.ID(i), float64(x), math.Exp((float64(x) - top) / c.Temperature)}
		total += all[i].weight
	}
	k := len(all)
	if c.TopK > 0 {
		k = min(k, c.TopK)
	}
	nucleus := c.TopP > 0 && c.TopP < 1
	if k == len(all) && !nucleus {
		return all
	}
	h := newHeap(all)
	var best []choice
	if k < len(logits) {
		total = 0
		for range k {
			best = append(best, h.pop())
			total += best[len(best)-1].weight
		}
	}
	if !nucleus {
		return best
	}
	mass := 0.0
	for n := range k {
		if n == len(best) {
			best = append(best, h.pop())
		}
		if mass += best[n].weight; mass >= c.TopP*total {
			return best[:n+1]
		}
	}
	return best
}

// draw is the choice at u, 0 <= u < 1, when the choices' weights stand end to end over [0, 1).
func draw(choices []choice, u float64) token.ID {
	total := 0.0
	for _, c := range choices {
		total += c.weight
	}
	last := choices[0].id
	for _, c := range choices {
		if c.weight == 0 {
			continue
		}
		last = c.id
		if u -= c.weight / total; u < 0 {
			break
		}
	}
	return last
}

// heap gives choices in order, without sorting those that nobody asks for.
type heap []choice

func newHeap(cs []choice) heap {
	h := heap(cs)
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h
}

func (h *heap) pop() choice {
	s := *h
	first, n := s[0], len(s)-1
	s[0] = s[n]
	*h = s[:n]
	h.down(0)
	return first
}

func (h heap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if r := child + 1; r < len(h) && h[r].before(h[child]) {
			child = r
		}
		if !h[child].before(h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
