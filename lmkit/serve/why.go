package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
)

// whyView is the explanation of one token on the page.
type whyView struct {
	Token        string
	URL          string // of this token's page
	Query        string // of the settings that are shown, with its question mark
	Settings     whySettings
	Methods      []lmkit.MethodInfo
	Matrices     []lmkit.MatrixInfo
	Tools        []toolInfo
	Objectives   []string
	Groupings    []string
	Alternatives []alternative
	Changed      bool          // there is another text to compare with: see alternative.Before
	Pair         *pairView     // both texts, where there is another one
	Layers       []choiceView  // whose attention can be looked at, where that is shown
	Heads        []choiceView  // of the layer
	Body         template.HTML // the explanation; "": it is not there yet
	Error        string
	Files        []string // the forms that it can be taken along in
}

// whySettings are what a person chooses about an explanation, by the names that they have in a URL.
type whySettings struct {
	Method, Matrix string
	Inside         string // a tool that looks inside the model, in place of a method
	Objective      string
	Foil, By       string
	Other          string // a text to compare with; "": that before the words were changed, if they were
	Here, There    string // a token of this text and one of the other, between which patches go
	Layer, Head    string // whose attention is shown
}

// fields are the settings under the names that they have in a URL.
func (s *whySettings) fields() map[string]*string {
	return map[string]*string{"method": &s.Method, "matrix": &s.Matrix, "inside": &s.Inside, "objective": &s.Objective,
		"foil": &s.Foil, "by": &s.By, "other": &s.Other, "here": &s.Here, "there": &s.There, "layer": &s.Layer,
		"head": &s.Head}
}

// toolInfo is a tool that looks inside the model, as the page names it.
type toolInfo struct {
	Name, About string
	compares    bool // two prompts: it needs words that were changed
}

// insides are the tools, in the order in which the page shows them.
var insides = []toolInfo{
	{"lens", "what each layer would say", false},
	{"direct", "who writes the difference", false},
	{"heads", "what each head reads", false},
	{"patch", "where the change of words acts", true},
	{"path", "who tells the output of the change", true},
	{"circuit", "which edges carry the change", true},
}

// whole is what stands in a URL in place of a token's number where all of the answer is explained, and the matrix that
// is shown then.
const whole = "answer"

// why reads what a URL asks about: which token, and how.
func why(e *entry, r *http.Request) (n int, tokens []GeneratedToken, q inquiry, s whySettings, err error) {
	tokens = e.snapshot().tokens
	for name, to := range s.fields() {
		*to = strings.ReplaceAll(r.URL.Query().Get(name), "\r\n", "\n") // as a browser ends the lines of a form
	}
	if r.PathValue("token") == whole && len(tokens) > 0 {
		if s.Method+s.Matrix+s.Inside == "" {
			s.Method, s.Matrix = "occlusion", whole
		}
		q.Request = e.request(0, tokens)
		for _, t := range tokens[1:] {
			q.Target += fmt.Sprintf(" #%d", t.ID)
		}
	} else {
		n, err = strconv.Atoi(r.PathValue("token"))
		if err != nil || n < 0 || n > len(tokens) {
			return 0, nil, q, s, notFound("the answer has no token %s (yet)", r.PathValue("token"))
		}
		q.Request = e.request(n, tokens)
	}
	s.Method = or(s.Method, "integrated-gradients")
	q.Objective, q.Foil, q.By, q.Matrix = s.Objective, s.Foil, s.By, s.Matrix
	switch {
	case s.Inside != "":
		q.Tool, q.Matrix = s.Inside, ""
		err = e.inside(&q, s, n, tokens)
	case s.Matrix == "", s.Matrix == whole:
		q.Methods = strings.Split(s.Method, ",")
	case s.Matrix == attentionMatrix:
		q.Request.Settings.Layers, q.Request.Settings.Heads, err = s.heads()
	}
	return n, tokens, q, s, err
}

