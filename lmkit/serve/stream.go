package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"lmkit.internal/lmkit/progress"
)

// Progress is how far the work for a request has come.
type Progress = progress.Event

// send tells a client of an event while it waits for the answer. It is safe to call from any goroutine, and does
// nothing where the client wants the answer alone.
type send func(event string, data any)

// patience is how long a client may take to read one event. Who reads more slowly is as good as gone.
const patience = 20 * time.Second

// answer runs work, and answers with what it returns: as one JSON object, or, to who accepts text/event-stream, as
// the last of server-sent events: progress, whatever the work sends, and result or error.
func (s *Server) answer(accept string, work func(ctx context.Context, tell send) (any, error)) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humago.Unwrap(c)
		if !strings.Contains(accept, "text/event-stream") {
			out, err := work(r.Context(), func(string, any) {})
			if err != nil {
				writeProblem(w, refusal(err))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(out)
			return
		}
		e := newEvents(r.Context(), w)
		out, err := work(e.hearing(), e.send)
		if err != nil {
			e.send("error", bare(refusal(err)))
			return
		}
		e.send("result", out)
	}}
}

// writeProblem answers with an error that is a problem.
func writeProblem(w http.ResponseWriter, err error) {
	copyHeaders(w, err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(statusOf(err))
	_ = json.NewEncoder(w).Encode(bare(err))
}

// copyHeaders adds the headers that an error brings, such as when to come again.
func copyHeaders(w http.ResponseWriter, err error) {
	var headed huma.HeadersError
	if errors.As(err, &headed) {
		for name, values := range headed.GetHeaders() {
			w.Header()[name] = values
		}
	}
}

// bare is the problem in an error, without the headers around it.
func bare(err error) error {
	var model *huma.ErrorModel
	if errors.As(err, &model) {
		return model
	}
	return err
}

// events writes server-sent events. Its context ends when the client is gone, or too slow.
type events struct {
	ctx  context.Context
	stop context.CancelFunc

	mu     sync.Mutex
	w      http.ResponseWriter
	told   time.Time // when progress was last told
	within *http.ResponseController
}

func newEvents(ctx context.Context, w http.ResponseWriter) *events {
	ctx, stop := context.WithCancel(ctx)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	e := &events{ctx: ctx, stop: stop, w: w, within: http.NewResponseController(w)}
	_ = e.within.Flush()
	return e
}

// send writes one event. JSON has no line breaks, which would end it.
func (e *events) send(event string, data any) {
	b, err := json.Marshal(data)
	if err != nil {
		event, b = "error", []byte(`{"title":"Internal Server Error","status":500}`)
	}
	e.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, b))
}

func (e *events) write(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.within.SetWriteDeadline(time.Now().Add(patience))
	_, err := e.w.Write([]byte(text))
	if err == nil {
		err = e.within.Flush()
	}
	if err != nil {
		e.stop()
	}
}

// hearing is a context under which work tells the client how far it is.
func (e *events) hearing() context.Context { return progress.With(e.ctx, e.progress) }

// progress tells how far work is, ten times a second at most, and of its end.
func (e *events) progress(p progress.Event) {
	e.mu.Lock()
	soon := time.Since(e.told) < 100*time.Millisecond && p.Done < p.Total
	if !soon {
		e.told = time.Now()
	}
	e.mu.Unlock()
	if !soon {
		e.send("progress", p)
	}
}

// streams describes an answer that is one JSON object, or events: of these types, of progress, and an error.
func streams(schemas huma.Registry, answer reflect.Type, types map[string]reflect.Type) map[string]*huma.Response {
	types["progress"], types["error"] = reflect.TypeFor[Progress](), reflect.TypeFor[huma.ErrorModel]()
	var any []*huma.Schema
	for _, name := range slices.Sorted(maps.Keys(types)) {
		t := types[name]
		any = append(any, &huma.Schema{Type: huma.TypeObject, Required: []string{"event", "data"},
			Properties: map[string]*huma.Schema{
				"event": {Type: huma.TypeString, Enum: []interface{}{name}}, "data": schemas.Schema(t, true, name)}})
	}
	return map[string]*huma.Response{"200": {Description: "The answer", Content: map[string]*huma.MediaType{
		"application/json":  {Schema: schemas.Schema(answer, true, "")},
		"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{OneOf: any}}}}}}
}
