package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/lm"
)

// api adds the JSON API, and the OpenAPI document that describes it, which is made from the same types.
func (s *Server) api(mux *http.ServeMux) {
	c := huma.DefaultConfig("lmkit", or(s.config.Version, "0"))
	c.Info.Description = "Ask language models, and ask why they answer as they do, with evidence."
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(data []byte, v any) error {
		return cmp.Or(strict.Once(data), strict.Decode(data, v))
	}}
	c.Formats = map[string]huma.Format{"application/json": format, "json": format}
	c.Transformers = []huma.Transformer{brief}
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	api := humago.New(mux, c)
	mux.Handle("GET /metrics", s.count)
	mux.HandleFunc("POST /v1/completions", s.completes(false))
	mux.HandleFunc("POST /v1/chat/completions", s.completes(true))
	huma.Register(api, s.operation("healthz", http.MethodGet, "/v1/healthz", "Whether the server is there"), s.healthz)
	huma.Register(api, s.operation("models", http.MethodGet, "/v1/models", "The models that can be asked"), s.models)
	huma.Register(api, s.operation("methods", http.MethodGet, "/v1/methods", "How answers can be explained"), s.methods)
	score := s.operation("score", http.MethodPost, "/v1/score", "How likely a model finds texts")
	huma.Register(api, score, s.score)
	describeBody(api, score, reflect.TypeFor[Texts](),
		Texts{Texts: []lm.Passage{{Text: "The capital of France is Paris."}}})
	s.explaining(api)
	s.inspecting(api)
	s.generating(api)
	s.describeCompletions(api)
}

// brief lets a problem repeat no more of a request than a person would read, and nothing that could steer a terminal.
func brief(_ huma.Context, _ string, v any) (any, error) {
	p, is := v.(*huma.ErrorModel)
	if !is {
		return v, nil
	}
	const most = 10
	if more := len(p.Errors) - most; more > 0 {
		p.Errors = append(p.Errors[:most:most], &huma.ErrorDetail{Message: fmt.Sprintf("and %d more mistakes", more)})
	}
	for _, e := range p.Errors {
		e.Message, e.Location = printable.Short(printable.Clean(e.Message), 400), printable.Short(e.Location, 200)
		if text, err := json.Marshal(e.Value); err != nil || len(text) > 200 {
			e.Value = nil
		}
	}
	return p, nil
}

// schemaName is what the API's description calls a type: those of packages below this one's and the front door's are
// named with their package, since two of these may have types of one name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	room := path.Base(t.PkgPath())
	if room == "serve" || room == "lmkit" || room == "v2" || t.Name() == "" {
		return name
	}
	return strings.ToUpper(room[:1]) + room[1:] + name
}

// operation describes one thing that can be asked.
func (s *Server) operation(id, method, path, about string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: about, MaxBodyBytes: s.config.Limits.Body,
		Errors: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
			http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusMisdirectedRequest,
			http.StatusUnprocessableEntity, statusGone, http.StatusServiceUnavailable, http.StatusGatewayTimeout}}
}

// describeBody says of an operation whose body the handler reads by itself what that is, with an example.
func describeBody(api huma.API, o huma.Operation, t reflect.Type, example any) {
	api.OpenAPI().Paths[o.Path].Post.RequestBody = jsonBody(api.OpenAPI().Components.Schemas.Schema(t, true, ""), example)
}

// body is an answer in JSON.
type body[T any] struct{ Body T }

// Health says that the server is there.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

func (s *Server) healthz(context.Context, *struct{}) (*body[Health], error) {
	return &body[Health]{Health{"ok"}}, nil
}

// Models lists the models that can be asked, in the form that clients of /v1/completions know.
type Models struct {
	Object string      `json:"object" enum:"list"`
	Data   []ModelInfo `json:"data"`
}

