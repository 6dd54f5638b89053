package serve

import (
	"bytes"
	"encoding/json"
	"image/png"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
)

// post sends a form, as a browser does.
func post(s http.Handler, fields url.Values) (*http.Response, string) {
	return ask(s, "POST", "/ask", fields.Encode(), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
}

// begun asks on the page, waits for the whole answer, and returns where it is shown.
func begun(t *testing.T, s *Server, fields url.Values) string {
	t.Helper()
	res, got := post(s, fields)
	to := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/a/") {
		t.Fatalf("asked: %d, to %q: %s", res.StatusCode, to, got)
	}
	s.runs.Wait()
	return to
}

// A person without a script asks, sees the answer, looks at why a token stands there, and takes that along.
func TestPageWithoutScript(t *testing.T) {
	s := server(t, Config{})
	for _, fields := range []url.Values{
		{"prompt": {"what is the capital of France?"}, "as": {"chat"}, "tokens": {"3"}, "system": {"be brief"}},
		{"prompt": {"what is"}, "as": {"text"}, "tokens": {"3"}},
		{"prompt": {"what is"}, "as": {"text"}, "tokens": {"3"}, "model": {"lstm"}},
	} {
		to := begun(t, s, fields)
		_, page := ask(s, "GET", to, "")
		links := regexp.MustCompile(`href="(/a/[a-z0-9]+/t/\d+)"`).FindAllStringSubmatch(page, -1)
		if len(links) != 3 || !strings.Contains(page, fields.Get("prompt")) {
			t.Fatalf("%v: %d tokens on the page:\n%s", fields, len(links), page)
		}
		why := links[2][1] + "?method=occlusion"
		res, page := ask(s, "GET", why, "")
		for _, want := range []string{`aria-current="true"`, "occlusion", "completeness", "stands here", "why not this?"} {
			if res.StatusCode != 200 || !strings.Contains(page, want) {
				t.Errorf("%v: %d, and no %s:\n%s", fields, res.StatusCode, want, page)
			}
		}
		for _, kind := range []string{"html", "svg", "png", "json"} {
			res, file := ask(s, "GET", links[2][1]+"/explanation."+kind+"?method=occlusion", "")
			if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Content-Disposition"), "attachment") {
				t.Errorf("explanation.%s: %d %v", kind, res.StatusCode, res.Header)
			}
			var a lmkit.Answer
			if err := json.Unmarshal([]byte(file), &a); kind == "json" && (err != nil || len(a.Attributions) != 1) {
				t.Errorf("explanation.json: %v: %.200s", err, file)
			}
			if _, err := png.Decode(bytes.NewReader([]byte(file))); kind == "png" && err != nil {
				t.Errorf("explanation.png: %v", err)
			}
		}
	}
	// Other words: what each layer would say, and where the change acts.
	first := begun(t, s, url.Values{"prompt": {"what is x"}, "as": {"text"}, "tokens": {"2"}})
	second := begun(t, s, url.Values{"prompt": {"what is z"}, "as": {"text"}, "tokens": {"2"},
		"before": {strings.TrimPrefix(first, "/a/")}})
	lstm := begun(t, s, url.Values{"prompt": {"what"}, "as": {"text"}, "tokens": {"1"}, "model": {"lstm"}})
	talk := begun(t, s, url.Values{"prompt": {"what is x"}, "as": {"chat"}, "tokens": {"2"}, "system": {"be brief"}})
	for path, want := range map[string]string{
		first + "/t/1?inside=lens": "resid.post", first + "/t/1?inside=direct": "component",
		first + "/t/1?inside=heads": "head", second + "/t/0?inside=patch": "resid.pre",
		second + "/t/0?inside=circuit": "EAP", second: "Before the change of words",
		first: "/t/answer", first + "/t/answer": "Why this answer?",
		first + "/t/answer?method=occlusion": "completeness", first + "/t/answer/explanation.json": `"answer"`,
		second + "/t/1":                                              `<button id="there3" name="there" value="3"`,
		second + "/t/1?inside=patch&here=3":                          "Now choose a token of the other text",
		second + "/t/0?inside=patch&here=3&there=3":                  "holds: a patch of what the output is computed from",
		second + "/t/0/explanation.json?inside=patch&here=3&there=2": `"positions":[3,2]`,
		first + "/t/0?other=the+capital":                             "after the other text",
		first + "/t/0?other=the+capital&inside=patch&here=1&there=2": "restores at 2 of the corrupted one",
		first + "/t/1?matrix=attention&layer=1":                      "head by head",
		first + "/t/1?matrix=attention&layer=1&head=0":               "by head 0 of layer 1",
		first + "/t/1?matrix=attention":                              "not what the prediction depends on",
		first + "/t/1/explanation.html?matrix=attention&layer=0":     "not what the prediction depends on",
		talk + "/t/1?other=the+capital&inside=patch&here=1&there=1":  "mlp.out",
	} {
		if res, page := ask(s, "GET", path, ""); res.StatusCode != 200 || !strings.Contains(page, want) {
			t.Errorf("%s: %d, and no %s:\n%s", path, res.StatusCode, want, page)
		}
	}
	for path, says := range map[string]string{"/t/0?inside=patch": "type a text to compare with",
		"/t/0?inside=patch&other=the+capital": "choose words of as many tokens",
		"/t/0?inside=patch&other=what+is+x":   "the same tokens", "/t/0?other=" + strings.Repeat("what+", 300): "the 200",
		"/t/0?inside=patch&other=a&here=x&there=0":  "no token `x`",
		"/t/0?inside=patch&other=a&here=99&there=0": "no position",
		"/t/0?matrix=attention&layer=9":             "no layer 9", "/t/0?matrix=attention&layer=x": "no layer `x`",
		"/t/0/explanation.svg?inside=patch&other=a&here=1": "needs both"} {
		for _, part := range []string{"", "&part=1"} {
			res, page := ask(s, "GET", first+path+part, "")
			if res.StatusCode != 422 || !strings.Contains(page, says) {
				t.Errorf("%s: %d, want %q: %s", path, res.StatusCode, says, page)
			}
		}
	}
	if res, page := ask(s, "GET", lstm+"/t/0", ""); res.StatusCode != 200 || strings.Contains(page, "attention heads") {
		t.Errorf("an LSTM's attention: %d %s", res.StatusCode, page)
	}
	if _, home := ask(s, "GET", "/", ""); strings.Count(home, `<li><a href="/a/`) != 7 {
		t.Errorf("the first page does not list what was asked:\n%s", home)
	}
}

