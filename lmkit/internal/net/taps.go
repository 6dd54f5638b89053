package net

import (
	"fmt"
	"strings"
)

// TapInfo describes an activation that can be recorded, differentiated by, and replaced. Axes has a letter an axis:
// B rows, T tokens, H heads, S tokens attended to, and "." for features, of which there are Width.
type TapInfo struct {
	Name  string
	Axes  string
	Width int
}

// Taps lists the activations of a model in the order in which they are computed.
func (c Config) Taps() []TapInfo {
	c = c.WithDefaults()
	var taps []TapInfo
	add := func(name, axes string, width int) { taps = append(taps, TapInfo{name, axes, width}) }
	add("embed", "BT.", c.Width)
	if c.Arch == LSTM {
		for l := range c.Layers {
			p := fmt.Sprintf("lstm.%d.", l)
			add(p+"state.hidden", "B.", c.Hidden)
			add(p+"state.cell", "B.", c.Hidden)
			add(p+"pre", "BT.", 4*c.Hidden)
			for _, g := range []string{"i", "f", "g", "o"} {
				add(p+"gate."+g, "BT.", c.Hidden)
			}
			add(p+"cell", "BT.", c.Hidden)
			add(p+"hidden", "BT.", c.Hidden)
		}
		add("head.in", "BT.", c.Hidden)
		return taps
	}
	add("pos_embed", "BT.", c.Width)
	norm := func(p string) {
		add(p+".scale", "BT.", 1)
		add(p+".normalized", "BT.", c.Width)
	}
	for l := range c.Layers {
		p := fmt.Sprintf("block.%d.", l)
		add(p+"resid.pre", "BT.", c.Width)
		norm(p + "ln1")
		K := c.Width / c.Heads
		for _, n := range []string{"q", "k", "v"} {
			add(p+"attn."+n, "BTH.", K)
		}
		add(p+"attn.scores", "BHTS", 0)
		add(p+"attn.pattern", "BHTS", 0)
		add(p+"attn.z", "BTH.", K)
		add(p+"attn.out", "BT.", c.Width)
		add(p+"resid.mid", "BT.", c.Width)
		norm(p + "ln2")
		add(p+"mlp.pre", "BT.", c.Inner)
		add(p+"mlp.post", "BT.", c.Inner)
		add(p+"mlp.out", "BT.", c.Width)
		add(p+"resid.post", "BT.", c.Width)
	}
	norm("final")
	add("head.in", "BT.", c.Width)
	return taps
}

// Tap finds an activation by name.
func (c Config) Tap(name string) (TapInfo, error) {
	taps := c.Taps()
	for _, t := range taps {
		if t.Name == name {
			return t, nil
		}
	}
	var near []string
	last := name[strings.LastIndex(name, ".")+1:]
	for _, t := range taps {
		if strings.HasSuffix(t.Name, "."+last) {
			near = append(near, t.Name)
		}
	}
	if len(near) > 0 {
		return TapInfo{}, fmt.Errorf("the model has no activation %q; did you mean %s?", name, near[0])
	}
	return TapInfo{}, fmt.Errorf("the model has no activation %q; its activations run from %s to %s (Taps lists them)", name, taps[0].Name, taps[len(taps)-1].Name)
}
