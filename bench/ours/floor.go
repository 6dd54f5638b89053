package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"runtime"
	"sync"
	"time"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
)

// work is the multiplications of a model's matrices that a token takes, by part.
type work struct {
	layer   float64 // each of its layers, attention to T tokens with it
	last    float64 // what the last layer computes of a token that is not asked for: its keys and values
	layers  int
	unembed float64 // the output matrix
}

// workOf is the work of a token in a text of T tokens, all of which attention reads.
func workOf(c lm.Config, T int) work {
	w := work{layers: c.Layers, unembed: float64(c.Vocab * c.Out())}
	if c.Recurrent() {
		w.layer = float64(4 * c.Hidden * (c.Width + c.Hidden)) // Width is Hidden in all rows
		w.last = w.layer
		return w
	}
	K := cmp.Or(c.HeadWidth, c.Width/c.Heads)
	heads, shared := K*c.Heads, K*cmp.Or(c.KVHeads, c.Heads)
	matrices := 2
	if c.Gated {
		matrices = 3
	}
	w.last = float64(c.Width * 2 * shared)
	w.layer = w.last + float64(2*c.Width*heads+matrices*c.Width*cmp.Or(c.Inner, 4*c.Width)+2*T*heads)
	return w
}

// body is all layers, of a text whose last token alone is asked for.
func (w work) body() float64 { return float64(w.layers-1)*w.layer + w.last }

// least fills in what a unit of the row's work takes at least, where that is known beforehand.
func (r *Row) least(c lm.Config) {
	const giga = 1e-9
	T := r.Length
	if len(r.Prompts) > 0 {
		T = len(r.Prompts[0])
	}
	w := workOf(c, T)
	whole := float64(w.layers)*w.layer + w.unembed
	switch r.Kind {
	case "train": // forward, and two products of the same size back
		r.GFLOP = 6 * whole * giga
	case "eval":
		r.GFLOP = 2 * whole * giga
	case "ig": // forward, and one product back: no weight has a gradient
		r.GFLOP = 4 * w.body() * float64(T*r.Points) * giga
	case "patch": // a cell changes what is above it, and what comes after it
		r.GFLOP = 2 * w.layer * float64(w.layers*(w.layers+1)/2*T*(T+1)/2) * giga
	case "generate": // every weight is read for every token
		r.GBytes = 4 * whole * giga
	}
}

// computed says what an explanation of T tokens multiplied, of all its rows: what no program could do without that
// asks the model as often.
func (m *Measurement) computed(c lm.Config, T, rows int) {
	m.GFLOP += 2 * workOf(c, T).body() * float64(T*rows) * 1e-9
}

// rates writes how fast this machine multiplies matrices through lmkit's engine, in GFLOP/s, and reads memory with all
// its processors, in GB/s: the best of some tries.
func rates(ctx context.Context, out io.Writer) error {
	e, err := backend.Open(ctx, backend.Options{})
	if err != nil {
		return err
	}
	product, err := e.ProductRate(2048)
	if err != nil {
		return err
	}
	memory := bytes.Repeat([]byte{1}, 512<<20)
	reading := 0.0
	for range 12 {
		began := time.Now()
		var all sync.WaitGroup
		for part := range 2 * runtime.GOMAXPROCS(0) {
			all.Go(func() {
				size := len(memory) / (2 * runtime.GOMAXPROCS(0))
				bytes.IndexByte(memory[part*size:(part+1)*size], 0)
			})
		}
		all.Wait()
		reading = max(reading, float64(len(memory))/time.Since(began).Seconds()*1e-9)
	}
	return json.NewEncoder(out).Encode(map[string]float64{"gflops": product, "gbytes": reading})
}
