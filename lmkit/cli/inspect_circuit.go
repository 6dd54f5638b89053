package cli

import (
	"encoding/json"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

func (a *app) circuitCmd() *cobra.Command {
	o, x := &insideFlags{}, &inspect.Circuit{}
	var graphs []string
	most := 0
	cmd := &cobra.Command{
		Use: `circuit MODEL "CLEAN" "CORRUPTED"`,
		Long: `Find the edges between a model's parts that carry the difference between two prompts, and measure how well they
do: all other edges carry what they carry in the corrupted run. The parts are the input, the heads, the feed-forward
layers and the logits; a head reads as queries, keys and values.

Edges are ranked by edge attribution patching, by one gradient (EAP) and by the mean of several on the way between the
prompts (EAP-IG), and beside them at random. A row of the matrix is a ranking, a column a share of the edges, and a
value how much of the difference is left. --graph writes the smallest circuit of the curve that keeps enough.`,
		Example: `  lmkit inspect circuit smollm2 "When Mary and John went to the store, John gave a drink to" \
      "When Mary and John went to the store, Mary gave a drink to" --target " Mary" --foil " John" --graph circuit.svg`,
		Args: between(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				x.Corrupted, args = args[2], args[:2]
			}
			if graphs != nil && a.server.Address != "" {
				return a.opensHere("--graph")
			}
			for _, g := range graphs {
				_, begins, err := graphWriter(g, plot.Graph{}, nil)
				if err != nil {
					return err
				}
				o.others = append(o.others, output{"--graph", g, begins})
			}
			if err := a.inside(cmd.Context(), args, o, x); err != nil {
				return err
			}
			for _, g := range graphs {
				write, _, err := graphWriter(g, render.GraphOf(x.Found, most), x.Found)
				if err != nil {
					return err
				}
				if err := a.file(g, write); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&graphs, "graph", nil, "write the circuit to this `FILE`: a picture (.svg, .png), or .json")
	f.Float64Var(&x.Keep, "keep", 0, "how much of the difference the circuit must keep (default: 0.85)")
	f.IntVar(&most, "edges", render.MostEdges, "how many edges a picture has at most: the largest")
	f.IntVar(&x.Points, "points", 0, "points of the mean gradient (default: as many as it takes, up to 64)")
	against(cmd, &x.IDs)
	o.register(cmd)
	return a.asks(cmd)
}

// graphWriter returns what writes a circuit to a file, by the file's name, and how the file begins.
func graphWriter(name string, g plot.Graph, found *inspect.Graph) (write func(io.Writer) error, begins string,
	err error) {
	switch filepath.Ext(name) {
	case ".svg":
		return g.SVG, pictureBegins, nil
	case ".png":
		return g.PNG, pngBegins, nil
	case ".json":
		return func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(found)
		}, `{"nodes"`, nil
	}
	return nil, "", usage("--graph %s: name a file that ends in .svg, .png or .json", name)
}
