package notebook

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/token"
)

// Attention shows where each head of a Transformer looks while it reads a text, with tabs for layers and heads. Rows
// are the tokens that read, columns those that are read.
func Attention(ctx context.Context, m *lm.Model, text string) error {
	p, err := attention(ctx, m, text)
	if err != nil {
		return fail(fmt.Errorf("cannot show attention: %w", err))
	}
	return Show(p)
}

func attention(ctx context.Context, m *lm.Model, text string) (plot.Picker, error) {
	p := plot.Picker{Title: "Layer"}
	if m == nil {
		return p, fmt.Errorf("there is no model: it is nil")
	}
	if err := m.CheckText(); err != nil {
		return p, err
	}
	encoding, err := m.Tokenizer().Encode(text)
	if err != nil {
		return p, err
	}
	labels := make([]string, len(encoding.IDs))
	for i, id := range encoding.IDs {
		labels[i] = m.TokenText(id)
	}
	var taps []lm.Tap
	for l := range m.Config().Layers {
		taps = append(taps, fmt.Sprintf("block.%d.attn.pattern", l))
	}
	at, err := m.Trace(ctx, [][]token.ID{encoding.IDs}, taps)
	if err != nil {
		return p, err
	}
	for l, tap := range taps {
		heads := make([][][]float64, m.Config().Heads)
		for h := range heads {
			heads[h] = matrix(at[tap].Index(0, h)) // [T, T]
		}
		p.Tabs = append(p.Tabs, layer(l, labels, heads))
	}
	return p, nil
}

// layer is a tab with all heads at once, and then each by itself.
func layer(l int, labels []string, heads [][][]float64) plot.Tab {
	grid := plot.Grid{Title: fmt.Sprintf("Layer %d, all heads", l)}
	pick := plot.Picker{Title: "Head", Tabs: []plot.Tab{{Name: "all"}}}
	for h, data := range heads {
		m := plot.Matrix{Title: fmt.Sprintf("head %d", h), Rows: labels, Cols: labels, RowName: "reads", ColName: "is read",
			Data: data, Max: 1}
		grid.Matrices = append(grid.Matrices, m)
		m.Title = fmt.Sprintf("Layer %d, head %d", l, h)
		pick.Tabs = append(pick.Tabs, plot.Tab{Name: fmt.Sprint(h), Figure: m})
	}
	pick.Tabs[0].Figure = grid
	return plot.Tab{Name: fmt.Sprint(l), Figure: pick}
}

func matrix(a lm.Array) [][]float64 {
	rows := make([][]float64, a.Dims[0])
	for i := range rows {
		for _, v := range a.Index(i).Data {
			rows[i] = append(rows[i], float64(v))
		}
	}
	return rows
}
