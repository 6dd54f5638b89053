// Package serve answers over HTTP what models can be asked: a page for people, and a JSON API for programs.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"lmkit.internal/lmkit/lm"
)

// Model is a model under the name that requests call it by.
type Model struct {
	Name string
	*lm.Model
}

// Config says what is served, to whom, and how much at once. Every zero value but Models has a sane default.
type Config struct {
	Models []Model // the first is asked where a request names none
	// Dictionaries are what the tool dictionary may be asked about: a request names no files.
	Dictionaries []Dictionary
	// Token is what a request must bring, as "Authorization: Bearer TOKEN"; "": nothing. A browser brings it once, as
	// /?token=TOKEN, and then keeps a cookie in its place.
	Token string
	// Hosts are the names, without a port, by which this server may be called beside those of this machine alone:
	// localhost, 127.0.0.1 and ::1. Any other name is refused, since a page of somebody else's can make its own name
	// point here.
	Hosts  []string
	Limits Limits
	Log    *slog.Logger // a line a request; nil: nothing is logged
	// LogTexts logs what is asked of the models, too. Otherwise no text of a request is ever logged.
	LogTexts bool
	Version  string // of lmkit, as the API's description has it
}

// Limits are what a server does at most. A zero value is the default.
type Limits struct {
	Running int           // requests that the models work on at a time; 2
	Waiting int           // requests that wait for that; 64. One more is told to come again.
	Time    time.Duration // for one request, with its waiting; 10 minutes
	Body    int64         // bytes of a request; 4 MiB
	Memory  int64         // bytes that one request may compute in, about; lm's default
	Tokens  int           // tokens that one request may generate; 1,024
	History int           // conversations of the page that are kept, the oldest given up; 200
}

// withDefaults fills in what is 0, and reports what makes no sense.
func (l Limits) withDefaults() (Limits, error) {
	if l.Running < 0 || l.Waiting < 0 || l.Time < 0 || l.Body < 0 || l.Memory < 0 || l.Tokens < 0 || l.History < 0 {
		return l, errors.New("a limit is negative; give 0 for its default")
	}
	defaults := Limits{Running: 2, Waiting: 64, Time: 10 * time.Minute, Body: 4 << 20, Tokens: 1024, History: 200}
	l.Running = or(l.Running, defaults.Running)
	l.Waiting = or(l.Waiting, defaults.Waiting)
	l.Time = or(l.Time, defaults.Time)
	l.Body = or(l.Body, defaults.Body)
	l.Tokens = or(l.Tokens, defaults.Tokens)
	l.History = or(l.History, defaults.History)
	return l, nil
}

func or[T comparable](x, otherwise T) T {
	var zero T
	if x == zero {
		return otherwise
	}
	return x
}

// Server answers requests about its models. It is an http.Handler, safe for any number of requests at a time.
type Server struct {
	config  Config
	queue   *queue
	joints  map[string]*joint // a model's scores that wait, by its name
	count   *counters
	handler http.Handler

	past *history        // what was asked on the page
	life context.Context // ends when the server closes
	end  context.CancelFunc
	runs sync.WaitGroup // answers that are being written
}

// New returns a server of some models. It does not close them.
func New(c Config) (*Server, error) {
	limits, err := c.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	c.Limits = limits
	if len(c.Models) == 0 {
		return nil, errors.New("there is no model to serve")
	}
	for i, m := range c.Models {
		for _, n := range c.Models[:i] {
			if m.Name == n.Name {
				return nil, fmt.Errorf("two models have the name %q", m.Name)
			}
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, count: newCounters(), joints: map[string]*joint{}}
	for _, m := range c.Models {
		s.joints[m.Name] = new(joint)
	}
	s.queue = newQueue(limits.Running, limits.Waiting)
	s.count.watch(s.queue)
	s.past = &history{most: limits.History}
	s.life, s.end = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	s.api(mux)
	s.page(mux)
	s.handler = s.guard(mux)
	return s, nil
}

// Close ends the answers of the page that are still being written, and waits for that. Requests that come later are
// answered still, but by what is there.
func (s *Server) Close() {
	s.end()
	s.runs.Wait()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// HTTP returns an http.Server of this one, with limits on slow and on large clients. Its Shutdown lets what runs end.
func (s *Server) HTTP() *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelWarn)}
}

// model finds a model by its name; "" is the first one.
func (s *Server) model(name string) (Model, error) {
	for _, m := range s.config.Models {
		if name == "" || m.Name == name {
			return m, nil
		}
	}
	var names []string
	for _, m := range s.config.Models {
		names = append(names, m.Name)
	}
	return Model{}, notFound("there is no model %q here; there are: %s", name, strings.Join(names, ", "))
}

// asks logs what a model is asked, if that is wanted.
func (s *Server) asks(m Model, what string, request any) {
	if s.config.LogTexts {
		s.config.Log.Info("asked", "model", m.Name, "what", what, "request", request)
	}
}

// work runs one piece of work with the models: when its turn has come, and within the time that a request has.
func (s *Server) work(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.Limits.Time,
		fmt.Errorf("a request may take %v here, and this one would take longer", s.config.Limits.Time))
	defer cancel()
	leave, err := s.queue.enter(ctx)
	if err == nil {
		defer leave()
		err = do(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &timeUp{context.Cause(ctx)}
	}
	return err
}
