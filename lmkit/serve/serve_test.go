package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

const chatTemplate = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}" +
	"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

// models are a Transformer, which holds conversations, and an LSTM, with random weights.
func models(t testing.TB) []Model {
	t.Helper()
	text := slices.Values([]string{"what is the capital of France? it is Paris. system user assistant <b>&\"be\"</b>"})
	tok, err := token.TrainBPE(t.Context(), text, 300, "<|im_start|>", "<|im_end|>")
	if err != nil {
		t.Fatal(err)
	}
	var all []Model
	for _, c := range []lm.Config{{Arch: lm.Transformer, Layers: 2, Width: 16, Heads: 2, Context: 200},
		{Arch: lm.LSTM, Layers: 1, Width: 8, Hidden: 12}} {
		c.Vocab = tok.Size()
		fresh, err := lm.New(backendtest.PureGo(t), c, tok, 3)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := fresh.Save(dir); err != nil {
			t.Fatal(err)
		}
		fresh.Close()
		if c.Arch == lm.Transformer {
			if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(chatTemplate), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		m, err := lm.Open(backendtest.PureGo(t), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		all = append(all, Model{string(c.Arch), m})
	}
	return all
}

// server is one of these models.
func server(t testing.TB, c Config) *Server {
	t.Helper()
	if c.Models == nil {
		c.Models = models(t)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	conform(t, s)
	return s
}

// ask sends one request, and returns the answer and its body.
func ask(s http.Handler, method, url, body string, change ...func(*http.Request)) (*http.Response, string) {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	r.Host = "localhost:8017"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	out := w.Result()
	b, _ := io.ReadAll(out.Body)
	return out, string(b)
}

func TestAnswersAreTheLibrarys(t *testing.T) {
	s := server(t, Config{})
	for _, m := range s.config.Models {
		texts := []lm.Passage{{Text: "the capital"}, {Text: " of France", After: "what is"}, {Text: ""}}
		want, _, err := m.Score(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		in, _ := json.Marshal(Texts{Model: m.Name, Texts: texts})
		res, got := ask(s, "POST", "/v1/score", string(in))
		sameAs(t, "scores", res, got, Scores{want})

		r := lmkit.Request{Prompt: "the capital of", Methods: []string{"occlusion", "integrated-gradients"}}
		answer, err := r.Answer(t.Context(), m.Model)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		res, got = ask(s, "POST", "/v1/explain?model="+m.Name, b.String())
		sameAs(t, "answer", res, got, answer)
	}
}

// sameAs fails unless an answer is this value, but for the seconds that it took.
func sameAs(t *testing.T, what string, res *http.Response, got string, want any) {
	t.Helper()
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := timeless(t, []byte(got)), timeless(t, w); res.StatusCode != 200 || a != b {
		t.Errorf("%s: status %d\n%s\nwant\n%s", what, res.StatusCode, a, b)
	}
}

// timeless is JSON without what depends on the clock.
func timeless(t *testing.T, b []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "seconds")
			delete(v, "compile_seconds")
			for _, x := range v {
				strip(x)
			}
		case []any:
			for _, x := range v {
				strip(x)
			}
		}
	}
	strip(v)
	out, _ := json.Marshal(v)
	return string(out)
}

func TestInspect(t *testing.T) {
	s := server(t, Config{})
	for _, m := range s.config.Models {
		for tool, x := range map[string]struct {
			settings string
			method   explain.MatrixMethod
		}{
			"lens":   {`{"show": "rank"}`, inspect.Lens{Show: "rank"}},
			"patch":  {`{"corrupted": "the capital on"}`, inspect.Patch{Corrupted: "the capital on"}},
			"direct": {``, inspect.Direct{}},
		} {
			q, err := lmkit.Request{Prompt: "the capital of"}.Question(t.Context(), m.Model)
			if err != nil {
				t.Fatal(err)
			}
			want, err := explain.Inside(t.Context(), m.Model, q, x.method)
			if err != nil {
				t.Fatal(err)
			}
			res, got := ask(s, "POST", "/v1/inspect/"+tool,
				`{"model": "`+m.Name+`", "request": {"prompt": "the capital of"}, "settings": `+or(x.settings, "{}")+`}`)
			sameAs(t, m.Name+" "+tool, res, got, lmkit.Answer{Matrix: want})
		}
	}
	for body, status := range map[string]int{
		`{"request": {"prompt": "a"}, "settings": {"sho": "x"}}`: 422, `{"request": {"promt": "a"}}`: 422,
		`{"request": {"prompt": "a"}}}`: 422,
		`{"reqest": {}}`:                422, `{"request": {"prompt": "a"}, "settings": {"show": "x"}}`: 422,
	} {
		if res, got := ask(s, "POST", "/v1/inspect/lens", body); res.StatusCode != status {
			t.Errorf("%s: %d %s", body, res.StatusCode, got)
		}
	}
	if res, got := ask(s, "POST", "/v1/inspect/x", `{"request": {"prompt": "a"}}`); res.StatusCode != 404 {
		t.Errorf("no such tool: %d %s", res.StatusCode, got)
	}
}

func TestEvents(t *testing.T) {
	s := server(t, Config{})
	accept := func(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }
	_, got := ask(s, "POST", "/v1/generate", `{"prompt": "the capital", "tokens": 4}`, accept)
	names, last := readEvents(t, got)
	names = slices.DeleteFunc(names, func(n string) bool { return n == "progress" })
	var g Generated
	err := json.Unmarshal([]byte(last), &g)
	if err != nil || strings.Join(names, " ") != "token token token token result" {
		t.Fatalf("%v, %v", names, err)
	}
	_, whole := ask(s, "POST", "/v1/generate", `{"prompt": "the capital", "tokens": 4}`)
	var h Generated
	if err := json.Unmarshal([]byte(whole), &h); err != nil || len(h.Tokens) != 4 || fmt.Sprint(g) != fmt.Sprint(h) {
		t.Errorf("%v: %v as a stream, %v as a whole", err, g, h)
	}
	_, got = ask(s, "POST", "/v1/explain", `{"prompt": "the capital", "methods": ["occlusion"]}`, accept)
	names, last = readEvents(t, got)
	n := len(names)
	if n < 2 || names[0] != "progress" || names[n-1] != "result" || !strings.Contains(last, `"occlusion"`) {
		t.Errorf("%v: %s", names, last)
	}
	_, got = ask(s, "POST", "/v1/explain", `{"prompt": "the capital", "target": "#99999"}`, accept)
	names, last = readEvents(t, got)
	if names[len(names)-1] != "error" || !strings.Contains(last, `"status":422`) {
		t.Errorf("%v: %s", names, last)
	}
}

// readEvents returns the names of server-sent events, and the data of the last one.
func readEvents(t *testing.T, stream string) (names []string, last string) {
	t.Helper()
	for _, e := range strings.Split(strings.TrimSpace(stream), "\n\n") {
		name, data, ok := strings.Cut(e, "\n")
		if !ok || !strings.HasPrefix(name, "event: ") || !strings.HasPrefix(data, "data: ") || strings.Contains(data, "\n") {
			t.Fatalf("no event: %q", e)
		}
		names, last = append(names, strings.TrimPrefix(name, "event: ")), strings.TrimPrefix(data, "data: ")
	}
	return names, last
}

// Whatever is wrong with a request, the answer is a problem with its status and a sentence that says what it is.
func TestProblems(t *testing.T) {
	s := server(t, Config{Limits: Limits{Body: 1 << 10, Tokens: 10}})
	for _, x := range []struct {
		method, url, body string
		status            int
		says              string
	}{
		{"POST", "/v1/score", `{"texts": [`, 400, "JSON"},
		{"POST", "/v1/score", `{"texts": []}`, 422, "texts"},
		{"POST", "/v1/score", `{"model": "x", "texts": [{"text": "a"}]}`, 404, `no model \"x\"`},
		{"POST", "/v1/score", `{"texts": [{"text": "` + strings.Repeat("a", 2000) + `"}]}`, 413, "1024 bytes"},
		{"POST", "/v1/explain", `{"prompt": "a", "objective": "x"}`, 422, "there is no objective"},
		{"POST", "/v1/explain", `{"promt": "a"}`, 422, "promt"},
		{"POST", "/v1/explain", `{`, 422, "JSON"},
		{"POST", "/v1/explain", `{"prompt": "` + strings.Repeat("a", 2000) + `"}`, 413, "1024 bytes"},
		{"POST", "/v1/explain", `{"prompt": "` + strings.Repeat("a b ", 200) + `"}`, 422, "the 200 that the model can read"},
		{"POST", "/v1/generate", `{"prompt": "a", "ids": [1]}`, 422, "one of prompt, ids and messages"},
		{"POST", "/v1/generate", `{"prompt": "a", "tokens": 11}`, 422, "10 that one request may generate"},
		{"POST", "/v1/generate", `{"ids": [1, 99999]}`, 422, "outside the vocabulary"},
		{"POST", "/v1/generate?x=1", `{"model": "lstm", "messages": [{"role": "user", "content": "a"}]}`, 422, "template"},
		{"POST", "/v1/score", "", 415, "curl --json"},
		{"GET", "/v1/nothing", "", 404, "there is nothing here"},
		{"GET", "/v1/score", "", 405, "by the method POST"},
	} {
		res, got := ask(s, x.method, x.url, x.body)
		var p huma.ErrorModel
		err := json.Unmarshal([]byte(got), &p)
		if res.StatusCode != x.status || err != nil || p.Status != x.status || !strings.Contains(got, x.says) ||
			res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.60s: %d %s %s (%v), want %d %q", x.method, x.url, x.body, res.StatusCode,
				res.Header.Get("Content-Type"), got, err, x.status, x.says)
		}
	}
}

