package serve

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token/chat"
)

//go:embed page
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"clean": printable.Clean, "line": printable.Line, "short": printable.Shorten,
}).ParseFS(files, "page/*.html"))

// page adds what a person looks at. Nothing on it needs the script, which only shows the same sooner.
func (s *Server) page(mux *http.ServeMux) {
	style, _ := files.ReadFile("page/page.css")
	script, _ := files.ReadFile("page/page.js")
	icon, _ := files.ReadFile("page/icon.svg")
	static := func(kind string, b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "private, max-age=60")
			_, _ = w.Write(b)
		}
	}
	mux.HandleFunc("GET /page.css", static("text/css; charset=utf-8", append([]byte(render.StyleSheet()), style...)))
	mux.HandleFunc("GET /icon.svg", static("image/svg+xml", icon))
	mux.HandleFunc("GET /page.js", static("text/javascript; charset=utf-8", script))
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /ask", s.ask)
	mux.HandleFunc("GET /a/{id}", s.showEntry)
	mux.HandleFunc("GET /a/{id}/events", s.entryEvents)
	mux.HandleFunc("GET /a/{id}/t/{token}", s.showWhy)
	mux.HandleFunc("GET /a/{id}/t/{token}/events", s.whyEvents)
	mux.HandleFunc("GET /a/{id}/t/{token}/{file}", s.export)
}

// view is what all pages show.
type view struct {
	Title   string
	Models  []ModelInfo
	History []past
	Form    askForm
	Entry   *entryView
	Error   string
	Reload  bool // the page is not complete, and is to be loaded again where there is no script
}

type past struct{ ID, Said, Model, At string }

// askForm is the form as it was filled in.
type askForm struct {
	Model, Prompt, System, Before string
	Chat                          bool
	Tokens                        int
	Temperature                   string
	Seed                          uint64
}

func (s *Server) view(title string) view {
	v := view{Title: title, Form: askForm{Tokens: min(40, s.config.Limits.Tokens), Temperature: "0"}}
	list, _ := s.models(context.Background(), nil)
	v.Models = list.Body.Data
	v.Form.Model, v.Form.Chat = v.Models[0].ID, v.Models[0].Chat
	for _, e := range s.past.newest() {
		v.History = append(v.History, past{e.id, printable.Shorten(printable.Line(e.said()), 60), e.model.Name,
			e.at.Format("15:04")})
	}
	return v
}

// write shows a page.
func (s *Server) write(w http.ResponseWriter, status int, v view) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, "page.html", v); err != nil {
		s.config.Log.Error("a page cannot be shown", "error", err)
		fail(w, http.StatusInternalServerError, "this page cannot be shown; the log says more")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}

func (s *Server) home(w http.ResponseWriter, _ *http.Request) {
	s.write(w, http.StatusOK, s.view("Ask a model"))
}

// ask begins an entry with what the form says, and shows it.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) {
	e, form, err := s.asked(r)
	if err != nil {
		v := s.view("Ask a model")
		v.Form, v.Error = form, printable.Clean(detail(err))
		s.write(w, statusOf(refusal(err)), v)
		return
	}
	s.past.add(e)
	s.runs.Go(func() { s.run(e) })
	http.Redirect(w, r, "/a/"+e.id, http.StatusSeeOther)
}

// asked reads the form.
func (s *Server) asked(r *http.Request) (*entry, askForm, error) {
	if err := r.ParseForm(); err != nil {
		return nil, askForm{}, refusal(err)
	}
	// A browser ends the lines of a form by CR LF.
	text := func(name string) string { return strings.ReplaceAll(r.PostForm.Get(name), "\r\n", "\n") }
	f := askForm{Model: text("model"), Prompt: text("prompt"), System: text("system"), Before: text("before"),
		Chat: text("as") == "chat", Temperature: text("temperature")}
	var errs []error
	number := func(name string, read func(string) error) {
		if t := strings.TrimSpace(text(name)); t != "" {
			if err := read(t); err != nil {
				errs = append(errs, fmt.Errorf("the %s %q is no number that can be used", name, t))
			}
		}
	}
	number("tokens", func(t string) (err error) { f.Tokens, err = strconv.Atoi(t); return err })
	number("seed", func(t string) (err error) { f.Seed, err = strconv.ParseUint(t, 10, 64); return err })
	g := Generation{Model: f.Model, Tokens: f.Tokens, Seed: f.Seed}
	number("temperature", func(t string) (err error) { g.Temperature, err = strconv.ParseFloat(t, 64); return err })
	if f.Prompt == "" {
		errs = append(errs, errors.New("there is no text to ask about"))
	}
	if len(errs) > 0 {
		return nil, f, errors.Join(errs...)
	}
	g.Prompt = f.Prompt
	if f.Chat {
		g.Prompt = ""
		if f.System != "" {
			g.Messages = append(g.Messages, chat.Message{Role: chat.System, Content: f.System})
		}
		g.Messages = append(g.Messages, chat.Message{Role: chat.User, Content: f.Prompt})
	}
	m, err := s.model(f.Model)
	if err != nil {
		return nil, f, err
	}
	e := &entry{model: m, asked: g, before: s.past.find(f.Before)}
	e.prompt, e.settings, err = s.begin(m, g)
	return e, f, err
}

