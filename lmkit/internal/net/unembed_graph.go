package net

import . "github.com/gomlx/gomlx/core/graph"

// Unembed is the end of the model alone: what any residuals would predict if they stood behind the last layer.
type Unembed struct{}

// Key names the program.
func (Unembed) Key() string { return "unembed" }

// Signature lists residuals [N, D], or an LSTM's hidden states [N, H], to logits [N, V].
func (Unembed) Signature(c Config) Signature {
	return Signature{Params: c.endParams(), Inputs: []string{Stream}, Outputs: []string{Logits}}
}

func (Unembed) graph(p *pass, in values) values {
	h := in[Stream]
	if p.config.Attends() {
		h = Squeeze(exit(p, ExpandAxes(h, 1)), 1) // [N, 1, D] to [N, 1, D] to [N, D]
	}
	return values{Logits: p.output(h)}
}
