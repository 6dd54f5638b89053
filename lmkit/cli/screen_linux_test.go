package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// onTerminal runs the command with a terminal as its output, and returns what arrives there.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	read := make(chan error)
	go func() {
		_, err := io.Copy(&got, master)
		read <- err
	}()
	Main(args, strings.NewReader(""), slave, slave)
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil && !errors.Is(err, syscall.EIO) { // EIO: the other end is closed
		t.Fatal(err)
	}
	return strings.ReplaceAll(got.String(), "\r\n", "\n")
}

// Names of folders, flags and what files hold reach a terminal without a character that steers it, in errors, in
// tables and in JSON.
func TestNothingSteersTheTerminal(t *testing.T) {
	for _, attack := range []string{"\x1b[2J\x1b]0;owned\x07", "\u009b31m", "\x9b31m", "a\rb", "\u202egnp",
		"\u2066x", "\x7f", "\u2028", "\xff"} {
		runs := t.TempDir()
		model := filepath.Join(runs, "m"+attack)
		if err := os.Mkdir(model, 0o755); err != nil {
			t.Fatal(err)
		}
		config, err := json.Marshal(map[string]any{"model_type": "x" + attack})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(model, "config.json"), config, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"models", runs}, {"models", runs, "--json"}, {"models", model}, {"models", "--taps", model},
			{"models", filepath.Join(runs, "none"+attack)},
			{"explain", model, "text" + attack}, {"generate", runs + attack}, {"eval", model, "--part", attack},
			{attack}, {"explain", "--" + attack},
			{"train", "--data", attack, "--out", runs + attack},
			{"explain", model, "x", "--method", attack}, {"models", strings.Repeat(attack, 10000)},
		} {
			got := onTerminal(t, args...)
			if got == "" {
				t.Errorf("%q says nothing", args)
			}
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
				return r != '\n' && unicode.IsControl(r) || r != '\u200e' && unicode.Is(unicode.Bidi_Control, r) || r == '\u2028'
			}) {
				t.Errorf("%q: %q", args, got)
			}
			for _, line := range strings.Split(got, "\n") {
				if len(line) > mostOfLine+20 {
					t.Errorf("%q: a line of %d bytes", args, len(line))
				}
			}
		}
	}
}

// What is drawn keeps its colours on a terminal, and what it is drawn of steers nothing.
func TestFiguresKeepTheirColours(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm-256color")
	var colours, plain bytes.Buffer
	table := plot.Bars{Names: []string{"a\x1b[2J\u202e"}, Series: []plot.Series{{Values: []float64{1}}}}
	if err := table.Text(&colours, plot.Options{Color: true}); err != nil {
		t.Fatal(err)
	}
	a := &app{out: printable.Screen(&plain), paper: &colours}
	if err := a.print(table); err != nil {
		t.Fatal(err)
	}
	if got := colours.String(); plain.Len() > 0 || !strings.Contains(got, "\x1b[38;5;208m") ||
		strings.Contains(got, "\x1b[2J") {
		t.Errorf("got %q", got)
	}
}
