package format_test

import (
	"fmt"
	"log"

	"lmkit.internal/lmkit/lm/format"
)

// Read the configuration of a model that another program saved, and ask where the parameters of its first layer's
// attention are: in one tensor, which holds queries, keys and values side by side.
func ExampleRead() {
	f, c, err := format.Read([]byte(`{"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024,
		"n_embd": 768, "n_layer": 12, "n_head": 12}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d layers of %d heads\n", c.Arch, c.Layers, c.Heads)
	for _, r := range f.Rules(c) {
		switch r.Param {
		case "block.0.attn.q.weight", "block.0.attn.k.weight", "block.0.attn.v.weight":
			fmt.Println(r.Param, "from", r.Tensor)
		}
	}
	// Output:
	// transformer: 12 layers of 12 heads
	// block.0.attn.q.weight from h.0.attn.c_attn.weight
	// block.0.attn.k.weight from h.0.attn.c_attn.weight
	// block.0.attn.v.weight from h.0.attn.c_attn.weight
}
