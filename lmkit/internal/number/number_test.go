package number

import (
	"math"
	"os"
	"strings"
	"testing"
)

// Blocks that bench/blocks.py froze stand for the same numbers, to the bit, as in the reference implementation.
func TestFloatsEqualReference(t *testing.T) {
	for _, k := range []Kind{F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K} {
		file, err := os.ReadFile("testdata/" + string(k) + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		l := layouts[k]
		blocks := len(file) / (l.bytes + 4*l.values)
		if blocks < 8 || blocks*(l.bytes+4*l.values) != len(file) {
			t.Fatalf("%s: %d bytes are not made of blocks", k, len(file))
		}
		stored, want := file[:blocks*l.bytes], file[blocks*l.bytes:]
		got := make([]float32, blocks*l.values)
		if err := Floats(got, k, stored); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if w := le.Uint32(want[4*i:]); math.Float32bits(v) != w {
				t.Errorf("%s: number %d is %v, want %v", k, i, v, math.Float32frombits(w))
				break
			}
		}
	}
}

// What many processors convert is what one converts, for lengths on both sides of a piece.
func TestFloatsInPieces(t *testing.T) {
	for k, l := range layouts {
		block, err := os.ReadFile("testdata/" + string(k) + ".bin")
		if err != nil {
			block = []byte("0123456789abcdef")
		}
		for _, n := range []int{0, l.values, 1 << 16, 1<<16 + l.values, 5<<16 - l.values} {
			size, err := k.Size(n)
			if err != nil {
				t.Fatal(err)
			}
			from := make([]byte, size)
			for i := range from {
				from[i] = block[i%(len(block)/l.bytes*l.bytes)]
			}
			got, want := make([]float32, n), make([]float32, n)
			if err := Floats(got, k, from); err != nil {
				t.Fatal(err)
			}
			l.floats(want, from)
			for i := range want {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					t.Fatalf("%s, %d numbers: number %d is %v, want %v", k, n, i, got[i], want[i])
				}
			}
		}
	}
}

// Every half is sign * 1.fraction * 2^(exponent - 15), or sign * 0.fraction * 2^-14 when the exponent is 0.
func TestHalf(t *testing.T) {
	for b := range 1 << 16 {
		sign, exp, frac := 1-float64(b>>15)*2, b>>10&31, float64(b&1023)/1024
		var want float64
		switch {
		case exp == 31 && frac != 0:
			want = math.NaN()
		case exp == 31:
			want = math.Inf(int(sign))
		case exp == 0:
			want = math.Copysign(math.Ldexp(frac, -14), sign)
		default:
			want = sign * math.Ldexp(1+frac, exp-15)
		}
		got := float64(half([]byte{byte(b), byte(b >> 8)}))
		if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("half %#04x is %v, want %v", b, got, want)
		}
	}
}

func TestWrongSizes(t *testing.T) {
	tests := []struct {
		kind  Kind
		n, to int
		want  string
	}{
		{"IQ2_XXS", 256, 66, `"IQ2_XXS" is not supported`},
		{Kind(strings.Repeat("long", 1000)), 1, 1, "is not supported"},
		{Q4_0, 33, 18, "blocks of 32"},
		{Q4_0, 32, 17, "take 18 bytes, but there are 17"},
		{F32, 1, 8, "take 4 bytes, but there are 8"},
	}
	for _, tt := range tests {
		err := Floats(make([]float32, tt.n), tt.kind, make([]byte, tt.to))
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 300 {
			t.Errorf("%.10s, %d: got error %v, want one with %q", tt.kind, tt.n, err, tt.want)
		}
	}
	if _, err := F32.Size(math.MaxInt); err == nil {
		t.Error("more bytes than an int holds are no error")
	}
}

func BenchmarkQ4_1(b *testing.B) {
	const n = 49152 * 576
	size, _ := Q4_1.Size(n)
	from, to := make([]byte, size), make([]float32, n)
	for b.Loop() {
		if err := Floats(to, Q4_1, from); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n/1e6*float64(b.N)/b.Elapsed().Seconds(), "Mnumbers/s")
}
