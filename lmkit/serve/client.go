package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// Client asks a server that runs somewhere, in place of a model in this program. What it returns is what the library
// would return here, to the bit. It is safe for any number of requests at a time.
type Client struct {
	Address string // of the server, as it says when it starts: http://127.0.0.1:8017
	Token   string // that the server asks for; "": none
	HTTP    *http.Client
}

// Validate says what is wrong with where the server is said to be.
func (c Client) Validate() error {
	u, err := url.Parse(c.Address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%s is no address of a server: it is such as http://127.0.0.1:8017", printable.Quoted(c.Address))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("an address is http://HOST:PORT alone, without what is secret: the server's token belongs " +
			"in the variable LMKIT_TOKEN")
	}
	return nil
}

// Explain asks a model of the server; "" is its first one. The context's [progress.Func] hears how far the server is.
func (c Client) Explain(ctx context.Context, model string, r lmkit.Request) (*lmkit.Answer, error) {
	return asked[lmkit.Answer](ctx, c, "/v1/explain"+query(url.Values{"model": {model}}), r)
}

// Inspect looks inside a model of the server by a tool, such as lens, with the settings of its struct in package
// inspect, or [Probing] or [DictionaryOf]. A tool that is about no one text takes the zero request.
func (c Client) Inspect(
	ctx context.Context, model string, r lmkit.Request, tool string, settings any,
) (*lmkit.Answer, error) {
	return asked[lmkit.Answer](ctx, c, "/v1/inspect/"+url.PathEscape(tool), struct {
		Model    string        `json:"model,omitempty"`
		Request  lmkit.Request `json:"request,omitzero"`
		Settings any           `json:"settings,omitempty"`
	}{model, r, settings})
}

// Score asks how likely a model of the server finds texts.
func (c Client) Score(ctx context.Context, model string, texts []lm.Passage) ([]lm.Score, error) {
	out, err := asked[Scores](ctx, c, "/v1/score", Texts{model, texts})
	if err == nil && len(out.Scores) != len(texts) {
		err = fmt.Errorf("the server %s scored %d of %d texts", c.Address, len(out.Scores), len(texts))
	}
	if err != nil {
		return nil, err
	}
	return out.Scores, nil
}

// Generate lets a model of the server go on from a text, as [generate.Stream] does here: the tokens come as they are
// made, and breaking the loop ends the generation.
func (c Client) Generate(ctx context.Context, g Generation) iter.Seq2[generate.Token, error] {
	return func(yield func(generate.Token, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		all, said, listens := new(Generated), 0, true
		err := c.ask(ctx, "/v1/generate", g, all, func(t GeneratedToken) {
			said += len(t.Text)
			if listens && !yield(generate.Token{ID: t.ID, Text: t.Text, LogProb: t.LogProb}, nil) {
				listens = false
				stop()
			}
		})
		switch {
		case !listens:
		case err != nil:
			yield(generate.Token{}, err)
		case all.Ended == "end":
			yield(generate.Token{Text: all.Text[min(said, len(all.Text)):], End: true}, nil)
		}
	}
}

// asked is the answer to a question.
func asked[T any](ctx context.Context, c Client, path string, question any) (*T, error) {
	answer := new(T)
	if err := c.ask(ctx, path, question, answer, nil); err != nil {
		return nil, err
	}
	return answer, nil
}

// ask sends a question, tells of the progress and of tokens, and reads the answer.
func (c Client) ask(
	ctx context.Context, path string, question, answer any, token func(GeneratedToken),
) error {
	if err := c.Validate(); err != nil {
		return err
	}
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.Address, "/")+path,
		bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream, application/json")
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := or(c.HTTP, http.DefaultClient).Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err
		}
		return fmt.Errorf("the server %s does not answer: %w; lmkit serve starts one", c.Address, err)
	}
	defer res.Body.Close()
	err = c.read(res, hearing{progress.From(ctx), token}, answer)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// read reads an answer, which is one JSON object or comes after events.
func (c Client) read(res *http.Response, hears hearing, answer any) error {
	switch kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); {
	case kind == "text/event-stream" && res.StatusCode == http.StatusOK:
		return c.events(res.Body, hears, answer)
	case kind == "application/problem+json":
		return c.problem(json.NewDecoder(io.LimitReader(res.Body, mostOfProblem)))
	case kind != "application/json" || res.StatusCode != http.StatusOK:
		return fmt.Errorf("what answers at %s is no server of lmkit: it says %s", c.Address, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(answer); err != nil {
		return c.broken(err)
	}
	return nil
}

// hearing is who hears of what comes before an answer.
type hearing struct {
	progress progress.Func
	token    func(GeneratedToken) // nil: nobody
}

// mostOfProblem is how many bytes of a problem are read.
const mostOfProblem = 1 << 20

// events reads events up to the last one, which is the answer or a problem.
func (c Client) events(from io.Reader, hears hearing, answer any) error {
	lines, event := bufio.NewReader(from), ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return c.broken(err)
		}
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		if name == "event" {
			event = value
		}
		if name != "data" {
			continue
		}
		data := json.NewDecoder(strings.NewReader(value))
		switch event {
		case "progress":
			var p Progress
			if err := data.Decode(&p); err != nil {
				return c.broken(err)
			}
			hears.progress.Tell(p)
		case "token":
			var t GeneratedToken
			if err := data.Decode(&t); err != nil {
				return c.broken(err)
			}
			if hears.token != nil {
				hears.token(t)
			}
		case "error":
			return c.problem(data)
		case "result":
			if err := data.Decode(answer); err != nil {
				return c.broken(err)
			}
			return nil
		}
	}
}

// problem is the error that a server tells of, in the words that the library has for it.
func (c Client) problem(from *json.Decoder) error {
	var p struct {
		Status int
		Detail string
		Errors []struct{ Location, Message string }
	}
	if err := from.Decode(&p); err != nil {
		return c.broken(err)
	}
	if p.Status == http.StatusUnauthorized {
		return fmt.Errorf("the server %s asks for its token: give it in the variable LMKIT_TOKEN", c.Address)
	}
	said := []string{}
	for _, e := range p.Errors {
		said = append(said, e.Message)
	}
	if len(said) == 0 {
		said = []string{p.Detail}
	}
	return errors.New(strings.Join(said, "; "))
}

func (c Client) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the answer of the server %s ends or is none: %w; its log (lmkit serve --log) may say why",
		c.Address, strict.Plain(err))
}
