package notebook

import (
	"fmt"
	"iter"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/train"
)

// Train runs a training to its end and shows its progress as one picture that changes: the loss so far, how far it is,
// and how fast. It returns the last event. The error is that of the run, such as *train.Interrupted.
//
//	last, err := notebook.Train(run.Events(ctx))
func Train(events iter.Seq2[train.Event, error]) (last train.Event, err error) {
	p := NewProgress()
	defer func() { p.end(err) }()
	for e, err := range events {
		if err != nil {
			return last, err
		}
		last = e
		p.Event(e)
	}
	return last, nil
}

// Progress is a picture of a training that changes as it goes on. Its method Event is what lmkit.Training.Events wants:
//
//	p := notebook.NewProgress()
//	defer p.Close()
//	m, err := lmkit.Train(ctx, lmkit.Training{Corpus: c, Events: p.Event})
type Progress struct {
	id           string
	train, valid []plot.Point
	last         train.Event
	shown        time.Time
	begun        bool
	pending      bool // the last event is not shown
	now          func() time.Time
}

// every is the least time between two changes of the picture: drawing must not slow training down.
const every = time.Second

// NewProgress reserves the place of the picture.
func NewProgress() *Progress {
	p := &Progress{id: "lmkit-" + gonbui.UniqueId(), now: time.Now}
	if gonbui.IsNotebook {
		// The next one reports an error that lasts.
		_ = note("lmkit-note", "training: no step has been reported yet").send(p.id)
	}
	return p
}

// Event takes in what a run tells.
func (p *Progress) Event(e train.Event) {
	p.last, p.pending = e, true
	p.train = append(p.train, plot.Point{X: float64(e.Step), Y: e.TrainLoss})
	if e.Valid != nil {
		p.valid = append(p.valid, plot.Point{X: float64(e.Step), Y: e.Valid.Loss})
	}
	if !gonbui.IsNotebook {
		return // text cannot be taken back: there is one report, at the end
	}
	if now := p.now(); !p.begun || now.Sub(p.shown) >= every {
		p.begun, p.shown = true, now
		_ = p.show("")
	}
}

// Close shows the last state. It is harmless to call it again.
func (p *Progress) Close() error {
	if !p.pending {
		return nil
	}
	return p.show("")
}

// end shows the last state, and why there is none after it.
func (p *Progress) end(err error) {
	if err != nil {
		_ = p.show("stopped: " + err.Error())
		return
	}
	_ = p.Close()
}

func (p *Progress) show(stopped string) error {
	p.pending = false
	if len(p.train) == 0 {
		return note("lmkit-note", stopped).send(p.id)
	}
	c := plot.Loss(p.train, p.valid)
	c.Title = p.status()
	s := render.Section{Figures: []plot.Figure{c}}
	if stopped != "" {
		s.Paragraphs = []string{stopped}
	}
	b, err := bundleOf(s)
	if err != nil {
		b = failure(err)
	} else if stopped != "" {
		b[protocol.MIMETextPlain] = stopped + "\n" + b[protocol.MIMETextPlain].(string)
	}
	return b.send(p.id)
}

// status says how far the training is, and when it will be there.
func (p *Progress) status() string {
	e := p.last
	s := fmt.Sprintf("step %d of %d", e.Step, e.Steps)
	if e.Steps > 0 {
		s += fmt.Sprintf(" (%d %%)", 100*e.Step/e.Steps)
	}
	if e.Epoch > 0 {
		s += fmt.Sprintf(", epoch %d", e.Epoch)
	}
	s += fmt.Sprintf(", %.0f s", e.Seconds)
	if left := e.Steps - e.Step; left > 0 && e.Step > 0 {
		s += fmt.Sprintf(", about %.0f s left", e.Seconds/float64(e.Step)*float64(left))
	}
	return s + fmt.Sprintf(", %.0f tokens a second", e.TokensPerSecond)
}
