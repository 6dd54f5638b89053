package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// The patterns that heads are searched for.
const (
	Induction = "induction" // reads what came after the same token the last time
	Duplicate = "duplicate" // reads the same token the last time
	Previous  = "previous"  // reads the token before
	Current   = "current"   // reads the token itself
	First     = "first"     // reads the first token of the text
)

// Detectors lists them.
var Detectors = []string{Induction, Duplicate, Previous, Current, First}

// Heads says what the heads of a decoder do (Olsson et al., 2022; Elhage et al., 2021): how much of its attention a
// head gives, on texts of random tokens that are repeated once, to the positions that each of the patterns names. The
// text is [first token] r_1 .. r_n r_1 .. r_n; a score is the mean of A[i, j] over the queries i that have such a j.
// The means over the second copy are of its n queries, those of Previous, Current and First of all but the first token.
type Heads struct {
	Show   string `json:"show,omitempty"`   // one of Detectors, or Copying or Matching; "": Induction
	Tokens int    `json:"tokens,omitempty"` // n; 0: 50, or as many as the model can read twice
	Texts  int    `json:"texts,omitempty"`  // 0: 16
	Seed   uint64 `json:"seed,omitempty"`
}

// Measure runs the texts, and returns a matrix of layers by heads: the score that is shown, and beside it all others.
// Cost: a row forward for each text.
func (x Heads) Measure(ctx context.Context, m *lm.Model) (*explain.Matrix, error) {
	c := m.Config()
	if !c.Attends() {
		return nil, errors.New("an LSTM has no attention heads: lmkit inspect patch shows what its gates and cells carry")
	}
	x.Show = cmp.Or(x.Show, Induction)
	byWeights := []string{Copying, Matching}
	if !slices.Contains(slices.Concat(Detectors, byWeights), x.Show) {
		return nil, fmt.Errorf("heads are not searched for %q; there are %v, %s and %s", x.Show, Detectors, Copying, Matching)
	}
	if c.NormsSums() {
		if slices.Contains(byWeights, x.Show) {
			return nil, fmt.Errorf("%s is read from the weights of a residual stream that is a sum, and this model norms it "+
				"after every sum: choose one of %v", x.Show, Detectors)
		}
		byWeights = nil
	}
	texts, err := x.repeated(m)
	if err != nil {
		return nil, err
	}
	d := &detection{model: m, n: len(texts[0]) / 2, scores: map[string][][]float64{}}
	if err := d.read(ctx, texts); err != nil {
		return nil, err
	}
	if byWeights != nil {
		if err := d.weights(); err != nil {
			return nil, err
		}
	}
	s := explain.MatrixScores{Axes: [2]string{"layer", "head"}, Rows: numbers(c.Layers), Columns: numbers(c.Heads),
		Values: d.scores[x.Show], Settings: x, Identities: d.identities, Notes: d.notes(x.Show), About: abouts[x.Show]}
	for _, name := range slices.Concat(Detectors, byWeights) {
		unit := "mean attention"
		if slices.Contains(byWeights, name) {
			unit = "share of the eigenvalues, from -1 to 1"
		}
		if name == x.Show {
			s.Unit = unit
		}
		s.More = append(s.More, explain.Measure{Name: name, Unit: unit, Values: d.scores[name]})
	}
	return explain.NewMatrix(m, "heads", s, d.cost, len(texts))
}

// abouts says what the scores are.
var abouts = map[string]string{
	Induction: "how much each head reads what came after the same token the last time (induction)",
	Duplicate: "how much each head reads the same token where it stood the last time",
	Previous:  "how much each head reads the token before",
	Current:   "how much each head reads the token itself",
	First:     "how much each head reads the first token",
	Copying:   "whether what a head reads makes the same token more likely (OV), by its weights",
	Matching:  "whether a head reads tokens like the one it stands at (QK), by its weights",
}

// numbers is the names "0" to "n-1".
func numbers(n int) (names []string) {
	for i := range n {
		names = append(names, strconv.Itoa(i))
	}
	return names
}

const mostRead = 1 << 22 // tokens of all texts that heads are found on

// repeated returns the texts.
func (x Heads) repeated(m *lm.Model) (texts [][]token.ID, err error) {
	first, ordinary := vocabulary(m)
	room := (mostRead - 1) / 2
	if most := m.Config().Context; most > 0 {
		room = min(room, (most-1)/2)
	}
	n := cmp.Or(x.Tokens, min(50, room))
	if n > room {
		return nil, fmt.Errorf("%d tokens cannot be repeated: there is room for %d", n, room)
	}
	if n < 2 || len(ordinary) < 2 {
		return nil, fmt.Errorf("%d tokens, of %d that there are, cannot be repeated: give 2 at least, of a model that reads "+
			"twice as many", n, len(ordinary))
	}
	if texts := cmp.Or(x.Texts, 16); texts < 1 || texts > mostRead/(2*n+1) {
		return nil, fmt.Errorf("%d texts of %d tokens, repeated: give 1 to %d texts", texts, n, mostRead/(2*n+1))
	}
	rng := rand.New(rand.NewPCG(x.Seed, 3))
	for range cmp.Or(x.Texts, 16) {
		var half []token.ID
		for len(half) < n { // each once, as long as there are others
			for _, i := range rng.Perm(len(ordinary))[:min(n-len(half), len(ordinary))] {
				half = append(half, ordinary[i])
			}
		}
		texts = append(texts, slices.Concat([]token.ID{first}, half, half))
	}
	return texts, nil
}

