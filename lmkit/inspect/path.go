package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Path is path patching (Wang et al., 2022; Goldowsky-Dill et al., 2023): how much of the difference between a clean
// and a corrupted prompt goes from one part of a decoder straight to another. Of each sender, a head or a feed-forward
// layer, the corrupted output is put into the clean run, with all other heads and feed-forward layers as they are in
// the clean run; what the receivers then read is put into another clean run. The value is what that destroys, as Patch
// with Noising: (m(c) - m(patched)) / (m(c) - m(k)).
type Path struct {
	Corrupted string     `json:"corrupted,omitempty"` // the prompt to compare with, of as many tokens, or
	IDs       []token.ID `json:"ids,omitempty"`       // its tokens
	To        []string   `json:"to,omitempty"`        // receivers: "logits" (default), "9.6.q", "9.6.k", "9.6.v", "9.mlp"
	// ThroughMLPs lets the feed-forward layers compute anew between sender and receivers, as Wang et al. do. Otherwise
	// they are frozen too, so that only the direct path is open.
	ThroughMLPs bool `json:"through_mlps,omitempty"`
}

// Name implements explain.MatrixMethod.
func (Path) Name() string { return "path" }

// Matrix implements explain.MatrixMethod. Cost: two rows forward for each head and feed-forward layer before the last
// receiver.
func (x Path) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	none := explain.MatrixScores{}
	if !p.Model.Config().Attends() {
		return none, errors.New("an LSTM has no paths that pass by its layers: use lmkit inspect patch")
	}
	if len(x.To) == 0 {
		x.To = []string{"logits"}
	}
	r := &route{Path: x, p: p}
	if err := r.receivers(); err != nil {
		return none, err
	}
	ids, err := readCorrupted(p, x.Corrupted, x.IDs)
	if err != nil {
		return none, err
	}
	pairs, err := compare(ctx, p, version{ids: ids})
	if err != nil {
		return none, err
	}
	r.pair = pairs[0]
	r.senders()
	p.Expect(4 + 2*(len(r.from)+4))
	if err := r.send(ctx); err != nil {
		return none, err
	}
	if err := r.receive(ctx); err != nil {
		return none, err
	}
	return r.scores(), nil
}

// route is one run of Path.
type route struct {
	Path
	p    *explain.Problem
	pair *pair
	to   []place // what the receivers read
	last int     // the last layer with a receiver
	from []place // the senders
	sent *lm.Answer

	effects    []float64 // of each sender
	embed      float64   // of the embeddings
	identities []explain.Identity
}

var receiverName = regexp.MustCompile(`^(\d+)\.(?:(\d+)\.([qkv])|(mlp))$`)

// receivers finds what the receivers read.
func (r *route) receivers() error {
	m := r.p.Model
	for _, name := range r.To {
		parts := receiverName.FindStringSubmatch(strings.TrimSpace(name))
		switch {
		case name == "logits":
			r.last = m.Config().Layers
			r.to = append(r.to, place{tap: fmt.Sprintf("block.%d.resid.post", r.last-1)})
		case parts == nil:
			return fmt.Errorf("nothing called %q receives; name logits, a head's queries, keys or values such as 9.6.q, or a "+
				"feed-forward layer such as 9.mlp", name)
		default:
			l, _ := strconv.Atoi(parts[1])
			if l >= m.Config().Layers {
				return fmt.Errorf("there is no layer %d to receive; there are %d", l, m.Config().Layers)
			}
			r.last = max(r.last, l)
			if parts[4] != "" {
				r.to = append(r.to, mlpReads(m, l)...)
				continue
			}
			tap := fmt.Sprintf("block.%d.attn.%s", l, parts[3])
			info, err := m.Tap(tap)
			if err != nil {
				return err
			}
			h, _ := strconv.Atoi(parts[2])
			if h >= m.Config().Heads {
				return fmt.Errorf("layer %d has no head %d; it has %d", l, h, m.Config().Heads)
			}
			r.to = append(r.to, place{tap: tap, layer: l, heads: []int{h / max(1, info.Readers)}})
		}
	}
	return nil
}

