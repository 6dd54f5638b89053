package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// What is written reads back: settings, shapes and every bit of the numbers.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vectors.gguf")
	want := []Vector{{"direction.1", []float32{1, -2.5, float32(math.Pi)}},
		{"direction.2", []float32{0.25, 3, 4, 5, 6, 7, 8, 9, 10}}}
	var b bytes.Buffer
	settings := []Setting{{"general.architecture", "controlvector"}, {"controlvector.layer_count", 2}}
	if err := Write(&b, settings, want); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := f.Settings(); s["general.architecture"] != "controlvector" || s["controlvector.layer_count"] != 2 {
		t.Errorf("settings %v", s)
	}
	for _, v := range want {
		raw := make([]byte, 4*len(v.Data))
		if err := f.Read(v.Name, raw); err != nil {
			t.Fatal(err)
		}
		for i, x := range v.Data {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); got != x {
				t.Errorf("%s: number %d is %v, want %v", v.Name, i, got, x)
			}
		}
	}
	if Write(&b, []Setting{{"x", 1.5}}, nil) == nil || Write(&b, []Setting{{"x", -1}}, nil) == nil {
		t.Error("a setting that cannot be written was")
	}
}
