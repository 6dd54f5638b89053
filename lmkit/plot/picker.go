package plot

import (
	"fmt"
	"io"

	"lmkit.internal/lmkit/internal/canvas"
)

// Picker shows one of several figures at a time, chosen by a row of tabs: the layers of a model, and in each its
// heads. Where there are no tabs, as in a PNG, it shows the first figure of each tab under each other.
type Picker struct {
	Title string
	Tabs  []Tab
}

// Tab is a choice of a picker. Its figure may be a picker again, for the next choice, such as a head of this layer.
type Tab struct {
	Name   string
	Figure Figure
}

// Validate refuses a picker with nothing to choose from.
func (k Picker) Validate() error {
	if len(k.Tabs) == 0 {
		return fmt.Errorf("the picker %q has no tabs", k.Title)
	}
	for _, t := range k.Tabs {
		if t.Figure == nil {
			return fmt.Errorf("the tab %q of the picker %q has no figure", t.Name, k.Title)
		}
		if inner, ok := t.Figure.(Picker); ok {
			if err := inner.Validate(); err != nil {
				return err
			}
		}
	}
	return nil
}

// firsts returns the figures that stand for the tabs where there are none.
func (k Picker) firsts() (all []Figure) {
	for _, t := range k.Tabs {
		f := t.Figure
		for inner, ok := f.(Picker); ok; inner, ok = f.(Picker) {
			f = inner.Tabs[0].Figure
		}
		all = append(all, f)
	}
	return all
}

// SVG draws the first figure of each tab, under each other.
func (k Picker) SVG(w io.Writer) error { return canvas.WriteSVG(w, k) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (k Picker) PNG(w io.Writer) error { return canvas.WritePNG(w, k) }

// Draw gathers the shapes that SVG and PNG write.
func (k Picker) Draw() (*canvas.Canvas, error) {
	if err := k.Validate(); err != nil {
		return nil, err
	}
	return drawAll(k.firsts())
}

// Text writes the first figure of each tab, under each other.
func (k Picker) Text(w io.Writer, o Options) error {
	if err := k.Validate(); err != nil {
		return err
	}
	for i, f := range k.firsts() {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := f.Text(w, o); err != nil {
			return err
		}
	}
	return nil
}
