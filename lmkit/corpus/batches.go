package corpus

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"lmkit.internal/lmkit/token"
)

// Ignore is a target that is not scored: padding.
const Ignore token.ID = -1

// Batch is Rows sequences of Length tokens, and for each token the one that follows it.
type Batch struct {
	Inputs  []token.ID // [Rows, Length], row by row; 0 where there is padding
	Targets []token.ID // [Rows, Length], row by row; Ignore where there is padding

	// After says, where few tokens are targets, after which token of its row each of them comes. Targets is then
	// [Rows, n] as After is. nil: every token has a target.
	After []int32

	Rows, Length int

	// Fresh means that a recurrent model starts from the zero state. If not, row r continues row r of the batch before.
	Fresh bool
}

// Scored counts the targets that are not Ignore.
func (b Batch) Scored() int {
	n := 0
	for _, t := range b.Targets {
		if t != Ignore {
			n++
		}
	}
	return n
}

// Read counts the tokens up to the last target of each row: those that are no padding.
func (b Batch) Read() (n int) {
	for r := range b.Rows {
		n += b.ReadIn(r)
	}
	return n
}

// ReadIn counts the tokens of a row up to its last target.
func (b Batch) ReadIn(row int) int {
	each := len(b.Targets) / b.Rows
	targets := b.Targets[row*each : (row+1)*each]
	n := len(targets)
	for n > 0 && targets[n-1] == Ignore {
		n--
	}
	if n > 0 && b.After != nil {
		return int(b.After[row*each+n-1]) + 1
	}
	return n
}

// Batches is a sequence of batches that can be entered anywhere, so that a training run can resume at any step. It is
// safe for concurrent use.
type Batches interface {
	// Len is the number of batches of an epoch; 0 means that they never end.
	Len() int
	// At returns batch i, 0 <= i < Len, or any i >= 0 if they never end. Equal i give equal batches.
	At(i int) (Batch, error)
}

// largest bounds Rows x Length, so that a slip in a setting is an error and not the end of the memory.
const largest = 1 << 28

func newBatch(rows, length int) Batch {
	return Batch{Inputs: make([]token.ID, rows*length), Targets: make([]token.ID, rows*length), Rows: rows,
		Length: length}
}

// row fills row r from length+1 tokens.
func (b Batch) row(r int, tokens []token.ID) {
	copy(b.Inputs[r*b.Length:(r+1)*b.Length], tokens[:b.Length])
	copy(b.Targets[r*b.Length:(r+1)*b.Length], tokens[1:])
}

// checkShape returns an error unless batches of rows x length can be cut from n tokens, of which they need at least
// need.
func checkShape(n, need, rows, length int) error {
	switch {
	case rows < 1 || length < 1:
		return fmt.Errorf("batches of %d rows of %d tokens: need at least 1 of each", rows, length)
	case rows > largest/length:
		return fmt.Errorf("batches of %d rows of %d tokens: more than %d tokens a batch: take fewer rows or shorter ones",
			rows, length, largest)
	case n < need:
		return fmt.Errorf("the corpus has %d tokens, batches of %d rows of %d tokens need at least %d: give more text, or "+
			"take fewer or shorter rows",
			n, rows, length, need)
	}
	return nil
}

func checkIndex(i, n int) error {
	if i < 0 || i >= n {
		return fmt.Errorf("batch %d: there are batches 0 to %d", i, n-1)
	}
	return nil
}

// Carried cuts the stream into rows equal stretches, trimming what does not fit, and reads them side by side: row r of
// batch i goes on where row r of batch i-1 ended, so that a recurrent model can carry its state. The last batch of an
// epoch may be shorter. (The batching of PyTorch's word-language-model example.)
func Carried(stream Stream, rows, length int) (Batches, error) {
	if err := checkShape(stream.Len(), 2*max(rows, 1), rows, length); err != nil {
		return nil, err
	}
	return carried{stream, rows, length, stream.Len() / rows}, nil
}

type carried struct {
	Stream
	rows, length int
	stretch      int // tokens of a row, over all batches
}

func (c carried) Len() int { return (c.stretch - 1 + c.length - 1) / c.length }

func (c carried) At(i int) (Batch, error) {
	if err := checkIndex(i, c.Len()); err != nil {
		return Batch{}, err
	}
	from := i * c.length
	b := newBatch(c.rows, min(c.length, c.stretch-1-from))
	b.Fresh = i == 0
	tokens := make([]token.ID, b.Length+1)
	for r := range b.Rows {
		if err := c.Copy(tokens, r*c.stretch+from); err != nil {
			return Batch{}, err
		}
		b.row(r, tokens)
	}
	return b, nil
}

// SweepCarried is Carried for measuring: every token but the first is a target exactly once. The rows are as even
// as they can be, and those that are shorter end in padding (Ignore). There are fewer rows where a row would have
// fewer than length targets, since each row but the first begins without what comes before it.
func SweepCarried(stream Stream, rows, length int) (Batches, error) {
	if err := checkShape(stream.Len(), 2, rows, length); err != nil {
		return nil, err
	}
	targets := stream.Len() - 1
	rows = max(1, min(rows, targets/length))
	stretch := (targets + rows - 1) / rows
	return sweepCarried{stream, (targets + stretch - 1) / stretch, length, stretch}, nil
}

type sweepCarried struct {
	Stream
	rows, length int
	stretch      int // targets of a row, over all batches
}

func (s sweepCarried) Len() int { return (s.stretch + s.length - 1) / s.length }

