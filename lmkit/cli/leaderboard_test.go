package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/trial/board"
)

// A leaderboard that Ctrl-C stops writes what was done, everywhere that was asked for.
func TestInterruptedLeaderboard(t *testing.T) {
	dir := t.TempDir()
	model, file, data := filepath.Join(dir, "model"), filepath.Join(dir, "facts.txt"), filepath.Join(dir, "board.json")
	if code, said := spawn(t, false, "train", "--data", "grammar", "--arch", "lstm", "--layers", "1", "--width", "16",
		"--steps", "1", "--out", model); code != 0 {
		t.Fatal(said)
	}
	var lines []string
	nouns := []string{"key", "box", "book", "lamp", "keys", "boxes", "books", "lamps"}
	for _, a := range nouns { // some two answers change places, whatever the model has learned
		for _, b := range nouns {
			for _, c := range nouns {
				if a != b && b != c {
					lines = append(lines, fmt.Sprintf("noun: near the {%s|%s} {%s|%s}", a, b, b, c))
				}
			}
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "leaderboard", "--model", model, "--facts", file, "--items", "1000", "--json", data)
	cmd.Args[0] = "lmkit" // see TestMain
	cmd.Env = append(os.Environ(), backend.EnvEngine+"="+backend.Go)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for s := bufio.NewScanner(errs); s.Scan(); {
		fmt.Fprintln(&said, s.Text())
		if strings.Contains(s.Text(), "Ctrl-C keeps what is done") {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // its exit code says it
	var r board.Result
	written, err := os.ReadFile(data)
	if err == nil {
		err = json.Unmarshal(written, &r)
	}
	if err != nil || r.Facts == nil || !r.Facts.Stopped || r.Facts.Scored < 1 {
		t.Errorf("%v: %.300s", err, written)
	}
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(out.String(), "STOPPED after") {
		t.Errorf("exit code %d: %s%s", code, said.String(), out.String())
	}
}
