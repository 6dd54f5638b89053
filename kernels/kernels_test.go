package kernels_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lmkit.internal/kernels"
	"lmkit.internal/kernels/kernelstest"
	"lmkit.internal/lmkit/backend"
)

// driver is a Python program that drives a kernel by jupyter_client, as Jupyter does.
type driver struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// result is what a cell gave.
type result struct {
	Status, Ename, Evalue, Failed string
	Count                         int
	Outputs                       []output
	After                         []string
	Matches                       []string
	Start                         int `json:"cursor_start"` // where what matches begins
	Found                         bool
	Data                          map[string]string
	Pid                           int
	Info                          map[string]any
	Seconds                       float64
	Alive                         bool
}

type output struct {
	Kind, Text, ID string
	Data           map[string]any
	Count          int
}

// of joins the texts of one kind of output.
func (r result) of(kind string) string {
	var b strings.Builder
	for _, o := range r.Outputs {
		if o.Kind == kind {
			b.WriteString(o.Text)
		}
	}
	return b.String()
}

func newDriver(t *testing.T, j kernelstest.Jupyter, env ...string) *driver {
	cmd := j.Python(context.Background(), filepath.Join("testdata", "drive.py"))
	cmd.Env = append(cmd.Env, env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // the driver ends the kernel, then itself
		err := cmd.Wait()
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("driver: %v\n%s", err, said)
		}
		log.Close()
	})
	d := &driver{t: t, in: in, out: bufio.NewScanner(out)}
	d.out.Buffer(nil, 64<<20)
	return d
}

func (d *driver) do(op string, args map[string]any) (r result) {
	d.t.Helper()
	request := map[string]any{"op": op}
	for k, v := range args {
		request[k] = v
	}
	line, err := json.Marshal(request)
	if err != nil {
		d.t.Fatal(err)
	}
	fmt.Fprintf(d.in, "%s\n", line)
	if !d.out.Scan() {
		d.t.Fatalf("the driver ended: %v", d.out.Err())
	}
	if err := json.Unmarshal(d.out.Bytes(), &r); err != nil {
		d.t.Fatalf("%v: %s", err, d.out.Text())
	}
	if r.Failed != "" {
		d.t.Fatalf("%s: %s", line, r.Failed)
	}
	return r
}

// ask asks about a place in a cell, again until there is an answer. GoNB gives gopls eight seconds, and the command
// has as long as a key may wait: the first time takes longer on a slow machine.
func (d *driver) ask(op, code string, pos int, answered func(result) bool) (r result) {
	d.t.Helper()
	for range 100 {
		if r = d.do(op, map[string]any{"code": code, "pos": pos}); answered(r) {
			break
		}
		time.Sleep(time.Second)
	}
	return r
}

// run runs a cell that must succeed.
func (d *driver) run(code string) result {
	d.t.Helper()
	r := d.do("run", map[string]any{"code": code})
	if r.Status != "ok" {
		d.t.Fatalf("%s\n%s: %s\n%s", code, r.Ename, r.Evalue, r.of("stderr"))
	}
	return r
}

// prints runs a cell that must print a text, and nothing else.
func (d *driver) prints(code, want string) {
	d.t.Helper()
	if r := d.run(code); r.of("stdout") != want {
		d.t.Errorf("%s\nprints %q, want %q", code, r.of("stdout"), want)
	}
}

// fails runs a cell that must fail with a text in its message.
func (d *driver) fails(code, want string) result {
	d.t.Helper()
	r := d.do("run", map[string]any{"code": code})
	if r.Status != "error" || !strings.Contains(r.Evalue, want) {
		d.t.Errorf("%s\n%s: %q, want an error with %q", code, r.Status, r.Evalue, want)
	}
	if !strings.Contains(r.of("error"), want) {
		d.t.Errorf("%s\nshows %q, want %q", code, r.of("error"), want)
	}
	return r
}

