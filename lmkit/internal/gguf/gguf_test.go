package gguf

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/number"
)

// builder writes a file, piece by piece.
type builder []byte

func (b *builder) u32(v uint32) *builder { *b = binary.LittleEndian.AppendUint32(*b, v); return b }
func (b *builder) u64(v uint64) *builder { *b = binary.LittleEndian.AppendUint64(*b, v); return b }
func (b *builder) text(s string) *builder {
	b.u64(uint64(len(s)))
	*b = append(*b, s...)
	return b
}

// begin begins a file of version 3.
func begin(tensors, settings uint64) *builder {
	b := builder("GGUF")
	return b.u32(3).u64(tensors).u64(settings)
}

// tensor adds an entry of the directory.
func (b *builder) tensor(name string, kind uint32, offset uint64, dims ...uint64) *builder {
	b.text(name).u32(uint32(len(dims)))
	for _, d := range dims {
		b.u64(d)
	}
	return b.u32(kind).u64(offset)
}

// data adds padding and n bytes.
func (b *builder) data(n int) []byte {
	for len(*b)%32 != 0 {
		*b = append(*b, 0)
	}
	for i := range n {
		*b = append(*b, byte(i))
	}
	return *b
}

func open(t testing.TB, b []byte) (*File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return Open(path)
}

// get reads a setting as T, and fails unless it is want.
func get[T Value](t *testing.T, f *File, key string, want T) {
	t.Helper()
	got, found, err := Get[T](f, key)
	if err != nil || !found || !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %v (found %v, %v), want %v", key, got, found, err, want)
	}
}

// bench/blocks.py wrote the file with the reference package.
func TestSample(t *testing.T) {
	f, err := Open("testdata/sample.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	get(t, f, "general.architecture", "llama")
	get(t, f, "t.u8", 200)
	get(t, f, "t.i8", -100)
	get(t, f, "t.u16", 60000)
	get(t, f, "t.i16", -30000)
	get(t, f, "t.u32", 4000000000)
	get(t, f, "t.i32", -2000000000)
	get(t, f, "t.i64", -(1 << 62))
	get(t, f, "t.f32", 0.5)
	get(t, f, "t.f64", 1e-300)
	get(t, f, "t.u8", 200.0)
	get(t, f, "t.bool", true)
	get(t, f, "t.string", "café\n")
	get(t, f, "t.strings", []string{"", "a", "Ġb"})
	get(t, f, "t.ints", []int{1, -2, 3})
	get(t, f, "t.u64s", []int{5, 1 << 40})
	get(t, f, "t.floats", []float64{0.25, -1.5})
	get(t, f, "t.bools", []bool{true, false})
	if _, found, err := Get[int](f, "nothing"); found || err != nil {
		t.Errorf("a setting that is not there: found %v, %v", found, err)
	}
	for _, key := range []string{"t.u64", "t.f32", "t.string", "t.ints"} {
		if _, found, err := Get[int](f, key); !found || err == nil {
			t.Errorf("%s was read as an integer (found %v, %v)", key, found, err)
		}
	}
	if keys := f.Keys(); len(keys) != 19 || !slices.IsSorted(keys) {
		t.Errorf("settings %q", keys)
	}

	if got := f.Names(); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("tensors %q", got)
	}
	for name, want := range map[string]struct {
		dims []int
		kind number.Kind
		size int
	}{"a": {[]int{2, 3}, number.F32, 24}, "b": {[]int{2}, number.F16, 4}, "c": {[]int{2, 32}, number.Q4_1, 40}} {
		dims, kind, ok := f.Shape(name)
		if !ok || !slices.Equal(dims, want.dims) || kind != want.kind {
			t.Errorf("%s: %v of %s (%v)", name, dims, kind, ok)
		}
		if err := f.Read(name, make([]byte, want.size)); err != nil {
			t.Error(err)
		}
		if err := f.Read(name, make([]byte, want.size-1)); err == nil {
			t.Errorf("%s was read into too few bytes", name)
		}
	}
	raw, a := make([]byte, 24), make([]float32, 6)
	if err := f.Read("a", raw); err != nil {
		t.Fatal(err)
	}
	if err := number.Floats(a, number.F32, raw); err != nil || !slices.Equal(a, []float32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("a is %v, %v", a, err)
	}
	if err := f.Read("d", make([]byte, 3)); err == nil || !strings.Contains(err.Error(), `"I8" is not supported`) {
		t.Errorf("a tensor of an unsupported type gave %v", err)
	}
}