// Who calls the server by another name, from another site's page, or without its token, learns nothing.
func TestGuard(t *testing.T) {
	var log bytes.Buffer
	s := server(t, Config{Token: "open sesame", Hosts: []string{"models.example"},
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	bearer := header("Authorization", "Bearer open sesame")
	const body = `{"texts": [{"text": "the secret text"}]}`
	for _, x := range []struct {
		name   string
		status int
		change []func(*http.Request)
	}{
		{"with the token", 200, []func(*http.Request){bearer}},
		{"by its other name", 200, []func(*http.Request){bearer, host("Models.Example:8017")}},
		{"by an IPv6 address", 200, []func(*http.Request){bearer, host("[::1]:8017")}},
		{"by another name", 421, []func(*http.Request){bearer, host("evil.example:8017")}},
		{"by no name", 421, []func(*http.Request){bearer, host("")}},
		{"without the token", 401, nil},
		{"with another token", 401, []func(*http.Request){header("Authorization", "Bearer open")}},
		{"with an empty cookie", 401, []func(*http.Request){header("Cookie", "lmkit=")}},
		{"with the token as a cookie", 401, []func(*http.Request){header("Cookie", "lmkit=open sesame")}},
		{"from another site", 403, []func(*http.Request){bearer, header("Sec-Fetch-Site", "cross-site")}},
		{"from another origin", 403, []func(*http.Request){bearer, header("Origin", "http://evil.example")}},
		{"from its own page", 200, []func(*http.Request){bearer, header("Sec-Fetch-Site", "same-origin")}},
	} {
		res, got := ask(s, "POST", "/v1/score", body, x.change...)
		if res.StatusCode != x.status {
			t.Errorf("%s: status %d, want %d: %s", x.name, res.StatusCode, x.status, got)
		}
		if h := res.Header; h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the headers are %v", x.name, h)
		}
	}
	// A browser brings the token once, and from then on its cookie.
	res, _ := ask(s, "GET", "/v1/models?token=open+sesame&x=1", "")
	cookies := res.Cookies()
	to := res.Header.Get("Location")
	if res.StatusCode != 303 || to != "/v1/models?x=1" || len(cookies) != 1 || !cookies[0].HttpOnly {
		t.Fatalf("%d, to %s, with %v", res.StatusCode, to, cookies)
	}
	res, _ = ask(s, "GET", "/v1/models", "", func(r *http.Request) { r.AddCookie(cookies[0]) })
	if res.StatusCode != 200 {
		t.Errorf("with the cookie: %d", res.StatusCode)
	}
	res, _ = ask(s, "GET", "//evil.example/?token=open+sesame", "")
	if to := res.Header.Get("Location"); strings.HasPrefix(to, "//") {
		t.Errorf("sent on to %s", to)
	}
	if res, _ := ask(s, "GET", "/v1/healthz", ""); res.StatusCode != 200 {
		t.Errorf("the health is a secret: %d", res.StatusCode)
	}
	for _, secret := range []string{"sesame", "secret text", cookies[0].Value} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, log.String())
		}
	}
	s.config.LogTexts = true
	ask(s, "POST", "/v1/score", body, bearer)
	if !strings.Contains(log.String(), "secret text") {
		t.Errorf("the log does not hold what was asked, where that is wanted:\n%s", log.String())
	}
}

