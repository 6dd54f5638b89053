package serve

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/token/chat"
)

// The Python package that most clients of this form stand on reads what the server answers.
func TestOpenAIClient(t *testing.T) {
	python := os.Getenv("LMKIT_OPENAI_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import openai").CombinedOutput(); err != nil {
		t.Skipf("%s has no package openai: pip install openai==3.57.0, and name that Python in LMKIT_OPENAI_PYTHON, to "+
			"test the server with it: %.200s", python, out)
	}
	s := server(t, Config{Token: "sesame"})
	l := httptest.NewServer(s)
	defer l.Close()
	cmd := exec.Command(python, "testdata/client.py", l.URL+"/v1", "sesame")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Model, Text, Chat, Stream, Finish, Refused, Stranger string
		LogProbs                                             []float64
		Top                                                  []int
		Used                                                 int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	m := s.config.Models[0]
	c := generate.Config{Tokens: 5}
	said := []chat.Message{{Role: chat.User, Content: "what is"}}
	for _, x := range []struct {
		what, got string
		prompt    string
		messages  []chat.Message
	}{{"completion", got.Text, "what is", nil}, {"chat", got.Chat, "", said}, {"stream", got.Stream, "", said}} {
		ids, err := reads(m.Model, x.prompt, nil, x.messages)
		if err != nil {
			t.Fatal(err)
		}
		want, err := generate.Text(t.Context(), m.Model, ids, c)
		if err != nil || x.got != want {
			t.Errorf("%s: %q, want %q (%v)", x.what, x.got, want, err)
		}
	}
	if got.Model != m.Name || len(got.LogProbs) != 5 || !reflect.DeepEqual(got.Top, []int{2, 2, 2, 2, 2}) ||
		got.Used != 5 || got.Finish != "length" || got.Stranger != "401" ||
		!strings.Contains(got.Refused, "presence_penalty") {
		t.Errorf("%s", out)
	}
}

// Who breaks the loop over a text ends the work for it, which would go on for hours; and the next text comes as ever.
func TestClientStopsListening(t *testing.T) {
	s := server(t, Config{Limits: Limits{Tokens: 1 << 24, Running: 1}})
	l := httptest.NewServer(s)
	defer l.Close()
	c := Client{Address: l.URL}
	for _, most := range []int{1, 3} {
		heard := 0
		for _, err := range c.Generate(t.Context(), Generation{Model: "lstm", Prompt: "what is", Tokens: 1 << 23}) {
			if err != nil {
				t.Fatal(err)
			}
			if heard++; heard == most {
				break
			}
		}
		idle(s)
	}
	want, err := generate.Text(t.Context(), s.config.Models[1].Model, "what is", generate.Config{Tokens: 5})
	got := ""
	for x, e := range c.Generate(t.Context(), Generation{Model: "lstm", Prompt: "what is", Tokens: 5}) {
		got += x.Text
		err = errors.Join(err, e)
	}
	if err != nil || got != want {
		t.Errorf("%q, want %q (%v)", got, want, err)
	}
}
