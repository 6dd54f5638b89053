package serve

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"

	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// A completion is the library's text, with its log-probabilities; of greedy choices each token is the likeliest.
func TestCompletions(t *testing.T) {
	s := server(t, Config{})
	for _, m := range s.config.Models {
		ids, err := reads(m.Model, "what is", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := generate.Text(t.Context(), m.Model, ids, generate.Config{Tokens: 5})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Choices []struct {
				Text     string
				Finish   string `json:"finish_reason"`
				LogProbs struct {
					Tokens  []string
					Probs   []float64            `json:"token_logprobs"`
					Top     []map[string]float64 `json:"top_logprobs"`
					Offsets []int                `json:"text_offset"`
				}
			}
			Usage Usage
		}
		res, body := ask(s, "POST", "/v1/completions", `{"model": "`+m.Name+`", "prompt": ["what is", "what is"],
			"max_tokens": 5, "temperature": 0, "logprobs": 3, "user": "me", "frequency_penalty": 0}`)
		if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 || len(got.Choices) != 2 {
			t.Fatalf("%v: %d %s", err, res.StatusCode, body)
		}
		for _, c := range got.Choices {
			if c.Text != want || c.Finish != "length" || len(c.LogProbs.Tokens) != 5 || len(c.LogProbs.Top[4]) != 3 {
				t.Errorf("%s: %+v, want %q", m.Name, c, want)
			}
			for i, name := range c.LogProbs.Tokens {
				if p := c.LogProbs.Top[i][name]; math.Abs(p-c.LogProbs.Probs[i]) > 1e-4 {
					t.Errorf("%s: the token %q has %g while it is written, and %g when it is read again", m.Name, name,
						c.LogProbs.Probs[i], p)
				}
			}
		}
		if got.Usage != (Usage{2 * len(ids), 10, 2*len(ids) + 10}) {
			t.Errorf("%s: usage %+v", m.Name, got.Usage)
		}
	}
}

// A chat as a stream says what it says as a whole, in pieces.
func TestChatCompletions(t *testing.T) {
	s := server(t, Config{})
	const asked = `{"messages": [{"role": "user", "content": [{"type": "text", "text": "what is"}]}], "max_tokens": 6,
		"temperature": 0.7, "seed": 4, "logprobs": true, "stream": `
	res, body := ask(s, "POST", "/v1/chat/completions", asked+`false, "top_logprobs": 2}`)
	var whole struct {
		Object  string
		Choices []struct {
			Message  struct{ Role, Content string }
			LogProbs struct {
				Content []struct {
					Token   string
					LogProb float64
					Top     []struct{ Token string } `json:"top_logprobs"`
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &whole); err != nil || res.StatusCode != 200 || len(whole.Choices) != 1 ||
		whole.Object != "chat.completion" || len(whole.Choices[0].LogProbs.Content[0].Top) != 2 {
		t.Fatalf("%v: %d %s", err, res.StatusCode, body)
	}
	_, body = ask(s, "POST", "/v1/chat/completions", asked+`true, "stream_options": {"include_usage": true}}`)
	var text strings.Builder
	finish, used, probs := "", 0, []float64(nil)
	lines := strings.Split(strings.TrimSpace(body), "\n\n")
	for _, line := range lines[:len(lines)-1] {
		var piece struct {
			Object  string
			Choices []struct {
				Delta    struct{ Role, Content string }
				Finish   string `json:"finish_reason"`
				LogProbs struct{ Content []struct{ LogProb float64 } }
			}
			Usage Usage
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &piece); err != nil ||
			piece.Object != "chat.completion.chunk" {
			t.Fatalf("%v: %s", err, line)
		}
		used += piece.Usage.Completion
		for _, c := range piece.Choices {
			text.WriteString(c.Delta.Content)
			finish += c.Finish
			for _, p := range c.LogProbs.Content {
				probs = append(probs, p.LogProb)
			}
		}
	}
	for i, p := range whole.Choices[0].LogProbs.Content {
		if len(probs) != 6 || probs[i] != p.LogProb {
			t.Errorf("log-probabilities %v as a stream, and as a whole %+v", probs, whole.Choices[0].LogProbs.Content)
			break
		}
	}
	if text.String() != whole.Choices[0].Message.Content || finish != "length" || lines[len(lines)-1] != "data: [DONE]" ||
		used != 6 {
		t.Errorf("%q, finish %q, %d tokens, want %q:\n%s", text.String(), finish, used,
			whole.Choices[0].Message.Content, body)
	}
}

// What a client asks for and is not done here is refused by its name, in the form that those clients read.
func TestCompletionsRefuse(t *testing.T) {
	s := server(t, Config{})
	for _, x := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"completions", `{"prompt": "a", "logit_bias": {"1": 2}}`, 400, "logit_bias"},
		{"completions", `{"prompt": "a", "frequency_penalty": 0.5}`, 400, "frequency_penalty"},
		{"completions", `{"prompt": "a", "new_thing": 1}`, 400, "new_thing"},
		{"completions", `{"max_tokens": 3}`, 400, "no prompt"},
		{"completions", `{"prompt": "a", "max_tokens": 99999}`, 400, "max_tokens"},
		{"completions", `{"prompt": "a", "n": 0}`, 400, "n is 0"},
		{"completions", `{"prompt": [1, 99999]}`, 400, "outside the vocabulary"},
		{"completions", `{"model": "x", "prompt": "a"}`, 404, "no model"},
		{"completions", `{"prompt": ["a", "b"], "stream": true}`, 400, "one prompt"},
		{"completions", `{"prompt": "a", "logprobs": 21}`, 400, "at most 20"},
		{"completions", `{"prompt": "a", "logprobs": 2, "stream": true}`, 400, "leave stream out"},
		{"completions", `{"prompt": "a", "messages": []}`, 400, "messages"},
		{"completions", `{`, 400, "no request"},
		{"chat/completions", `{"messages": []}`, 400, "no messages"},
		{"chat/completions", `{"messages": [{"content": "a"}]}`, 400, "no role"},
		{"chat/completions", `{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`, 400, "image_url"},
		{"chat/completions", `{"messages": [{"role": "user", "content": "a"}], "tools": [{}]}`, 400, "tools"},
		{"chat/completions", `{"model": "lstm", "messages": [{"role": "user", "content": "a"}]}`, 400, "template"},
	} {
		res, body := ask(s, http.MethodPost, "/v1/"+x.path, x.body)
		var e struct {
			Error struct{ Message, Type string }
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil || res.StatusCode != x.status ||
			!strings.Contains(e.Error.Message, x.says) || e.Error.Type == "" {
			t.Errorf("%s: %d %s (%v), want %d %q", x.body, res.StatusCode, body, err, x.status, x.says)
		}
	}
}

// The likeliest tokens are those of the whole distribution, the first of equal ones before the others.
func TestLargest(t *testing.T) {
	got := largest([]float32{-3, -1, -2, -1, float32(math.Inf(-1))}, 3)
	want := []token.ID{1, 3, 2}
	for i, l := range got {
		if len(got) != 3 || l.ID != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	var s Server
	if all, err := s.tops(t.Context(), Model{"", (*lm.Model)(nil)}, nil, nil, 3); err != nil || len(all) != 0 {
		t.Errorf("of no tokens: %v, %v", all, err)
	}
}
