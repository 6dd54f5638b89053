package net

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// A parameter is held as float32; or, a matrix, as its file has it: as float16 or bfloat16, or as the bytes of
// quantised blocks [out, N, S], where a row is N blocks of S bytes. S tells the kind of the blocks: no two kinds of
// package number have the same. Whatever it is, it becomes float32 where it is used, to the same bits as number.Floats
// has: each product is exact, and what is added to it is rounded once.

// floats is what is held, as float32.
func floats(w *Node) *Node {
	switch w.DType() {
	case dtypes.Float32:
		return w
	case dtypes.Uint8:
		d := w.Shape().Dimensions
		x := blocks[d[len(d)-1]](w) // [..., N, values] or with the values in groups
		return Reshape(x, append(append([]int{}, d[:len(d)-2]...), -1)...)
	}
	return ConvertDType(w, dtypes.Float32)
}

func (k Numbers) graph(p *pass, _ values) values {
	x := p.weights.get(k.Param)
	return values{Floats: x}
}

func (k Rows) graph(p *pass, in values) values { return values{Floats: p.weights.embed(in[IDs])} }

// blocks turns the bytes of blocks [..., S] into their numbers, by S.
var blocks = map[int]func(b *Node) *Node{
	18: func(b *Node) *Node { // Q4_0: d, 16 bytes of q
		return Mul(halves(b, 0, 1), AddScalar(flat(bits(cut(b, 2, 18), 15, 0, 4), 2), -8))
	},
	20: func(b *Node) *Node { // Q4_1: d, m, 16 bytes of q
		return Add(Mul(halves(b, 0, 1), flat(bits(cut(b, 4, 20), 15, 0, 4), 2)), halves(b, 2, 1))
	},
	22: func(b *Node) *Node { // Q5_0: d, 32 fifth bits, 16 bytes of q
		return Mul(halves(b, 0, 1), AddScalar(five(cut(b, 2, 6), cut(b, 6, 22)), -16))
	},
	24: func(b *Node) *Node { // Q5_1: d, m, 32 fifth bits, 16 bytes of q
		return Add(Mul(halves(b, 0, 1), five(cut(b, 4, 8), cut(b, 8, 24))), halves(b, 2, 1))
	},
	34: func(b *Node) *Node { // Q8_0: d, 32 bytes of q
		return Mul(halves(b, 0, 1), signed(cut(b, 2, 34)))
	},
	84: func(b *Node) *Node { // Q2_K: 16 scales and offsets, 64 bytes of q, d, m
		s := bits(cut(b, 0, 16), 15, 0, 4) // [..., 2, 16]
		scale := grouped(Mul(halves(b, 80, 1), Squeeze(Slice(s, AxisRange().Spacer(), AxisElem(0), AxisRange()), -2)))
		offset := grouped(Mul(halves(b, 82, 1), Squeeze(Slice(s, AxisRange().Spacer(), AxisElem(1), AxisRange()), -2)))
		return Sub(Mul(scale, split(flat(quarters(cut(b, 16, 80)), 3), 16, 16)), offset)
	},
	110: func(b *Node) *Node { // Q3_K: 32 bytes of third bits, 64 bytes of q, 12 of scales, d
		low := flat(bits(cut(b, 96, 104), 15, 0, 4), 2)                  // [..., 16]
		high := flat(bits(cut(b, 104, 108), 3, 0, 2, 4, 6), 2)           // [..., 16]
		scale := AddScalar(Add(low, MulScalar(high, 16)), -32)           //
		third := flat(bits(cut(b, 0, 32), 1, 0, 1, 2, 3, 4, 5, 6, 7), 2) // [..., 256]
		q := AddScalar(Add(flat(quarters(cut(b, 32, 96)), 3), MulScalar(third, 4)), -4)
		return Mul(grouped(Mul(halves(b, 108, 1), scale)), split(q, 16, 16))
	},
	144: func(b *Node) *Node { // Q4_K: d, m, 12 bytes of scales and offsets, 128 of q
		return scaled8(b, flat(nibbles(cut(b, 16, 144)), 3))
	},
	176: func(b *Node) *Node { // Q5_K: d, m, 12 bytes of scales and offsets, 32 of fifth bits, 128 of q
		fifth := flat(bits(cut(b, 16, 48), 1, 0, 1, 2, 3, 4, 5, 6, 7), 2)
		return scaled8(b, Add(flat(nibbles(cut(b, 48, 176)), 3), MulScalar(fifth, 16)))
	},
	210: func(b *Node) *Node { // Q6_K: 128 bytes of lower bits, 64 of upper ones, 16 scales, d
		low := flat(bits(split(cut(b, 0, 128), 2, 64), 15, 0, 4), 3)
		q := AddScalar(Add(low, MulScalar(flat(quarters(cut(b, 128, 192)), 3), 16)), -32)
		return Mul(grouped(Mul(halves(b, 208, 1), signed(cut(b, 192, 208)))), split(q, 16, 16))
	},
}