// One real kernel, through everything that Jupyter does with it.
func TestKernel(t *testing.T) {
	j := kernelstest.Setup(t)
	k := j.Kernels[0]
	folder := t.TempDir()
	d := newDriver(t, j)
	start := d.do("start", map[string]any{"kernel": k.Name, "cwd": folder})
	if start.Info["implementation"] != "lmkit" {
		t.Errorf("the kernel is %v", start.Info["implementation"])
	}
	sub := func(name string, test func(*testing.T)) {
		t.Run(name, func(t *testing.T) { d.t = t; test(t) })
		d.t = t
	}
	sub("cells", func(t *testing.T) { cells(t, d, k.Engine) })
	sub("magics", func(t *testing.T) { magics(t, d) })
	sub("pictures", func(t *testing.T) { pictures(t, d, folder) })
	sub("interrupt", func(t *testing.T) { interrupts(t, d, folder) })
	sub("completion and inspection", func(t *testing.T) {
		completed := func(r result) bool { return len(r.Matches) > 0 }
		code := "%%\nlm.Op"
		r := d.ask("complete", code, len(code), completed)
		if !contains(r.Matches, "Open") {
			t.Errorf("completions: %v", r.Matches)
		}
		code = "%%\nlm.Open"
		r = d.ask("inspect", code, len(code)-1, func(r result) bool { return r.Data["text/markdown"] != "" })
		if !r.Found || !strings.Contains(r.Data["text/markdown"], "func lm.Open(") {
			t.Errorf("inspection: %v", r.Data)
		}
		for code, want := range map[string]string{"%lmkit ins": "inspect", "x := 1\n%lmkit inspect circ": "circuit",
			"%lmkit inspect lens m --tu": "--tuned"} {
			r := d.ask("complete", code, len(code), completed)
			last := code[strings.LastIndexByte(code, ' ')+1:]
			if !slices.Contains(r.Matches, want) || r.Start != len(code)-len(last) {
				t.Errorf("%q completes at %d to %q", code, r.Start, r.Matches)
			}
		}
	})
	sub("input", func(t *testing.T) {
		r := d.do("run", map[string]any{"code": "%%\nvar name string\ngonbui.RequestInput(\"who? \", " +
			"false)\nfmt.Scanln(&name)\nfmt.Println(\"hello\", name)", "input": []string{"anna"}})
		if got := r.of("stdout"); !strings.Contains(got, "hello anna") {
			t.Errorf("%s %s: %q", r.Status, r.Evalue, got)
		}
	})
	sub("widgets", func(t *testing.T) {
		r := d.do("run", map[string]any{
			"code": "import \"github.com/janpfeifer/gonb/gonbui/comms\"\n%%\nfmt.Println(\"the page says\", " +
				"comms.ReadValue[int](\"/answer\"))", "widget": 42})
		if got := r.of("stdout"); got != "the page says 42\n" {
			t.Errorf("%s %s: %q", r.Status, r.Evalue, got)
		}
	})
	sub("restart", func(t *testing.T) {
		d.run("func kept() int { return 7 }\n%%\nfmt.Println(kept())")
		d.prints("%%\nfmt.Println(kept())", "7\n")
		d.do("restart", nil)
		d.fails("%%\nfmt.Println(kept())", "undefined: kept")
		d.prints("%%\nfmt.Println(token.ID(3))", "3\n")
	})
	d.do("shutdown", nil)
}

