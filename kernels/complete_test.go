package kernels

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The words of the magic line at the cursor are found, with where the last one begins; other lines are left to GoNB.
func TestCompleting(t *testing.T) {
	for _, c := range []struct {
		name, code, want string // | is the cursor; the words, with | between, the last as far as it is written
		start            int    // -1: no magic line
	}{
		{"a subcommand", "%lmkit ins|", "ins", 7},
		{"nothing yet", "%lmkit |", "", 7},
		{"a flag", "%lmkit inspect lens smollm2 --me|", "inspect|lens|smollm2|--me", 28},
		{"a next word", `%lmkit explain smollm2 "The café is" |`, "explain|smollm2|The café is|", 37},
		{"in the middle", "%lmkit in| lens", "in", 7},
		{"a second line", "%lmkit explain smollm2 \\\n  --me|", "explain|smollm2|--me", 27},
		{"below code", "x := 1\n%lmkit do|", "do", 14},
		{"characters", "s := \"äöü\"\n%lmkit do|", "do", 18},
		{"the model behind", `%lmkit explain "a b" --model runs/x --me|`, "explain|runs/x|a b|--me", 36},
		{"in quotes", `%lmkit explain "The ca|`, "", -1},
		{"a quoted word", `%lmkit explain "The"|`, "", -1},
		{"the name itself", "%lmk|", "", -1},
		{"Go", "fmt.Pr|", "", -1},
		{"in a string", "s := `\n%lmkit do|", "", -1},
		{"another line", "%lmkit doctor\nfmt.Pr|", "", -1},
	} {
		before, after, _ := strings.Cut(c.code, "|")
		args, start, ok := completing(before+after, len([]rune(before)))
		if ok != (c.start >= 0) || ok && (strings.Join(args, "|") != c.want || start != c.start) {
			t.Errorf("%s: %q at %d (%v), want %q at %d", c.name, args, start, ok, c.want, c.start)
		}
	}
}

// What the command suggests is read; a command that fails suggests nothing.
func TestSuggestions(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "lmkit")
	script := "#!/bin/sh\n[ \"$1\" = __complete ] && [ \"$3\" = --m ] || exit 1\n" +
		"printf -- '--method\\thow\\n--memory\\twhere\\nother\\n:4\\n'\necho 'Completion ended' >&2\n"
	if err := os.WriteFile(self, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := suggestions(t.Context(), self, dir, os.Environ(), []string{"explain", "--m"}); !slices.Equal(got,
		[]string{"--method", "--memory"}) {
		t.Errorf("found %q", got)
	}
	if got := suggestions(t.Context(), self, dir, os.Environ(), []string{"explain", "--x"}); got != nil {
		t.Errorf("of a command that fails: %q", got)
	}
}
