package serve

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// This file answers POST /v1/completions and POST /v1/chat/completions in the form that clients of OpenAI's API of
// these names send and read, so that tools which know that form work with the models here. What a client may ask for
// there and would change the answer, and is not done here, is refused by its name.

// completion is the body of both.
type completion struct {
	Model       string          `json:"model"`
	Prompt      json.RawMessage `json:"prompt"`   // of completions: a text, texts, token IDs, or lists of these
	Messages    []said          `json:"messages"` // of chat completions
	MaxTokens   *int            `json:"max_tokens"`
	MaxNew      *int            `json:"max_completion_tokens"`
	Temperature *float64        `json:"temperature"` // 1 where none is given, as those clients expect
	TopP        *float64        `json:"top_p"`
	N           *int            `json:"n"`
	Stop        json.RawMessage `json:"stop"` // a text or texts
	Seed        *uint64         `json:"seed"`
	Echo        bool            `json:"echo"`
	Stream      bool            `json:"stream"`
	Options     struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
	LogProbs    json.RawMessage `json:"logprobs"`     // how many alternatives, or of a chat whether there are any
	TopLogProbs int             `json:"top_logprobs"` // of a chat: how many alternatives

	rest map[string]json.RawMessage
	chat bool
}

// said is a message whose content is a text, or parts of texts.
type said struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// ignored are settings that change nothing of the answer here.
var ignored = []string{"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
	"parallel_tool_calls"}

// neutral are settings that are not done here, with the values by which they ask for nothing.
var neutral = map[string][]string{
	"best_of": {"1"}, "frequency_penalty": {"0", "0.0"}, "presence_penalty": {"0", "0.0"}, "logit_bias": {"{}"},
	"suffix": {`""`}, "tools": {"[]"}, "tool_choice": {`"none"`, `"auto"`}, "response_format": {`{"type":"text"}`},
	"modalities": {`["text"]`},
}

// readCompletion reads a body, and says what of it cannot be done.
func readCompletion(r io.Reader, isChat bool) (c completion, err error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return c, err
	}
	if err := cmp.Or(strict.Once(b), strict.Decode(b, &c), strict.Decode(b, &c.rest)); err != nil {
		return c, fmt.Errorf("the body is no request: %w", err)
	}
	c.chat = isChat
	for name, value := range c.rest {
		text := strings.ReplaceAll(string(value), " ", "")
		values, asks := neutral[name]
		if completionForms[isChat].Properties[name] == nil || asks && text != "null" && !slices.Contains(values, text) {
			return c, fmt.Errorf("%s is not done here: leave it out", printable.Quoted(name))
		}
	}
	if c.N != nil && (*c.N < 1 || *c.N > 16) {
		return c, fmt.Errorf("n is %d: it is 1 to 16", *c.N)
	}
	if c.Stream && or(valueOf(c.N), 1) != 1 {
		return c, errors.New("a stream is of one text: leave n out, or 1")
	}
	return c, nil
}

func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// texts reads a JSON text or list of texts.
func texts(raw json.RawMessage) (all []string, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	return all, json.Unmarshal(raw, &all)
}

// prompts reads the prompts of a completion, each as its tokens.
func (c completion) prompts(m Model) (all [][]token.ID, err error) {
	if c.chat {
		messages, err := c.messages()
		if err != nil {
			return nil, err
		}
		ids, err := reads(m.Model, "", nil, messages)
		return [][]token.ID{ids}, err
	}
	var ids []token.ID
	if json.Unmarshal(c.Prompt, &ids) == nil && len(ids) > 0 {
		return [][]token.ID{ids}, nil
	}
	if json.Unmarshal(c.Prompt, &all) == nil && len(all) > 0 {
		return all, nil
	}
	written, err := texts(c.Prompt)
	if err != nil || len(written) == 0 {
		return nil, errors.New("there is no prompt: give a text, texts, or token IDs")
	}
	all = nil
	for _, text := range written {
		ids, err := reads(m.Model, text, nil, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, ids)
	}
	return all, nil
}

// messages reads those of a chat.
func (c completion) messages() (all []chat.Message, err error) {
	if len(c.Messages) == 0 {
		return nil, errors.New("there are no messages")
	}
	for i, m := range c.Messages {
		if m.Role == "" {
			return nil, fmt.Errorf("message %d has no role", i+1)
		}
		var parts []struct{ Type, Text string }
		var text string
		if err := json.Unmarshal(m.Content, &text); err != nil || string(m.Content) == "null" {
			if err := json.Unmarshal(m.Content, &parts); err != nil || parts == nil {
				return nil, fmt.Errorf("message %d has no text", i+1)
			}
		}
		for _, p := range parts {
			if p.Type != "text" {
				return nil, fmt.Errorf("message %d has a part of type %s: models here read texts alone", i+1,
					printable.Quoted(p.Type))
			}
			text += p.Text
		}
		all = append(all, chat.Message{Role: m.Role, Content: text})
	}
	return all, nil
}

