package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// Generation asks a model to go on from a prompt, token IDs or messages.
type Generation struct {
	Model       string         `json:"model,omitempty" doc:"which model; the first one if none is named"`
	Prompt      string         `json:"prompt,omitempty" doc:"the text to go on from"`
	IDs         []token.ID     `json:"ids,omitempty" doc:"or: its tokens"`
	Messages    []chat.Message `json:"messages,omitempty" doc:"or: a conversation, by the model's own chat template"`
	Tokens      int            `json:"tokens,omitempty" minimum:"0" doc:"at most so many; 0: 100"`
	Temperature float64        `json:"temperature,omitempty" minimum:"0" doc:"0: always the likeliest token"`
	TopK        int            `json:"top_k,omitempty" minimum:"0" doc:"choose among so many tokens; 0: all"`
	TopP        float64        `json:"top_p,omitempty" minimum:"0" maximum:"1" doc:"or the fewest with this share"`
	Stop        []string       `json:"stop,omitempty" doc:"end before the first of these texts"`
	Seed        uint64         `json:"seed,omitempty" doc:"of the random choices"`
	PastEnd     bool           `json:"past_end,omitempty" doc:"go on after the model's end-of-text token"`
}

// Generated is a text that a model went on with.
type Generated struct {
	Text   string           `json:"text"`
	Tokens []GeneratedToken `json:"tokens"`
	// Ended says why there is no more: end is the model's own end, length the number of tokens asked for, and stop a
	// stop text.
	Ended string `json:"ended" enum:"end,length,stop"`
}

// GeneratedToken is one token of a text.
type GeneratedToken struct {
	ID      token.ID `json:"id"`
	Text    string   `json:"text" doc:"what it adds to the text; empty inside a character"`
	LogProb float64  `json:"logprob" doc:"nats, by the model, before temperature and filters"`
}

type generation struct {
	Accept string `header:"Accept" doc:"text/event-stream for each token as it comes"`
	Body   Generation
}

func (s *Server) generating(api huma.API) {
	o := s.operation("generate", http.MethodPost, "/v1/generate", "Go on from a text")
	o.Responses = streams(api.OpenAPI().Components.Schemas, reflect.TypeFor[Generated](), map[string]reflect.Type{
		"token": reflect.TypeFor[GeneratedToken](), "result": reflect.TypeFor[Generated]()})
	huma.Register(api, o, func(_ context.Context, in *generation) (*huma.StreamResponse, error) {
		m, err := s.model(in.Body.Model)
		if err != nil {
			return nil, err
		}
		ids, c, err := s.begin(m, in.Body)
		if err != nil {
			return nil, refusal(err)
		}
		return s.answer(in.Accept, func(ctx context.Context, tell send) (any, error) {
			return s.generate(ctx, m, ids, c, func(t GeneratedToken) { tell("token", t) })
		}), nil
	})
	describeBody(api, o, reflect.TypeFor[Generation](), Generation{Prompt: "The capital of France is", Tokens: 5})
}

// begin reads what a generation goes on from, and how.
func (s *Server) begin(m Model, g Generation) (ids []token.ID, c generate.Config, err error) {
	most := s.config.Limits.Tokens
	c = generate.Config{Tokens: or(g.Tokens, min(100, most)), Temperature: g.Temperature, TopK: g.TopK,
		TopP: g.TopP, Stop: g.Stop, Seed: g.Seed, PastEnd: g.PastEnd}
	if err := c.Validate(); err != nil {
		return nil, c, err
	}
	if c.Tokens > most {
		return nil, c, fmt.Errorf("%d tokens are more than the %d that one request may generate here", c.Tokens, most)
	}
	ids, err = reads(m.Model, g.Prompt, g.IDs, g.Messages)
	if err != nil {
		return nil, c, err
	}
	return ids, c, m.CheckRow(ids)
}

// reads returns the tokens of a prompt, of token IDs, or of a conversation, whichever is given.
func reads(m *lm.Model, prompt string, ids []token.ID, messages []chat.Message) ([]token.ID, error) {
	given := 0
	for _, is := range []bool{prompt != "", ids != nil, messages != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, errors.New("give one of prompt, ids and messages")
	case ids != nil:
		return ids, nil
	case m.Tokenizer() == nil:
		return nil, fmt.Errorf("%w: give ids", m.CheckText())
	case messages != nil:
		t, err := m.Chat()
		if err != nil {
			return nil, err
		}
		c, err := t.Encode(m.Tokenizer(), messages, true)
		return c.IDs, err
	}
	e, err := m.Tokenizer().Encode(prompt)
	return e.IDs, err
}

// generate goes on from tokens when its turn has come, and tells of each token as it comes.
func (s *Server) generate(
	ctx context.Context, m Model, ids []token.ID, c generate.Config, tell func(GeneratedToken),
) (*Generated, error) {
	s.asks(m, "generate", ids)
	out := &Generated{Tokens: []GeneratedToken{}, Ended: "length"}
	err := s.work(ctx, func(ctx context.Context) error {
		for t, err := range generate.Stream(ctx, m.Model, ids, c) {
			if err != nil {
				return err
			}
			out.Text += t.Text
			if t.End {
				out.Ended = "end"
				break
			}
			g := GeneratedToken{ID: t.ID, Text: t.Text, LogProb: t.LogProb}
			out.Tokens = append(out.Tokens, g)
			tell(g)
		}
		return ctx.Err()
	})
	s.count.tokens(len(out.Tokens))
	if err == nil && out.Ended != "end" && len(out.Tokens) < c.Tokens {
		out.Ended = "stop"
	}
	return out, err
}
