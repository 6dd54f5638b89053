package net

import (
	"fmt"
	"slices"
	"strings"
)

// Stage is a program that a model runs as: the whole of it, or a part that is called with another part's results. What
// it takes and returns has names, so that who runs it and who builds its graph need not agree on an order.
type Stage interface {
	// Key names the program among those of one model: stages with equal keys build equal graphs.
	Key() string
	// Signature lists what the program takes and returns. The names of activations and parameters begin where the part
	// begins: those of a layer are "attn.q" and "attn.q.weight", whichever layer it is.
	Signature(Config) Signature
	graph(*pass, values) values
}

// Signature is the names of a program's inputs and outputs, in the order in which they are passed. Parameters come
// before the other inputs.
type Signature struct{ Params, Inputs, Outputs []string }

// The names of what a stage takes and returns besides parameters and activations.
const (
	IDs       = "ids"       // int32 [B, T]
	Length    = "length"    // int32 [B], how many of the T tokens are the row's own
	Position  = "position"  // int32 [B, N], of the terms of an objective
	Token     = "token"     // int32 [B, N]
	Share     = "share"     // [B, N], what each term is multiplied by
	Hidden    = "hidden"    // LSTM: [L, B, H]
	Cell      = "cell"      // LSTM: [L, B, H]
	Stream    = "stream"    // [B, T, D], the residual stream that goes into a stage, or comes out of it
	ByStream  = "by stream" // [B, T, D], the gradient of the objective by it
	ByOne     = "by one"    // [B], the gradient by the constant one, under rules that conserve relevance
	Objective = "objective" // [B]; of a chain's stages, the parts that add up to it
	Terms     = "terms"     // [B, N], the terms of the objective, each by itself
	Logits    = "logits"    // [B, T, V], or [B, 1, V] of the last tokens
	Keys      = "keys"      // [B, S, G, K], what a layer's tokens read of earlier ones
	Vals      = "values"    // [B, S, G, K]
	Parent    = "parent"    // int32 [B], the row that each row is of, or goes on from
	Path      = "path"      // int32 [B, N], the nodes of a tree that each node's text consists of, itself among them
	Begin     = "begin"     // int32 [B], how many tokens stand before those of each node
	Leaf      = "leaf"      // int32 [R, Q], the nodes in which tokens are asked for
	Offset    = "offset"    // int32 [R, Q], where they stand in these
	Which     = "which"     // int32 [B, T], the row of Table that takes an embedding's place; negative: none does
	Table     = "table"     // [M, D]
	CacheAt   = "cache at"  // int32, how many tokens of Keys and Vals are there already
	Chosen    = "chosen"    // int32 [B], the tokens that stand where an ID is below 0
	Report    = "report"    // [2, B], the bits of the tokens chosen, and their log-probabilities
	Heat      = "heat"      // the temperature
	FilterK   = "top k"
	FilterP   = "top p"
	Draws     = "draws"  // [B]
	Places    = "places" // int32 [B, P], the tokens whose activations are returned

	States   = "states"    // [B, R, D], the hidden states that are asked about
	ByStates = "by states" // [B, R, D]
	Start    = "start"     // int32, the first row of a slice of the output matrix
)

// Products returns the name of the products of hidden states and slice i of the output matrix [B, R, C], and ByProducts
// that of the gradient by them.
func Products(i int) string   { return fmt.Sprintf("products %d", i) }
func ByProducts(i int) string { return fmt.Sprintf("by products %d", i) }

// products lists the names for n slices.
func products(of func(int) string, n int) (names []string) {
	for i := range n {
		names = append(names, of(i))
	}
	return names
}

// At returns the name of an activation that a stage returns.
func At(tap string) string { return tap + " at" }

// By returns the name of the gradient by an activation.
func By(tap string) string { return tap + " by" }

// kept returns the name of an activation that a layer returns for its own gradient.
func kept(tap string) string { return tap + " kept" }

// Internal reports whether an output of a stage goes to another stage, and is no part of an answer.
func Internal(name string) bool {
	return slices.Contains([]string{Stream, ByStream, Keys, Vals, States, ByStates}, name) ||
		strings.HasSuffix(name, " kept") || strings.HasPrefix(name, "products ") || strings.HasPrefix(name, "by products ")
}

