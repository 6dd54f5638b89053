package format

import (
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/net"
)

// around are parts of tensors' names that programs put before the name of a module when they wrap it: to compile it, to
// train it on several devices, or to compute its activations again. They may stand anywhere in a name, and more than
// once.
var around = []string{"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}

// holders are what modules call the model that they hold: they may stand at the beginning of a name.
var holders = []string{"model", "transformer", "base_model", "language_model"}

// bare is a tensor's name without what was put around it. own are further holders that a family's classes have, and
// none of them, nor of the others, is the beginning of a name that the family's rules have.
func bare(name string, own ...string) string {
	parts := slices.DeleteFunc(strings.Split(name, "."), func(part string) bool { return slices.Contains(around, part) })
	for len(parts) > 1 && (slices.Contains(holders, parts[0]) || slices.Contains(own, parts[0])) {
		parts = parts[1:]
	}
	return strings.Join(parts, ".")
}

// Padded is the layout of files in which the embedding and the output matrix have more rows than the vocabulary has
// tokens: so many rows in all, of which the first are the tokens'. What makes models fast rounds the number up.
func Padded(l Layout, rows int) Layout { return padded{l, rows} }

type padded struct {
	Layout
	rows int
}

// Rules implements Layout.
func (p padded) Rules(c net.Config) []Rule {
	rules := p.Layout.Rules(c)
	for i, r := range rules {
		switch r.Param {
		case "embed.weight", "head.weight", "head.bias":
			rules[i].Rows = p.rows
		}
	}
	return rules
}

// shared is the beginning that all names have in common, up to a point: what holds the whole model.
func shared(names []string) string {
	if len(names) < 2 {
		return ""
	}
	least, most := slices.Min(names), slices.Max(names)
	n := 0
	for n < len(least) && n < len(most) && least[n] == most[n] {
		n++
	}
	return least[:strings.LastIndexByte(least[:n], '.')+1]
}
