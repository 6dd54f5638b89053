package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/internal/number"
)

// file puts a header before data.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func read(b []byte) (map[string]Tensor, error) { return Read(b) }

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
		b := file(`{"x":{"dtype":"`+tt.dtype+`","shape":[1],"data_offsets":[0,`+
			string(rune('0'+len(tt.data)))+`]}}`, tt.data...)
		ts, err := read(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := ts["x"].Data[0]; got != tt.want {
			t.Errorf("%s %x: got %v, want %v", tt.dtype, tt.data, got, tt.want)
		}
	}
}

// f32 is a header's entry.
func f32(shape string, begin, end int) string {
	return fmt.Sprintf(`{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]}`, shape, begin, end)
}

func TestWrongFiles(t *testing.T) {
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "it has 0 bytes"},
		{"huge header", binary.LittleEndian.AppendUint64(nil, 1<<60), "its header claims 1152921504606846976 bytes"},
		{"not JSON", file("{nonsense"), "not JSON"},
		{"huge tensor", file(`{"w":` + f32("[1152921504606846976]", 0, 4611686018427387904) + `}`), "truncated"},
		{"overflowing shape", file(`{"w":` + f32("[4294967296,4294967296]", 0, 0) + `}`), "impossible"},
		{"negative shape", file(`{"w":` + f32("[-1]", 0, 0) + `}`), "impossible"},
		{"a name twice", file(`{"w":`+f32("[1]", 0, 4)+`,"w":`+f32("[1]", 4, 8)+`}`, 1, 2, 3, 4, 5, 6, 7, 8),
			"w is there twice"},
		{"a name twice, once in other letters",
			file(`{"w":`+f32("[1]", 0, 4)+`,"\u0077":`+f32("[1]", 4, 8)+`}`, 1, 2, 3, 4, 5, 6, 7, 8),
			"w is there twice"},
		{"a field twice", file(`{"w":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}`, 1, 2, 3, 4),
			"shape is there twice"},
		{"a field in capitals", file(`{"w":{"DTYPE":"F32","shape":[1],"data_offsets":[0,4]}}`, 1, 2, 3, 4),
			`unknown field "DTYPE"`},
		{"a number without end", file(`{"w":` + f32("["+strings.Repeat("9", 10_000)+"]", 0, 4) + `}`),
			"expected a whole number"},
		{"no shape", file(`{"w":{"dtype":"F32","data_offsets":[0,4]}}`, 1, 2, 3, 4), "shape is missing"},
		{"more after the header", file(`{} {}`), "not JSON"},
		{"not an object", file(`[]`), "expected an object"},
		{"cut header", file(`{"w":{"dtype":"F32"`), "not JSON"},
		{"backwards", file(`{"w":` + f32("[0]", 8, 4) + `}`), "run from byte 8 to 4"},
		{"truncated", file(`{"w":`+f32("[2]", 0, 8)+`}`, 1, 2, 3, 4), "the file is truncated"},
		{"mis-shaped", file(`{"w":`+f32("[3]", 0, 8)+`}`, 1, 2, 3, 4, 5, 6, 7, 8), "takes 12 bytes, but it has 8"},
		{"overlap beside a hole", file(`{"a":`+f32("[1]", 0, 4)+`,"b":`+f32("[1]", 2, 6)+`}`, make([]byte, 100)...),
			`"b" shares its bytes with "a"`},
		{"overlap", file(`{"a":`+f32("[1]", 0, 4)+`,"b":`+f32("[1]", 0, 4)+`}`, 1, 2, 3, 4), "shares its bytes"},
		{"unknown type, whose numbers are asked for", file(`{"w":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, 1),
			`"F8" is not supported`},
	}
	for _, tt := range tests {
		if _, err := read(tt.file); err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 400 {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// A file opens if every byte of its data belongs to one tensor, in whatever order the header lists them; and what is
// put before, between or behind them is found.
func TestCovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 6).Draw(t, "sizes")
		names := rapid.Permutation([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "names")
		gap := rapid.IntRange(-1, len(sizes)).Draw(t, "gap before tensor") // -1: none
		wide := rapid.IntRange(1, 9).Draw(t, "bytes of the gap")
		at, entries := 0, []string{}
		for i, n := range sizes {
			if i == gap {
				at += wide
			}
			entries = append(entries, fmt.Sprintf(`"%s":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}`, names[i], n, at,
				at+n))
			at += n
		}
		if gap == len(sizes) {
			at += wide
		}
		slices.Sort(entries)
		_, err := readHeader(file("{"+strings.Join(entries, ",")+"}", make([]byte, at)...))
		if gap < 0 && err != nil {
			t.Fatalf("a whole file: %v", err)
		}
		if gap >= 0 && (err == nil || !strings.Contains(err.Error(), "belong to no tensor") || len(err.Error()) > 300) {
			t.Fatalf("%d bytes before tensor %d of %d: %v", wide, gap, len(sizes), err)
		}
	})
}

// Tensors that nobody asks for may have any type and size.
func TestOpenReadsWhatIsAskedFor(t *testing.T) {
	b := file(`{"__metadata__":{"format":"pt"},"mask":{"dtype":"BOOL","shape":[2,2],"data_offsets":[0,4]},`+
		`"f8":{"dtype":"F8_E4M3","shape":[],"data_offsets":[4,5]},`+
		`"none":{"dtype":"F32","shape":[0,7],"data_offsets":[5,5]},`+
		`"w":{"dtype":"BF16","shape":[1,2],"data_offsets":[5,9]}}`, 1, 0, 0, 1, 9, 0xc0, 0x3f, 0x80, 0xbf)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Names(); !slices.Equal(got, []string{"f8", "mask", "none", "w"}) || f.Metadata()["format"] != "pt" {
		t.Errorf("names %q, metadata %v", got, f.Metadata())
	}
	dims, kind, ok := f.Shape("mask")
	raw := make([]byte, 4)
	if err := f.Read("mask", raw); err != nil || !bytes.Equal(raw, b[len(b)-9:len(b)-5]) || kind != "BOOL" ||
		!slices.Equal(dims, []int{2, 2}) || !ok {
		t.Errorf("mask: %v of %s (%v), bytes %v, %v", dims, kind, ok, raw, err)
	}
	if err := f.Read("w", raw); err != nil {
		t.Fatal(err)
	}
	w := make([]float32, 2)
	if err := number.Floats(w, number.BF16, raw); err != nil || !slices.Equal(w, []float32{1.5, -1}) {
		t.Errorf("w is %v, %v", w, err)
	}
	if _, _, ok := f.Shape("other"); ok || f.Read("other", nil) == nil {
		t.Error("a tensor that is not there was found")
	}
	if err := f.Read("w", raw[:3]); err == nil || !strings.Contains(err.Error(), "takes 4 bytes, not 3") {
		t.Errorf("got error %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Read("w", raw); err == nil || !strings.Contains(err.Error(), "is closed") {
		t.Errorf("reading after Close gave %v", err)
	}
}

// folder makes a folder of files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func one(name string, value byte) string {
	return string(file(`{"`+name+`":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, value))
}