// Slot is one kind of edit at a tap.
type Slot struct {
	Tap  string
	From From
	Add  bool // the source is added to the activation; else it takes its place
}

// From says what the source of an edit is.
type From string

// The sources.
const (
	FromValues From = ""      // given values
	FromRow    From = "row"   // another row's activation
	FromAlong  From = "along" // the activation's own part along a direction
)

// Weight returns the name of the input that says with which weight the source goes into the activation, and where:
// [B, T, ...].
func (s Slot) Weight() string { return s.input("weight") }

// Source returns the name of the input that the source is made of: values [.., T, ...], int32 [B], places of rows, or
// a direction of length 1 [D].
func (s Slot) Source() string {
	return s.input(map[From]string{FromValues: "values", FromRow: "donors", FromAlong: "direction"}[s.From])
}

func (s Slot) input(what string) string {
	if s.Add {
		what = "added " + what
	}
	if s.From != FromValues {
		what = string(s.From) + " " + what
	}
	return s.Tap + " " + what
}

// Coefficients returns the name of the input that an activation is multiplied by where the objective is linear in it:
// of the activation's shape.
func Coefficients(tap string) string { return tap + " coefficients" }

// Opening says what is opened in a stage: recorded, replaced, differentiated by, added up in the objective.
type Opening struct {
	Taps, Wrt []string // activations to return; activations to differentiate the objective by
	Some      bool     // both are returned at the tokens of Places alone: [B, P, ...]
	Linear    []string // activations that the objective is linear in
	Edits     []Slot
	Rules     Rules // of the gradients
}

// inputs lists what edits and objective take.
func (o Opening) inputs() (names []string) {
	for _, s := range o.Edits {
		names = append(names, s.Weight(), s.Source())
	}
	for _, t := range o.Linear {
		names = append(names, Coefficients(t))
	}
	if o.Some {
		names = append(names, Places)
	}
	return names
}

// outputs lists activations, and the gradients by activations.
func outputs(taps, wrt []string) (names []string) {
	for _, t := range taps {
		names = append(names, At(t))
	}
	for _, t := range wrt {
		names = append(names, By(t))
	}
	return names
}

// Within returns what an opening of the whole model opens in a part, by the names that the part's stage has for it.
func (o Opening) Within(part string) Opening {
	local := func(taps []string) (names []string) {
		for _, t := range taps {
			if in, name := PartOf(t); in == part {
				names = append(names, name)
			}
		}
		return names
	}
	in := Opening{Taps: local(o.Taps), Wrt: local(o.Wrt), Linear: local(o.Linear), Rules: o.Rules}
	for _, s := range o.Edits {
		if of, name := PartOf(s.Tap); of == part {
			in.Edits = append(in.Edits, Slot{name, s.From, s.Add})
		}
	}
	in.Some = o.Some && len(in.Taps)+len(in.Wrt) > 0
	return in
}

// Forwards returns what a forward pass opens: activations by which the objective is differentiated are returned by the
// gradient.
func (o Opening) Forwards() Opening {
	f := Opening{Edits: o.Edits, Linear: o.Linear}
	for _, t := range o.Taps {
		if !slices.Contains(o.Wrt, t) {
			f.Taps = append(f.Taps, t)
		}
	}
	f.Some = o.Some && len(f.Taps) > 0
	return f
}

// Backwards returns what a gradient opens.
func (o Opening) Backwards() Opening {
	return Opening{Wrt: o.Wrt, Some: o.Some && len(o.Wrt) > 0, Linear: o.Linear, Edits: o.Edits, Rules: o.Rules}
}

// Asks reports whether activations, gradients or a part of the objective are asked for.
func (o Opening) Asks() bool { return len(o.Taps)+len(o.Wrt)+len(o.Linear) > 0 }

