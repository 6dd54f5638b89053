package kernels

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// magicPrefix begins a line of a cell that runs the lmkit command.
const magicPrefix = "%lmkit"

// split takes the magic lines out of a cell: the arguments of each, and the cell with empty lines in their place,
// so that errors name the right lines. A line that ends in \ goes on in the next. Lines inside a Go string or
// comment are not looked at, and neither are those of a cell that begins with another %% command than %% and %main:
// they are text.
func split(code string) (magics [][]string, rest string, err error) {
	lines := strings.Split(code, "\n")
	if first, _, _ := strings.Cut(strings.TrimSpace(lines[0]), " "); strings.HasPrefix(first, "%%") && first != "%%" {
		return nil, code, nil
	}
	at := begins(lines)
	for i := 0; i < len(lines); i++ {
		after, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), magicPrefix)
		if !ok || at[i] != inCode || after != "" && !strings.HasPrefix(after, " ") && !strings.HasPrefix(after, "\t") {
			continue
		}
		lines[i] = ""
		for continues(after) && i+1 < len(lines) {
			i++
			after = strings.TrimSuffix(after, `\`) + strings.TrimRight(lines[i], " \t\r")
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

// fields splits a line into arguments as a shell does: blanks separate, and quotes of both kinds keep together. A \
// takes away the meaning of the character after it; in double quotes it does so before " \ $ and ` alone, and is
// else itself, and in single quotes it always is. In $'...' it begins an escape, as \n, the line break.
func fields(line string) (args []string, err error) {
	var b strings.Builder
	started := false
	end := func() {
		if started {
			args = append(args, b.String())
		}
		b.Reset()
		started = false
	}
	for line != "" {
		part, n, err := "", 1, error(nil)
		switch c := line[0]; {
		case c == ' ' || c == '\t':
			end()
			line = line[1:]
			continue
		case c == '\\':
			if line == `\` {
				return nil, errors.New(`a \ at the end has nothing to go on with`)
			}
			_, n = utf8.DecodeRuneInString(line[1:])
			part, n = line[1:1+n], 1+n
		case c == '\'' || c == '"' || strings.HasPrefix(line, "$'"):
			part, n, err = quotation(line)
		default:
			part = line[:1]
		}
		if err != nil {
			return nil, err
		}
		b.WriteString(part)
		line, started = line[n:], true
	}
	end()
	return args, nil
}

// quotation reads the quoted text that a line begins with: ', " or $'. n is how much of the line it takes.
func quotation(line string) (text string, n int, err error) {
	open := strings.IndexAny(line, `'"`) + 1 // of the quote itself
	quote, escapes := line[open-1], open == 2
	var b strings.Builder
	for i := open; i < len(line); i++ {
		switch {
		case line[i] == quote:
			return b.String(), i + 1, nil
		case line[i] == '\\' && escapes:
			r, multibyte, rest, err := strconv.UnquoteChar(line[i:], quote)
			if err != nil {
				return "", 0, fmt.Errorf("%s: there is no such escape", line[i:min(i+2, len(line))])
			}
			if r < utf8.RuneSelf || !multibyte {
				b.WriteByte(byte(r))
			} else {
				b.WriteRune(r)
			}
			i = len(line) - len(rest) - 1
		case line[i] == '\\' && quote == '"' && i+1 < len(line) && strings.IndexByte("\"\\$`", line[i+1]) >= 0:
			i++
			fallthrough
		default:
			b.WriteByte(line[i])
		}
	}
	return "", 0, fmt.Errorf("the quote %c is not closed", quote)
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
