package lm

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// Rows that begin alike answer as they do one by one.
func TestSharedBeginnings(t *testing.T) {
	before := worthSharing
	t.Cleanup(func() { worthSharing = before })
	lstm := Config{Arch: LSTM, Vocab: 17, Width: 12, Layers: 2, Hidden: 10}
	gpt2 := Config{Arch: Transformer, Vocab: 17, Width: 12, Layers: 2, Heads: 3, Context: 24, Tied: true}
	gemma := Config{Arch: Transformer, Vocab: 17, Width: 16, EmbedWidth: 12, Layers: 3, Heads: 4, KVHeads: 2, HeadWidth: 6,
		Context: 24, Norm: net.RMSNorm, NormPlace: net.BothNorms, QKNorm: net.EachHead, Gated: true, Window: 3,
		Pattern: "sfn", Rope: net.Rope{Theta: 50}, LocalRope: net.Rope{Theta: 9}, ScoreCap: 2, LogitCap: 3}
	model := func(c Config, ways int) *Model {
		engine := backendtest.PureGo(t) // compiles in no time
		if ways > 1 {
			engine = backendtest.Engine(t)
		}
		m, err := New(engine, c, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	seen := 0
	for i, tt := range []struct {
		Config
		T, rows, ways int
		of            bool
	}{{gpt2, 9, 200, 1, true}, {gpt2, 12, 90, 2, false}, {lstm, 9, 200, 2, true}, {lstm, 10, 300, 1, false},
		{gemma, 9, 200, 1, true}, {gemma, 12, 90, 1, false}} {
		m, rng := model(tt.Config, tt.ways), rand.New(rand.NewPCG(uint64(i), 0))
		text := make([]token.ID, tt.T)
		for k := range text {
			text[k] = token.ID(rng.IntN(17))
		}
		q := Query{Logits: LastLogits}
		if tt.of {
			q = Query{Of: []Objective{{Unit: LogProb, Terms: []Term{{Pos: -1, ID: 3, Weight: 1}, {Pos: -1, ID: 5, Weight: -2}}}}}
		}
		values := make([]Array, tt.ways)
		for w := range values {
			values[w] = Array{Dims: []int{12}, Data: make([]float32, 12)}
			for d := range values[w].Data {
				values[w].Data[d] = rng.Float32()
			}
		}
		for r := range tt.rows {
			q.Rows = append(q.Rows, text)
			at := []int{}
			for k := range text {
				if rng.IntN(2) == 0 {
					at = append(at, k)
				}
			}
			if r > 0 { // the first row stays as it is
				q.Edits = append(q.Edits, Edit{Tap: "embed", Rows: []int{r}, Positions: at, With: FromValues(values[rng.IntN(tt.ways)])})
			}
		}
		answer := func(worth float64) *Answer {
			worthSharing = worth
			r := &run{Model: m, Query: q, length: tt.T}
			r.key.Unit, r.key.Logits = "", ""
			if tt.of {
				r.key.Unit = string(LogProb)
			}
			if worth <= 0 && r.share() != nil {
				seen++
			}
			a, err := m.Run(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		one, all := answer(math.Inf(1)), answer(-1e18)
		for r := range q.Rows {
			var got, want []float32
			if tt.of {
				got, want = []float32{float32(all.Values[r])}, []float32{float32(one.Values[r])}
			} else {
				got, want = all.Logits[r].Data, one.Logits[r].Data
			}
			for k := range want {
				if d := math.Abs(float64(got[k] - want[k])); !(d <= 1e-5*(1+math.Abs(float64(want[k])))) {
					t.Fatalf("%+v: row %d has %v, alone %v", tt, r, got[k], want[k])
				}
			}
		}
		if all.Cost.ForwardRows != tt.rows {
			t.Errorf("%+v: %d rows are counted", tt, all.Cost.ForwardRows)
		}
	}
	if seen != 6 {
		t.Errorf("beginnings were shared %d times, want 6", seen)
	}
}

// Levels cover the text, and every level has room for the different beginnings of each chunk.
func TestSharedLevels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &shared{run: &run{Model: &Model{config: Config{Arch: Transformer, Context: 64}}, length: rapid.IntRange(2, 40).Draw(t, "length")}}
		n := rapid.IntRange(1, 60).Draw(t, "rows")
		s.size = rapid.IntRange(8, 32).Draw(t, "size")
		for range n {
			row := make([]uint64, s.length)
			for k := range row {
				row[k] = uint64(rapid.IntRange(0, 1).Draw(t, "symbol"))
			}
			s.Rows, s.symbols, s.value = append(s.Rows, nil), append(s.symbols, row), append(s.value, rapid.IntRange(-1, 1).Draw(t, "value"))
		}
		s.sort()
		cost := s.divide()
		sum, from := 0, 0
		for l, b := range s.bounds {
			if b <= from {
				t.Fatalf("levels end at %v", s.bounds)
			}
			sum += (b-from)*s.counts[l] + levelCost
			from = b
		}
		if from < s.length || sum != cost {
			t.Fatalf("levels of %v nodes end at %v for %d tokens and cost %d, not %d", s.counts, s.bounds, s.length, sum, cost)
		}
		rows := 0
		for _, c := range s.chunks() {
			rows += c[1] - c[0]
			if c[0] != rows-(c[1]-c[0]) || c[1]-c[0] > s.size {
				t.Fatalf("chunks %v", s.chunks())
			}
			for l, b := range s.bounds {
				if different := s.different(c, b); different > s.counts[l] || l < len(s.bounds)-1 && s.nodes(c, b) != different {
					t.Fatalf("chunk %v has %d beginnings of %d tokens, and room for %d", c, different, b, s.counts[l])
				}
			}
		}
		if rows != n {
			t.Fatalf("%d rows in chunks, want %d", rows, n)
		}
	})
}

// different counts the beginnings of a chunk one by one.
func (s *shared) different(c [2]int, length int) int {
	seen := map[string]bool{}
	for _, row := range s.order[c[0]:c[1]] {
		key := ""
		for _, x := range s.symbols[row][:min(length, s.length)] {
			key += string(rune('0' + x))
		}
		seen[key] = true
	}
	return len(seen)
}
