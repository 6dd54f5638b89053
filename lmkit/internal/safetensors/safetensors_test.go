package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// file puts a header before data.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func read(b []byte) (map[string]Tensor, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]Tensor{}
		for name := range rapid.MapOf(rapid.StringMatching(`[a-z"é.0-9]{1,12}`), rapid.Bool()).Draw(t, "names") {
			dims := rapid.SliceOfN(rapid.IntRange(0, 5), 0, 3).Draw(t, "dims")
			n := 1
			for _, d := range dims {
				n *= d
			}
			want[name] = Tensor{Dims: dims, Data: rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "data")}
		}
		var b bytes.Buffer
		if err := Write(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := read(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("wrote %d tensors, read %d", len(want), len(got))
		}
		for n, w := range want {
			g := got[n]
			if len(w.Dims)+len(g.Dims) > 0 && !reflect.DeepEqual(g.Dims, w.Dims) {
				t.Fatalf("%q: dims %v, want %v", n, g.Dims, w.Dims)
			}
			for i := range w.Data {
				if math.Float32bits(g.Data[i]) != math.Float32bits(w.Data[i]) {
					t.Fatalf("%q[%d]: %v, want %v", n, i, g.Data[i], w.Data[i])
				}
			}
		}
	})
}

func TestNumberTypes(t *testing.T) {
	tests := []struct {
		dtype string
		data  []byte
		want  float32
	}{
		{"F32", binary.LittleEndian.AppendUint32(nil, math.Float32bits(-1.5)), -1.5},
		{"F64", binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.25)), 0.25},
		{"BF16", []byte{0xc0, 0x3f}, 1.5},
		{"F16", []byte{0x00, 0x3e}, 1.5},
		{"F16", []byte{0x01, 0x80}, -1.0 / (1 << 24)},
		{"F16", []byte{0x00, 0xfc}, float32(math.Inf(-1))},
		{"I32", binary.LittleEndian.AppendUint32(nil, 7), 7},
		{"I64", binary.LittleEndian.AppendUint64(nil, 1<<20), 1 << 20},
	}
	for _, tt := range tests {
		b := file(`{"x":{"dtype":"`+tt.dtype+`","shape":[1],"data_offsets":[0,`+string(rune('0'+len(tt.data)))+`]}}`, tt.data...)
		ts, err := read(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := ts["x"].Data[0]; got != tt.want {
			t.Errorf("%s %x: got %v, want %v", tt.dtype, tt.data, got, tt.want)
		}
	}
}

func TestWrongFiles(t *testing.T) {
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "it has 0 bytes"},
		{"huge header", binary.LittleEndian.AppendUint64(nil, 1<<60), "its header claims 1152921504606846976 bytes"},
		{"not JSON", file("{nonsense"), "not valid JSON"},
		{"huge tensor", file(`{"w":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}`), "truncated"},
		{"overflowing shape", file(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), "impossible"},
		{"negative shape", file(`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}`), "impossible"},
		{"backwards", file(`{"w":{"dtype":"F32","shape":[0],"data_offsets":[8,4]}}`), "run from byte 8 to 4"},
		{"truncated", file(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 1, 2, 3, 4), "the file is truncated"},
		{"mis-shaped", file(`{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 1, 2, 3, 4, 5, 6, 7, 8), "takes 12 bytes, but it has 8"},
		{"overlap", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 1, 2, 3, 4), "shares its bytes"},
		{"unknown type", file(`{"w":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, 1), `"F8" is not supported`},
	}
	for _, tt := range tests {
		if _, err := read(tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestWriteFileKeepsOldOnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := WriteFile(path, map[string]Tensor{"a": {Dims: []int{1}, Data: []float32{1}}}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := WriteFile(path, map[string]Tensor{"a": {Dims: []int{2}, Data: []float32{1}}}); err == nil {
		t.Fatal("a mis-shaped tensor was written")
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) || len(before) == 0 {
		t.Fatal("the failed write changed the file")
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, map[string]Tensor{"a.b": {Dims: []int{2, 1}, Data: []float32{1, 2}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(file(`{"__metadata__":{"format":"pt"},"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}`, 0, 0x3c))
	f.Fuzz(func(t *testing.T, in []byte) {
		ts, err := read(in)
		if err != nil {
			return
		}
		for n, x := range ts {
			size := 1
			for _, d := range x.Dims {
				size *= d
			}
			if size != len(x.Data) || 2*size > len(in) {
				t.Fatalf("%q: %v with %d numbers from %d bytes", n, x.Dims, len(x.Data), len(in))
			}
		}
	})
}
