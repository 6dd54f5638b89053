package kernels

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"lmkit.internal/lmkit/train"
)

// cell is where the output of a magic goes.
type cell interface {
	stream(name, text string)
	// Again: in place of what was shown under the same id.
	display(id string, data, metadata map[string]any, again bool)
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
	o := &output{to: to, dir: dir}
	args = o.prepare(args)
	if o.circuit {
		folder, err := os.MkdirTemp("", "lmkit-circuit-")
		if err != nil {
			return fmt.Errorf("make a folder for the circuit: %w; set TMPDIR to a folder you can write", err)
		}
		defer os.RemoveAll(folder)
		file := filepath.Join(folder, "circuit.json")
		o.draw, args = drawCircuit(file, args), append(args, "--graph", file)
	}
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
	to       cell
	dir      string
	training bool                            // stdout is the events of a training: a table that grows
	circuit  bool                            // there is a graph to draw beside the matrix
	draw     func(to cell, out []byte) error // draws the whole of stdout

	mu       sync.Mutex
	out, err bytes.Buffer
	shown    int    // bytes of out
	held     int    // bytes of err that were there when it was last shown
	last     string // the last line of err that was shown
	id       string
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

// prepare chooses how output is shown. Commands that explain are asked for JSON: pictures are drawn from it here.
func (o *output) prepare(args []string) []string {
	if slices.Contains(args, "-h") || slices.Contains(args, "--help") {
		return args
	}
	switch args[0] {
	case "train":
		if !slices.Contains(args, "--json") {
			o.training = true
			return append(slices.Clip(args), "--json")
		}
	case "tree":
		if !slices.Contains(args, "--json") {
			o.draw = drawTree
			return append(slices.Clip(args), "--json")
		}
	case "inspect":
		if len(args) > 1 && !slices.Contains(args, "--json") {
			o.draw = drawMatrix
			o.circuit = args[1] == "circuit" && !given(args, "--server") // which has no graph to give
			return append(slices.Clip(args), "--json")
		}
	case "explain", "compare":
		if !slices.Contains(args, "--json") && !slices.Contains(args, "--print-request") {
			o.draw = draw
			if args[0] == "compare" {
				o.draw = drawComparison
			}
			if given(args, "--matrix") {
				o.draw = drawMatrix
			}
			return append(slices.Clip(args), "--json")
		}
	}
	return args
}

// given is whether a flag that takes a value is among the arguments.
func given(args []string, flag string) bool {
	_, ok := valueOf(args, flag)
	return ok
}

// valueOf returns the value of a flag that takes one: the last, where it is given several times.
func valueOf(args []string, flag string) (value string, ok bool) {
	for i, arg := range args {
		if v, joined := strings.CutPrefix(arg, flag+"="); joined {
			value, ok = v, true
		} else if arg == flag {
			if value, ok = "", true; i+1 < len(args) {
				value = args[i+1]
			}
		}
	}
	return value, ok
}

// show shows what has come since it was last called.
func (o *output) show() {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.err.Bytes()
	end := bytes.LastIndexByte(all, '\n') + 1
	if o.held != len(all) { // the line that has just come may be the error, and is shown as such
		end = bytes.LastIndexByte(all[:max(end-1, 0)], '\n') + 1
	}
	if end > 0 {
		text := string(o.err.Next(end))
		o.last = text[strings.LastIndexByte(text[:end-1], '\n')+1:]
		o.notes(text)
	}
	o.held = o.err.Len()
	if o.out.Len() == o.shown || o.draw != nil {
		return
	}
	if o.training {
		_ = o.table(false) // what is no report is an error at the end
		return
	}
	o.to.stream("stdout", o.out.String())
	o.out.Reset()
}

// table shows the events of a training in place of what was shown of them before. With last set the loss curve of the
// whole run stands beside it, if the run has got as far as to have one.
func (o *output) table(last bool) error {
	reports, err := train.ReadReports(o.out.Bytes())
	if err != nil {
		return err
	}
	o.shown = o.out.Len()
	rows := []string{train.Heading}
	dir := ""
	for _, r := range reports {
		if r.Event != nil {
			rows = append(rows, r.Event.Row())
		} else {
			dir = r.End.Dir
		}
	}
	if len(rows) == 1 {
		return nil
	}
	data := map[string]any{"text/plain": strings.Join(rows, "\n")}
	var metadata map[string]any
	if last && dir != "" {
		if metadata, err = o.curve(dir, data); err != nil {
			return err
		}
	}
	again := o.id != ""
	if !again {
		o.id = newID()
	}
	o.to.display(o.id, data, metadata, again)
	return nil
}

// curve adds the picture of the run in a folder: as SVG, and as PNG for readers of notebooks that show no SVG.
func (o *output) curve(dir string, data map[string]any) (metadata map[string]any, err error) {
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.dir, dir)
	}
	chart, err := train.Curve(dir)
	if err != nil {
		return nil, err
	}
	var svg bytes.Buffer
	if err := chart.SVG(&svg); err != nil {
		return nil, err
	}
	data["image/svg+xml"] = svg.String()
	data["image/png"], metadata, err = encodePNG(chart)
	return metadata, err
}

// notes shows lines of stderr. Warnings stand in the pictures.
func (o *output) notes(text string) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if o.draw == nil || !strings.HasPrefix(line, "lmkit: warning: ") {
			b.WriteString(line)
		}
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
		if rest, last = rest[:cut], rest[cut:]; last == "" {
			last = strings.TrimSpace(o.last)
		}
	}
	o.notes(rest)
	switch {
	case o.draw != nil:
		if wrong := o.draw(o.to, o.out.Bytes()); wrong != nil && err == nil {
			err, last = wrong, wrong.Error()
		}
	case o.training:
		if wrong := o.table(true); wrong != nil && err == nil {
			err, last = wrong, wrong.Error()
		}
	case o.out.Len() > 0:
		o.to.stream("stdout", o.out.String())
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