func TestWrongFiles(t *testing.T) {
	long := strings.Repeat("long", 20_000)
	setting := func(kind uint32) *builder { return begin(0, 1).text("k").u32(kind) }
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "not a GGUF file"},
		{"another file", []byte("PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaa"), "not a GGUF file"},
		{"version 1", append([]byte("GGUF\x01\x00\x00\x00"), make([]byte, 16)...), "version 1 is not supported"},
		{"big-endian", append([]byte("GGUF\x00\x00\x00\x03"), make([]byte, 16)...), "big-endian"},
		{"settings without end", *begin(0, 1<<60), "claims 1152921504606846976 settings"},
		{"tensors without end", *begin(1<<60, 0), "claims 1152921504606846976 tensors"},
		{"missing setting", *begin(0, 1), "claims 1 settings"},
		{"name without end", *begin(0, 1).u64(1 << 60).u64(0), "a name of 1152921504606846976 bytes"},
		{"text without end", *setting(typeString).u64(1 << 63), "truncated"},
		{"list without end", *setting(typeArray).u32(typeU8).u64(1 << 40), "claims 1099511627776 values"},
		{"list of lists", *setting(typeArray).u32(typeArray).u64(0), "is not supported"},
		{"list of unknown", *setting(typeArray).u32(77).u64(0), "is not supported"},
		{"unknown type", *setting(13).u64(0), "type 13 is unknown"},
		{"neither true nor false", append(*setting(typeBool), 2), "neither true nor false"},
		{"a setting twice", *begin(0, 2).text("k").u32(typeU32).u32(1).text("k").u32(typeU32).u32(2), `setting "k" twice`},
		{"too long a name", *begin(0, 1).text(long), "a name of 80000 bytes"},
		{"odd alignment", begin(0, 1).text("general.alignment").u32(typeU32).u32(0).data(0), "an alignment of 0 bytes"},
		{"alignment that is a text", begin(0, 1).text("general.alignment").u32(typeString).text("32").data(0), "is a text"},
		{"part", begin(0, 1).text("split.count").u32(typeU32).u32(3).data(0), "one of 3 parts"},

		{"no data", *begin(1, 0).tensor("w", 0, 0, 8), "truncated"},
		{"too little data", begin(1, 0).tensor("w", 0, 0, 8).data(31), "takes 32 bytes, but the file has 31"},
		{"far offset", begin(1, 0).tensor("w", 0, 1<<40, 8).data(32), "begin at byte 1099511627776"},
		{"offset that overflows", begin(1, 0).tensor("w", 0, 1<<64-32, 8).data(32), "the file is truncated"},
		{"odd offset", begin(1, 0).tensor("w", 0, 4, 4).data(32), "no multiple of 32"},
		{"shape that overflows", begin(1, 0).tensor("w", 0, 0, 1<<40, 1<<40).data(32), "impossible"},
		{"size that overflows", begin(1, 0).tensor("w", 0, 0, 1<<63).data(32), "a size of 9223372036854775808 is impossible"},
		{"bytes that overflow", begin(1, 0).tensor("w", 0, 0, 1<<62).data(32), "more than memory can hold"},
		{"five dimensions", begin(1, 0).tensor("w", 0, 0, 1, 1, 1, 1, 1).data(32), "5 dimensions"},
		{"broken blocks", begin(1, 0).tensor("w", 3, 0, 16, 2).data(32), "not made of blocks of 32"},
		{"broken block without a row", begin(1, 0).tensor("w", 3, 0).data(32), "not made of blocks of 32"},
		{"a tensor twice", begin(2, 0).tensor("w", 0, 0, 8).tensor("w", 0, 32, 8).data(64), "tensor twice"},
		{"the same bytes", begin(2, 0).tensor("v", 0, 0, 8).tensor("w", 0, 0, 8).data(64), `"w" shares its bytes with "v"`},
		{"some of the same bytes", begin(2, 0).tensor("v", 0, 32, 8).tensor("w", 0, 0, 9).data(96),
			`"v" shares its bytes with "w"`},
		{"unknown type on the same bytes", begin(2, 0).tensor("v", 99, 0, 8).tensor("w", 0, 0, 8).data(64),
			"shares its bytes"},
	}
	for _, tt := range tests {
		_, err := open(t, tt.file)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") ||
			len(err.Error()) > 600 {
			t.Errorf("%s: got error %v, want one line with %q", tt.name, err, tt.want)
		}
	}
}

// A file that is cut anywhere is an error or, where only padding or data that nobody names are gone, opens as before.
func TestCutAnywhere(t *testing.T) {
	all, err := os.ReadFile("testdata/sample.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(all) - 32 {
		f := &File{}
		if err := f.read(all[:n]); err == nil {
			t.Fatalf("%d of %d bytes are a whole file", n, len(all))
		}
	}
}

// No memory is taken for what is claimed and not there.
func TestClaimsTakeNoMemory(t *testing.T) {
	const left = 16 << 20
	files := [][]byte{begin(0, left/13).data(left), begin(left/24, 0).data(left)}
	var before, after runtime.MemStats
	for i, b := range files {
		runtime.ReadMemStats(&before)
		if err := (&File{}).read(b); err == nil {
			t.Errorf("file %d was read", i)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("file %d: %d bytes of memory were taken", i, took)
		}
	}
}

func FuzzRead(f *testing.F) {
	sample, err := os.ReadFile("testdata/sample.gguf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add(begin(2, 1).text("general.alignment").u32(typeU32).u32(8).tensor("v", 0, 32, 8).tensor("w", 2, 64, 32).data(128))
	f.Fuzz(func(t *testing.T, in []byte) {
		x := &File{}
		if err := x.read(in); err != nil {
			if len(err.Error()) > 600 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		total := 0
		for name, y := range x.tensors {
			if y.at < 24 || y.at > len(in) || y.size > len(in)-y.at {
				t.Fatalf("%q: %d bytes from byte %d of %d", name, y.size, y.at, len(in))
			}
			total += max(y.size, 0)
		}
		if total > len(in) {
			t.Fatalf("tensors of %d bytes in a file of %d", total, len(in))
		}
		_ = fmt.Sprint(x.Keys(), x.Names())
	})
}
