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

	"lmkit.internal/lmkit/render"
)

// look is what the output can show: colours on a terminal unless NO_COLOR forbids them, and its width.
func (a *app) look() render.Options {
	o := render.Options{}
	fd, is := terminal(a.out)
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

// bar is a progress bar on stderr; nil, where stderr is no terminal, shows nothing.
type bar struct{ *progressbar.ProgressBar }

func (a *app) bar(what string, total int64, options ...progressbar.Option) *bar {
	if _, is := terminal(a.err); !is {
		return nil
	}
	return &bar{progressbar.NewOptions64(total, append([]progressbar.Option{progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true)}, options...)...)}
}

// The errors of a bar are those of a terminal that is gone: nobody is left to read them.

func (b *bar) set(done int64) {
	if b != nil {
		_ = b.Set64(done)
	}
}

// hide makes room for a line; the next set shows the bar again.
func (b *bar) hide() {
	if b != nil {
		_ = b.Clear()
	}
}

// downloads shows what is fetched: a bar each on a terminal, else a line each.
func (a *app) downloads() (show func(what string, done, total int64), end func()) {
	var mu sync.Mutex
	var current string
	var b *bar
	show = func(what string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if what != current {
			b.hide()
			current = what
			if b = a.bar(what, max(total, -1), progressbar.OptionShowBytes(true)); b == nil {
				a.note("%s%s", what, megabytes(total))
			}
		}
		b.set(done)
	}
	return show, func() {
		mu.Lock()
		defer mu.Unlock()
		b.hide()
	}
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