// run lets the model go on with an entry, whoever still looks at it: who comes back finds what came of it.
func (s *Server) run(e *entry) {
	g, err := s.generate(s.life, e.model, e.prompt, e.settings, func(t GeneratedToken) {
		e.update(func() { e.tokens = append(e.tokens, t) })
	})
	e.update(func() { e.ended, e.err = g.Ended, err })
}

// found is the entry that a path names, and what the page shows of it. It answers where there is none.
func (s *Server) found(w http.ResponseWriter, r *http.Request) (*entry, view) {
	e := s.past.find(r.PathValue("id"))
	if e == nil {
		v := s.view("Not here")
		v.Error = "This answer is no longer kept, or never was: ask again. Answers are kept while the server runs, and " +
			"the oldest make room."
		s.write(w, http.StatusNotFound, v)
		return nil, view{}
	}
	v := s.view(printable.Shorten(printable.Line(e.said()), 60))
	v.Entry = viewOf(e)
	if e.before != nil {
		v.Entry.Before = viewOf(e.before)
	}
	v.Reload = v.Entry.Ended == "" && v.Entry.Error == ""
	v.Form = askForm{Model: e.model.Name, Prompt: e.said(), Before: e.id, Chat: e.asked.Messages != nil,
		Tokens: e.settings.Tokens, Seed: e.settings.Seed,
		Temperature: strconv.FormatFloat(e.settings.Temperature, 'g', -1, 64)}
	if len(e.asked.Messages) > 1 {
		v.Form.System = e.asked.Messages[0].Content
	}
	return e, v
}

func (s *Server) showEntry(w http.ResponseWriter, r *http.Request) {
	if e, v := s.found(w, r); e != nil {
		s.write(w, http.StatusOK, v)
	}
}

// entryEvents sends the tokens of an entry as they come: those that are there, then each new one, then end.
func (s *Server) entryEvents(w http.ResponseWriter, r *http.Request) {
	e := s.past.find(r.PathValue("id"))
	if e == nil {
		fail(w, http.StatusNotFound, "this answer is no longer kept")
		return
	}
	out := newEvents(r.Context(), w)
	for sent := 0; ; {
		now := e.snapshot()
		for ; sent < len(now.tokens); sent++ {
			out.send("token", tokenLink(e, sent, now.tokens[sent]))
		}
		switch {
		case now.err != nil:
			out.send("fault", detail(refusal(now.err)))
			return
		case now.ended != "":
			out.send("end", endings[now.ended])
			return
		}
		select {
		case <-now.change:
		case <-out.ctx.Done():
			return
		}
	}
}

// entryView is an entry on the page.
type entryView struct {
	ID, Model, System, Said string
	Tokens                  []linkView
	Ended, Error            string
	Before                  *entryView
	Why                     *whyView
}

// linkView is a token that one can point at.
type linkView struct {
	Text  string `json:"text"`
	URL   string `json:"url"`
	Tip   string `json:"tip"`
	Break bool   `json:"break,omitempty"` // a line ends here
	On    bool   `json:"-"`               // it is the one that is explained
}

var endings = map[string]string{"end": "the model ended here", "length": "as many tokens as were asked for",
	"stop": "a stop text ended it"}

func viewOf(e *entry) *entryView {
	now := e.snapshot()
	v := &entryView{ID: e.id, Model: e.model.Name, Said: e.said(), Ended: endings[now.ended]}
	if len(e.asked.Messages) > 1 {
		v.System = e.asked.Messages[0].Content
	}
	for i, t := range now.tokens {
		v.Tokens = append(v.Tokens, tokenLink(e, i, t))
	}
	if now.err != nil {
		v.Error = detail(refusal(now.err))
	}
	return v
}

// tokenLink is token i of an entry.
func tokenLink(e *entry, i int, t GeneratedToken) linkView {
	return linkView{Text: shownToken(t.Text), URL: "/a/" + e.id + "/t/" + strconv.Itoa(i),
		Break: strings.Contains(t.Text, "\n"), Tip: fmt.Sprintf("token #%d, probability %s: why?", t.ID, share(t.LogProb))}
}

// detail is the sentence of an error.
func detail(err error) string {
	all := mistakesOf(err)
	if len(all) == 0 {
		return err.Error()
	}
	var b []string
	for _, m := range all {
		b = append(b, m.Error())
	}
	return strings.Join(b, "; ")
}

// query writes settings as the end of a URL.
func query(values url.Values) string {
	if q := values.Encode(); q != "" {
		return "?" + q
	}
	return ""
}
