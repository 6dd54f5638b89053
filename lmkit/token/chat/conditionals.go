package chat

import (
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// The interpreter follows "A if B else C" only as the whole of an output or of an assignment. Elsewhere, as in "x +
// (A if B else C)", it is written here as "((B) and [A] or [C])[0]", which has the same value and evaluates no more:
// a list of one value is true.

// code is a template's source, cut at its tokens.
type code struct {
	source string
	tokens []*tokens.Token
}

// text returns the source of tokens lo to hi, with what stands between them.
func (c *code) text(lo, hi int) string { return c.source[c.start(lo):c.start(hi)] }

func (c *code) start(i int) int {
	if i < len(c.tokens) {
		return min(c.tokens[i].Pos, len(c.source))
	}
	return len(c.source)
}

// rewrite returns the source without conditional expressions that the interpreter does not follow.
func (c *code) rewrite() string {
	var out strings.Builder
	out.WriteString(c.source[:c.start(0)])
	for i := 0; i < len(c.tokens); {
		close := tokens.VariableEnd
		switch c.tokens[i].Type {
		case tokens.BlockBegin:
			close = tokens.BlockEnd
		case tokens.VariableBegin:
		default:
			out.WriteString(c.text(i, i+1))
			i++
			continue
		}
		end := i + 1
		for end < len(c.tokens) && c.tokens[end].Type != close {
			end++
		}
		out.WriteString(c.text(i, i+1))
		if close == tokens.VariableEnd {
			out.WriteString(c.expression(i+1, end, false))
		} else {
			out.WriteString(c.statement(i+1, end))
		}
		i = end
	}
	return out.String()
}

// statement rewrites what stands in a block: the value of a set, and what is in brackets.
func (c *code) statement(lo, hi int) string {
	if lo < hi && c.tokens[lo].Val == "set" {
		for i := lo; i < hi; i++ {
			if c.tokens[i].Type == tokens.Assign {
				return c.text(lo, i+1) + c.expression(i+1, hi, false)
			}
		}
	}
	return c.brackets(lo, hi)
}

// expression rewrites an expression. One within brackets may lack its else, and is nothing then.
func (c *code) expression(lo, hi int, within bool) string {
	condition, otherwise := c.find(lo, hi, "if"), -1
	if condition >= 0 {
		otherwise = c.find(condition+1, hi, "else")
	}
	switch {
	case condition < 0 || otherwise < 0 && !within:
		return c.brackets(lo, hi)
	case otherwise < 0:
		return "((" + c.brackets(condition+1, hi) + ") and [" + c.brackets(lo, condition) + "] or [''])[0]"
	}
	return "((" + c.brackets(condition+1, otherwise) + ") and [" + c.brackets(lo, condition) + "] or [" +
		c.expression(otherwise+1, hi, true) + "])[0] "
}

// brackets rewrites what stands within brackets: expressions between commas and the like.
func (c *code) brackets(lo, hi int) string {
	var out strings.Builder
	for i := lo; i < hi; i++ {
		end := c.closing(i, hi)
		if end < 0 {
			out.WriteString(c.text(i, i+1))
			continue
		}
		out.WriteString(c.text(i, i+1))
		from := i + 1
		for k := from; k <= end; k++ {
			if inner := c.closing(k, end); inner >= 0 {
				k = inner
				continue
			}
			if t := c.tokens[k].Type; k == end || t == tokens.Comma || t == tokens.Colon || t == tokens.Assign {
				out.WriteString(c.expression(from, k, true))
				if k < end {
					out.WriteString(c.text(k, k+1))
				}
				from = k + 1
			}
		}
		out.WriteString(c.text(end, end+1))
		i = end
	}
	return out.String()
}

// find returns the first token from lo on that is this name and stands in no bracket, or -1.
func (c *code) find(lo, hi int, name string) int {
	for i := lo; i < hi; i++ {
		if end := c.closing(i, hi); end >= 0 {
			i = end
		} else if c.tokens[i].Type == tokens.Name && c.tokens[i].Val == name {
			return i
		}
	}
	return -1
}

// closing returns the bracket that closes the one at i, or -1 where there is none before hi.
func (c *code) closing(i, hi int) int {
	opens := func(t tokens.Type) bool {
		return t == tokens.LeftParenthesis || t == tokens.LeftBracket || t == tokens.LeftBrace
	}
	if i >= hi || !opens(c.tokens[i].Type) {
		return -1
	}
	depth := 0
	for ; i < hi; i++ {
		switch t := c.tokens[i].Type; {
		case opens(t):
			depth++
		case t == tokens.RightParenthesis || t == tokens.RightBracket || t == tokens.RightBrace:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
