package backend

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/internal/compiled"
)

// envKept makes TestKeptChild the program that the tests below start: it computes on XLA, and says what.
const envKept = "LMKIT_TEST_KEPT"

func TestKeptChild(t *testing.T) {
	if os.Getenv(envKept) == "" {
		return
	}
	Tune()
	if os.Getenv(envKept) == "full" { // no file may be larger than 4 kB, as if the disk were full
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: 4096}); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Open(t.Context(), Options{Name: XLACPU, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{64, 48}
	if os.Getenv(envKept) == "reversed" {
		slices.Reverse(sizes)
	}
	said := map[string]string{} // in the order of its keys
	for n := range 2 {
		exec, err := graph.NewExec(e.Backend, func(x *graph.Node) []*graph.Node {
			y := graph.Softmax(graph.Tanh(graph.Dot(x, x).Product()))
			for range n {
				y = graph.Dot(y, x).Product()
			}
			loss := graph.ReduceAllSum(graph.Mul(y, y))
			return append(graph.Gradient(loss, x), y, loss)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range sizes {
			outputs, err := exec.Call(square(size))
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range outputs {
				said[fmt.Sprint(n, size, i)] = fmt.Sprint(o.Value())
			}
		}
	}
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(said)) {
		fmt.Fprintln(h, key, said[key])
	}
	loaded, made := compiled.Counts()
	fmt.Printf("%s %x loaded %d compiled %d\n", map[bool]string{true: "kept", false: "not kept"}[e.programs != nil],
		h.Sum(nil), loaded, made)
	os.Exit(0)
}

// square is a matrix of numbers between -0.5 and 0.5.
func square(size int) [][]float32 {
	x := make([][]float32, size)
	for i := range x {
		x[i] = make([]float32, size)
		for j := range x[i] {
			x[i][j] = float32((i*13+j*7)%31)/31 - 0.5
		}
	}
	return x
}

// child runs it, and returns the checksum of what it computed and how it came to its programs.
func child(t *testing.T, env ...string) (sum, how string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKeptChild$")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, envFlags+"=") || strings.HasPrefix(e, compiled.Env+"=")
	}), envKept+"=1", EnvTune+"=off") // without oneDNN's flags everywhere, so that the bits are the same
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", env, err, out)
		return "", ""
	}
	line := strings.TrimSpace(string(out))
	before, after, ok := strings.Cut(line, " loaded ")
	if !ok {
		t.Errorf("%v: said %q", env, line)
		return "", ""
	}
	at := strings.LastIndex(before, " ")
	return before[at+1:], before[:at] + ", loaded " + after
}

// needsKeeping skips a test where no programs are kept.
func needsKeeping(t *testing.T) {
	t.Helper()
	if !compiled.Works || os.Getenv("LMKIT_TEST_ENGINE") == Go || os.Getenv(EnvEngine) == Go {
		t.Skip("no programs are kept here")
	}
}

// programFiles are the programs in a folder.
func programFiles(t *testing.T, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(folder, "*.program"))
	if err != nil || len(all) == 0 {
		t.Fatalf("%s holds %q, %v", folder, all, err)
	}
	return all
}

