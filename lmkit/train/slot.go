package train

import (
	"fmt"
	"strings"

	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/format"
)

// trained are the prefixes of what a run keeps of every parameter: its value and its two moments.
var trained = []string{"", firstOf, secondOf}

// pack returns what a run keeps as a slot's file has it. Parameters are there under the names and in the layouts of
// model files, and so are their moments.
func pack(m lm.Config, arrays map[string]lm.Array) (map[string]safetensors.Tensor, error) {
	f, _, err := format.Write(m)
	if err != nil {
		return nil, err
	}
	ts := map[string]safetensors.Tensor{}
	for _, prefix := range trained {
		get := func(param string) []float32 { return arrays[prefix+param].Data }
		format.Pack(f, m, get, func(name string, dims []int, data []float32) {
			ts[prefix+name] = safetensors.Tensor{Dims: dims, Data: data}
		})
	}
	for _, n := range keptNames(m)[3*len(m.Params()):] {
		ts[n] = safetensors.Tensor(arrays[n])
	}
	return ts, nil
}

// unpack is the inverse of pack.
func unpack(m lm.Config, ts map[string]safetensors.Tensor) (map[string]lm.Array, error) {
	f, _, err := format.Write(m)
	if err != nil {
		return nil, err
	}
	arrays := map[string]lm.Array{}
	for _, n := range keptNames(m)[3*len(m.Params()):] {
		t, ok := ts[n]
		if !ok {
			return nil, fmt.Errorf("tensor %q is missing", n)
		}
		arrays[n] = lm.Array(t)
		delete(ts, n)
	}
	for i := range trained { // the prefix "" comes last, when nothing else is left
		prefix := trained[len(trained)-1-i]
		part := format.Loaded{}
		for n, t := range ts {
			if name, ok := strings.CutPrefix(n, prefix); ok {
				part[name] = t
				delete(ts, n)
			}
		}
		u, err := format.Unpack(f, m, part)
		if err != nil {
			return nil, fmt.Errorf("with the prefix %q, %w", prefix, err)
		}
		for _, p := range m.Params() {
			data := make([]float32, p.Size())
			if err := u.Fill(p, data); err != nil {
				return nil, err
			}
			arrays[prefix+p.Name] = lm.Array{Dims: p.Dims, Data: data}
		}
	}
	return arrays, nil
}
