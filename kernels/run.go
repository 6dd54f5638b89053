package kernels

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// cell is where the output of a magic goes.
type cell interface {
	stream(name, text string)
	display(id string, data map[string]any, again bool) // again: in place of what was shown under the same id
}

// pace is how often a running command's output is shown anew.
const pace = 200 * time.Millisecond

// failure is what a command that failed left as its last word.
type failure struct{ name, text string }

func (f *failure) Error() string { return f.text }

// runMagic runs the lmkit command and shows its output in a cell. The end of ctx interrupts the command once, so that
// it ends in order; a training then keeps its checkpoint.
func runMagic(ctx context.Context, self, dir string, env, args []string, to cell) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	temp, err := os.MkdirTemp("", "lmkit-cell-")
	if err != nil {
		return &failure{"lmkit", "make a folder for pictures: " + err.Error()}
	}
	defer os.RemoveAll(temp)
	o := &output{to: to, temp: temp, dir: dir}
	args = o.prepare(args)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Dir, cmd.Env = dir, append(slices.Clip(env), "COLUMNS=100")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout, cmd.Stderr = o.writer(&o.out), o.writer(&o.err)
	dieWithParent(cmd)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	done := make(chan error, 1)
	go func() { done <- startAndWait(cmd) }()
	for {
		select {
		case <-tick.C:
			o.show()
		case err := <-done:
			return o.finish(ctx, err)
		}
	}
}

// output gathers what a command writes, and shows it in few pieces.
type output struct {
	to        cell
	temp, dir string
	one       bool // stdout is one display, which grows, with its picture

	mu       sync.Mutex
	out, err bytes.Buffer
	shown    int // bytes of out
	id       string
	picture  string // an SVG file
}

type sink struct {
	o *output
	b *bytes.Buffer
}

func (o *output) writer(b *bytes.Buffer) sink { return sink{o, b} }

func (s sink) Write(p []byte) (int, error) {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	return s.b.Write(p)
}

// prepare asks commands that explain for a picture.
func (o *output) prepare(args []string) []string {
	if slices.Contains(args, "-h") || slices.Contains(args, "--help") {
		return args
	}
	has := func(flag string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return a == flag || strings.HasPrefix(a, flag+"=") })
	}
	switch args[0] {
	case "train":
		o.one = true
	case "explain", "compare":
		if has("--json") {
			break
		}
		o.one = true
		if !has("--svg") && (args[0] == "compare" || !several(args)) {
			o.picture = filepath.Join(o.temp, "picture.svg")
			return append(slices.Clip(args), "--svg="+o.picture)
		}
	}
	return args
}

// several reports whether arguments name more than one method: these have no picture in common.
func several(args []string) bool {
	for i, a := range args {
		value, ok := strings.CutPrefix(a, "--method=")
		if a == "--method" && i+1 < len(args) {
			value, ok = args[i+1], true
		}
		if ok && (value == "all" || strings.Contains(value, ",")) {
			return true
		}
	}
	return false
}

// named finds a picture that the command says it wrote.
var named = regexp.MustCompile(`^lmkit: (?:wrote|done: .*its loss curve in) (\S.*\.svg)$`)

// show shows what has come since it was last called.
func (o *output) show() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if all := o.err.Bytes(); len(all) > 0 { // whole lines, without the last one: it may be the error
		if end := bytes.LastIndexByte(bytes.TrimSuffix(all, []byte("\n")), '\n') + 1; end > 0 {
			o.notes(string(o.err.Next(end)))
		}
	}
	if o.out.Len() == o.shown || o.one && o.picture != "" { // a picture comes at the end, with its text
		return
	}
	if o.one {
		o.update(nil)
		return
	}
	o.to.stream("stdout", o.out.String())
	o.out.Reset()
}

func (o *output) update(picture []byte) {
	text := o.out.String()
	data := map[string]any{"text/plain": strings.TrimRight(text, "\n")}
	if picture != nil {
		data["image/svg+xml"] = string(picture)
	}
	again := o.id != ""
	if !again {
		o.id = newID()
	}
	o.shown = len(text)
	o.to.display(o.id, data, again)
}

// notes shows lines of stderr, and remembers the picture that they name.
func (o *output) notes(text string) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if m := named.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			if o.picture = m[1]; !filepath.IsAbs(o.picture) {
				o.picture = filepath.Join(o.dir, o.picture)
			}
			if strings.HasPrefix(o.picture, o.temp) {
				continue
			}
		}
		b.WriteString(line)
	}
	if b.Len() > 0 {
		o.to.stream("stderr", b.String())
	}
}

// finish shows the rest. The last line of a command that failed is its error.
func (o *output) finish(ctx context.Context, err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	rest, last := o.err.String(), ""
	if err != nil {
		rest = strings.TrimRight(rest, "\n")
		cut := strings.LastIndexByte(rest, '\n') + 1
		rest, last = rest[:cut], rest[cut:]
	}
	o.notes(rest)
	var picture []byte
	if o.picture != "" {
		picture, _ = os.ReadFile(o.picture) // there is none when the command failed
	}
	if !o.one && o.out.Len() > 0 {
		o.to.stream("stdout", o.out.String())
		o.out.Reset()
	}
	if o.out.Len() > o.shown || picture != nil {
		o.update(picture)
	}
	if err == nil {
		return nil
	}
	f := &failure{"lmkit", strings.TrimPrefix(last, "lmkit: ")}
	if ctx.Err() != nil {
		f.name = "interrupted"
	}
	if f.text == "" {
		f.text = "the command ended with " + err.Error()
	}
	return f
}
