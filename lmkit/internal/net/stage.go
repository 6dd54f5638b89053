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
	Objective = "objective" // [B]
	Terms     = "terms"     // [B, N], the terms of the objective, each by itself
	Logits    = "logits"    // [B, T, V], or [B, 1, V] of the last tokens
	Keys      = "keys"      // [B, S, G, K], what a layer's tokens read of earlier ones
	Vals      = "values"    // [B, S, G, K]
	Parent    = "parent"    // int32 [B], the row of Keys and Vals that each row goes on from
	CacheAt   = "cache at"  // int32, how many tokens of Keys and Vals are there already
	Chosen    = "chosen"    // int32 [B], the tokens that stand where an ID is below 0
	Report    = "report"    // [2, B], the bits of the tokens chosen, and their log-probabilities
	Heat      = "heat"      // the temperature
	FilterK   = "top k"
	FilterP   = "top p"
	Draws     = "draws" // [B]
)

// At returns the name of an activation that a stage returns.
func At(tap string) string { return tap + " at" }

// By returns the name of the gradient by an activation.
func By(tap string) string { return tap + " by" }

// kept returns the name of an activation that a layer returns for its own gradient.
func kept(tap string) string { return tap + " kept" }

// Internal reports whether an output of a stage goes to another stage, and is no part of an answer.
func Internal(name string) bool {
	return name == Stream || name == ByStream || name == Keys || name == Vals || strings.HasSuffix(name, " kept")
}

// Slot is one kind of replacement at a tap: by another row's activation, or by given values.
type Slot struct {
	Tap string
	Row bool
}

// Weight returns the name of the input that says how much of the activation is replaced, and where: [B, T, ...].
func (s Slot) Weight() string {
	if s.Row {
		return s.Tap + " row weight"
	}
	return s.Tap + " weight"
}

// Source returns the name of the input that replaces it: int32 [B], places of rows; or values [.., T, ...].
func (s Slot) Source() string {
	if s.Row {
		return s.Tap + " donors"
	}
	return s.Tap + " values"
}

// Opening says what is opened in a stage: recorded, replaced, differentiated by.
type Opening struct {
	Taps, Wrt []string // activations to return; activations to differentiate the objective by
	Edits     []Slot
	Rules     Rules // of the gradients
}

// inputs lists what the edits take.
func (o Opening) inputs() (names []string) {
	for _, s := range o.Edits {
		names = append(names, s.Weight(), s.Source())
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
	in := Opening{Taps: local(o.Taps), Wrt: local(o.Wrt), Rules: o.Rules}
	for _, s := range o.Edits {
		if of, name := PartOf(s.Tap); of == part {
			in.Edits = append(in.Edits, Slot{name, s.Row})
		}
	}
	return in
}

// Forwards returns what a forward pass opens: activations by which the objective is differentiated are returned by the
// gradient.
func (o Opening) Forwards() Opening {
	f := Opening{Edits: o.Edits}
	for _, t := range o.Taps {
		if !slices.Contains(o.Wrt, t) {
			f.Taps = append(f.Taps, t)
		}
	}
	return f
}

// Backwards returns what a gradient opens.
func (o Opening) Backwards() Opening { return Opening{Wrt: o.Wrt, Edits: o.Edits, Rules: o.Rules} }

// Asks reports whether activations or gradients are asked for.
func (o Opening) Asks() bool { return len(o.Taps)+len(o.Wrt) > 0 }

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