// ModelInfo is what is known of a model before it is asked.
type ModelInfo struct {
	ID           string `json:"id" doc:"the name that requests call it by"`
	Object       string `json:"object" enum:"model"`
	Architecture string `json:"architecture"`
	Parameters   int    `json:"parameters"`
	Vocabulary   int    `json:"vocabulary"`
	Context      int    `json:"context" doc:"tokens that it can read; 0: any number"`
	Chat         bool   `json:"chat" doc:"whether it has a chat template, so that messages can be said to it"`
	Weights      string `json:"weights" doc:"how its weights are held"`
	Hash         string `json:"hash"`
}

func (s *Server) models(context.Context, *struct{}) (*body[Models], error) {
	out := Models{Object: "list", Data: []ModelInfo{}}
	for _, m := range s.config.Models {
		c := m.Config()
		_, err := m.Chat()
		out.Data = append(out.Data, ModelInfo{ID: m.Name, Object: "model", Architecture: c.Arch,
			Parameters: m.Params(), Vocabulary: c.Vocab, Context: c.Context, Chat: err == nil && m.Tokenizer() != nil,
			Weights: m.Held(), Hash: m.Hash()})
	}
	return &body[Models]{out}, nil
}

// Methods lists how answers can be explained.
type Methods struct {
	Methods  []lmkit.MethodInfo `json:"methods" doc:"that score parts of the input"`
	Matrices []lmkit.MatrixInfo `json:"matrices" doc:"that score pairs"`
}

func (s *Server) methods(context.Context, *struct{}) (*body[Methods], error) {
	return &body[Methods]{Methods{lmkit.Methods(), lmkit.Matrices()}}, nil
}

// Texts are what is to be scored.
type Texts struct {
	Model string       `json:"model,omitempty" doc:"which model; the first one if none is named"`
	Texts []lm.Passage `json:"texts" minItems:"1" maxItems:"10000"`
}

// Scores are how likely the texts are, in their order.
type Scores struct {
	Scores []lm.Score `json:"scores"`
}

func (s *Server) score(ctx context.Context, in *body[Texts]) (*body[Scores], error) {
	m, err := s.model(in.Body.Model)
	if err != nil {
		return nil, err
	}
	if in.Body.Texts == nil {
		return nil, refusal(&lmkit.Mistake{Setting: "texts", Problem: "is missing: give what is to be scored"})
	}
	s.asks(m, "score", in.Body.Texts)
	scores, err := s.scores(ctx, m, in.Body.Texts)
	if err != nil {
		return nil, refusal(err)
	}
	return &body[Scores]{Scores{scores}}, nil
}

// explanation is a request as it stands in a body: it is read as the command reads one, whose words its mistakes get.
type explanation struct {
	Model   string `query:"model" doc:"which model; the first one if none is named"`
	Accept  string `header:"Accept" doc:"text/event-stream for events of progress before the answer"`
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) explaining(api huma.API) {
	schemas := api.OpenAPI().Components.Schemas
	o := s.operation("explain", http.MethodPost, "/v1/explain", "Why a model predicts what it does")
	o.SkipValidateBody = true
	o.Responses = streams(schemas, reflect.TypeFor[lmkit.Answer](), map[string]reflect.Type{
		"result": reflect.TypeFor[lmkit.Answer]()})
	huma.Register(api, o, s.explain)
	describeBody(api, o, reflect.TypeFor[lmkit.Request](), lmkit.Request{Prompt: "The capital of France is",
		Methods: []string{"occlusion"}})
}

func (s *Server) explain(_ context.Context, in *explanation) (*huma.StreamResponse, error) {
	m, err := s.model(in.Model)
	if err != nil {
		return nil, err
	}
	r, err := lmkit.ReadRequest(bytes.NewReader(in.RawBody))
	if err != nil {
		return nil, refusal(err)
	}
	return s.answer(in.Accept, func(ctx context.Context, _ send) (any, error) {
		return s.inquire(ctx, m, inquiry{Request: r})
	}), nil
}
