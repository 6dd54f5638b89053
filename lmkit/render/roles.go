package render

import (
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
)

// In a conversation every token is of a message, whose role says whose words these are, or of the model's chat
// template. Pictures set the two apart: what the template wrote has no scores.

// turn is a stretch of the input's tokens, from From to before To, all of one role.
type turn struct {
	Role     string // "" where the input is no conversation
	Template bool   // the chat template wrote it
	From, To int
}

// templateName stands where a role does, for what the chat template wrote.
const templateName = "template"

// widestRole is how many columns a role may have.
const widestRole = 12

// turns cuts the input where the role changes. An input that is no conversation is one turn.
func turns(a *explain.Attribution) []turn {
	var out []turn
	talk := false
	for i, t := range a.Tokens {
		talk = talk || t.Role != ""
		if len(out) == 0 || t.Role != a.Tokens[i-1].Role {
			role := printable.Shorten(printable.Line(t.Role), widestRole)
			out = append(out, turn{Role: role, Template: t.Role == "", From: i})
		}
		out[len(out)-1].To = i + 1
	}
	if !talk {
		return []turn{{To: len(a.Tokens)}}
	}
	for i := range out {
		if out[i].Template {
			out[i].Role = templateName
		}
	}
	return out
}

// roleColumns is how many columns the longest role of some turns has.
func roleColumns(of []turn) (wide int) {
	for _, r := range of {
		wide = max(wide, printable.Columns(r.Role))
	}
	return wide
}

// roleOf is whose words a feature is, in brackets, where the features are of more than one role; otherwise nothing.
func roleOf(a *explain.Attribution, f int) string {
	role := func(f int) string {
		if tokens := a.Features[f].Tokens; len(tokens) > 0 {
			return a.Tokens[tokens[0]].Role
		}
		return ""
	}
	for other := range a.Features {
		if role(other) != role(f) && role(f) != "" {
			return " (" + printable.Shorten(printable.Line(role(f)), widestRole) + ")"
		}
	}
	return ""
}
