package format

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/safetensors"
)

// written is a family with a model of it.
type written struct {
	name string
	Format
	c net.Config
}

// eachFamily is a small model of every family and of both kinds of word models.
func eachFamily(t *testing.T) []written {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(familiesDir, "*", "config.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var all []written
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, c, err := Read(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, written{filepath.Base(filepath.Dir(file)), f, c})
	}
	for _, c := range shapes {
		f, _, err := Write(c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, written{string(c.Arch), f, c.WithDefaults()})
	}
	return all
}

// unpacked is all parameters of a model.
func unpacked(f Layout, c net.Config, ts Loaded) (map[string][]float32, error) {
	u, err := Unpack(f, c, ts)
	if err != nil {
		return nil, err
	}
	all := map[string][]float32{}
	for _, p := range c.Params() {
		all[p.Name] = make([]float32, p.Size())
		if err := u.Fill(p, all[p.Name]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func sameParams(a, b map[string][]float32) bool {
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			return false
		}
	}
	return len(a) == len(b)
}

// Whatever wraps a model, and as often as it does, its parts are found under the names that come of it; beside them
// may be tensors that nothing was put around.
func TestWrappedNames(t *testing.T) {
	all := eachFamily(t)
	outer := slices.Concat(around, holders)
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom(all).Draw(t, "family")
		params := numbered(w.c)
		ts := pack(w, w.c, params)
		holder := rapid.SampledFrom([]string{"", "net.", "lit.student."}).Draw(t, "around all")
		front := rapid.SliceOfN(rapid.SampledFrom(outer), 0, 4).Draw(t, "in front")
		bare := rapid.Bool().Draw(t, "some have nothing around them")
		renamed := Loaded{}
		for _, n := range ts.Names() {
			parts := strings.Split(n, ".")
			if !bare || rapid.Bool().Draw(t, "wrapped") {
				at := rapid.IntRange(0, len(parts)-1).Draw(t, "at")
				within := rapid.SliceOfN(rapid.SampledFrom(around), 0, 2).Draw(t, "within")
				parts = append(slices.Clone(front), slices.Insert(parts, at, within...)...)
			}
			renamed[holder+strings.Join(parts, ".")] = ts[n]
		}
		got, err := unpacked(w, w.c, renamed)
		if err != nil || !sameParams(got, params) {
			t.Fatalf("of %q came others: %v", renamed.Names(), err)
		}
	})
}

// A part of the model that is there under two names is refused, whatever its numbers.
func TestTwoNamesOfOnePart(t *testing.T) {
	all := eachFamily(t)
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom(all).Draw(t, "family")
		ts := pack(w, w.c, numbered(w.c))
		n := rapid.SampledFrom(ts.Names()).Draw(t, "name")
		other := rapid.SampledFrom(slices.Concat(around, holders)).Draw(t, "in front") + "." + n
		ts[other] = ts[n]
		_, err := Unpack(w, w.c, ts)
		if err == nil || !strings.Contains(err.Error(), "are the same part of the model") {
			t.Fatalf("%s: %q beside %q: %v", w.name, other, n, err)
		}
	})
}

// A name that nobody knows is no part of a model, but the error says how it would become one.
func TestUnknownHolder(t *testing.T) {
	w := written{Format: gpt2{}, c: shapes[0].WithDefaults()}
	ts := pack(w, w.c, numbered(w.c))
	for _, n := range ts.Names() {
		if n != "ln_f.bias" {
			ts["ema."+n] = ts[n]
			delete(ts, n)
		}
	}
	_, err := Unpack(w, w.c, ts)
	if err == nil || !strings.Contains(err.Error(), "take off what stands before wte.weight in all names") {
		t.Error(err)
	}
}

// An output matrix that is the embedding is in the file once, under either name, or twice with the same numbers. Other
// numbers and other shapes are errors.
func TestTiedMatrix(t *testing.T) {
	tried := 0
	for _, w := range eachFamily(t) {
		c := w.c
		c.Tied = true
		if c.Validate() != nil {
			continue
		}
		tried++
		var embed, head string
		for _, r := range w.Rules(c) {
			if r.Param == "embed.weight" && r.Copy {
				head = r.Tensor
			} else if r.Param == "embed.weight" {
				embed = r.Tensor
			}
		}
		params := numbered(c)
		ts := pack(w, c, params)
		x := ts[embed]
		for _, names := range [][]string{{embed}, {head}, {embed, head}} {
			delete(ts, embed)
			delete(ts, head)
			for _, n := range names {
				ts[n] = x
			}
			if got, err := unpacked(w, c, ts); err != nil || !sameParams(got, params) {
				t.Errorf("%s: with %q came others: %v", w.name, names, err)
			}
		}
		for _, at := range []int{0, len(x.Data) / 2, len(x.Data) - 1} {
			data := slices.Clone(x.Data)
			data[at] += 0.25
			ts[head] = safetensors.Tensor{Dims: x.Dims, Data: data}
			_, err := unpacked(w, c, ts)
			if err == nil || !strings.Contains(err.Error(), "hold other numbers") {
				t.Errorf("%s: %v", w.name, err)
			}
		}
		ts[head] = safetensors.Tensor{Dims: []int{1, len(x.Data)}, Data: x.Data}
		if _, err := Unpack(w, c, ts); err == nil || !strings.Contains(err.Error(), "has shape") {
			t.Errorf("%s: %v", w.name, err)
		}
		c.Tied = false
		_, err := Unpack(w, c, pack(w, w.c, numbered(w.c)))
		if w.c.Tied && (err == nil || !strings.Contains(err.Error(), "tie_word_embeddings must be true")) {
			t.Errorf("%s: %v", w.name, err)
		}
	}
	if tried < 20 {
		t.Errorf("only %d models can be tied", tried)
	}
}

// Rows beyond the vocabulary's tokens are left in the file, whatever they hold.
func TestPadded(t *testing.T) {
	for _, w := range eachFamily(t) {
		params := numbered(w.c)
		want := map[string][]float32{}
		c := w.c
		c.Vocab--
		for _, p := range c.Params() {
			want[p.Name] = params[p.Name][:product(p.Dims)]
		}
		got, err := unpacked(Padded(w, w.c.Vocab), c, pack(w, w.c, params))
		if err != nil || !sameParams(got, want) {
			t.Errorf("%s: other parameters, or %v", w.name, err)
		}
	}
}