func contains(all []string, part string) bool {
	for _, s := range all {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func cells(t *testing.T, d *driver, engine string) {
	d.prints("%%\ne, err := backend.Default()\nif err != nil {\n\tpanic(err)\n}\nfmt.Println(e.Kind)", engine+"\n")
	d.prints("%%\nfmt.Println(os.Getenv(\"GOPROXY\"), os.Getenv(\"GOMLX_BACKEND\"))", "off "+engine+"\n")
	// Names of imported packages may be taken for other things, and imports may be written out.
	d.prints("%%\nexplain, train := 1, \"x\"\nfmt.Println(explain, train)", "1 x\n")
	d.prints("func render() string { return \"mine\" }\n%%\nfmt.Println(render())", "mine\n")
	d.run("%rm render")
	d.prints("import \"lmkit.internal/lmkit/lm\"\n%%\nfmt.Println(lm.Config{Arch: lm.LSTM}.Arch)", "lstm\n")
	d.prints("import lang \"lmkit.internal/lmkit/lm\"\n%%\nfmt.Println(lang.LSTM, lm.Transformer)", "lstm transformer\n")
	d.fails("%%\nfmt.Println(undefinedName)", "undefined: undefinedName")
	d.fails("%%\npanic(\"no\")", "exit status")
	r := d.do("run", map[string]any{"code": "%%\nos.Exit(3)", "aborts": []string{"%%\nfmt.Println(1)", "%lmkit methods"}})
	if fmt.Sprint(r.After) != "[aborted aborted]" {
		t.Errorf("after a cell that failed: %v", r.After)
	}
}

func magics(t *testing.T, d *driver) {
	first := d.run("%lmkit methods")
	if !strings.Contains(first.of("stdout"), "integrated-gradients") || first.of("input") != "%lmkit methods" {
		t.Errorf("methods: %+v", first.Outputs)
	}
	if next := d.run("%%\nfmt.Println()"); next.Count != first.Count+1 {
		t.Errorf("a cell is number %d after number %d", next.Count, first.Count)
	}
	if got := d.run("%lmkit").of("stdout"); !strings.Contains(got, "Usage:") {
		t.Errorf("%%lmkit alone: %q", got)
	}
	d.fails("%lmkit frobnicate", `there is no command "frobnicate"`)
	d.fails("%lmkit explain \"open", `the quote " is not closed`)
	d.fails("%lmkit explain text --model missing", "missing")
	r := d.run("%lmkit methods\n%%\nfmt.Println(\"and Go\")")
	if got := r.of("stdout"); !strings.HasSuffix(got, "and Go\n") || !strings.Contains(got, "saliency") {
		t.Errorf("a magic with Go after it: %q", got)
	}
	if got := d.fails("%lmkit nothing\n%%\nfmt.Println(\"no Go\")", "nothing"); got.of("stdout") != "" {
		t.Errorf("Go ran after a magic that failed: %q", got.of("stdout"))
	}
	d.run("%env GOMLX_BACKEND nonsense")
	d.fails("%lmkit doctor", "")
	d.run("%env GOMLX_BACKEND=" + backend.Go)
	if got := d.run("%lmkit doctor").of("stdout"); !strings.Contains(got, "go opens and computes") {
		t.Errorf("doctor: %s", got)
	}
}

func pictures(t *testing.T, d *driver, folder string) {
	r := d.run("%lmkit train --data plant:agreement --arch lstm --width 16 --layers 1 --steps 60 --rows 8 --length 12 " +
		"--out runs/small")
	ids := map[string]int{}
	for _, o := range r.Outputs {
		if o.ID != "" {
			ids[o.ID]++
		}
	}
	last := r.Outputs[len(r.Outputs)-1]
	if len(ids) != 1 || last.Data["image/svg+xml"] == nil || last.Data["image/png"] == nil ||
		!strings.Contains(fmt.Sprint(last.Data["text/plain"]), "train loss") {
		t.Errorf("training shows %d displays; the last output: %v", len(ids), last)
	}
	// A Transformer, whose run keeps models on the way, and a sparse autoencoder of its residuals.
	d.run("%lmkit train --data plant:agreement --layers 1 --width 16 --steps 20 --rows 8 --length 12 --keep 2 " +
		"--out runs/open")
	if err := os.WriteFile(filepath.Join(folder, "sae.safetensors"), autoencoder(16, 4), 0o644); err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]int{
		`%lmkit inspect circuit runs/open "the keys" "the man" --target are --foil is`:                                2,
		`%lmkit inspect influence runs/open "the keys near the man"`:                                                  1,
		`%lmkit inspect dictionary runs/open "the keys near the man" --from sae.safetensors --tap block.0.resid.post`: 1,
		`%lmkit explain "the keys near the man" --model runs/small`:                                                   1,
		`%lmkit explain runs/small "the keys near the man" --method occlusion,saliency`:                               2,
		`%lmkit compare "the keys near the man" --model=runs/small --method occlusion,saliency`:                       1,
	} {
		shown := 0
		for _, o := range d.run(code).Outputs {
			if o.Kind == "display_data" {
				shown++
				for _, kind := range []string{"text/html", "text/plain", "image/png"} {
					if s, _ := o.Data[kind].(string); s == "" {
						t.Errorf("%s shows no %s", code, kind)
					}
				}
			}
		}
		if shown != want {
			t.Errorf("%s shows %d pictures, want %d", code, shown, want)
		}
	}
	d.run("%cd runs")
	d.run("%lmkit explain small 'the keys' --method occlusion")
	d.run("%cd " + folder)
}

// autoencoder is the safetensors of a sparse autoencoder whose features are the first directions of its space, and
// their opposites: of any activation some are active.
func autoencoder(width, features int) []byte {
	encoder, decoder := make([]float32, width*features), make([]float32, features*width)
	for i := range features {
		sign := float32(1 - 2*(i%2))
		encoder[i/2*features+i], decoder[i*width+i/2] = sign, sign
	}
	header, data := map[string]any{}, []byte{}
	for name, tensor := range map[string]struct {
		shape []int
		of    []float32
	}{
		"W_enc": {[]int{width, features}, encoder}, "W_dec": {[]int{features, width}, decoder},
		"b_enc": {[]int{features}, make([]float32, features)}, "b_dec": {[]int{width}, make([]float32, width)},
	} {
		begin := len(data)
		for _, x := range tensor.of {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": tensor.shape, "data_offsets": []int{begin, len(data)}}
	}
	text, _ := json.Marshal(header) // numbers and texts
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}

func interrupts(t *testing.T, d *driver, folder string) {
	r := d.do("run", map[string]any{"code": "%%\nfmt.Println(\"running\")\ntime.Sleep(time.Hour)", "interrupt": "running"})
	if r.Status != "error" {
		t.Errorf("an interrupted cell: %s after %.0f s", r.Status, r.Seconds)
	}
	r = d.do("run", map[string]any{"code": "%lmkit train --data plant:agreement --arch lstm --width 16 --layers 1 " +
		"--steps 1000000 --rows 8 --length 12 --log-every 20 --out runs/long",
		"interrupt": "train loss", "aborts": []string{"%%\nfmt.Println(1)"}})
	if r.Status != "error" || r.Ename != "interrupted" || !strings.Contains(r.Evalue, "was saved") ||
		fmt.Sprint(r.After) != "[aborted]" {
		t.Errorf("an interrupted training: %s %s %q, then %v", r.Status, r.Ename, r.Evalue, r.After)
	}
	if _, err := os.Stat(filepath.Join(folder, "runs", "long", "model.safetensors")); err != nil {
		t.Errorf("the training left no model: %v", err)
	}
	d.prints("%%\nfmt.Println(\"alive\")", "alive\n")
}

// A kernel that is killed takes GoNB and the running command along.
func TestKilled(t *testing.T) {
	j := kernelstest.Setup(t)
	d := newDriver(t, j)
	pid := d.do("start", map[string]any{"kernel": j.Kernels[0].Name, "cwd": t.TempDir()}).Pid
	children := childrenOf(t, pid)
	if len(children) == 0 {
		t.Fatal("the kernel has no child")
	}
	d.do("kill", nil)
	gone(t, children)
}

// gone waits until processes have ended.
func gone(t *testing.T, processes []int) {
	t.Helper()
	for until := time.Now().Add(time.Hour); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		alive := 0
		for _, c := range processes {
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c)); err == nil &&
				!strings.Contains(string(state), ") Z ") {
				alive++
			}
		}
		if alive == 0 {
			return
		}
	}
	t.Errorf("%v outlive their kernel", processes)
}

