package kernels

import (
	"context"
	"os/exec"
	"strings"
	"time"
	"unicode/utf8"
)

// thinking is how long the command may take to say what could stand at the cursor: no key waits longer.
const thinking = 3 * time.Second

// completing finds the words of the magic line that a cursor stands in, the last of them as far as it is written, and
// where in the cell that one begins. The cursor, and what is returned, count characters. It is false where the cursor
// is in no magic line, or in a word that is quoted.
func completing(code string, cursor int) (args []string, start int, ok bool) {
	written := []rune(code)
	written = written[:max(0, min(cursor, len(written)))]
	lines := strings.Split(string(written), "\n")
	first := len(lines) - 1
	for first > 0 && continues(lines[first-1]) {
		first--
	}
	after, is := strings.CutPrefix(strings.TrimLeft(lines[first], " \t"), magicPrefix)
	if !is || begins(lines)[first] != inCode || !strings.HasPrefix(after, " ") && !strings.HasPrefix(after, "\t") {
		return nil, 0, false
	}
	for _, line := range lines[first+1:] {
		after = strings.TrimSuffix(after, `\`) + line
	}
	args, err := fields(after)
	if err != nil {
		return nil, 0, false
	}
	last := ""
	if n := len(args); n > 0 && !strings.ContainsAny(after[len(after)-1:], " \t") {
		last = args[n-1]
		args = args[:n-1]
	}
	if !strings.HasSuffix(after, last) {
		return nil, 0, false
	}
	return append(modelFirst(args), last), len(written) - utf8.RuneCountInString(last), true
}

// suggestions asks the command what could stand in place of the last of some words: its subcommands, flags and values.
func suggestions(ctx context.Context, self, dir string, env, args []string) (found []string) {
	ctx, cancel := context.WithTimeout(ctx, thinking)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, append([]string{"__complete"}, args...)...)
	cmd.Dir, cmd.Env = dir, env
	dieWithParent(cmd)
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		if strings.HasPrefix(word, ":") { // how a shell is to go on: the end
			break
		}
		if strings.HasPrefix(word, args[len(args)-1]) {
			found = append(found, word)
		}
	}
	return found
}

// complete answers what could stand at the cursor of a magic line. It is false where there is none: that is for GoNB.
func (p *proxy) complete(ctx context.Context, m *message) bool {
	cursor, _ := m.body()["cursor_pos"].(float64)
	args, start, ok := completing(m.text("code"), int(cursor))
	if !ok {
		return false
	}
	matches := suggestions(ctx, p.launch.self, p.directory(), p.launch.commandEnv(), args)
	if matches == nil {
		matches = []string{}
	}
	p.status(m, "busy")
	p.front.shell.send(m.answer("complete_reply", map[string]any{"status": "ok", "matches": matches,
		"cursor_start": start, "cursor_end": int(cursor), "metadata": map[string]any{}}))
	p.status(m, "idle")
	return true
}
