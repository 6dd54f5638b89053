package notebook

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/dom"
	"github.com/janpfeifer/gonb/gonbui/protocol"
	"github.com/janpfeifer/gonb/gonbui/widgets"
)

const (
	patience = time.Minute     // for the browser to show the slider, which may be a slow one
	idle     = 2 * time.Minute // without a move, after which the cell ends
)

// Slider shows draw(i), which is anything that Show takes, for an i from 0 to n-1 that the reader chooses with a
// slider, such as a layer, or a step of an integral. It starts at start.
//
// The cell runs while the slider can be moved: until its button is pressed, ctx ends, or nobody moved it for two
// minutes. Then the slider goes and the last picture stays. Where nobody can move a slider, as in a notebook that a
// program executes, the picture at start is all.
func Slider(ctx context.Context, n, start int, draw func(i int) any) error {
	if start < 0 || start >= n {
		return fail(fmt.Errorf("a slider over %d positions cannot start at %d", n, start))
	}
	if !attended() {
		return Show(draw(start))
	}
	s := &slider{id: "lmkit-" + gonbui.UniqueId(), draw: draw}
	controls := "lmkit-" + gonbui.UniqueId()
	holder := "lmkit-" + gonbui.UniqueId()
	hold := func(page string) error {
		return bundle{protocol.MIMETextHTML: page, protocol.MIMETextPlain: ""}.send(controls)
	}
	if err := hold(fmt.Sprintf(`<div id="%s"></div>`, holder)); err != nil {
		return err
	}
	if err := s.show(start); err != nil {
		return err
	}
	err := s.serve(ctx, n, start, holder)
	if cleared := hold(""); err == nil {
		err = cleared
	}
	return err
}

// attended: somebody in a browser may move a slider. A program that executes a notebook gives the kernel no id of
// Jupyter's, and a widget would wait for ever.
func attended() bool {
	return gonbui.IsNotebook && os.Getenv(protocol.GONB_JUPYTER_KERNEL_ID_ENV) != ""
}

type slider struct {
	id   string
	draw func(i int) any
}

func (s *slider) show(i int) error {
	b, err := bundleOf(s.draw(i))
	if err != nil {
		b = failure(err)
	}
	if sent := b.send(s.id); err == nil {
		err = sent
	}
	return err
}

// serve follows the slider until it is done with.
func (s *slider) serve(ctx context.Context, n, start int, holder string) error {
	if ctx.Err() != nil {
		return nil
	}
	type parts struct {
		slider *widgets.SliderBuilder
		button *widgets.ButtonBuilder
	}
	ready := make(chan parts, 1)
	go func() { // each waits for the browser to answer
		a := widgets.Slider(0, n-1, start).AppendTo(holder).Done()
		keepKeys(a.HtmlId())
		ready <- parts{a, widgets.Button("Done").AppendTo(holder).Done()}
	}()
	var p parts
	select {
	case p = <-ready:
	case <-ctx.Done():
		return nil
	case <-time.After(patience):
		return nil // no browser: the picture stands
	}
	moves, presses := p.slider.Listen().LatestOnly(), p.button.Listen()
	defer moves.Close()
	defer presses.Close()
	for at := start; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-presses.C:
			return nil
		case <-time.After(idle):
			return nil
		case i := <-moves.C:
			if i == at || i < 0 || i >= n {
				continue
			}
			at = i
			if err := s.show(i); err != nil {
				return err
			}
		}
	}
}

// keepKeys lets arrow keys move a slider, where JupyterLab would take them for its own shortcuts.
func keepKeys(id string) {
	dom.TransientJavascript(fmt.Sprintf("document.getElementById(%q).setAttribute('data-lm-suppress-shortcuts', 'true')",
		id))
}