// Between takes the activations that are only read where the residual stream passes from one of L layers to another out
// of an opening: no layer need open them. It returns the rest, and their names by how many layers come before them. One
// that is replaced or differentiated by stays in the rest.
func (o Opening) Between(L int) (rest Opening, read [][]string) {
	rest, read = o, make([][]string, L+1)
	rest.Taps = nil
	for _, t := range o.Taps {
		n := -1
		for l := range L {
			switch t {
			case BlockPart(l) + "resid.pre":
				n = l
			case BlockPart(l) + "resid.post":
				n = l + 1
			}
		}
		opened := slices.Contains(o.Wrt, t) || slices.ContainsFunc(o.Edits, func(s Slot) bool { return s.Tap == t })
		if n < 0 || opened {
			rest.Taps = append(rest.Taps, t)
			continue
		}
		read[n] = append(read[n], t)
	}
	return rest, read
}

// Lowest returns the first of L layers that a gradient comes down to, or L if it stays in what follows them.
func (o Opening) Lowest(L int) int {
	low := L
	for _, t := range o.Wrt {
		part, _ := PartOf(t)
		if part == EmbedPart {
			return 0
		}
		for l := range low {
			if part == BlockPart(l) {
				low = l
				break
			}
		}
	}
	return low
}

// The parts of a Transformer besides its layers, which are "block.0." and so on: what the names of a layer's
// parameters and activations begin with.
const (
	EmbedPart = "embed"
	EndPart   = "end"
)

// PartOf returns the part of a Transformer that an activation belongs to, and its name there.
func PartOf(tap string) (part, name string) {
	switch {
	case strings.HasPrefix(tap, "block."):
		n := len("block.") + strings.IndexByte(tap[len("block."):], '.') + 1
		return tap[:n], tap[n:]
	case tap == "embed" || tap == "pos_embed":
		return EmbedPart, tap
	}
	return EndPart, tap
}

// BlockPart returns the part that is layer l.
func BlockPart(l int) string { return fmt.Sprintf("block.%d.", l) }

// paramsOf lists the parameters that satisfy a condition.
func (c Config) paramsOf(is func(p Param) bool) (names []string) {
	for _, p := range c.Params() {
		if is(p) {
			names = append(names, p.Name)
		}
	}
	return names
}

// blockParams lists the parameters of a layer without the layer's name. All layers have the same.
func (c Config) blockParams() []string {
	first := BlockPart(0)
	names := c.paramsOf(func(p Param) bool { return strings.HasPrefix(p.Name, first) })
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, first)
	}
	return names
}

// embedParams lists the parameters that the input takes.
func (c Config) embedParams() []string {
	return c.paramsOf(func(p Param) bool { return p.Part == "embed" })
}

// endParams lists the parameters of what follows the last layer.
func (c Config) endParams() []string {
	return c.paramsOf(func(p Param) bool { return p.Part == "head" || c.Tied && p.Name == "embed.weight" })
}

// outputBias is the parameter that is added to the products with the output matrix.
const outputBias = "head.bias"

// OutputMatrix returns the parameter that hidden states are multiplied by.
func (c Config) OutputMatrix() string {
	if c.Tied {
		return "embed.weight"
	}
	return "head.weight"
}

// outputParams lists the output matrix, and its bias if it has one.
func (c Config) outputParams() []string {
	return c.paramsOf(func(p Param) bool { return p.Name == c.OutputMatrix() || p.Name == outputBias })
}

// residuals lists what a layer's gradient needs besides its input so that no product of its forward pass is computed
// again: the others of its activations follow from these by operations on single numbers.
func (c Config) residuals() (taps []string) {
	keep := []string{"attn.q", "attn.k", "attn.v", "resid.mid", "mlp.pre", "mlp.gate", "mlp.up"}
	if c.NormsAfter() {
		keep = append(keep, "attn.out", "mlp.out")
	}
	for _, t := range c.Taps() {
		if part, name := PartOf(t.Name); part == BlockPart(0) && slices.Contains(keep, name) {
			taps = append(taps, name)
		}
	}
	return taps
}

// Kept returns how many numbers a token and layer keep for the gradient: the layer's input and, where products are
// not to be computed again, the residuals.
func (c Config) Kept(residuals bool) int {
	c = c.WithDefaults()
	n := c.Width
	if !residuals {
		return n
	}
	keep := c.residuals()
	for _, t := range c.Taps() {
		if part, name := PartOf(t.Name); part == BlockPart(0) && slices.Contains(keep, name) {
			size := 1
			for _, d := range t.Shape(1, 1) {
				size *= d
			}
			n += size
		}
	}
	return n
}
