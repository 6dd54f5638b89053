package cli

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/train"
)

// A run that Ctrl-C stops can be resumed by its folder's name alone, and ends with the bits of one that was not
// stopped.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("the keys to the cabinet are on the table. ", 80)),
		0o644); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		whole, broken := filepath.Join(dir, arch+"-whole"), filepath.Join(dir, arch+"-broken")
		command := func(out string) []string {
			return []string{"train", "--data", text, "--arch", arch, "--layers", "1", "--width", "16", "--dropout", "0.1",
				"--length", "16",
				"--steps", "200", "--log-every", "10", "--eval-every", "100", "--out", out}
		}
		if code, said := spawn(t, false, command(whole)...); code != 0 {
			t.Fatal(said)
		}
		code, said := spawn(t, true, command(broken)...)
		if code != exitInterrupted ||
			!regexp.MustCompile(`stopped at step \d+ and was saved; go on with: lmkit train --resume `).MatchString(said) {
			t.Fatalf("%s: after an interrupt: exit code %d: %s", arch, code, said)
		}
		t.Log(said)
		if code, said := spawn(t, false, "train", "--resume", broken); code != 0 {
			t.Fatalf("%s: resuming: exit code %d: %s", arch, code, said)
		}
		for _, name := range []string{lm.WeightsFile, lm.ConfigFile, lm.TokenizerFile, lm.TrainingFile, train.SourceFile} {
			a, err := os.ReadFile(filepath.Join(whole, name))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(broken, name)); err != nil || !bytes.Equal(a, b) {
				t.Errorf("%s: %s differs from that of a run without a break (%v)", arch, name, err)
			}
		}
	}
}

// spawn runs the command as a process of its own, and interrupts it after its first event if stop is set.
func spawn(t *testing.T, stop bool, args ...string) (code int, said string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = "lmkit" // see TestMain
	cmd.Env = append(os.Environ(), backend.EnvEngine+"="+backend.Go)
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
