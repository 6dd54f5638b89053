package serve

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// patchTool is the tool that patches between two tokens, if it is told which.
const patchTool = "patch"

// here is what a model read before token n of its answer.
func (e *entry) here(n int, tokens []GeneratedToken) []token.ID {
	return extended(e.prompt, tokens[:n])
}

func extended(prompt []token.ID, answer []GeneratedToken) []token.ID {
	ids := slices.Clone(prompt)
	for _, t := range answer {
		ids = append(ids, t.ID)
	}
	return ids
}

// there is what an entry is compared with at token n: the text that somebody typed for that, or that from before the
// words were changed, with the same answer up to the token. nil: there is nothing to compare with.
func (e *entry) there(typed string, n int, tokens []GeneratedToken) ([]token.ID, error) {
	if typed == "" {
		if !e.changed() {
			return nil, nil
		}
		return extended(e.before.prompt, tokens[:n]), nil
	}
	prompt, messages := typed, slices.Clone(e.asked.Messages)
	for i, m := range slices.Backward(messages) {
		if m.Role == chat.User {
			prompt, messages[i].Content = "", typed
			break
		}
	}
	ids, err := reads(e.model.Model, prompt, nil, messages)
	if err != nil {
		return nil, fmt.Errorf("the text to compare with: %w", err)
	}
	ids = extended(ids, tokens[:n])
	if err := e.model.CheckRow(ids); err != nil {
		return nil, fmt.Errorf("the text to compare with: %w", err)
	}
	return ids, nil
}

// inside completes an inquiry by a tool that looks inside the model at token n. One that compares two texts is asked
// about both as the tokens that they are, so that the positions are those that the page shows.
func (e *entry) inside(q *inquiry, s whySettings, n int, tokens []GeneratedToken) error {
	if !slices.Contains(comparing, s.Inside) {
		return nil
	}
	other, err := e.there(s.Other, n, tokens)
	if err != nil {
		return err
	}
	if other == nil {
		return fmt.Errorf("the tool %s compares two prompts: type a text to compare with, or ask with other words",
			s.Inside)
	}
	q.Request = lmkit.Request{IDs: e.here(n, tokens), Target: q.Target, Foil: q.Foil, Objective: q.Objective}
	settings := map[string]any{"ids": other}
	if s.Inside == patchTool && s.Here != "" && s.There != "" {
		if settings["positions"], err = s.positions(); err != nil {
			return err
		}
	}
	q.Settings, err = json.Marshal(settings)
	return err
}

// positions are the two between which patches go.
func (s whySettings) positions() (at [2]int, err error) {
	for i, x := range []string{s.Here, s.There} {
		if at[i], err = strconv.Atoi(x); err != nil || at[i] < 0 {
			return at, fmt.Errorf("there is no token %s to patch", printable.Quoted(x))
		}
	}
	return at, nil
}

// half says that one of two tokens was chosen, and the other one was not yet: there is nothing to explain.
func (s whySettings) half() bool { return s.Inside == patchTool && (s.Here == "") != (s.There == "") }

// pairView is two texts, of each of which somebody points at a token.
type pairView struct {
	Says  string
	Texts []pairText
}

// pairText is one of them, as a form whose buttons are its tokens.
type pairText struct {
	Name   string
	Field  string            // what the number of the token is called in a URL
	Hidden map[string]string // the other settings
	Tokens []pairToken
}

type pairToken struct {
	Text string
	On   bool // it is the one that is chosen
}

// pair shows two texts as tokens.
func pair(m Model, s whySettings, here, there []token.ID) *pairView {
	v := &pairView{Says: "Choose a token of each text. What the model holds at the one is then put in place of what it " +
		"holds at the other, a layer and an activation at a time, to see how much of the change comes with it."}
	if s.half() {
		v.Says = "Now choose a token of the other text, too."
	}
	s.Inside, s.Matrix, s.By = patchTool, "", ""
	for _, t := range []struct {
		name, field string
		ids         []token.ID
	}{{"this text", "here", here}, {"the other", "there", there}} {
		text := pairText{Name: t.name, Field: t.field, Hidden: map[string]string{}}
		for name, value := range s.fields() {
			if name != t.field && *value != "" {
				text.Hidden[name] = *value
			}
		}
		for i, id := range t.ids {
			text.Tokens = append(text.Tokens, pairToken{shownToken(m.TokenText(id)), strconv.Itoa(i) == *s.fields()[t.field]})
		}
		v.Texts = append(v.Texts, text)
	}
	return v
}

// shownToken is a token as one can point at it. Bytes inside a character, and line breaks, have no text of their own.
func shownToken(text string) string {
	if clean := printable.Clean(strings.TrimRight(text, "\n")); clean != "" {
		return clean
	}
	return "·"
}
