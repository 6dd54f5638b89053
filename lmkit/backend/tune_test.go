package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestTuned(t *testing.T) {
	for _, tt := range []struct {
		env   []string
		want  string // of GLIBC_TUNABLES
		again bool
	}{
		{[]string{"A=1"}, tunables, true},
		{[]string{"A=1", "GLIBC_TUNABLES="}, tunables, true},
		{[]string{"A=1", "GLIBC_TUNABLES=glibc.cpu.x=1"}, "glibc.cpu.x=1:" + tunables, true},
		{[]string{"A=1", "GLIBC_TUNABLES=glibc.malloc.arena_max=2"}, "glibc.malloc.arena_max=2", false},
		{[]string{"A=1", "LMKIT_TUNE=off"}, "", false},
	} {
		got, again := tuned(tt.env)
		if again != tt.again || !slices.Contains(got, "A=1") {
			t.Errorf("%v: %v, %v", tt.env, got, again)
		}
		value := ""
		for _, e := range got {
			if v, ok := strings.CutPrefix(e, "GLIBC_TUNABLES="); ok {
				value = v
			}
		}
		if value != tt.want {
			t.Errorf("%v: GLIBC_TUNABLES is %q, want %q", tt.env, value, tt.want)
		}
		if _, again := tuned(got); again {
			t.Errorf("%v: it would start anew for ever", tt.env)
		}
	}
}

// TestTuneChild is the program that TestTune starts.
func TestTuneChild(t *testing.T) {
	if os.Getenv("LMKIT_TUNE_CHILD") == "" {
		return // not as a program
	}
	fmt.Printf("started with %q\n", os.Getenv(envTunables))
	Tune()
	in, err := io.ReadAll(os.Stdin)
	fmt.Printf("pid %d, read %q %v, children inherit %q\n", os.Getpid(), in, err, os.Getenv(envTunables))
	os.Exit(7)
}

// The program starts twice, as the same process, and keeps its input and exit code.
func TestTune(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no glibc here")
	}
	for _, off := range []bool{false, true} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTuneChild$")
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
			return strings.HasPrefix(e, "GLIBC_TUNABLES=") || strings.HasPrefix(e, "LMKIT_TUNE=")
		}), "LMKIT_TUNE_CHILD=1")
		starts := 2
		if off {
			cmd.Env = append(cmd.Env, "LMKIT_TUNE=off")
			starts = 1
		}
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("hello"), &out, &out
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("off=%v: the exit code is lost: %v", off, err)
		}
		text := out.String()
		if n := strings.Count(text, "started with"); n != starts {
			t.Errorf("off=%v: started %d times, want %d:\n%s", off, n, starts, text)
		}
		if want := fmt.Sprintf("pid %d, read \"hello\" <nil>, children inherit \"\"", cmd.Process.Pid); !strings.Contains(text, want) {
			t.Errorf("off=%v: no %q in:\n%s", off, want, text)
		}
	}
}
