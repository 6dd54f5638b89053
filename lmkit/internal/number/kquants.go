package number

// The blocks of 256 numbers. A block is cut into groups of 16 or 32, each with a small integer scale (and in Q2_K, Q4_K
// and Q5_K a small integer offset), which the halves d and m of the whole block multiply: a number is
// (d*scale)*q - (m*offset). The integers q of a block are spread over two arrays where their bits do not fill bytes.

// fromQ2_K reads 16 bytes of scales (lower four bits) and offsets (upper four), 64 bytes of q, then d and m. Each byte
// of q holds two bits of four numbers that are 32 apart.
func fromQ2_K(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[256:], from[84:] {
		scales, qs := from[:16], from[16:80]
		d, m := half(from[80:]), half(from[82:])
		for g, s := range scales { // groups of 16
			scale, offset := d*float32(s&15), m*float32(s>>4)
			q, shift := qs[g/8*32+g%2*16:], g/2%4*2
			for j, out := 0, to[g*16:g*16+16]; j < 16; j++ {
				out[j] = float32(scale*float32(q[j]>>shift&3)) - offset
			}
		}
	}
}

// fromQ3_K reads 32 bytes with the third bit of each q, 64 bytes with its two lower bits, 12 bytes of scales, then d.
// The third bit counts the other way round: q is its lower bits where the bit is set, and those minus 4 where it is
// not.
func fromQ3_K(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[256:], from[110:] {
		third, qs, packed, d := from[:32], from[32:96], from[96:108], half(from[108:])
		for g := range 16 { // groups of 16
			// The scale's lower four bits are half a byte of the first eight, its upper two a quarter of the last four.
			low, high := packed[g%8]>>(g/8*4)&15, packed[8+g%4]>>(g/4*2)&3
			scale := d * float32(int(low|high<<4)-32)
			q, shift := qs[g/8*32+g%2*16:], g/2%4*2
			bit, at := third[g%2*16:], g/2
			for j, out := 0, to[g*16:g*16+16]; j < 16; j++ {
				out[j] = scale * float32(int(q[j]>>shift&3)-int(^bit[j]>>at&1<<2))
			}
		}
	}
}

// scaleOffset returns the scale and the offset, six bits each, of group g of 8 in the 12 bytes that hold them all.
func scaleOffset(packed []byte, g int) (scale, offset float32) {
	if g < 4 {
		return float32(packed[g] & 63), float32(packed[g+4] & 63)
	}
	both := packed[g+4]
	return float32(both&15 | packed[g-4]>>6<<4), float32(both>>4 | packed[g]>>6<<4)
}

// fromQ4_K reads d and m, 12 bytes of scales and offsets, and 128 bytes of q, of which 32 hold two groups of 32: the
// first in their lower halves, the second in the upper ones.
func fromQ4_K(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[256:], from[144:] {
		d, m, packed, qs := half(from), half(from[2:]), from[4:16], from[16:144]
		for g := range 8 {
			scale, offset := scaleOffset(packed, g)
			scale, offset = d*scale, m*offset
			q, shift := qs[g/2*32:], g%2*4
			for j, out := 0, to[g*32:g*32+32]; j < 32; j++ {
				out[j] = float32(scale*float32(q[j]>>shift&15)) - offset
			}
		}
	}
}

// fromQ5_K reads what fromQ4_K does, with 32 bytes before q that hold the fifth bits: bit g of byte j is that of
// number j of group g.
func fromQ5_K(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[256:], from[176:] {
		d, m, packed, fifth, qs := half(from), half(from[2:]), from[4:16], from[16:48], from[48:176]
		for g := range 8 {
			scale, offset := scaleOffset(packed, g)
			scale, offset = d*scale, m*offset
			q, shift := qs[g/2*32:], g%2*4
			for j, out := 0, to[g*32:g*32+32]; j < 32; j++ {
				out[j] = float32(scale*float32(q[j]>>shift&15|fifth[j]>>g&1<<4)) - offset
			}
		}
	}
}

// fromQ6_K reads 128 bytes with the lower four bits of q, 64 bytes with the upper two, 16 scales with a sign, then d.
// q counts from -32. The first halves of both arrays belong to the first 128 numbers.
func fromQ6_K(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[256:], from[210:] {
		lower, upper, scales, d := from[:128], from[128:192], from[192:208], half(from[208:])
		for g, s := range scales { // groups of 16; eight of them are 128 numbers
			scale := d * float32(int8(s))
			// Of 128 numbers, the first 64 are in the lower halves of 64 bytes, the others in the upper ones; of the
			// upper bits, 32 bytes hold four runs of 32 numbers.
			low, lowShift := lower[g/8*64+g%4*16:], g%8/4*4
			high, highShift := upper[g/8*32+g%2*16:], g%8/2*2
			for j, out := 0, to[g*16:g*16+16]; j < 16; j++ {
				out[j] = scale * float32(int(low[j]>>lowShift&15|high[j]>>highShift&3<<4)-32)
			}
		}
	}
}
