package lm

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// beginnings is a game's question: one text in rows, each with some of its embeddings replaced.
type beginnings struct {
	config Config
	T      int  // tokens of the text
	rows   int  // the first of them has nothing replaced
	values int  // how many values there are to replace embeddings by; each row takes one or two of them
	of     bool // an objective is asked for; else the logits of the last tokens
	reply  bool // the objective is about several tokens, and each one's part of it is asked for; rows differ in length
}

// query draws a question of this kind, about a model with 17 tokens and embeddings 12 wide.
func (b beginnings) query(rng *rand.Rand) Query {
	text := make([]token.ID, b.T)
	for k := range text {
		text[k] = token.ID(rng.IntN(17))
	}
	q := Query{Logits: LastLogits}
	if b.of {
		terms := []Term{{Pos: -1, ID: 3, Weight: 1}, {Pos: -1, ID: 5, Weight: -2}}
		q = Query{Of: []Objective{{Unit: LogProb, Terms: terms}}}
	}
	if b.reply {
		terms := []Term{{Pos: -1, ID: 3, Weight: 1}, {Pos: 2, ID: 5, Weight: 1}, {Pos: -2, ID: 7, Weight: 1}}
		q = Query{Of: []Objective{{Unit: LogProb, Terms: terms}}, Each: true}
	}
	values := make([]Source, b.values)
	for i := range values {
		a := zeros([]int{12})
		for d := range a.Data {
			a.Data[d] = rng.Float32()
		}
		values[i] = FromValues(a)
	}
	for r := range b.rows {
		q.Rows = append(q.Rows, text)
		if b.reply {
			q.Rows[r] = text[:b.T-rng.IntN(3)]
		}
		edits := make([]Edit, 1+rng.IntN(2)) // which share the positions, beyond the row's end too
		for i := range edits {
			edits[i] = Edit{Tap: "embed", Rows: []int{r}, Positions: []int{}, With: values[rng.IntN(b.values)]}
		}
		for k := range text {
			if rng.IntN(2) == 0 {
				e := &edits[rng.IntN(len(edits))]
				e.Positions = append(e.Positions, k)
			}
		}
		if r > 0 {
			q.Edits = append(q.Edits, edits...)
		}
	}
	return q
}

