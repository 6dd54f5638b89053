package inspect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// place is a part of an activation: some of its positions and heads; nil: all.
type place struct {
	tap              lm.Tap
	layer            int
	positions, heads []int
}

// edit returns the replacement of the place in row i of a query.
func (x place) edit(i int, with lm.Source) lm.Edit {
	return lm.Edit{Tap: x.tap, Rows: []int{i}, Positions: x.positions, Heads: x.heads, With: with}
}

// grid is places that make a matrix.
type grid struct {
	axes          [2]string
	rows, columns []string
	cells         [][]place // [row][column]
	taps          []lm.TapInfo
	layers        []int // of each tap
	shared        bool  // the heads are of keys and values, each read by several of queries
}

// What the columns of a grid of heads are.
const (
	ByHead     = "head"     // a row a layer, a column a head, at all positions
	ByPosition = "position" // a row a head, a column a position
)

// shorthands are activations that may be named without the part of the block that they are in.
var shorthands = map[string]string{
	"q": "attn.q", "k": "attn.k", "v": "attn.v", "z": "attn.z", "pattern": "attn.pattern", "scores": "attn.scores",
}

// newGrid returns the places of one kind of activation in some layers (nil: all): a layer and a position each, or where
// the activation has heads, a layer and a head, or a head and a position.
func newGrid(p *explain.Problem, at, by string, layers []int) (*grid, error) {
	g := &grid{}
	if err := g.find(p.Model, at, layers); err != nil {
		return nil, err
	}
	heads := g.taps[0].Heads()
	g.shared = g.taps[0].Readers > 1
	switch {
	case by != "" && by != ByHead && by != ByPosition:
		return nil, fmt.Errorf("there are no cells by %q; they are by %s or %s", by, ByHead, ByPosition)
	case heads == 0 && by == ByHead:
		return nil, fmt.Errorf("%s has no heads: its cells are by position", at)
	case heads == 0:
		g.byPosition(p)
	case by == ByPosition:
		g.headsByPosition(p)
	default:
		g.byHead()
	}
	return g, nil
}

// find looks the activation up in each layer, or in those of layers that have it.
func (g *grid) find(m *lm.Model, at string, layers []int) error {
	if full, ok := shorthands[at]; ok {
		at = full
	}
	part := "block"
	if m.Config().Recurrent() {
		part = "lstm"
	}
	L := m.Config().Layers
	for _, l := range layers {
		if l < 0 || l >= L {
			return fmt.Errorf("there is no layer %d; there are %d", l, L)
		}
	}
	for l := range L {
		info, err := m.Tap(fmt.Sprintf("%s.%d.%s", part, l, at))
		if err == nil && len(info.Axes) >= 3 && (layers == nil || slices.Contains(layers, l)) {
			g.taps, g.layers = append(g.taps, info), append(g.layers, l)
		}
	}
	if len(g.taps) == 0 {
		return fmt.Errorf("the layers have no activation %q to patch; there are %s", at, strings.Join(patchable(m), ", "))
	}
	return nil
}

// patchable lists what newGrid finds in the first layer of a model.
func patchable(m *lm.Model) (names []string) {
	for _, t := range m.Taps() {
		for _, first := range []string{"block.0.", "lstm.0."} {
			if name, ok := strings.CutPrefix(t.Name, first); ok && len(t.Axes) >= 3 {
				names = append(names, name)
			}
		}
	}
	return names
}

func (g *grid) byPosition(p *explain.Problem) {
	g.axes, g.columns = [2]string{"layer", "token"}, tokenTexts(p)
	for k, tap := range g.taps {
		var row []place
		for t := range p.IDs {
			row = append(row, place{tap: tap.Name, layer: g.layers[k], positions: []int{t}})
		}
		g.rows, g.cells = append(g.rows, strconv.Itoa(g.layers[k])), append(g.cells, row)
	}
}

func (g *grid) byHead() {
	g.axes = [2]string{"layer", "head"}
	for h := range g.taps[0].Heads() {
		g.columns = append(g.columns, g.taps[0].HeadName(h))
	}
	for k, tap := range g.taps {
		var row []place
		for h := range tap.Heads() {
			row = append(row, place{tap: tap.Name, layer: g.layers[k], heads: []int{h}})
		}
		g.rows, g.cells = append(g.rows, strconv.Itoa(g.layers[k])), append(g.cells, row)
	}
}

func (g *grid) headsByPosition(p *explain.Problem) {
	g.axes, g.columns = [2]string{"head", "token"}, tokenTexts(p)
	for k, tap := range g.taps {
		for h := range tap.Heads() {
			var row []place
			for t := range p.IDs {
				row = append(row, place{tap: tap.Name, layer: g.layers[k], positions: []int{t}, heads: []int{h}})
			}
			g.rows, g.cells = append(g.rows, headLabel(g.layers[k], tap, h)), append(g.cells, row)
		}
	}
}

// headLabel is a head's layer and number: "9.6".
func headLabel(layer int, tap lm.TapInfo, head int) string {
	return strconv.Itoa(layer) + "." + tap.HeadName(head)
}

func tokenTexts(p *explain.Problem) (texts []string) {
	for _, t := range p.Tokens {
		texts = append(texts, t.Text)
	}
	return texts
}

// name says where a cell is, in words.
func (g *grid) name(row, column int) string {
	if g.axes[1] == "token" {
		at := g.cells[row][column].positions[0]
		return fmt.Sprintf("%s %s at %d %q", g.axes[0], g.rows[row], at, g.columns[column])
	}
	return fmt.Sprintf("%s %s, %s %s", g.axes[0], g.rows[row], g.axes[1], g.columns[column])
}

// everything is all places of the grid's activations at some positions; nil: all.
func (g *grid) everything(positions []int) (all []place) {
	for k, tap := range g.taps {
		all = append(all, place{tap: tap.Name, layer: g.layers[k], positions: positions})
	}
	return all
}

// before reports whether a place lies wholly before a position, so that what stands there is the same in both versions.
func (x place) before(position int) bool {
	return x.positions != nil && slices.Max(x.positions) < position
}