// cut is bytes from to end of each block.
func cut(b *Node, from, end int) *Node { return Slice(b, AxisRange().Spacer(), AxisRange(from, end)) }

// split makes two axes of the last one.
func split(x *Node, m, n int) *Node {
	d := x.Shape().Dimensions
	return Reshape(x, append(append([]int{}, d[:len(d)-1]...), m, n)...)
}

// flat makes one axis of the last n ones.
func flat(x *Node, n int) *Node {
	d := x.Shape().Dimensions
	size := 1
	for _, m := range d[len(d)-n:] {
		size *= m
	}
	return Reshape(x, append(append([]int{}, d[:len(d)-n]...), size)...)
}

// grouped gives each of the last axis' numbers an axis of its own, for the numbers of its group.
func grouped(x *Node) *Node { return ExpandAxes(x, -1) }

// halves is n float16 numbers that begin at a byte of each block: [..., n].
func halves(b *Node, at, n int) *Node {
	return ConvertDType(Bitcast(split(cut(b, at, at+2*n), n, 2), dtypes.Float16), dtypes.Float32)
}

// signed is bytes as the signed integers that they are.
func signed(b *Node) *Node { return ConvertDType(Bitcast(b, dtypes.Int8), dtypes.Float32) }

// bits is (b >> shift) & mask for each of the shifts, of bytes b [..., n]: [..., shifts, n].
func bits(b *Node, mask uint8, shifts ...uint8) *Node {
	d := b.Shape().Dimensions
	last := len(d) - 1
	dims := append(append(append([]int{}, d[:last]...), len(shifts)), d[last])
	by := ExpandLeftToRank(ExpandAxes(Const(b.Graph(), shifts), -1), len(dims))
	b = BroadcastToDims(ExpandAxes(b, -2), dims...)
	b = BitwiseShiftRightLogical(b, BroadcastToDims(by, dims...))
	return ConvertDType(BitwiseAnd(b, BroadcastToDims(Const(b.Graph(), mask), dims...)), dtypes.Float32)
}

// five is 32 numbers of five bits: the upper ones in 4 bytes, one after the other, the lower ones in 16 bytes, first
// the lower halves.
func five(fifth, q *Node) *Node {
	d := fifth.Shape().Dimensions
	upper := bits(ExpandAxes(fifth, -1), 1, 0, 1, 2, 3, 4, 5, 6, 7) // [..., 4, 8, 1]
	upper = Reshape(upper, append(append([]int{}, d[:len(d)-1]...), 32)...)
	return Add(flat(bits(q, 15, 0, 4), 2), MulScalar(upper, 16))
}

// quarters is 256 numbers of two bits in 64 bytes, of which 32 hold four runs of 32: [..., 2, 4, 32].
func quarters(q *Node) *Node { return bits(split(q, 2, 32), 3, 0, 2, 4, 6) }

// nibbles is 256 numbers of four bits in 128 bytes, of which 32 hold two runs of 32: [..., 4, 2, 32].
func nibbles(q *Node) *Node { return bits(split(q, 4, 32), 15, 0, 4) }

// scaled8 is (d*scale)*q - (m*offset) for eight groups of the numbers q [..., 256], where d and m are the first halves
// of the block, and the twelve bytes after them hold the scales and offsets, six bits each: [..., 8, 32].
func scaled8(b, q *Node) *Node {
	six := func(at int) *Node { return Squeeze(bits(cut(b, at, at+4), 63, 0), -2) }
	upper := func(at int) *Node { return MulScalar(Squeeze(bits(cut(b, at, at+4), 3, 6), -2), 16) }
	last := func(shift uint8) *Node { return Squeeze(bits(cut(b, 12, 16), 15, shift), -2) }
	scale := Concatenate([]*Node{six(4), Add(last(0), upper(4))}, -1) // [..., 8]
	offset := Concatenate([]*Node{six(8), Add(last(4), upper(8))}, -1)
	scale, offset = Mul(halves(b, 0, 1), scale), Mul(halves(b, 2, 1), offset)
	return Sub(Mul(grouped(scale), split(q, 8, 32)), grouped(offset))
}