// explainedOnce answers a question about an entry, once: what was asked before is remembered.
func (s *Server) explainedOnce(ctx context.Context, e *entry, q inquiry) (*lmkit.Answer, error) {
	key, err := q.key()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	a := e.seen[key]
	e.mu.Unlock()
	if a != nil {
		return a, nil
	}
	a, err = s.inquire(ctx, e.model, q)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) >= mostSeen {
		clear(e.seen)
	}
	e.seen[key] = a
	return a, nil
}

// mostSeen is how many explanations of one answer are remembered.
const mostSeen = 64

// showWhy shows an answer with one of its tokens explained. With part=1 it is the explanation alone, which the script
// puts into the page that is there.
func (s *Server) showWhy(w http.ResponseWriter, r *http.Request) {
	e, v := s.found(w, r)
	if e == nil {
		return
	}
	status := http.StatusOK
	y, err := s.whyView(r, e)
	if err != nil {
		status, v.Error = statusOf(refusal(err)), detail(err)
	}
	if y != nil {
		if y.Error != "" {
			status = http.StatusUnprocessableEntity
		}
		v.Entry.Why = y
		if n, err := strconv.Atoi(r.PathValue("token")); err == nil && n < len(v.Entry.Tokens) {
			v.Entry.Tokens[n].On = true
		}
	}
	if r.URL.Query().Get("part") == "" || y == nil {
		s.write(w, status, v)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, "why", y); err != nil {
		s.config.Log.Error("a part of a page cannot be shown", "error", err)
	}
}

// whyView explains a token for the page. What cannot be explained is said on it.
func (s *Server) whyView(r *http.Request, e *entry) (*whyView, error) {
	n, tokens, q, set, wrong := why(e, r)
	if errors.As(wrong, new(huma.StatusError)) { // there is no such token
		return nil, wrong
	}
	y := &whyView{Token: "what comes next", URL: "/a/" + e.id + "/t/" + r.PathValue("token"), Settings: set,
		Methods: suited(lmkit.Methods(), func(m lmkit.MethodInfo) string { return m.Arch }, e),
		Matrices: slices.DeleteFunc(suited(lmkit.Matrices(), func(m lmkit.MatrixInfo) string { return m.Arch }, e),
			func(m lmkit.MatrixInfo) bool { return slices.Contains(needing, m.Name) }),
		Objectives: explain.Objectives, Groupings: []string{explain.ByToken, explain.ByWord, explain.BySentence}}
	y.Query = set.query()
	if r.PathValue("token") == whole {
		y.Token = "this answer"
	} else if err := s.around(r.Context(), e, y, n, tokens); err != nil {
		wrong = errors.Join(wrong, err)
	}
	y.Tools = slices.DeleteFunc(slices.Clone(insides), func(t toolInfo) bool { return t.compares && !y.Changed })
	switch {
	case wrong != nil:
		y.Error = printable.Clean(detail(wrong))
	case !set.half():
		s.explained(r.Context(), e, y, q)
	}
	return y, nil
}

// around is what is known of token n beside its explanation: what else could stand there, and both texts where there is
// another one.
func (s *Server) around(ctx context.Context, e *entry, y *whyView, n int, tokens []GeneratedToken) error {
	if n < len(tokens) {
		y.Token = printable.Quoted(tokens[n].Text)
	}
	here := e.here(n, tokens)
	there, err := e.there(y.Settings.Other, n, tokens)
	if err != nil {
		return err
	}
	stands := token.ID(-1)
	if n < len(tokens) {
		stands = tokens[n].ID
	}
	y.Alternatives, err = s.alternatives(ctx, e.model, y.URL, y.Settings, here, there, stands)
	if err != nil {
		return err
	}
	if there != nil {
		y.Changed, y.Pair = true, pair(e.model, y.Settings, here, there)
	}
	if c := e.model.Config(); c.Attends() {
		s := y.Settings
		s = whySettings{Matrix: attentionMatrix, Layer: s.Layer, Head: s.Head}
		y.Layers, y.Heads = s.among(y.URL, "layer", c.Layers), s.among(y.URL, "head", c.Heads)
	}
	return nil
}

