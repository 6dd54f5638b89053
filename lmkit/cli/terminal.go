package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

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

// meter shows events of progress on stderr. On a terminal each piece of work that counts has a bar. Elsewhere, and of
// work that counts nothing, a line says that it has begun; what is counted in other units than bytes then says nothing,
// since its results are lines already.
type meter struct {
	app *app

	mu   sync.Mutex
	what string
	bar  *progressbar.ProgressBar // nil: none is shown
}

func (a *app) meter() *meter { return &meter{app: a} }

// The errors of a bar are those of a terminal that is gone: nobody is left to read them.

// hear is a progress.Func.
func (m *meter) hear(e progress.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.What != m.what {
		m.clear()
		m.what, m.bar = e.What, nil
		_, is := terminal(m.app.err)
		switch {
		case e.Unit == "" || e.Unit == progress.Bytes && !is:
			m.app.note("%s%s", e.What, megabytes(e.Total))
		case is:
			m.bar = m.app.bar(e)
		}
	}
	if m.bar != nil {
		_ = m.bar.Set64(e.Done)
	}
}

// hide makes room for a line; the next event shows the bar again.
func (m *meter) hide() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
}

func (m *meter) clear() {
	if m.bar != nil {
		_ = m.bar.Clear()
	}
}

func (a *app) bar(e progress.Event) *progressbar.ProgressBar {
	total := e.Total
	if total == 0 {
		total = -1 // not known
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetDescription(oneLine(e.What)),
		progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionShowBytes(e.Unit == progress.Bytes))
}

func megabytes(n int64) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f MB)", float64(n)/1e6)
}

// lines hides a bar before each result, which would else stand behind it.
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