func TestShards(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.safetensors": one("x", 1), "b.safetensors": one("y", 2),
		IndexFile: `{"metadata":{"total_size":2},"weight_map":{"y":"b.safetensors","x":"a.safetensors"}}`,
	})
	for _, path := range []string{dir, filepath.Join(dir, IndexFile)} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var x, y [1]byte
		if err := errors.Join(f.Read("x", x[:]), f.Read("y", y[:]), f.Close()); err != nil || x[0] != 1 || y[0] != 2 {
			t.Errorf("x %d, y %d, %v", x[0], y[0], err)
		}
		if got := f.Names(); !slices.Equal(got, []string{"x", "y"}) {
			t.Errorf("names %q", got)
		}
	}
}

func TestWrongFolders(t *testing.T) {
	a, index := one("x", 1), func(s string) string { return `{"weight_map":{` + s + `}}` }
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing", nil, "it has no model.safetensors"},
		{"pickle", map[string]string{"pytorch_model.bin": ""}, `"pytorch_model.bin": a pickle can run programs`},
		{"HDF5", map[string]string{"tf_model.h5": ""}, "save it as safetensors"},
		{"GGUF", map[string]string{"m.gguf": ""}, "give the path of that file"},
		{"adapter", map[string]string{"adapter_model.safetensors": a}, "merge it into its model"},
		{"parts without index", map[string]string{"model-00001-of-00002.safetensors": a}, "needs the index"},
		{"another name", map[string]string{"weights.safetensors": a}, "rename it to model.safetensors"},
		{"index of nothing", map[string]string{IndexFile: "{}"}, "weight_map is missing"},
		{"index that is no JSON", map[string]string{IndexFile: "x"}, "not JSON"},
		{"missing part", map[string]string{IndexFile: index(`"x":"a.safetensors"`)}, "no such file"},
		{"part elsewhere", map[string]string{IndexFile: index(`"x":"../a.safetensors"`)},
			"no safetensors file of the same folder"},
		{"pickled part", map[string]string{IndexFile: index(`"x":"a.bin"`), "a.bin": a},
			"no safetensors file of the same folder"},
		{"tensor that is not there", map[string]string{IndexFile: index(`"y":"a.safetensors"`), "a.safetensors": a},
			`"y" is not in a.safetensors`},
		{"the same tensor twice", map[string]string{IndexFile: index(`"x":"a.safetensors","y":"b.safetensors"`),
			"a.safetensors": a, "b.safetensors": a}, `"x" is in another file of the same model, too`},
	}
	for _, tt := range tests {
		_, err := Open(folder(t, tt.files))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got error %v, want one line with %q", tt.name, err, tt.want)
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
		if h, err := readHeader(in); err == nil {
			total := 0
			for n, e := range h.entries {
				if total += e.size; e.at < 8 || e.size < 0 || e.at > len(in) || total > len(in)-8 {
					t.Fatalf("%q: bytes %d to %d of %d", n, e.at, e.at+e.size, len(in))
				}
			}
		} else if len(err.Error()) > 400 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
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