// rewrite changes a program's file. Its checksum is made right again if that is asked for.
func rewrite(t *testing.T, file string, right bool, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data = change(data)
	if right {
		const magic = 16
		s := sha256.Sum256(data[magic+sha256.Size:])
		copy(data[magic:], s[:])
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A second process loads what the first one compiled, and computes the same to the bit; so it does without programs
// that are kept, and where they are damaged, another plugin's, or cannot be written.
func TestKept(t *testing.T) {
	needsKeeping(t)
	folder := filepath.Join(t.TempDir(), "programs")
	want, how := child(t, EnvCache+"=off")
	if how != "not kept, loaded 0 compiled 0" {
		t.Errorf("off: %s", how)
	}
	run := func(what, wantHow string, env ...string) {
		t.Helper()
		got, how := child(t, append([]string{EnvCache + "=" + folder}, env...)...)
		if got != want || how != wantHow {
			t.Errorf("%s: %s, %s; want %s, %s", what, got, how, want, wantHow)
		}
	}
	run("first", "kept, loaded 0 compiled 4")
	run("second", "kept, loaded 4 compiled 0")
	run("in another order", "kept, loaded 4 compiled 0", envKept+"=reversed")
	files := programFiles(t, folder)
	for i, at := range []int{3, 20, 60, 90, 115, 150} { // magic, checksum, setting, key, time, program
		rewrite(t, files[i%len(files)], false, func(data []byte) []byte { data[at] ^= 0x10; return data })
		run(fmt.Sprintf("byte %d flipped", at), "kept, loaded 3 compiled 1")
	}
	for _, file := range files {
		rewrite(t, file, true, func(data []byte) []byte { return data[:len(data)-len(data)/3] })
	}
	run("cut, with a checksum", "kept, loaded 0 compiled 4")
	for _, file := range files {
		rewrite(t, file, true, func(data []byte) []byte { return data[:16+3*32+8] })
	}
	run("nothing in them, with a checksum", "kept, loaded 0 compiled 4")
	run("after that", "kept, loaded 4 compiled 0")
	threads := fmt.Sprintf("%s=%d", envThreads, 1+max(runtime.NumCPU(), runtime.GOMAXPROCS(0)))
	run("with another number of threads", "kept, loaded 0 compiled 4", threads)
	run("and again", "kept, loaded 4 compiled 0", threads)
	full := t.TempDir()
	run("on a full disk", "kept, loaded 0 compiled 4", envKept+"=full", EnvCache+"="+full)
	if left, err := os.ReadDir(full); err != nil || len(left) > 0 {
		t.Errorf("a full disk leaves %v, %v", left, err)
	}
	run("no folder", "not kept, loaded 0 compiled 0", EnvCache+"="+filepath.Join(files[0], "below a file"))
}

// Processes that start at once compile the same, and store it over each other.
func TestKeptTogether(t *testing.T) {
	needsKeeping(t)
	folder := t.TempDir()
	var wg sync.WaitGroup
	sums := make([]string, 3)
	for i := range sums {
		wg.Go(func() { sums[i], _ = child(t, EnvCache+"="+folder) })
	}
	wg.Wait()
	last, how := child(t, EnvCache+"="+folder)
	if how != "kept, loaded 4 compiled 0" || slices.ContainsFunc(sums, func(s string) bool { return s != last }) {
		t.Errorf("%q, then %s, %s", sums, last, how)
	}
}

// A plugin is tried once for each setting; where its programs cannot be kept, they are not.
func TestKeepingIsTried(t *testing.T) {
	if !compiled.Works {
		t.Skip("no programs are kept here")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", home)
	t.Setenv(EnvCache, filepath.Join(home, "programs"))
	t.Setenv(envFlags, "")
	if err := os.MkdirAll(filepath.Join(home, "lmkit", "pjrt"), 0o755); err != nil {
		t.Fatal(err)
	}
	plugin := filepath.Join(home, "plugin.so")
	var answer, wrong = false, error(nil)
	asked := 0
	triesKeeping = func(context.Context, string) (bool, error) { asked++; return answer, wrong }
	t.Cleanup(func() { triesKeeping, probing = probeKeeping, false })
	late := errors.New("late")
	for i, step := range []struct {
		plugin, flags, threads string
		probing, answer        bool
		wrong                  error
		kept                   bool
		asked                  int
	}{
		{"one", "", "2", false, true, nil, false, 0}, // nobody may try
		{"", "", "2", true, true, late, false, 1},
		{"", "", "2", true, true, nil, true, 2},
		{"", "", "2", true, false, nil, true, 2},
		{"", "", "2", false, false, nil, true, 2},
		{"", "--other", "2", true, false, nil, false, 3},
		{"", "--other", "2", true, true, nil, false, 3},
		{"", "", "3", true, true, nil, true, 4},
		{"another", "", "2", true, false, nil, false, 5},
		{"", "", "2", true, true, nil, false, 5},
	} {
		if step.plugin != "" {
			if err := os.WriteFile(plugin, []byte(step.plugin), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(envFlags, step.flags)
		t.Setenv(envThreads, step.threads)
		probing, answer, wrong = step.probing, step.answer, step.wrong
		c, err := programs(t.Context(), plugin)
		if (c != nil) != step.kept || (err == nil) != step.kept || asked != step.asked {
			t.Errorf("step %d: %v, %v, want kept %v; asked %d times, want %d", i, c, err, step.kept, asked, step.asked)
		}
	}
	t.Setenv(EnvCache, "off")
	if c, err := programs(t.Context(), plugin); c != nil || !errors.Is(err, compiled.ErrOff) {
		t.Errorf("off: %v, %v", c, err)
	}
}

// With oneDNN's flags nothing is kept: storing would end the process.
func TestOneDNNKeepsNothing(t *testing.T) {
	needsKeeping(t)
	folder := t.TempDir()
	_, how := child(t, EnvCache+"="+folder, envFlags+"="+onednnFlags)
	if how != "not kept, loaded 0 compiled 0" {
		t.Errorf("with %s: %s", onednnFlags, how)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