// settings are how a completion generates.
func (c completion) settings(most int) (g generate.Config, err error) {
	g = generate.Config{Tokens: 16, Temperature: 1, TopP: valueOf(c.TopP), Seed: valueOf(c.Seed)}
	if c.chat {
		g.Tokens = most
	}
	for _, n := range []*int{c.MaxTokens, c.MaxNew} {
		if n != nil {
			g.Tokens = *n
		}
	}
	if c.Temperature != nil {
		g.Temperature = *c.Temperature
	}
	if c.Seed == nil {
		g.Seed = uint64(time.Now().UnixNano())
	}
	if g.Stop, err = texts(c.Stop); err != nil {
		return g, errors.New("stop is neither a text nor texts")
	}
	if g.Tokens > most || g.Tokens < 0 {
		return g, fmt.Errorf("max_tokens is %d: it is at most %d here", g.Tokens, most)
	}
	return g, g.Validate()
}

// top is how many alternatives of each token are wanted; -1: not even the tokens' own log-probabilities.
func (c completion) top() (n int, err error) {
	if len(c.LogProbs) == 0 || string(c.LogProbs) == "null" || string(c.LogProbs) == "false" {
		return -1, nil
	}
	if c.chat {
		n = c.TopLogProbs
		if string(c.LogProbs) != "true" {
			return 0, errors.New("logprobs of a chat is true or false, and top_logprobs a number of alternatives")
		}
	} else if err := json.Unmarshal(c.LogProbs, &n); err != nil {
		return 0, errors.New("logprobs is a number of alternatives")
	}
	if n < 0 || n > mostTop {
		return 0, fmt.Errorf("%d alternatives of each token were asked for: at most %d are told", n, mostTop)
	}
	return n, nil
}

// mostTop is how many alternatives of a token are told at most.
const mostTop = 20

// completes answers both forms.
func (s *Server) completes(isChat bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.complete(w, r, isChat); err != nil {
			writeTheirs(w, refusal(err))
		}
	}
}

// writeTheirs answers with an error in the form that these clients read.
func writeTheirs(w http.ResponseWriter, err error) {
	status := statusOf(err)
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest // which those clients take for a mistake of theirs
	}
	copyHeaders(w, err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(theirs(err))
}

// theirs is an error in that form.
func theirs(err error) (e CompletionError) {
	e.Error.Message, e.Error.Type = bare(err).Error(), "invalid_request_error"
	if statusOf(err) >= 500 {
		e.Error.Type = "server_error"
	}
	return e
}

// complete answers one request, as a whole or as a stream.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, isChat bool) error {
	c, err := readCompletion(r.Body, isChat)
	if err != nil {
		return err
	}
	m, err := s.model(c.Model)
	if err != nil {
		return err
	}
	prompts, err := c.prompts(m)
	if err != nil {
		return err
	}
	settings, err := c.settings(s.config.Limits.Tokens)
	if err != nil {
		return err
	}
	top, err := c.top()
	if err != nil {
		return err
	}
	for _, p := range prompts {
		if err := m.CheckRow(p); err != nil {
			return err
		}
	}
	if c.Stream && len(prompts) > 1 {
		return errors.New("a stream is of one text: give one prompt")
	}
	if c.Stream && top > 0 {
		return errors.New("a stream has the tokens' own log-probabilities alone: ask for no alternatives, or leave stream " +
			"out")
	}
	out := &completing{Server: s, completion: c, model: m, settings: settings, top: top,
		id: strings.ToLower(rand.Text()), created: time.Now().Unix()}
	if c.Stream {
		return out.stream(r.Context(), w, prompts[0])
	}
	return out.whole(r.Context(), w, prompts)
}

// completing is one request that is being answered.
type completing struct {
	*Server
	completion
	model    Model
	settings generate.Config
	top      int
	id       string
	created  int64
}

// text generates one text.
func (c *completing) text(ctx context.Context, ids []token.ID, n int, tell func(GeneratedToken)) (*Generated, error) {
	g := c.settings
	g.Seed += uint64(n)
	if g.Tokens == 0 {
		return &Generated{Ended: "length"}, nil
	}
	return c.generate(ctx, c.model, ids, g, tell)
}