// vocabulary returns the token that stands before a text, and those that may stand in it.
func vocabulary(m *lm.Model) (first token.ID, ordinary []token.ID) {
	tok := m.Tokenizer()
	special := map[token.ID]bool{}
	if tok != nil {
		if id, ok := token.Begin(tok); ok {
			first = id
		}
		if enc, err := tok.Encode("a"); err == nil && len(enc.Held) > 0 && enc.Held[0] {
			first = enc.IDs[0]
		}
		if id, ok := tok.Unknown(); ok {
			special[id] = true
		}
		for _, id := range token.Ends(tok) {
			special[id] = true
		}
		if b, ok := tok.(*token.BPE); ok {
			for _, id := range b.Special() {
				special[id] = true
			}
		}
	}
	special[first] = true
	for id := range token.ID(m.Config().Vocab) {
		if !special[id] && (tok == nil || int(id) < tok.Size()) {
			ordinary = append(ordinary, id)
		}
	}
	return first, ordinary
}

// detection is scores on their way: [layer][head] by name.
type detection struct {
	model      *lm.Model
	n          int // tokens of a copy
	scores     map[string][][]float64
	uniform    map[string]float64
	copies     [2]float64 // nats a token: the mean log-probability of the first copy and of the second
	cost       lm.Cost
	identities []explain.Identity
	sampled    int // tokens that the weights were looked at with; 0: all
}

// targets says, for a query i behind the first token, which position j each pattern names; -1: none.
func (d *detection) targets(i int) map[string]int {
	t := map[string]int{Previous: i - 1, Current: i, First: 0, Induction: -1, Duplicate: -1}
	if i > d.n {
		t[Induction], t[Duplicate] = i-d.n+1, i-d.n
	}
	return t
}

// read runs the texts, some at a time, and adds up the scores.
func (d *detection) read(ctx context.Context, texts [][]token.ID) error {
	c := d.model.Config()
	counts := map[string]float64{}
	d.uniform = map[string]float64{}
	for _, name := range Detectors {
		d.scores[name] = table(c.Layers, c.Heads)
	}
	for i := 1; i <= 2*d.n; i++ {
		for name, j := range d.targets(i) {
			if j >= 0 {
				counts[name]++
				d.uniform[name] += 1 / float64(i+1)
			}
		}
	}
	worst, T := 0.0, len(texts[0])
	group := max(1, (16<<20)/(c.Layers*c.Heads*T*T))
	for first := 0; first < len(texts); first += group {
		q := lm.Query{Rows: texts[first:min(len(texts), first+group)], Each: true}
		for l := range c.Layers {
			q.Taps = append(q.Taps, patternTap(l))
		}
		for _, row := range q.Rows {
			o := lm.Objective{Unit: lm.LogProb}
			for i := range T - 1 {
				o.Terms = append(o.Terms, lm.Term{Pos: i, ID: row[i+1], Weight: 1})
			}
			q.Of = append(q.Of, o)
		}
		a, err := d.model.Run(ctx, q)
		if err != nil {
			return err
		}
		d.cost.Add(a.Cost)
		for r := range q.Rows {
			for i, v := range a.Each[r] {
				d.copies[i/d.n] += v / float64(d.n*len(texts))
			}
			for l := range c.Layers {
				for h := range c.Heads {
					pattern := a.At[patternTap(l)].Index(r, h)
					worst = max(worst, d.add(pattern, l, h, counts, len(texts)))
				}
			}
		}
	}
	for name, n := range counts {
		d.uniform[name] /= n
	}
	d.identities = append(d.identities, explain.NewIdentity("the attention of each query adds up to 1: the largest error",
		0,
		worst, 1e-4))
	return nil
}

// add adds one text's pattern [T, T] of a head to its scores, and returns how far its rows are from adding up to 1.
func (d *detection) add(pattern lm.Array, l, h int, counts map[string]float64, texts int) (worst float64) {
	for i := 1; i < pattern.Dims[0]; i++ {
		row, sum := pattern.Index(i).Data, 0.0
		for _, v := range row[:i+1] {
			sum += float64(v)
		}
		worst = max(worst, math.Abs(sum-1))
		for name, j := range d.targets(i) {
			if j >= 0 {
				d.scores[name][l][h] += float64(row[j]) / counts[name] / float64(texts)
			}
		}
	}
	return worst
}

// notes says what is to be read from the scores.
func (d *detection) notes(show string) []string {
	var notes []string
	if u, ok := d.uniform[show]; ok {
		notes = append(notes, fmt.Sprintf("a head that reads all tokens alike has %.3g", u))
	}
	type head struct{ l, h int }
	var heads []head
	values := d.scores[show]
	for l := range values {
		for h := range values[l] {
			heads = append(heads, head{l, h})
		}
	}
	slices.SortStableFunc(heads, func(a, b head) int { return cmp.Compare(values[b.l][b.h], values[a.l][a.h]) })
	note := "largest:"
	for i, x := range heads[:min(mostNamed, len(heads))] {
		if i > 0 {
			note += ";"
		}
		note += fmt.Sprintf(" %d.%d %.3g", x.l, x.h, values[x.l][x.h])
	}
	notes = append(notes, note, fmt.Sprintf("log-probability of a token, the mean: %.3g in the first copy of %d, %.3g "+
		"in the "+
		"second", d.copies[0], d.n, d.copies[1]))
	if d.sampled > 0 && (show == Copying || show == Matching) {
		notes = append(notes, fmt.Sprintf("by %d tokens, evenly chosen from the vocabulary", d.sampled))
	}
	return notes
}
