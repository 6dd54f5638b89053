package kernels

import "strings"

// goState is where in Go code a line begins.
type goState int

const (
	inCode goState = iota
	inRaw          // a string in backquotes
	inNote         // a comment between /* and */
)

// begins says of each line of a cell where in Go code it begins: a line that begins inside a string or a comment is
// text, whatever it looks like. Lines that are commands, of the notebook or of GoNB (% and !), are no Go code: a
// quote in them opens nothing.
func begins(lines []string) []goState {
	at := make([]goState, len(lines))
	state, command := inCode, false
	for i, line := range lines {
		at[i] = state
		if command = command && continues(lines[i-1]) || state == inCode && isCommand(line); !command {
			state = state.after(line)
		}
	}
	return at
}

func isCommand(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "%") || strings.HasPrefix(line, "!")
}

// continues reports whether a command goes on in the next line: it ends in a \ that no other \ takes away.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// after is where the next line begins. A string in double quotes, or a character, that is not closed ends with its
// line.
func (s goState) after(line string) goState {
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		switch {
		case s == inRaw && line[i] == '`', s == inNote && strings.HasPrefix(rest, "*/"):
			if s == inNote {
				i++
			}
			s = inCode
		case s != inCode:
		case line[i] == '`':
			s = inRaw
		case strings.HasPrefix(rest, "/*"):
			s = inNote
			i++
		case strings.HasPrefix(rest, "//"):
			return s
		case line[i] == '"' || line[i] == '\'':
			i += quoted(rest)
		}
	}
	return s
}

// quoted is the length of the string or character that s begins with, without its last quote; of one that is not
// closed it is that of all of s.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i
		}
	}
	return len(s)
}