// What cannot be done is said on the page, with a status that says so too.
func TestPageMistakes(t *testing.T) {
	s := server(t, Config{Limits: Limits{History: 1, Tokens: 5}})
	for _, x := range []struct {
		fields url.Values
		says   string
	}{
		{url.Values{"tokens": {"3"}}, "there is no text"},
		{url.Values{"prompt": {"a"}, "tokens": {"many"}}, "no number"},
		{url.Values{"prompt": {"a"}, "tokens": {"6"}}, "the 5 that one request may generate"},
		{url.Values{"prompt": {"a"}, "model": {"x"}}, "no model"},
		{url.Values{"prompt": {"a"}, "model": {"lstm"}, "as": {"chat"}}, "template"},
	} {
		res, got := post(s, x.fields)
		if res.StatusCode < 400 || res.StatusCode > 499 || !strings.Contains(got, x.says) {
			t.Errorf("%v: %d, want %q:\n%s", x.fields, res.StatusCode, x.says, got)
		}
	}
	first := begun(t, s, url.Values{"prompt": {"what"}, "tokens": {"2"}})
	for path, status := range map[string]int{
		"/t/0?method=nothing": 422, "/t/0?objective=x": 422, "/t/3": 404, "/t/x": 404, "/t/-1": 404,
		"/t/0/explanation.exe": 404, "/t/0/..%2f..%2fetc": 404, "/t/0/explanation.png?method=nothing": 422,
	} {
		if res, got := ask(s, "GET", first+path, ""); res.StatusCode != status {
			t.Errorf("%s: %d, want %d: %.300s", path, res.StatusCode, status, got)
		}
	}
	begun(t, s, url.Values{"prompt": {"what"}, "tokens": {"2"}})
	if res, got := ask(s, "GET", first, ""); res.StatusCode != 404 || !strings.Contains(got, "no longer kept") {
		t.Errorf("an answer that made room: %d: %s", res.StatusCode, got)
	}
}

// Whatever a person writes, and whatever the tokens of a model are, no page runs anything that came with them, and
// nothing on a page has a style of its own, which the server's policy forbids.
func TestPagesAreSafe(t *testing.T) {
	s := server(t, Config{})
	const hostile = "<script>\" onload=\"x()\" style=\"a\" \x1b[2J\u202e</textarea><b>&"
	to := begun(t, s, url.Values{"prompt": {hostile}, "system": {"<script>"}, "as": {"chat"}, "tokens": {"3"}})
	inline := regexp.MustCompile(`<[^>]*\s(on[a-z]+|style)=`)
	// what a person goes on editing, and what is asked again, as they wrote it
	typed := regexp.MustCompile(`(?s)<textarea.*?</textarea>|<input type="hidden"[^>]*>`)
	other := url.QueryEscape(hostile)
	for _, path := range []string{"/", to, to + "/t/1?method=occlusion&foil=" + url.QueryEscape("<script>"),
		to + "/t/1?method=occlusion,saliency", to + "/t/2?matrix=attention&layer=1", to + "/t/1?other=" + other,
		to + "/t/1?inside=patch&here=2&there=3&other=" + other, to + "/t/1?inside=patch&here=2&other=" + other,
		to + "/t/1?inside=patch&here=" + other + "&there=" + other + "&other=" + other,
		to + "/t/1?matrix=attention&layer=" + other + "&head=" + other} {
		res, page := ask(s, "GET", path, "")
		if res.StatusCode != 200 && res.StatusCode != 422 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		page = typed.ReplaceAllString(page, "")
		if strings.Contains(page, "<script>") || strings.Contains(page, "<b>&") || strings.ContainsAny(page, "\x1b\u202e") {
			t.Errorf("%s holds what was written as it stands:\n%s", path, page)
		}
		if at := inline.FindString(page); at != "" {
			t.Errorf("%s: %s", path, at)
		}
	}
}
