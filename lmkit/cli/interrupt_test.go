package cli

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// attempts is how many runs are begun, at the most, until one is caught before its end by a test that was kept waiting.
const attempts = 20

// A run that Ctrl-C stops can be resumed by its folder's name alone, and ends with the bits of one that was not
// stopped.
func TestInterrupt(t *testing.T) {
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		runs := shortRuns(t, arch, 1+attempts)
		whole := runs[0]
		if code, said := spawn(t, false, whole...); code != 0 {
			t.Fatal(said)
		}
		code, said, broken := 0, "", []string(nil)
		for n := 1; n <= attempts && code == 0; n++ { // one that has ended already hears no interrupt
			broken = runs[n]
			code, said = spawn(t, true, broken...)
		}
		if code != exitInterrupted ||
			!regexp.MustCompile(`a second Ctrl-C ends it now
.*stopped at step \d+ and was saved; go on with: lmkit train --resume `).MatchString(said) {
			t.Fatalf("%s: after an interrupt: exit code %d: %s", arch, code, said)
		}
		t.Log(said)
		if code, said := spawn(t, false, "train", "--resume", folder(broken)); code != 0 {
			t.Fatalf("%s: resuming: exit code %d: %s", arch, code, said)
		}
		sameRuns(t, arch, folder(broken), folder(whole))
	}
}

// A run that is killed in its first checkpoint, at random moments, or in its last checkpoint goes on, or can be started
// again, and ends with the bits of one that was not killed.
func TestKilled(t *testing.T) {
	archs := []string{lm.Transformer, lm.LSTM}
	if testing.Short() {
		archs = archs[1:]
	}
	for _, arch := range archs {
		runs := shortRuns(t, arch, 1+2*attempts)
		whole, rest := runs[0], runs[1:]
		if code, said := spawn(t, false, whole...); code != 0 {
			t.Fatal(said)
		}
		begun := func(run []string) bool {
			_, err := os.Stat(filepath.Join(folder(run), "last", "a.safetensors"))
			return err == nil
		}
		ended := func(run []string) bool {
			events, err := os.ReadFile(filepath.Join(folder(run), train.EventsFile))
			return err == nil && bytes.Contains(events, []byte(`"step":200,`))
		}
		killed := func(when func(run []string) bool) (run []string) { // unless it came to its end before: then another
			for range attempts {
				run, rest = rest[0], rest[1:]
				if kill(t, func() bool { return when(run) }, run...) {
					return run
				}
			}
			t.Fatalf("%s: %d runs came to their end before they could be killed", arch, attempts)
			return nil
		}
		first, last := killed(begun), killed(ended)
		rng := rand.New(rand.NewPCG(1, 2))
		for range 4 {
			at := time.Now().Add(time.Duration(50+rng.IntN(400)) * time.Millisecond)
			kill(t, func() bool { return time.Now().After(at) }, goOn(t, first)...)
		}
		for _, run := range [][]string{first, last} {
			if code, said := spawn(t, false, goOn(t, run)...); code != 0 {
				t.Fatalf("%s: after a kill: exit code %d: %s", arch, code, said)
			}
			sameRuns(t, arch, folder(run), folder(whole))
		}
	}
}

// shortRuns are n times the same training of 200 steps, each in a folder of its own, which is the last argument.
func shortRuns(t *testing.T, arch string, n int) (runs [][]string) {
	t.Helper()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.txt")
	const line = "the keys to the cabinet are on the table. "
	if err := os.WriteFile(text, []byte(strings.Repeat(line, 80)), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		runs = append(runs, []string{"train", "--data", text, "--arch", arch, "--layers", "1", "--width", "16",
			"--dropout", "0.1", "--length", "16", "--steps", "200", "--log-every", "10", "--eval-every", "100",
			"--out", filepath.Join(dir, strconv.Itoa(i))})
	}
	return runs
}

func folder(run []string) string { return run[len(run)-1] }

