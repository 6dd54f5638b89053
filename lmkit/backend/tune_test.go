package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
		if want := fmt.Sprintf("pid %d, read \"hello\" <nil>, children inherit \"\"", cmd.Process.Pid); !strings.Contains(
			text, want) {
			t.Errorf("off=%v: no %q in:\n%s", off, want, text)
		}
	}
}

// A plugin is tried once; a new file under the same name is tried again.
func TestOneDNN(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	if err := os.MkdirAll(filepath.Join(cache, "lmkit", "pjrt"), 0o755); err != nil {
		t.Fatal(err)
	}
	plugin := filepath.Join(cache, "plugin.so")
	answer, asked := true, 0
	var late error
	tries = func(context.Context, string, ...string) (bool, error) { asked++; return answer, late }
	probing = true
	t.Cleanup(func() { tries, probing = probe, false })
	for i, step := range []struct {
		file, tune, flags string
		answer            bool
		want              string
		asked             int
	}{
		{"first", "", "", true, onednnFlags, 1},
		{"", "", "", true, onednnFlags, 1},
		{"another one", "", "", false, "", 2},
		{"", "", "", true, "", 2},
		{"back again", "off", "", true, "", 2},
		{"", "", "--mine", true, "--mine", 2},
		{"", "", "", true, onednnFlags, 3},
	} {
		if step.file != "" {
			if err := os.WriteFile(plugin, []byte(step.file), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(EnvTune, step.tune)
		t.Setenv(envFlags, step.flags)
		answer = step.answer
		useOneDNN(t.Context(), plugin)
		if got := os.Getenv(envFlags); got != step.want || asked != step.asked {
			t.Errorf("step %d: the flags are %q, want %q; asked %d times, want %d", i, got, step.want, asked, step.asked)
		}
	}
	t.Setenv(envFlags, "")
	if useOneDNN(t.Context(), filepath.Join(cache, "none.so")); os.Getenv(envFlags) != "" {
		t.Error("a plugin that is not there cannot take flags")
	}
	// A child that was too slow says nothing of the plugin: it is asked again.
	if err := os.WriteFile(plugin, []byte("slow"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, late = range []error{context.DeadlineExceeded, nil} {
		useOneDNN(t.Context(), plugin)
		if got := os.Getenv(envFlags); (got == onednnFlags) != (late == nil) {
			t.Errorf("the child said %v: the flags are %q", late, got)
		}
	}
}

// The child exits with 1 where a plugin does not load.
func TestProbeFails(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestTuneChild$")
	cmd.Env = append(os.Environ(), "LMKIT_TUNE_CHILD=1", EnvTune+"=off", envProbe+"="+filepath.Join(t.TempDir(),
		"none.so"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Contains(string(out), "read ") {
		t.Errorf("want exit code 1 and nothing more: %v\n%s", err, out)
	}
}
