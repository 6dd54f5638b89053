// Package number says how model files store numbers, and turns what they store into float32.
package number

import (
	"fmt"
	"math"
	"runtime"
	"sync"
)

// Kind is the way in which a tensor's numbers are stored, under the name that files use. A Kind may be any text: a file
// can hold a tensor that nobody reads, of a kind that this package does not know.
type Kind string

// The kinds that Floats converts. A number of the first group stands alone. The others store the numbers of a row in
// blocks of 32 or 256, which share scales: the digit is the number of bits that each number has of its own.
const (
	F64  Kind = "F64"
	F32  Kind = "F32"
	F16  Kind = "F16"
	BF16 Kind = "BF16"
	I64  Kind = "I64"
	I32  Kind = "I32"

	Q4_0 Kind = "Q4_0"
	Q4_1 Kind = "Q4_1"
	Q5_0 Kind = "Q5_0"
	Q5_1 Kind = "Q5_1"
	Q8_0 Kind = "Q8_0"

	Q2_K Kind = "Q2_K"
	Q3_K Kind = "Q3_K"
	Q4_K Kind = "Q4_K"
	Q5_K Kind = "Q5_K"
	Q6_K Kind = "Q6_K"
)

// layout describes a kind: a block of bytes that stands for so many values, and the conversion of whole blocks.
type layout struct {
	values, bytes int
	floats        func(to []float32, from []byte)
}

var layouts = map[Kind]layout{
	F64:  {1, 8, fromF64},
	F32:  {1, 4, fromF32},
	F16:  {1, 2, fromF16},
	BF16: {1, 2, fromBF16},
	I64:  {1, 8, fromI64},
	I32:  {1, 4, fromI32},

	Q4_0: {32, 2 + 16, fromQ4_0},
	Q4_1: {32, 4 + 16, fromQ4_1},
	Q5_0: {32, 2 + 4 + 16, fromQ5_0},
	Q5_1: {32, 4 + 4 + 16, fromQ5_1},
	Q8_0: {32, 2 + 32, fromQ8_0},

	Q2_K: {256, 16 + 64 + 4, fromQ2_K},
	Q3_K: {256, 32 + 64 + 12 + 2, fromQ3_K},
	Q4_K: {256, 4 + 12 + 128, fromQ4_K},
	Q5_K: {256, 4 + 12 + 32 + 128, fromQ5_K},
	Q6_K: {256, 128 + 64 + 16 + 2, fromQ6_K},
}

// Block returns how many numbers of a row are stored together: 1 for plain numbers, 0 for a kind that is not known.
func (k Kind) Block() int { return layouts[k].values }

// Size returns how many bytes n numbers take. It is an error that the kind is not known, that n is not made of whole
// blocks, or that no memory could hold them.
func (k Kind) Size(n int) (int, error) {
	l, ok := layouts[k]
	switch {
	case !ok:
		return 0, fmt.Errorf("number type %.40q is not supported; there are F32, F16, BF16, F64, I32, I64, "+
			"Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K", string(k))
	case n < 0 || n%l.values != 0:
		return 0, fmt.Errorf("%d numbers of type %s are not made of blocks of %d", n, k, l.values)
	case n/l.values > math.MaxInt/l.bytes:
		return 0, fmt.Errorf("%d numbers of type %s are more than memory can hold", n, k)
	}
	return n / l.values * l.bytes, nil
}

// Floats fills to with the numbers that are stored in little-endian order, on all processors. stored must have the Size
// of len(to) numbers. A product that a kind asks for is rounded to float32 before anything is added to it, so that
// every machine gets the same bits.
func Floats(to []float32, k Kind, stored []byte) error {
	size, err := k.Size(len(to))
	if err != nil {
		return err
	}
	if size != len(stored) {
		return fmt.Errorf("%d numbers of type %s take %d bytes, but there are %d", len(to), k, size, len(stored))
	}
	l := layouts[k]
	inPieces(len(to), func(from, end int) {
		l.floats(to[from:end], stored[from/l.values*l.bytes:end/l.values*l.bytes])
	})
	return nil
}

// Finite returns the first place where a number is not finite, or -1.
func Finite(data []float32) int {
	return first(len(data), func(from, end int) int {
		for i, v := range data[from:end] {
			if v-v != 0 {
				return from + i
			}
		}
		return -1
	})
}

// FiniteStored is Finite for whole blocks of numbers as they are stored.
func FiniteStored(k Kind, stored []byte) int {
	l := layouts[k]
	return first(len(stored)/l.bytes*l.values, func(from, end int) int {
		var some [1 << 12]float32
		for ; from < end; from += len(some) {
			to := some[:min(len(some), end-from)]
			l.floats(to, stored[from/l.values*l.bytes:(from+len(to))/l.values*l.bytes])
			for i, v := range to {
				if v-v != 0 {
					return from + i
				}
			}
		}
		return -1
	})
}

// first returns the first place among n numbers that find returns for a piece of them, or -1.
func first(n int, find func(from, end int) int) int {
	var mu sync.Mutex
	place := -1
	inPieces(n, func(from, end int) {
		i := find(from, end)
		mu.Lock()
		defer mu.Unlock()
		if i >= 0 && (place < 0 || i < place) {
			place = i
		}
	})
	return place
}

// inPieces calls do for pieces of n numbers, in as many goroutines as there are processors where they are many.
func inPieces(n int, do func(from, end int)) {
	const atOnce = 1 << 16 // numbers; a multiple of every block
	if n <= atOnce {
		do(0, n)
		return
	}
	pieces := (n + atOnce - 1) / atOnce
	workers := min(runtime.GOMAXPROCS(0), pieces)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { do(w*pieces/workers*atOnce, min((w+1)*pieces/workers*atOnce, n)) })
	}
	all.Wait()
}