func childrenOf(t *testing.T, pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if tasks == nil {
		t.Skip("this system does not list the children of a process")
	}
	for _, file := range tasks {
		text, _ := os.ReadFile(file)
		for _, f := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, n)
		}
	}
	return all
}

// GoNB that dies ends the kernel, so that Jupyter can start it anew.
func TestGoNBKilled(t *testing.T) {
	j := kernelstest.Setup(t)
	d := newDriver(t, j)
	pid := d.do("start", map[string]any{"kernel": j.Kernels[0].Name, "cwd": t.TempDir()}).Pid
	var left []int
	for _, c := range childrenOf(t, pid) {
		left = append(left, childrenOf(t, c)...)
		if err := syscall.Kill(c, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for until := time.Now().Add(time.Hour); d.do("alive", nil).Alive; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the kernel lives without GoNB")
		}
	}
	if len(left) == 0 {
		t.Error("GoNB had no children: gopls did not start")
	}
	gone(t, left)
}

// Where something is missing, the kernel starts, and each cell says what and what cures it.
func TestProblems(t *testing.T) {
	j := kernelstest.Setup(t)
	good, err := os.ReadFile(filepath.Join(j.Kernels[0].Dir, "kernel.json"))
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := kernels.Checkout("")
	if err != nil {
		t.Fatal(err)
	}
	bare := t.TempDir() // a PATH with nothing but Go
	for _, c := range []struct {
		name, old, new string
		env            []string
		want           string
	}{
		{"moved checkout", "--checkout=" + checkout, "--checkout=" + checkout + "-moved", nil,
			"the checkout of lmkit that this kernel was installed from is gone"},
		{"no compiler", "", "", []string{"PATH=" + bare, "CC="}, "the C compiler gcc is not found"},
		{"no Go", "--go=", "--go=" + bare, []string{"PATH=" + bare}, "the go program is not found"},
		{"no tools", "--tools=", "--tools=" + bare, nil, "gonb is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "no compiler" && j.Kernels[0].Engine == backend.Go {
				t.Skip("pure Go needs no compiler")
			}
			folder := t.TempDir()
			dir := filepath.Join(folder, "kernels", "broken")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			text := string(good)
			text = strings.Replace(text, c.old, c.new, 1)
			if err := os.WriteFile(filepath.Join(dir, "kernel.json"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			d := newDriver(t, j, append(c.env, "JUPYTER_PATH="+folder)...)
			d.do("start", map[string]any{"kernel": "broken", "cwd": folder})
			d.fails("%%\nfmt.Println(1)", c.want)
			d.fails("%lmkit doctor", "then restart the kernel")
			d.do("shutdown", nil)
		})
	}
}