// model makes a model for it: on XLA where there are several values, else in pure Go, which compiles in no time.
func (b beginnings) model(t *testing.T) *Model {
	engine := backendtest.PureGo(t)
	if b.values > 1 {
		engine = backendtest.Either(t)
	}
	m, err := New(engine, b.config, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// Rows that begin alike answer as they do one by one, whether they are read by one program or by a chain of them.
func TestSharedBeginnings(t *testing.T) {
	lstm := Config{Arch: LSTM, Vocab: 17, Width: 12, Layers: 2, Hidden: 10}
	gpt2 := Config{Arch: Transformer, Vocab: 17, Width: 12, Layers: 2, Heads: 3, Context: 24, Tied: true}
	gemma := Config{
		Arch: Transformer, Vocab: 17, Width: 16, EmbedWidth: 12, Layers: 3, Heads: 4, KVHeads: 2, HeadWidth: 6, Context: 24,
		Norm: net.RMSNorm, NormPlace: net.BothNorms, QKNorm: net.EachHead, Gated: true, Window: 3, Pattern: "sfn",
		Rope: net.Rope{Theta: 50}, LocalRope: net.Rope{Theta: 9}, ScoreCap: 2, LogitCap: 3,
	}
	for i, b := range []beginnings{
		{gpt2, 9, 200, 1, true, false}, {gpt2, 12, 90, 2, false, false}, {gpt2, 11, 90, 2, false, true},
		{lstm, 9, 200, 2, true, false}, {lstm, 10, 300, 1, false, false},
		{gemma, 9, 200, 1, true, false}, {gemma, 12, 90, 1, false, false}, {gemma, 12, 90, 1, false, true},
	} {
		m, q := b.model(t), b.query(rand.New(rand.NewPCG(uint64(i), 0)))
		one := answerWhereWorth(t, m, q, math.Inf(1))
		compareAnswers(t, fmt.Sprintf("%+v", b), answerWhereWorth(t, m, q, -1e18), one)
		if b.config.Attends() { // the model is small: it ran as one program
			chainAlways(t)
			compareAnswers(t, fmt.Sprintf("%+v, as a chain", b), answerWhereWorth(t, m, q, -1e18), one)
			chainNever(t)
		}
	}
}

// A position that is replaced twice is an error where rows are read together, too.
func TestSharedTwice(t *testing.T) {
	setForTest(t, &worthSharing, -1e18)
	setForTest(t, &worthPart, -1e18)
	c := Config{Arch: Transformer, Vocab: 17, Width: 12, Layers: 1, Heads: 2, Context: 24}
	b := beginnings{config: c, T: 9, rows: 20, values: 1}
	m, q := b.model(t), b.query(rand.New(rand.NewPCG(1, 2)))
	q.Edits = append(q.Edits, Edit{Tap: "embed", Rows: []int{3}, With: q.Edits[0].With})
	if _, err := m.Run(context.Background(), q); err == nil || !strings.Contains(err.Error(), "two edits of embed") {
		t.Error(err)
	}
}

// answerWhereWorth answers a query where sharing is worth so many operations saved, and fails if it is shared at
// infinitely many, or not at none.
func answerWhereWorth(t *testing.T, m *Model, q Query, worth float64) *Answer {
	setForTest(t, &worthSharing, worth)
	setForTest(t, &worthPart, worth)
	r, err := newRun(m, q)
	if err != nil {
		t.Fatal(err)
	}
	if shares := r.share() != nil; shares != (worth <= 0) {
		t.Errorf("where %v operations are worth it, beginnings are shared: %v", worth, shares)
	}
	a, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	if a.Cost.ForwardRows != len(q.Rows) {
		t.Errorf("%d rows are counted of %d", a.Cost.ForwardRows, len(q.Rows))
	}
	return a
}

// compareAnswers compares values and logits.
func compareAnswers(t *testing.T, what string, got, want *Answer) {
	t.Helper()
	for r := range want.Values {
		if d := math.Abs(got.Values[r] - want.Values[r]); !(d <= 1e-5*(1+math.Abs(want.Values[r]))) {
			t.Fatalf("%s: row %d has %v, want %v", what, r, got.Values[r], want.Values[r])
		}
	}
	for r := range want.Each {
		if len(got.Each[r]) != len(want.Each[r]) {
			t.Fatalf("%s: row %d has terms %v, want %v", what, r, got.Each[r], want.Each[r])
		}
		for k, w := range want.Each[r] {
			if d := math.Abs(got.Each[r][k] - w); !(d <= 1e-5*(1+math.Abs(w))) {
				t.Fatalf("%s: row %d has term %v, want %v", what, r, got.Each[r][k], w)
			}
		}
	}
	for r := range want.Logits {
		for k, w := range want.Logits[r].Data {
			if d := math.Abs(float64(got.Logits[r].Data[k] - w)); !(d <= 1e-5*(1+math.Abs(float64(w)))) {
				t.Fatalf("%s: row %d has logit %v, want %v", what, r, got.Logits[r].Data[k], w)
			}
		}
	}
}

// setForTest sets a variable until the test ends.
func setForTest[T any](t *testing.T, v *T, to T) {
	before := *v
	t.Cleanup(func() { *v = before })
	*v = to
}

// drawSharing draws rows of two symbols, sorted: of one length, or of several.
func drawSharing(t *rapid.T, arch string, lengths bool) *sharing {
	c := Config{Arch: arch, Vocab: 9, Width: 8, Layers: 1, Heads: 2, Context: 64}.WithDefaults()
	m := &Model{opened: &opened{config: c}}
	s := &sharing{run: &run{model: m, length: rapid.IntRange(2, 40).Draw(t, "length")}}
	for i := range rapid.IntRange(1, 60).Draw(t, "rows") {
		row := make([]uint64, s.run.length)
		if lengths && i > 0 {
			row = row[:rapid.IntRange(1, len(row)).Draw(t, "of")]
		}
		for k := range row {
			row[k] = uint64(rapid.IntRange(0, 1).Draw(t, "symbol"))
		}
		s.symbols = append(s.symbols, row)
		s.run.query.Rows = append(s.run.query.Rows, make([]token.ID, len(row)))
	}
	s.sort()
	return s
}

// held checks that chunks hold every row once, in their order.
func held(t *rapid.T, s *sharing, most int) {
	rows := 0
	for _, c := range s.by.chunks() {
		if c.first != rows || c.end-c.first > most || c.end <= c.first {
			t.Fatalf("chunks %v", s.by.chunks())
		}
		rows = c.end
	}
	if rows != len(s.symbols) {
		t.Fatalf("%d rows in chunks, want %d", rows, len(s.symbols))
	}
}

// Levels cover the text one after the other, cost what stack says, and have room for the different beginnings of each
// chunk; chunks hold every row once.
func TestSharedLevels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSharing(t, LSTM, false)
		x := s.stack()
		s.by = x
		sum, end := 0, 0
		for _, l := range x.all {
			if l.from != end || l.to <= l.from {
				t.Fatalf("levels %+v", x.all)
			}
			sum += (l.to-l.from)*l.nodes + levelCost
			end = l.to
		}
		if end < s.run.length || sum != x.spent {
			t.Fatalf("levels %+v cost %d, not %d, and have room for %d tokens", x.all, sum, x.spent, s.run.length)
		}
		held(t, s, x.size)
		for _, c := range x.chunks() {
			for i, l := range x.all {
				different := s.different(c, l.to)
				if different > l.nodes || i < len(x.all)-1 && x.beginnings(c, l.to) != different {
					t.Fatalf("chunk %v has %d beginnings of %d tokens, and room for %d", c, different, l.to, l.nodes)
				}
			}
		}
	})
}

