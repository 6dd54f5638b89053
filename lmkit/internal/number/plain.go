package number

import (
	"encoding/binary"
	"math"
)

var le = binary.LittleEndian

func fromF64(to []float32, from []byte) {
	for i := range to {
		to[i] = float32(math.Float64frombits(le.Uint64(from[8*i:])))
	}
}

func fromF32(to []float32, from []byte) {
	for i := range to {
		to[i] = math.Float32frombits(le.Uint32(from[4*i:]))
	}
}

// fromBF16 takes the upper half of a float32.
func fromBF16(to []float32, from []byte) {
	for i := range to {
		to[i] = math.Float32frombits(uint32(le.Uint16(from[2*i:])) << 16)
	}
}

func fromF16(to []float32, from []byte) {
	for i := range to {
		to[i] = half(from[2*i:])
	}
}

func fromI64(to []float32, from []byte) {
	for i := range to {
		to[i] = float32(int64(le.Uint64(from[8*i:])))
	}
}

func fromI32(to []float32, from []byte) {
	for i := range to {
		to[i] = float32(int32(le.Uint32(from[4*i:])))
	}
}

// half returns the IEEE 754 binary16 number at the beginning of b: a sign, five bits of exponent with an offset of 15,
// and ten bits of fraction, exact as a float32.
func half(b []byte) float32 {
	bits := uint32(le.Uint16(b))
	sign, exp, frac := bits>>15<<31, bits>>10&31, bits&1023
	switch exp {
	case 31: // infinity, or not a number
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	case 0: // no leading one: frac/2^24, below the smallest number that has one
		f := float32(frac) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(f))
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// Bytes returns what stores numbers as F32.
func Bytes(from []float32) []byte {
	raw := make([]byte, 4*len(from))
	for i, v := range from {
		le.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return raw
}
