// Package chat writes a conversation as the text that a model was trained on, by the model's own chat template, and
// knows which parts of that text a person wrote.
package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"lmkit.internal/lmkit/token"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // System, User or Assistant; what else a model knows is its template's affair
	Content string `json:"content"`
}

// The roles that templates know.
const (
	System    = "system"    // what the model is told before the conversation
	User      = "user"      // what a person says
	Assistant = "assistant" // what the model says
)

// Settings are what a template may ask for beside the messages.
type Settings struct {
	BOS, EOS string    // the texts of the tokens that begin and end a text; "": the model has none
	Date     time.Time // today, to the template; the zero value: the day of rendering
}

// Rendering is a conversation as a model reads it.
type Rendering struct {
	Text  string
	Parts []Part // what the messages say there, in the order of the text
}

// Part is a stretch of a rendering that repeats what a message says, without white space at its ends. Everything
// outside the parts was written by the template.
type Part struct {
	Message int // the message's place in the conversation
	Role    string
	Span    token.Span // of the text, in bytes
}

// Conversation is a rendering as tokens. What the template wrote is held; a token that a part shares is not.
type Conversation struct {
	token.Encoding
	Parts []Part
}

// Render writes a conversation as text. With reply set, the text ends where the model's answer begins. It fails where
// the template refuses the conversation, as many do when roles do not alternate.
func (t *Template) Render(messages []Message, reply bool) (Rendering, error) {
	if len(messages) == 0 {
		return Rendering{}, errors.New("a conversation has at least one message")
	}
	marks, err := marksFor(messages)
	if err != nil {
		return Rendering{}, err
	}
	text, err := t.execute(messages, reply)
	if err != nil {
		return Rendering{}, err
	}
	marked := make([]Message, len(messages))
	for i, m := range messages {
		marked[i] = Message{m.Role, marks.around(i, m.Content)}
	}
	with, err := t.execute(marked, reply)
	if err != nil {
		return Rendering{}, err
	}
	r := Rendering{Text: text}
	var plain string
	plain, r.Parts = marks.read(with, messages)
	if plain != text {
		return Rendering{}, errors.New("the chat template changes what a message says: what was written cannot be told " +
			"from what the template wrote: give the text as a prompt")
	}
	return r, nil
}

// Encode renders a conversation and reads it as tokens. Special tokens come from the template alone: what looks like
// one in a message is text. With reply set, the text ends where the model's answer begins; or, where the last message
// is the model's, where that answer goes on, so that the next token is its own.
func (t *Template) Encode(tok token.Tokenizer, messages []Message, reply bool) (Conversation, error) {
	begun := ""
	if last := len(messages) - 1; reply && last >= 0 && messages[last].Role == Assistant {
		if last == 0 {
			return Conversation{}, errors.New("the conversation is nothing but the model's answer: " +
				"put the message before it that it answers")
		}
		messages, begun = messages[:last], messages[last].Content
	}
	r, err := t.Render(messages, reply)
	if err != nil {
		return Conversation{}, err
	}
	if begun != "" {
		start := len(r.Text)
		r.Text += begun
		r.Parts = append(r.Parts, Part{len(messages), Assistant, token.Span{Start: start, End: len(r.Text)}})
	}
	o := token.Options{Special: true, Bare: true}
	for _, p := range r.Parts {
		o.Written = append(o.Written, p.Span)
	}
	e, err := token.EncodeWith(tok, r.Text, o)
	if err != nil {
		return Conversation{}, err
	}
	c := Conversation{Encoding: e, Parts: r.Parts}
	c.Held = make([]bool, len(e.IDs))
	for i := range c.Held {
		c.Held[i] = c.part(i) < 0
	}
	return c, nil
}

// Role is whose words token i holds; "" where the template wrote it.
func (c Conversation) Role(i int) string {
	if k := c.part(i); k >= 0 {
		return c.Parts[k].Role
	}
	return ""
}

// part is the first part that token i holds something of; -1: none.
func (c Conversation) part(i int) int {
	s := c.Spans[i]
	return slices.IndexFunc(c.Parts, func(p Part) bool {
		w := p.Span
		return s.Start < w.End && w.Start < s.End || s.Start == s.End && w.Start < s.Start && s.Start <= w.End
	})
}

// marks are characters that no message holds, two for each message: a template copies them with what is between.
type marks rune

// marksFor finds characters for marks in one of the planes that are for private use.
func marksFor(messages []Message) (marks, error) {
	if len(messages) > 30_000 {
		return 0, fmt.Errorf("a conversation of %d messages: there can be 30,000", len(messages))
	}
	for _, m := range []marks{0xF0000, 0x100000} {
		used := func(r rune) bool { _, _, ok := m.of(r, len(messages)); return ok }
		free := true
		for _, message := range messages {
			free = free && strings.IndexFunc(message.Content, used) < 0
		}
		if free {
			return m, nil
		}
	}
	return 0, errors.New("the messages hold characters of both planes for private use, and lmkit needs one: remove them")
}

// around returns a message's text with marks around it, within the white space at its ends, which templates cut off.
func (m marks) around(i int, content string) string {
	core := strings.TrimFunc(content, isSpace)
	if core == "" {
		return content
	}
	before, after, _ := strings.Cut(content, core)
	return before + string(rune(m)+rune(2*i)) + core + string(rune(m)+rune(2*i)+1) + after
}

// of returns which of n messages a mark belongs to, and whether it is the one at its end.
func (m marks) of(r rune, n int) (message int, end, ok bool) {
	at := int(r) - int(m)
	return at / 2, at%2 == 1, 0 <= at && at < 2*n
}

// read takes the marks out of a text, and finds the parts between them. Where a template kept only one end of what a
// message says, the part is as long as text and message agree.
func (m marks) read(marked string, messages []Message) (string, []Part) {
	var text strings.Builder
	var parts []Part
	open := map[int]bool{} // the last part of this message has no end yet
	for _, r := range marked {
		i, end, ok := m.of(r, len(messages))
		at := text.Len()
		switch {
		case !ok:
			text.WriteRune(r)
		case !end:
			parts = append(parts, Part{i, messages[i].Role, token.Span{Start: at, End: -1}})
			open[i] = true
		case open[i]:
			for k := range parts {
				if p := &parts[len(parts)-1-k]; p.Message == i {
					p.Span.End = at
					break
				}
			}
			open[i] = false
		default: // the start was cut off
			core := strings.TrimFunc(messages[i].Content, isSpace)
			n := commonSuffix(text.String(), core)
			parts = append(parts, Part{i, messages[i].Role, token.Span{Start: at - n, End: at}})
		}
	}
	for k := range parts {
		p := &parts[k]
		if p.Span.End < 0 { // the end was cut off
			core := strings.TrimFunc(messages[p.Message].Content, isSpace)
			p.Span.End = p.Span.Start + commonPrefix(text.String()[p.Span.Start:], core)
		}
	}
	return text.String(), parts
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// isSpace is what templates, being Python's, take for white space.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F }