// explained puts the explanation into a view, or what was wrong.
func (s *Server) explained(ctx context.Context, e *entry, y *whyView, q inquiry) {
	a, err := s.explainedOnce(ctx, e, q)
	if err != nil {
		y.Error = printable.Clean(detail(err))
		return
	}
	var b strings.Builder
	if err := render.Body(&b, sectionOf(a)); err != nil {
		y.Error = printable.Clean(err.Error())
		return
	}
	y.Body = template.HTML(b.String()) // render has escaped it
	y.Files = []string{"html", "svg", "png", "json"}
}

// needing are matrices that need a setting which the page does not ask for.
var needing = []string{"activation", "carried-state", "randomised", "robustness"}

// suited are the methods that explain an architecture.
func suited[M any](all []M, arch func(M) string, e *entry) []M {
	return slices.DeleteFunc(all, func(m M) bool { return arch(m) != "" && arch(m) != string(e.model.Config().Arch) })
}

// query is the end of the URL that asks with these settings.
func (s whySettings) query() string {
	v := url.Values{}
	for name, x := range s.fields() {
		if *x != "" {
			v.Set(name, *x)
		}
	}
	return query(v)
}

// figures are the pictures of an answer: of several methods how they compare, too.
func figures(a *lmkit.Answer) (all []plot.Figure) {
	if m := a.Matrix; m != nil {
		if m.Method.Name == attentionMatrix && len(m.More) > 0 {
			all = append(all, headsOf(m))
		}
		return append(all, render.Matrix{Matrix: m})
	}
	if len(a.Attributions) > 1 {
		if c, err := render.Compare(a.Attributions...); err == nil {
			all = append(all, c)
		}
	}
	return append(all, render.Figures(a.Attributions...)...)
}

// whyEvents explains a token, and tells how far it is: progress, and then done, when the page has it at once.
func (s *Server) whyEvents(w http.ResponseWriter, r *http.Request) {
	e := s.past.find(r.PathValue("id"))
	if e == nil {
		fail(w, http.StatusNotFound, "this answer is no longer kept")
		return
	}
	_, _, q, set, err := why(e, r)
	if err != nil {
		writeProblem(w, refusal(err))
		return
	}
	out := newEvents(r.Context(), w)
	if !set.half() {
		_, _ = s.explainedOnce(out.hearing(), e, q) // the page says what was wrong
	}
	out.send("done", struct{}{})
}

// export hands an explanation on as a file.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	e := s.past.find(r.PathValue("id"))
	if e == nil {
		fail(w, http.StatusNotFound, "this answer is no longer kept")
		return
	}
	kind, is := strings.CutPrefix(r.PathValue("file"), "explanation.")
	write, known := exports[kind]
	if !is || !known {
		fail(w, http.StatusNotFound, "an explanation is handed on as explanation.html, .svg, .png or .json")
		return
	}
	_, _, q, set, err := why(e, r)
	if err == nil && set.half() {
		err = errors.New("a patch between two tokens needs both")
	}
	if err != nil {
		writeProblem(w, refusal(err))
		return
	}
	a, err := s.explainedOnce(r.Context(), e, q)
	if err != nil {
		writeProblem(w, refusal(err))
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension("."+kind))
	w.Header().Set("Content-Disposition", `attachment; filename="explanation.`+kind+`"`)
	if err := write(w, a); err != nil {
		s.config.Log.Error("a file cannot be written", "kind", kind, "error", err)
	}
}

// exports write an answer in the forms that it can be taken along in. Pictures are of its first figure.
var exports = map[string]func(w io.Writer, a *lmkit.Answer) error{
	"html": func(w io.Writer, a *lmkit.Answer) error {
		return render.Report{Title: "Explanation", Sections: []render.Section{sectionOf(a)}}.HTML(w)
	},
	"svg": func(w io.Writer, a *lmkit.Answer) error { return figures(a)[0].SVG(w) },
	"png": func(w io.Writer, a *lmkit.Answer) error {
		return figures(a)[0].(interface{ PNG(io.Writer) error }).PNG(w)
	},
	"json": func(w io.Writer, a *lmkit.Answer) error { return json.NewEncoder(w).Encode(a) },
}