// goOn is the command that goes on with a run: it is resumed, or started again where no checkpoint was made.
func goOn(t *testing.T, run []string) []string {
	t.Helper()
	if _, err := train.Read(folder(run)); errors.Is(err, fs.ErrNotExist) {
		return run
	} else if err != nil {
		t.Fatal(err)
	}
	return []string{"train", "--resume", folder(run)}
}

// sameRuns compares the bits of two runs' models, and fails where one has a file that the other lacks.
func sameRuns(t *testing.T, arch, got, want string) {
	t.Helper()
	for _, name := range []string{lm.WeightsFile, lm.ConfigFile, lm.TokenizerFile, lm.TrainingFile, train.SourceFile} {
		a, err := os.ReadFile(filepath.Join(want, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(got, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %s differs from that of a run without a break (%v)", arch, name, err)
		}
	}
	for _, pattern := range []string{"*", ".*", "last/*", "last/.*"} {
		var names [2]string
		for i, dir := range []string{got, want} {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			names[i] = strings.ReplaceAll(strings.Join(files, " "), dir, "")
		}
		if names[0] != names[1] {
			t.Errorf("%s: after a break the folder holds %s, without %s", arch, names[0], names[1])
		}
	}
}

// kill runs the command as a process of its own, and kills it as soon as when says so. It reports whether it did.
func kill(t *testing.T, when func() bool, args ...string) bool {
	t.Helper()
	cmd := process(t, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !when() {
		select {
		case <-ended:
			return false
		case <-time.After(time.Millisecond / 10):
		}
	}
	_ = cmd.Process.Kill()
	return (<-ended) != nil
}

// A command that waits for what does not come, such as the end of its input, ends at an interrupt.
func TestInterruptEndsWaiting(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"explain", dir, "-"}, {"generate", dir, "-"},
		{"tree", dir, "-", "--choices", "a,b"}} {
		cmd := process(t, args...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(make([]byte, 1<<17)); err != nil { // more than a pipe holds: it reads now
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its exit code says it
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || errs.String() != "lmkit: interrupted\n" {
			t.Errorf("%q: exit code %d: %s", args, code, errs.String())
		}
		_ = in.Close()
	}
}

// process is the command as a process of its own, on the pure-Go engine.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = "lmkit" // see TestMain
	cmd.Env = append(os.Environ(), backend.EnvEngine+"="+backend.Go)
	return cmd
}

// spawn runs the command as a process of its own, and interrupts it after its first event if stop is set.
func spawn(t *testing.T, stop bool, args ...string) (code int, said string) {
	t.Helper()
	cmd := process(t, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < 2 && lines.Scan(); n++ {
	}
	if stop {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code says it
	return cmd.ProcessState.ExitCode(), errs.String()
}

// At an interrupt a server lets what runs end, and answers it whole; then it ends, and with success.
func TestInterruptServe(t *testing.T) {
	dir := t.TempDir()
	tok, err := token.TrainBPE(t.Context(), slices.Values([]string{"what is the capital of France?"}), 270)
	if err != nil {
		t.Fatal(err)
	}
	c := lm.Config{Arch: lm.LSTM, Layers: 1, Width: 8, Hidden: 8, Vocab: tok.Size()}
	m, err := lm.New(backendtest.PureGo(t), c, tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	cmd := process(t, "serve", dir, "--port", "0", "--no-browser")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, &errs)
	}
	address = strings.TrimSpace(address)
	r, err := http.NewRequest(http.MethodPost, address+"v1/generate",
		strings.NewReader(`{"prompt": "what", "tokens": 200}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines, tokens, last := bufio.NewScanner(res.Body), 0, ""
	for lines.Scan() {
		if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
			if last = name; name != "token" {
				continue
			}
			if tokens++; tokens == 1 {
				if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if lines.Err() != nil || last != "result" || tokens != 200 {
		t.Errorf("the answer has %d tokens, and events of which the last is %q (%v)", tokens, last, lines.Err())
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(errs.String(), "a second Ctrl-C ends it now") {
		t.Errorf("the server ends with %v: %s", err, &errs)
	}
	if res, err := http.Get(address + "v1/healthz"); err == nil {
		_ = res.Body.Close()
		t.Error("a server that has ended answers")
	}
}
