package kernels

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// magicPrefix begins a line of a cell that runs the lmkit command.
const magicPrefix = "%lmkit"

// split takes the magic lines out of a cell: the arguments of each, and the cell with empty lines in their place, so
// that errors name the right lines. A line that ends in \ goes on in the next. Lines inside a cell that begins with
// another %% command than %% and %main are not looked at: they are that command's text.
func split(code string) (magics [][]string, rest string, err error) {
	lines := strings.Split(code, "\n")
	if first, _, _ := strings.Cut(strings.TrimSpace(lines[0]), " "); strings.HasPrefix(first, "%%") && first != "%%" {
		return nil, code, nil
	}
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		after, ok := strings.CutPrefix(line, magicPrefix)
		if !ok || after != "" && !strings.HasPrefix(after, " ") && !strings.HasPrefix(after, "\t") {
			continue
		}
		lines[i] = ""
		for strings.HasSuffix(after, `\`) && i+1 < len(lines) {
			i++
			after = strings.TrimSuffix(after, `\`) + " " + strings.TrimSpace(lines[i])
			lines[i] = ""
		}
		args, wrong := fields(after)
		if wrong != nil && err == nil {
			err = fmt.Errorf("%s%s: %w", magicPrefix, after, wrong)
		}
		magics = append(magics, modelFirst(args))
	}
	return magics, strings.Join(lines, "\n"), err
}

// fields splits a line into arguments: blanks separate, quotes of both kinds and \ keep together.
func fields(line string) (args []string, err error) {
	var b strings.Builder
	started := false
	quote := rune(0)
	escaped := false
	for _, r := range line {
		switch {
		case escaped:
			b.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(r)
		case r == '"' || r == '\'':
			quote, started = r, true
		case r == ' ' || r == '\t':
			if started {
				args = append(args, b.String())
				b.Reset()
				started = false
			}
		default:
			b.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if escaped {
		return nil, errors.New(`a \ at the end has nothing to go on with`)
	}
	if started {
		args = append(args, b.String())
	}
	return args, nil
}

// modelFirst writes `explain "text" --model DIR` as the command has it: `explain DIR "text"`.
func modelFirst(args []string) []string {
	for i, arg := range args {
		dir, ok := strings.CutPrefix(arg, "--model=")
		end := i + 1
		if arg == "--model" && end < len(args) {
			dir, ok = args[end], true
			end++
		}
		if ok && i > 0 {
			return slices.Insert(slices.Delete(slices.Clone(args), i, end), 1, dir)
		}
	}
	return args
}