// Every kernel executes a notebook headless.
func TestExecute(t *testing.T) {
	j := kernelstest.Setup(t)
	for _, k := range j.Kernels {
		t.Run(k.Name, func(t *testing.T) {
			cell := func(code string) map[string]any {
				return map[string]any{"cell_type": "code", "metadata": map[string]any{}, "execution_count": nil,
					"outputs": []any{}, "source": code}
			}
			text, err := json.Marshal(map[string]any{"nbformat": 4, "nbformat_minor": 4,
				"metadata": map[string]any{"kernelspec": map[string]any{"name": k.Name, "display_name": k.Display,
					"language": "go"}},
				"cells": []any{
					cell("%%\ne, err := backend.Default()\nif err != nil {\n\tpanic(err)\n}\nfmt.Println(\"on\", e.Kind)"),
					cell("%lmkit methods"),
					cell("%%\nif err := notebook.Table([]string{\"a\"}, []any{1}); err != nil {\n\tpanic(err)\n}"),
				}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "n.ipynb")
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := j.Python(t.Context(), j.Venv.Program("jupyter-execute"), "--inplace", file)
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			done, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"on " + k.Engine, "integrated-gradients", `"image/png"`, `"execution_count": 3`} {
				if !strings.Contains(string(done), want) {
					t.Errorf("the notebook has no %s", want)
				}
			}
		})
	}
}
