package corpus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"lmkit.internal/lmkit/token"
)

// Shuffled gives each example a row of its own, in another order each epoch, which the seed and the number of the epoch
// decide. Examples of about one length share a batch, so that little of it is padding; targets are listed with their
// positions (Batch.After), so that what is not to be predicted costs no output. Each example comes once an epoch. An
// epoch has as many batches as Len says, and At takes any index: the batches of the first epoch, of the second, and so
// on.
func Shuffled(examples []Example, rows int, seed uint64) (Batches, error) {
	longest, err := rowLength(examples, rows)
	if err != nil {
		return nil, err
	}
	return &shuffled{examples: examples, rows: rows, longest: longest, seed: seed, epoch: -1}, nil
}

type shuffled struct {
	examples []Example
	rows     int
	longest  int // tokens of a row
	seed     uint64

	mu    sync.Mutex
	epoch int     // the one that order is of
	order [][]int // the examples of each batch
}

func (s *shuffled) Len() int { return (len(s.examples) + s.rows - 1) / s.rows }

// reorders marks batches that may be asked for beyond Len, where they come in another order.
func (s *shuffled) reorders() {}

// Reorders reports whether the batches of an epoch come in another order in the next one, so that At takes any index.
func Reorders(b Batches) bool {
	switch x := b.(type) {
	case interface{ reorders() }:
		return true
	case hidden:
		return Reorders(x.Batches)
	}
	return false
}

func (s *shuffled) At(i int) (Batch, error) {
	if i < 0 {
		return Batch{}, fmt.Errorf("batch %d: batches count from 0", i)
	}
	return s.batch(s.of(i)), nil
}

// of returns the examples of a batch.
func (s *shuffled) of(i int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch, at := i/s.Len(), i%s.Len()
	if epoch != s.epoch {
		s.epoch, s.order = epoch, s.arrange(epoch)
	}
	return s.order[at]
}

// together is from how many batches at random the examples of about one length are taken for one.
const together = 32

// arrange cuts an epoch into batches: examples in a random order, sorted by length within stretches of it, and the
// batches of these in a random order again. The one that is not full, if there is one, is the last.
func (s *shuffled) arrange(epoch int) [][]int {
	rng := rand.New(rand.NewPCG(s.seed, uint64(epoch)))
	order := rng.Perm(len(s.examples))
	var full, rest [][]int
	for stretch := range slices.Chunk(order, together*s.rows) {
		slices.SortStableFunc(stretch, func(a, b int) int { return len(s.examples[a].Tokens) - len(s.examples[b].Tokens) })
		for batch := range slices.Chunk(stretch, s.rows) {
			if len(batch) == s.rows {
				full = append(full, batch)
			} else {
				rest = append(rest, batch)
			}
		}
	}
	rng.Shuffle(len(full), func(i, j int) { full[i], full[j] = full[j], full[i] })
	return append(full, rest...)
}

// batch lays examples side by side, in shapes of which there are few.
func (s *shuffled) batch(of []int) Batch {
	length, scored := 1, 1
	for _, i := range of {
		length = max(length, len(s.examples[i].Tokens)-1)
		scored = max(scored, s.examples[i].scored())
	}
	b := newBatch(s.rows, min(roundUp(length), s.longest))
	b.Fresh = true
	n := roundUp(scored)
	b.After, b.Targets = make([]int32, s.rows*n), slices.Repeat([]token.ID{Ignore}, s.rows*n)
	for r, i := range of {
		e := s.examples[i]
		last, k := len(e.Tokens)-1, e.scored()
		copy(b.Inputs[r*b.Length:], e.Tokens[:last])
		copy(b.Targets[r*n:], e.Tokens[last+1-k:])
		for j := range k {
			b.After[r*n+j] = int32(last - k + j)
		}
	}
	return b
}

// roundUp returns the next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: few shapes to compile, and little padding.
func roundUp(n int) int {
	b := 1
	for b < n {
		if h := b + b/2; b > 1 && h >= n {
			return h
		}
		b *= 2
	}
	return b
}