// One piece of work runs at a time here, and one waits; another is told to come again, and who leaves gives way.
func TestQueue(t *testing.T) {
	q := newQueue(1, 1)
	leave, err := q.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	waits.Go(func() {
		if _, err := q.enter(ctx); err != context.Canceled {
			t.Errorf("who left got %v", err)
		}
	})
	for q.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := q.enter(t.Context()); err != errBusy {
		t.Errorf("one too many got %v", err)
	}
	cancel()
	waits.Wait()
	waits.Go(func() {
		leave, err := q.enter(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		leave()
	})
	leave()
	waits.Wait()
	if len(q.turns) != 0 || q.waiting.Load() != 0 {
		t.Errorf("%d run and %d wait at the end", len(q.turns), q.waiting.Load())
	}
}

func TestLimitsOfWork(t *testing.T) {
	s := server(t, Config{Limits: Limits{Running: 1, Waiting: 1, Time: 50 * time.Millisecond}})
	leave, err := s.queue.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	res, got := ask(s, "POST", "/v1/score", `{"texts": [{"text": "a"}]}`)
	if res.StatusCode != 504 || !strings.Contains(got, "50ms") {
		t.Errorf("too slow: %d %s", res.StatusCode, got)
	}
	s.queue.waiting.Store(1)
	res, got = ask(s, "POST", "/v1/score", `{"texts": [{"text": "a"}]}`)
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("too many: %d %s", res.StatusCode, got)
	}
	_, metrics := ask(s, "GET", "/metrics", "")
	for _, want := range []string{`lmkit_requests_total{route="POST /v1/score",status="504"} 1`,
		"lmkit_requests_running 1", "lmkit_requests_waiting 1"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not hold %s:\n%s", want, metrics)
		}
	}
}
