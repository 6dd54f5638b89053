package number

// The blocks of 32 numbers. A block begins with its scale d, and in the kinds that end in _1 its offset m, as halves;
// then come the 32 integers q. The kinds that end in _0 stand for d*(q - the middle of q's range), the others for d*q
// + m. Two integers share a byte: its lower half belongs to number j, the upper half to number j+16. Where q has a
// fifth bit, bit j of a uint32 before the bytes is that of number j.

func fromQ4_0(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[32:], from[18:] {
		d := half(from)
		for j, q := range from[2:18] {
			to[j] = d * float32(int(q&15)-8)
			to[j+16] = d * float32(int(q>>4)-8)
		}
	}
}

func fromQ4_1(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[32:], from[20:] {
		d, m := half(from), half(from[2:])
		for j, q := range from[4:20] {
			to[j] = float32(d*float32(q&15)) + m
			to[j+16] = float32(d*float32(q>>4)) + m
		}
	}
}

func fromQ5_0(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[32:], from[22:] {
		d, high := half(from), le.Uint32(from[2:])
		for j, q := range from[6:22] {
			to[j] = d * float32(int(uint32(q&15)|high>>j&1<<4)-16)
			to[j+16] = d * float32(int(uint32(q>>4)|high>>(j+16)&1<<4)-16)
		}
	}
}

func fromQ5_1(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[32:], from[24:] {
		d, m, high := half(from), half(from[2:]), le.Uint32(from[4:])
		for j, q := range from[8:24] {
			to[j] = float32(d*float32(uint32(q&15)|high>>j&1<<4)) + m
			to[j+16] = float32(d*float32(uint32(q>>4)|high>>(j+16)&1<<4)) + m
		}
	}
}

func fromQ8_0(to []float32, from []byte) {
	for ; len(to) > 0; to, from = to[32:], from[34:] {
		d := half(from)
		for j, q := range from[2:34] {
			to[j] = d * float32(int8(q))
		}
	}
}