// mlpReads is what a feed-forward layer makes of what it reads.
func mlpReads(m *lm.Model, l int) (all []place) {
	for _, name := range []string{"pre", "gate", "up"} {
		tap := fmt.Sprintf("block.%d.mlp.%s", l, name)
		if _, err := m.Tap(tap); err == nil {
			all = append(all, place{tap: tap, layer: l})
		}
	}
	return all
}

// senders lists the heads and feed-forward layers that come before the last receiver, layer by layer.
func (r *route) senders() {
	c := r.p.Model.Config()
	for l := range min(r.last+1, c.Layers) {
		for h := range c.Heads {
			r.from = append(r.from, place{tap: fmt.Sprintf("block.%d.attn.z", l), layer: l, heads: []int{h}})
		}
		r.from = append(r.from, place{tap: fmt.Sprintf("block.%d.mlp.out", l), layer: l})
	}
}

// send runs the clean prompt once for each sender, with its corrupted output and all else frozen, and once for the
// corrupted embeddings, and once for no sender. What the receivers read is recorded.
func (r *route) send(ctx context.Context) error {
	q := newPatches(r.pair, true)
	for range r.from {
		q.add(0)
	}
	none, embed := q.add(0), q.add(0, place{tap: entrance(r.p.Model)})
	q.q.Edits = q.q.Edits[:len(q.q.Edits)-1] // the input is the corrupted one, below
	q.q.Rows[embed] = r.pair.corrupted.ids
	corrupted, err := r.corrupted(ctx)
	if err != nil {
		return err
	}
	for i, s := range r.from {
		q.q.Edits = append(q.q.Edits, s.edit(2+i, lm.FromValues(corrupted[s.tap])))
	}
	for l := range r.p.Model.Config().Layers {
		r.freeze(&q.q, l, none, embed)
	}
	for _, to := range r.to {
		q.q.Taps = append(q.q.Taps, to.tap)
	}
	q.q.Of = nil
	r.sent, err = r.p.Run(ctx, q.q)
	return err
}

// corrupted returns what the senders write in the corrupted run. (As numbers: within one row, an activation can be
// copied from one other row only, and that is the clean one, for all that is frozen.)
func (r *route) corrupted(ctx context.Context) (map[lm.Tap]lm.Array, error) {
	q := lm.Query{Rows: [][]token.ID{r.pair.corrupted.ids}}
	for _, s := range r.from {
		if s.heads == nil || s.heads[0] == 0 {
			q.Taps = append(q.Taps, s.tap)
		}
	}
	a, err := r.p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.At, nil
}

// freeze keeps the heads and the feed-forward layer of a layer as they are in the clean run, but for a row's sender.
func (r *route) freeze(q *lm.Query, l int, besides ...int) {
	H := r.p.Model.Config().Heads
	others := slices.Clone(besides) // rows whose sender is not in this layer's attention
	mlps := slices.Clone(besides)
	for i, s := range r.from {
		switch {
		case s.layer != l:
			others, mlps = append(others, 2+i), append(mlps, 2+i)
		case s.heads == nil:
			others = append(others, 2+i)
		default:
			mlps = append(mlps, 2+i)
			rest := slices.DeleteFunc(upTo(H), func(h int) bool { return h == s.heads[0] })
			if len(rest) > 0 {
				q.Edits = append(q.Edits, place{tap: s.tap, heads: rest}.edit(2+i, lm.FromRow(0)))
			}
		}
	}
	q.Edits = append(q.Edits, lm.Edit{Tap: fmt.Sprintf("block.%d.attn.z", l), Rows: others, With: lm.FromRow(0)})
	if !r.ThroughMLPs {
		q.Edits = append(q.Edits, lm.Edit{Tap: fmt.Sprintf("block.%d.mlp.out", l), Rows: mlps, With: lm.FromRow(0)})
	}
}