// The levels of a chunk read every row's own symbols: from its node in the last level up through the parents.
func TestSharedParents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSharing(t, LSTM, false)
		x := s.stack()
		for _, c := range x.chunks() {
			tree := x.nodes(c)
			for i, row := range s.order[c.first:c.end] {
				n := i
				for l := len(tree) - 1; l >= 0; l-- {
					if n >= len(tree[l]) || n >= x.all[l].nodes {
						t.Fatalf("row %d is at node %d of %d in level %d", row, n, len(tree[l]), l)
					}
					for at := x.all[l].from; at < min(x.all[l].to, s.run.length); at++ {
						if got, want := s.symbols[tree[l][n].row][at], s.symbols[row][at]; got != want {
							t.Fatalf("row %d reads %d at %d, want %d", row, got, at, want)
						}
					}
					n = tree[l][n].parent
				}
			}
		}
	})
}

// The tree of a chunk reads every row's own symbols along the path of its last node, each way to go on once, in pieces
// of any length; and has room for its nodes.
func TestSharedTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSharing(t, Transformer, true)
		x := &tree{sharing: s, piece: rapid.IntRange(1, 9).Draw(t, "piece")}
		x.path = (s.run.length + x.piece - 1) / x.piece
		s.run.query.Memory = rapid.Int64Range(1, 4e5).Draw(t, "memory")
		x.divide()
		s.by = x
		held(t, s, enoughLeaves)
		for _, c := range x.chunks() {
			b := x.branches(c)
			if n := len(b.from); n > x.nodes || c.end-c.first > x.most {
				t.Fatalf("chunk %v has %d nodes, and room for %d and %d rows", c, n, x.nodes, x.most)
			}
			seen := map[string]bool{}
			for i, row := range s.order[c.first:c.end] {
				at := 0
				for _, n := range b.path[b.leaf[i]] {
					if b.from[n] != at {
						t.Fatalf("node %d stands at %d, want %d", n, b.from[n], at)
					}
					for k := at; k < min(at+x.piece, len(s.symbols[row])); k++ {
						if got, want := s.symbols[b.row[n]][k], s.symbols[row][k]; got != want {
							t.Fatalf("row %d reads %d at %d, want %d", row, got, k, want)
						}
					}
					at += x.piece
				}
				if at < len(s.symbols[row]) || at >= len(s.symbols[row])+x.piece {
					t.Fatalf("row %d of %d tokens has nodes of %d", row, len(s.symbols[row]), at)
				}
				seen[fmt.Sprint(s.symbols[row])] = true
			}
			leaves := map[int]bool{}
			for _, n := range b.leaf {
				leaves[n] = true
			}
			if len(leaves) != len(seen) {
				t.Fatalf("%d different rows end in %d nodes", len(seen), len(leaves))
			}
		}
	})
}

// different counts the beginnings of a chunk one by one.
func (s *sharing) different(c chunk, length int) int {
	seen := map[string]bool{}
	for _, row := range s.order[c.first:c.end] {
		seen[fmt.Sprint(s.symbols[row][:min(length, s.run.length)])] = true
	}
	return len(seen)
}
