package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/progress"
)

// print writes a figure as text, with colours where these can be shown: what it holds cannot steer the terminal.
func (a *app) print(f plot.Figure) error { return f.Text(a.paper, a.look()) }

// look is what the output can show: colours on a terminal unless NO_COLOR forbids them, and its width.
func (a *app) look() plot.Options {
	o := plot.Options{}
	fd, is := terminal(a.paper)
	if is {
		o.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		o.Width, _, _ = term.GetSize(fd)
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 && o.Width == 0 {
		o.Width = n
	}
	return o
}

func terminal(w any) (fd int, is bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// meter shows events of progress on stderr. On a terminal each piece of work that counts has a line, which is drawn
// again as it goes on and gone at its end; work that is over within a moment has none. Elsewhere, and of work that
// counts nothing, a line says that it has begun; what is counted in other units than bytes then says nothing, since
// its results are lines already.
type meter struct {
	app *app

	mu    sync.Mutex
	now   progress.Event // the last one that was heard
	begun time.Time      // when the first event of this piece was heard
	shown int            // columns of the line that is shown; 0: none is
	timer *time.Timer    // draws the line again, while a piece that counts is on its way; nil: none is
}

const (
	moment  = 500 * time.Millisecond // work that takes less shows no line
	beat    = 200 * time.Millisecond // from line to line
	tedious = 15                     // seconds of work from which on a line says before it begins how long it may take
)

// meter is the one of the command.
func (a *app) meter() *meter {
	if a.shows == nil {
		a.shows = &meter{app: a}
	}
	return a.shows
}

// hear is a progress.Func.
func (m *meter) hear(e progress.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, is := terminal(m.app.err)
	if e.What != m.now.What {
		m.end()
		m.begun = time.Now()
		if e.Unit == "" || e.Unit == progress.Bytes && !is {
			m.app.tell("%s%s", e.What, megabytes(e.Total))
		}
		if e.Ahead >= tedious {
			m.app.tell("%s: %s %s, about %s", e.What, thousands(int(e.Total)), e.Unit, left(e.Ahead))
		}
	}
	m.now = e
	switch over := e.Total > 0 && e.Done >= e.Total; {
	case over:
		m.end()
	case is && e.Unit != "" && m.timer == nil:
		m.timer = time.AfterFunc(moment, m.tick)
	}
}

// tick draws the line, and sees to it that it is drawn again.
func (m *meter) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer == nil {
		return
	}
	m.draw()
	m.timer.Reset(beat)
}

// hide takes the line away, and makes room for others; the next event shows it again.
func (m *meter) hide() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
}

// end takes the line away.
func (m *meter) end() {
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
	m.clear()
}

// clear and draw do without what not all terminals know. An error of theirs is that of a terminal that is gone: nobody
// is left to read it.
func (m *meter) clear() {
	if m.shown > 0 {
		_, _ = fmt.Fprint(m.app.err, "\r"+strings.Repeat(" ", m.shown)+"\r")
		m.shown = 0
	}
}

func (m *meter) draw() {
	width := 80
	if fd, is := terminal(m.app.err); is {
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			width = w
		}
	}
	line := meterLine(m.now, time.Since(m.begun), width-1)
	wide := printable.Columns(line)
	_, _ = fmt.Fprint(m.app.err, "\r"+line+strings.Repeat(" ", max(0, m.shown-wide)))
	m.shown = max(m.shown, wide)
}

// meterLine is an event in at most so many columns: what is done of how much, a bar, and how long the rest will take,
// once that can be told; before, how long it has taken.
func meterLine(e progress.Event, since time.Duration, width int) string {
	of := func(n int64) string { return thousands(int(n)) }
	unit := e.Unit
	if unit == progress.Bytes {
		of, unit = func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }, "MB"
	}
	count := of(e.Done)
	if e.Total > 0 {
		count += " of " + of(e.Total)
	}
	count += " " + unit + ", "
	if e.Total == 0 && e.Done == 0 { // nothing is counted
		count = ""
	}
	times := fmt.Sprintf("%d s", int(since.Seconds()))
	spent := e.Seconds
	if spent == 0 {
		spent = since.Seconds()
	}
	if e.Done > 0 && e.Total >= e.Done {
		times = "about " + left(spent/float64(e.Done)*float64(e.Total-e.Done)) + " left"
	}
	end := "  " + count + times
	const bar = 20
	if room := width - printable.Columns(end) - bar - 2; e.Total > 0 && room >= 12 {
		full := int(min(e.Done, e.Total) * bar / e.Total)
		end = "  " + strings.Repeat("█", full) + strings.Repeat("░", bar-full) + end
	}
	what := printable.Shorten(oneLine(e.What), max(1, width-printable.Columns(end)))
	return printable.Shorten(what+end, width)
}

// left is a number of seconds, no finer than it can be known.
func left(seconds float64) string {
	switch s := int(seconds + 0.999); {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 120*60:
		return fmt.Sprintf("%d min", (s+59)/60)
	default:
		return fmt.Sprintf("%d h", (s+3599)/3600)
	}
}

func megabytes(n int64) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f MB)", float64(n)/1e6)
}

// lines hides the meter's line before each result, which would else stand behind it.
type lines struct {
	io.Writer
	hide func()
}

func (l lines) Write(p []byte) (int, error) {
	l.hide()
	return l.Writer.Write(p)
}

// printf writes results; it fails when their reader is gone.
func printf(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(w, format, args...)
	return err
}