// receive runs the clean prompt with what the receivers read in each row of send. The last rows are what shows that the
// values are right: the receivers read what they do in the corrupted run, given by numbers and copied from its row.
func (r *route) receive(ctx context.Context) error {
	n := len(r.from)
	none, embed := 2+n, 3+n
	q := newPatches(r.pair, true)
	for range n + 3 { // the senders, no sender, the embeddings, and the corrupted run
		q.add(0)
	}
	copied := q.add(1, r.to...)
	for _, to := range r.to {
		values := r.sent.At[to.tap]
		given := lm.Array{Dims: slices.Clone(values.Dims), Data: slices.Clone(values.Data)}
		given.Dims[0] = len(q.q.Rows) // row 4+n is what row 1 of send read, and the others what the same row read
		given.Data = append(given.Data, values.Index(1).Data...)
		given.Data = append(given.Data, values.Index(1).Data...)
		given.Data = given.Data[:len(q.q.Rows)*len(values.Index(0).Data)]
		rows := make([]int, n+3)
		for i := range rows {
			rows[i] = 2 + i
		}
		q.q.Edits = append(q.q.Edits, lm.Edit{Tap: to.tap, Rows: rows, Heads: to.heads, With: lm.FromValues(given)})
	}
	a, err := r.p.Run(ctx, q.q)
	if err != nil {
		return err
	}
	for i := range r.from {
		r.effects = append(r.effects, q.effect(a, 2+i))
	}
	r.embed = q.effect(a, embed)
	r.identities = []explain.Identity{
		explain.NewIdentity("a path from no sender", 0, q.effect(a, none), rounding),
		explain.NewIdentity("all senders at once are a patch of what the receivers read", q.effect(a, copied),
			q.effect(a, 4+n), rounding),
	}
	if r.addsUp() {
		r.identities = append(r.identities, r.sum())
	}
	return nil
}

// addsUp reports whether what the senders send adds up in the residual stream, which is recorded at its end.
func (r *route) addsUp() bool {
	return len(r.to) == 1 && strings.HasSuffix(r.to[0].tap, "resid.post") && !r.ThroughMLPs &&
		!r.p.Model.Config().NormsAfter()
}

// sum compares what all senders and the embeddings change at the end of the residual stream with the difference there.
func (r *route) sum() explain.Identity {
	end := r.sent.At[r.to[0].tap]
	clean, corrupted := end.Index(0).Data, end.Index(1).Data
	off, size := 0.0, 0.0
	for k := range clean {
		sum := 0.0
		for i := range len(r.from) + 2 {
			sum += float64(end.Index(2 + i).Data[k] - clean[k])
		}
		want := float64(corrupted[k] - clean[k])
		off, size = max(off, math.Abs(sum-want)), max(size, math.Abs(want))
	}
	return explain.NewIdentity("what all parts send to the end of the stream adds up: the largest error, as a share", 0,
		off/size, 1e-3)
}

// scores lays the effects out by layer and head, with the feed-forward layer as the last column.
func (r *route) scores() explain.MatrixScores {
	c, base := r.p.Model.Config(), r.pair.base
	out := explain.MatrixScores{Axes: [2]string{"layer", "sender"}, Columns: append(numbers(c.Heads), "mlp"), Base: &base,
		Unit: "share of the difference", Settings: r.Path, Identities: r.identities,
		About: fmt.Sprintf("what goes from each part straight to %s (frozen: %s)", strings.Join(r.To, ", "), r.frozen())}
	for i := 0; i < len(r.effects); i += c.Heads + 1 {
		out.Rows = append(out.Rows, strconv.Itoa(i/(c.Heads+1)))
		out.Values = append(out.Values, r.effects[i:i+c.Heads+1])
	}
	s := &sweep{grid: &grid{axes: out.Axes, rows: out.Rows, columns: out.Columns}}
	for range out.Rows {
		s.grid.cells = append(s.grid.cells, make([]place, len(out.Columns)))
	}
	out.Notes = []string{r.pair.told, s.largest(out.Values), fmt.Sprintf("from the embeddings: %+.3g", r.embed)}
	return out
}

func (r *route) frozen() string {
	if r.ThroughMLPs {
		return "all other heads"
	}
	return "all other heads and feed-forward layers"
}
