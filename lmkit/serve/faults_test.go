package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/progress"
)

// idle waits until nothing runs and nobody waits.
func idle(s *Server) {
	for len(s.queue.turns) > 0 || s.queue.waiting.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// When a client goes away in the middle of an answer, its work ends, and the next client is answered as ever. Each of
// these questions would take hours.
func TestClientGone(t *testing.T) {
	s := server(t, Config{Limits: Limits{Tokens: 1 << 24, Running: 1}})
	l := httptest.NewServer(s)
	defer l.Close()
	long := strings.Repeat("what is the capital of France? ", 3)
	for _, x := range []struct{ path, body, until string }{
		{"/v1/generate", `{"model": "lstm", "prompt": "what is", "tokens": 10000000}`, "event: token"},
		{"/v1/completions", `{"model": "lstm", "prompt": "what is", "max_tokens": 10000000, "temperature": 0,
			"stream": true}`, "data: "},
		{"/v1/explain", `{"prompt": "` + long + `", "methods": ["shapley"], "settings": {"budget": 4000000}}`,
			"event: progress"},
	} {
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL+x.path, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "text/event-stream")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), x.until) {
		}
		if lines.Err() != nil || len(s.queue.turns) != 1 {
			t.Errorf("%s: %v, %d run", x.path, lines.Err(), len(s.queue.turns))
		}
		leave()
		_ = res.Body.Close()
		idle(s)
		if res, got := ask(s, "POST", "/v1/score", `{"texts": [{"text": "it is"}]}`); res.StatusCode != 200 {
			t.Errorf("after %s: %d %s", x.path, res.StatusCode, got)
		}
	}
}

// everything is a question to each route that asks a model.
var everything = map[string]string{
	"/v1/score":            `{"texts": [{"text": "TEXT"}]}`,
	"/v1/generate":         `{"prompt": "TEXT", "tokens": 2}`,
	"/v1/explain":          `{"prompt": "TEXT", "methods": ["occlusion"]}`,
	"/v1/inspect/lens":     `{"request": {"prompt": "TEXT"}}`,
	"/v1/completions":      `{"prompt": "TEXT", "max_tokens": 2, "logprobs": 1}`,
	"/v1/chat/completions": `{"messages": [{"role": "user", "content": "TEXT"}], "max_tokens": 2}`,
}

// Of a model that was closed nothing can be asked, and the answer says so; the other model answers.
func TestModelClosed(t *testing.T) {
	s := server(t, Config{})
	s.config.Models[0].Close()
	for path, body := range everything {
		res, got := ask(s, "POST", path, strings.ReplaceAll(body, "TEXT", "what is"))
		if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got, "closed") {
			t.Errorf("%s: %d %s", path, res.StatusCode, got)
		}
	}
	if res, got := ask(s, "POST", "/v1/score", `{"model": "lstm", "texts": [{"text": "it is"}]}`); res.StatusCode != 200 {
		t.Errorf("the other model: %d %s", res.StatusCode, got)
	}
}

// With little memory the same is computed in smaller pieces, whatever a client says that it may take.
func TestMemory(t *testing.T) {
	all := models(t)
	r := lmkit.Request{Prompt: "the capital of France", Methods: []string{"occlusion"}}
	want, err := r.Answer(t.Context(), all[0].Model)
	if err != nil {
		t.Fatal(err)
	}
	for _, memory := range []int64{1, 1 << 14, 1 << 20} {
		s := server(t, Config{Models: all, Limits: Limits{Memory: memory}})
		for _, r.Memory = range []int64{0, 1 << 40} {
			body, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			res, got := ask(s, "POST", "/v1/explain", string(body))
			sameAs(t, fmt.Sprintf("in %d bytes", memory), res, got, want)
		}
	}
}

// A prompt of a megabyte is refused in a sentence by a model that cannot read as much, and takes one that can no longer
// than a request may.
func TestLongPrompt(t *testing.T) {
	s := server(t, Config{Limits: Limits{Time: time.Nanosecond}})
	long := strings.Repeat("what is the capital of ", 1<<20/23)
	for path, body := range everything {
		res, got := ask(s, "POST", path, strings.ReplaceAll(body, "TEXT", long))
		status, says := http.StatusUnprocessableEntity, "the 200 that the model can read"
		switch {
		case path == "/v1/score": // which reads a long text in parts
			status, says = http.StatusGatewayTimeout, "1ns"
		case strings.HasSuffix(path, "completions"):
			status = http.StatusBadRequest
		}
		if res.StatusCode != status || !strings.Contains(got, says) || len(got) > 1000 {
			t.Errorf("%s: %d %.300s", path, res.StatusCode, got)
		}
	}
	for _, path := range []string{"/v1/score", "/v1/generate", "/v1/inspect/lens"} {
		body := strings.Replace(everything[path], "{", `{"model": "lstm", `, 1)
		res, got := ask(s, "POST", path, strings.ReplaceAll(body, "TEXT", long))
		if res.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("%s of an LSTM: %d %.300s", path, res.StatusCode, got)
		}
	}
	idle(s)
}

// Whatever stands in a body, the answer is no fault of the server's.
func TestBadBodies(t *testing.T) {
	s := server(t, Config{Limits: Limits{Tokens: 20}})
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(slices.Sorted(maps.Keys(everything))).Draw(t, "path")
		body := []byte(strings.ReplaceAll(everything[path], "TEXT", "what is"))
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			piece := rapid.SampledFrom([]string{"", "{", "}", "[", "]", "\"", ",", ":", "null", "-1", "1e999", "\\u0000", "\xff",
				"true", "99999999999999999999", "\"a\"", "{}", "[]"}).Draw(t, "piece")
			end := min(len(body), at+rapid.IntRange(0, 12).Draw(t, "of"))
			body = []byte(string(body[:at]) + piece + string(body[end:]))
			if len(body) == 0 {
				break
			}
		}
		res, got := ask(s, "POST", path, string(body))
		if res.StatusCode >= 500 || res.StatusCode < 200 {
			t.Fatalf("%s %s: %d %s", path, body, res.StatusCode, got)
		}
	})
}

// listening is a listener of one connection that was made already.
type listening struct {
	net.Listener
	conns chan net.Conn
}

func (l listening) Accept() (net.Conn, error) {
	c, is := <-l.conns
	if !is {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l listening) Addr() net.Addr { return &net.TCPAddr{} }
func (l listening) Close() error   { return nil }

// The work for a client that does not read what it is sent ends when its patience does. Time is not the clock's here.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e := newEvents(r.Context(), w)
			for i := int64(0); e.ctx.Err() == nil; i++ {
				progress.From(e.hearing()).At("working", i, i, "rows")
			}
			ended <- context.Cause(e.ctx)
		})
		server := &http.Server{Handler: h}
		here, there := net.Pipe()
		conns := make(chan net.Conn, 1)
		conns <- there
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listening{conns: conns}) })
		begin := time.Now()
		if _, err := io.WriteString(here, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(here, make([]byte, 500)); err != nil { // and no more
			t.Fatal(err)
		}
		<-ended
		if waited := time.Since(begin); waited != patience {
			t.Errorf("the work went on for %v", waited)
		}
		_ = here.Close()
		close(conns)
		_ = server.Close()
		serving.Wait()
	})
}