func (s sweepCarried) At(i int) (Batch, error) {
	if err := checkIndex(i, s.Len()); err != nil {
		return Batch{}, err
	}
	from := i * s.length
	b := newBatch(s.rows, min(s.length, s.stretch-from))
	b.Fresh = i == 0
	for j := range b.Targets {
		b.Targets[j] = Ignore
	}
	for r := range b.Rows {
		at := r*s.stretch + from
		tokens := make([]token.ID, max(0, min(b.Length+1, s.Stream.Len()-at)))
		if len(tokens) < 2 {
			continue // a row of padding, at the end of the text
		}
		if err := s.Copy(tokens, at); err != nil {
			return Batch{}, err
		}
		copy(b.Inputs[r*b.Length:], tokens[:len(tokens)-1])
		copy(b.Targets[r*b.Length:], tokens[1:])
	}
	return b, nil
}

// Windows never ends: each row of each batch is a stretch of the stream that starts at a random place, all places
// being equally likely. Batch i depends on the seed and i alone.
func Windows(stream Stream, rows, length int, seed uint64) (Batches, error) {
	if err := checkShape(stream.Len(), length+1, rows, length); err != nil {
		return nil, err
	}
	return windows{stream, rows, length, seed}, nil
}

type windows struct {
	Stream
	rows, length int
	seed         uint64
}

func (w windows) Len() int { return 0 }

func (w windows) At(i int) (Batch, error) {
	if i < 0 {
		return Batch{}, fmt.Errorf("batch %d: batches count from 0", i)
	}
	rng := rand.New(rand.NewPCG(w.seed, uint64(i)))
	b := newBatch(w.rows, w.length)
	b.Fresh = true
	tokens := make([]token.ID, w.length+1)
	for r := range b.Rows {
		if err := w.Copy(tokens, rng.IntN(w.Stream.Len()-w.length)); err != nil {
			return Batch{}, err
		}
		b.row(r, tokens)
	}
	return b, nil
}

// Sweep reads the stream once, in order: every token but the first is a target exactly once. Row r of batch i
// follows row r-1; all batches have the same shape, and the last one ends in padding (Ignore), possibly in whole
// rows of it. Rows start from the zero state, except that with one row each batch continues the one before.
func Sweep(stream Stream, rows, length int) (Batches, error) {
	if err := checkShape(stream.Len(), 2, rows, length); err != nil {
		return nil, err
	}
	return sweep{stream, rows, length}, nil
}

type sweep struct {
	Stream
	rows, length int
}

func (s sweep) Len() int {
	n, size := s.Stream.Len()-1, s.rows*s.length
	return (n + size - 1) / size
}

func (s sweep) At(i int) (Batch, error) {
	if err := checkIndex(i, s.Len()); err != nil {
		return Batch{}, err
	}
	b := newBatch(s.rows, s.length)
	b.Fresh = i == 0 || s.rows > 1
	from := i * len(b.Inputs)
	tokens := make([]token.ID, min(len(b.Inputs), s.Stream.Len()-1-from)+1)
	if err := s.Copy(tokens, from); err != nil {
		return Batch{}, err
	}
	n := len(tokens) - 1
	copy(b.Inputs, tokens[:n])
	copy(b.Targets, tokens[1:])
	for j := n; j < len(b.Targets); j++ {
		b.Targets[j] = Ignore
	}
	return b, nil
}

// Example is a short text by itself, of which the last Scored tokens are to be predicted (0: all but the first).
type Example struct {
	Tokens []token.ID
	Scored int
}

// rowLength returns how many tokens a row takes that holds any of the examples, or what is wrong with them.
func rowLength(examples []Example, rows int) (longest int, err error) {
	if len(examples) == 0 {
		return 0, errors.New("no examples to make batches of")
	}
	for i, e := range examples {
		if len(e.Tokens) < 2 || e.Scored < 0 || e.Scored >= len(e.Tokens) {
			return 0, fmt.Errorf("example %d has %d tokens, %d of them to predict: the first cannot be predicted", i,
				len(e.Tokens), e.Scored)
		}
		longest = max(longest, len(e.Tokens)-1)
	}
	return longest, checkShape(0, 0, rows, longest)
}

// scored is how many tokens are to be predicted.
func (e Example) scored() int {
	if e.Scored == 0 {
		return len(e.Tokens) - 1
	}
	return e.Scored
}

// Padded gives each example a row of its own, in their order, padded on the right to the length of the longest. All
// batches have the same shape, and the last one may end in rows of padding.
func Padded(examples []Example, rows int) (Batches, error) {
	longest, err := rowLength(examples, rows)
	if err != nil {
		return nil, err
	}
	return padded{examples, rows, longest}, nil
}

type padded struct {
	examples     []Example
	rows, length int
}

func (p padded) Len() int { return (len(p.examples) + p.rows - 1) / p.rows }

func (p padded) At(i int) (Batch, error) {
	if err := checkIndex(i, p.Len()); err != nil {
		return Batch{}, err
	}
	b := newBatch(p.rows, p.length)
	b.Fresh = true
	for j := range b.Targets {
		b.Targets[j] = Ignore
	}
	for r, e := range p.examples[i*p.rows : min((i+1)*p.rows, len(p.examples))] {
		last := len(e.Tokens) - 1
		scored := e.scored()
		copy(b.Inputs[r*b.Length:], e.Tokens[:last])
		copy(b.Targets[r*b.Length+last-scored:], e.Tokens[last+1-scored:])
	}
	return b, nil
}
