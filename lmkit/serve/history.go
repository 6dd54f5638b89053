package serve

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// entry is something that was asked on the page: a text or a conversation, what the model went on with, and the
// explanations that were looked at.
type entry struct {
	id       string
	at       time.Time
	model    Model
	asked    Generation // as it was asked
	prompt   []token.ID // that the model read
	settings generate.Config
	before   *entry // the one whose words were changed to this one's; nil: none

	mu sync.Mutex
	written
	seen map[string]*lmkit.Answer
}

// written is how far an entry's answer has come.
type written struct {
	tokens []GeneratedToken
	ended  string // as of Generated; "": it goes on
	err    error
	change chan struct{} // closed, and made anew, when any of these changes
}

// snapshot is how far an entry has come by now. Its tokens are the caller's.
func (e *entry) snapshot() written {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.written
	p.tokens = slices.Clone(p.tokens)
	return p
}

// update changes an entry, and tells who waits for that.
func (e *entry) update(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	close(e.change)
	e.change = make(chan struct{})
}

// changed says whether the words of another entry were changed to this one's, and both were asked of one model.
func (e *entry) changed() bool { return e.before != nil && e.before.model.Name == e.model.Name }

// said is what a person wrote, the last message of a conversation.
func (e *entry) said() string {
	for _, m := range slices.Backward(e.asked.Messages) {
		if m.Role == chat.User {
			return m.Content
		}
	}
	return e.asked.Prompt
}

// request asks why the model went on with token n, or would with the next one where there is no token n yet.
func (e *entry) request(n int, tokens []GeneratedToken) lmkit.Request {
	r := lmkit.Request{}
	if n < len(tokens) {
		r.Target = fmt.Sprintf("#%d", tokens[n].ID)
	}
	if e.asked.Messages == nil {
		r.IDs = slices.Clone(e.prompt)
		for _, t := range tokens[:n] {
			r.IDs = append(r.IDs, t.ID)
		}
		return r
	}
	r.Messages = slices.Clone(e.asked.Messages)
	var said strings.Builder
	for _, t := range tokens[:n] {
		said.WriteString(t.Text)
	}
	if said.Len() > 0 {
		r.Messages = append(r.Messages, chat.Message{Role: chat.Assistant, Content: said.String()})
	}
	return r
}

// history keeps the newest entries.
type history struct {
	mu   sync.Mutex
	most int
	all  []*entry // oldest first
}

// add keeps a new entry under a name that nobody can guess.
func (h *history) add(e *entry) {
	e.id, e.at = strings.ToLower(rand.Text()[:16]), time.Now()
	e.change, e.seen = make(chan struct{}), map[string]*lmkit.Answer{}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, e)
	if len(h.all) > h.most {
		h.all = slices.Delete(h.all, 0, len(h.all)-h.most)
	}
}

func (h *history) find(id string) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.IndexFunc(h.all, func(e *entry) bool { return e.id == id }); i >= 0 {
		return h.all[i]
	}
	return nil
}

// newest are the entries, the newest first.
func (h *history) newest() []*entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.all)
	slices.Reverse(all)
	return all
}
