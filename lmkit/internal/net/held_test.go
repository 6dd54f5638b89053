package net

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/program"
)

// Blocks of random bytes are the same numbers in a program as package number has them, to the bit.
func TestBlocksAreTheSameNumbers(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		for _, k := range []number.Kind{number.Q4_0, number.Q4_1, number.Q5_0, number.Q5_1, number.Q8_0, number.Q2_K,
			number.Q3_K, number.Q4_K, number.Q5_K, number.Q6_K} {
			t.Run(fmt.Sprintf("%s/%s", e.Kind, k), func(t *testing.T) {
				size, err := k.Size(k.Block())
				if err != nil || !Decodes(size) {
					t.Fatalf("blocks of %d bytes: %v", size, err)
				}
				const out, n = 40, 3
				raw, want := make([]byte, out*n*size), make([]float32, out*n*k.Block())
				rng := rand.New(rand.NewPCG(1, 2))
				for i := range raw {
					raw[i] = byte(rng.Uint32())
				}
				if err := number.Floats(want, k, raw); err != nil {
					t.Fatal(err)
				}
				p, err := program.New(e, func(in []*graph.Node) []*graph.Node { return []*graph.Node{floats(in[0])} })
				if err != nil {
					t.Fatal(err)
				}
				defer p.Finalize()
				x, err := program.Put(e, raw, out, n, size)
				if err != nil {
					t.Fatal(err)
				}
				outs, _, err := p.Run([]*tensors.Tensor{x})
				if err != nil {
					t.Fatal(err)
				}
				got, dims, err := program.Copy(e, outs[0])
				if err != nil || len(dims) != 2 || dims[1] != n*k.Block() {
					t.Fatalf("shape %v, %v", dims, err)
				}
				for i, w := range want {
					both := w != w && got[i] != got[i] // not a number: any such
					if math.Float32bits(got[i]) != math.Float32bits(w) && !both {
						t.Fatalf("number %d is %v, want %v", i, got[i], w)
					}
				}
			})
		}
	}
}
