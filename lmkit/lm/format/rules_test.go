package format

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/safetensors"
)

var shapes = []net.Config{
	{Arch: net.Transformer, Vocab: 5, Width: 4, Layers: 2, Heads: 2, Context: 3, Inner: 7},
	{Arch: net.Transformer, Vocab: 5, Width: 4, Layers: 1, Heads: 2, Context: 3, Tied: true},
	{Arch: net.LSTM, Vocab: 5, Width: 4, Hidden: 3, Layers: 2},
	{Arch: net.LSTM, Vocab: 5, Width: 4, Hidden: 4, Layers: 1, Tied: true},
}

// numbered is a model's parameters, no two numbers of which are alike.
func numbered(c net.Config) map[string][]float32 {
	all, n := map[string][]float32{}, float32(0)
	for _, p := range c.Params() {
		for range product(p.Dims) {
			n++
			all[p.Name] = append(all[p.Name], n)
		}
	}
	return all
}

func pack(f Format, c net.Config, params map[string][]float32) Loaded {
	ts := Loaded{}
	Pack(f, c, func(param string) []float32 { return params[param] }, func(name string, dims []int, data []float32) {
		ts[name] = safetensors.Tensor{Dims: dims, Data: data}
	})
	return ts
}

// What is packed is unpacked as it was, beside tensors that change nothing and under other programs' names.
func TestPackAndUnpack(t *testing.T) {
	for _, c := range shapes {
		f, _, err := Write(c)
		if err != nil {
			t.Fatal(err)
		}
		params := numbered(c)
		ts := pack(f, c, params)
		if c.Attends() {
			ts["h.0.attn.bias"] = safetensors.Tensor{Dims: []int{1}, Data: []float32{1}}
			ts["transformer.wte.weight"] = ts["wte.weight"]
			delete(ts, "wte.weight")
		}
		if c.Tied {
			ts[map[bool]string{true: "lm_head.weight", false: "linear.weight"}[c.Attends()]] = safetensors.Tensor{
				Dims: []int{c.Vocab, c.Width}, Data: params["embed.weight"]}
		}
		u, err := Unpack(f, c, ts)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.Params() {
			got := make([]float32, p.Size())
			err := u.Fill(p, got)
			if n := product(ts[u.names[u.rules[p.Name].Tensor]].Dims); len(u.scratch) > n {
				t.Errorf("at %s, %d numbers are held: more than its tensor of %d", p.Name, len(u.scratch), n)
			}
			if err != nil || !slices.Equal(got, params[p.Name]) {
				t.Errorf("%s came back as %v (%v), want %v", p.Name, got, err, params[p.Name])
			}
		}
	}
}

// Queries, keys and values are side by side in GPT-2's matrix, which is [in, out]: column 4+1 is the first key's
// second.
func TestFusedMatrix(t *testing.T) {
	c := shapes[0]
	f, _, err := Write(c)
	if err != nil {
		t.Fatal(err)
	}
	params := numbered(c)
	fused := pack(f, c, params)["h.1.attn.c_attn.weight"]
	for i, name := range []string{"q", "k", "v"} {
		for out := range 4 {
			for in := range 4 {
				want := params[fmt.Sprintf("block.1.attn.%s.weight", name)][out*4+in]
				if got := fused.Data[in*12+4*i+out]; got != want {
					t.Fatalf("%s[%d, %d] is %v in the file, want %v", name, out, in, got, want)
				}
			}
		}
	}
}

// What does not fit is an error that names the tensor.
func TestWrongTensors(t *testing.T) {
	c := shapes[0]
	f, _, err := Write(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		change func(Loaded)
		want   string
	}{
		{func(l Loaded) { delete(l, "h.1.ln_2.bias") }, `tensor "h.1.ln_2.bias" is missing`},
		{func(l Loaded) { l["wpe.weight"] = safetensors.Tensor{Dims: []int{2, 4}} },
			`tensor "wpe.weight" has shape [2 4], but the configuration asks for [3 4]`},
		{func(l Loaded) { l["h.2.ln_2.bias"] = l["h.1.ln_2.bias"] }, `tensor "h.2.ln_2.bias" belongs to no part`},
		{func(l Loaded) { l["transformer.ln_f.bias"] = l["ln_f.bias"] },
			`"transformer.ln_f.bias" are the same part of the model`},
	} {
		ts := pack(f, c, numbered(c))
		tt.change(ts)
		if _, err := Unpack(f, c, ts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
