package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/token"
)

// tools are those that look inside a model after a prompt, by their names: what each one's settings are read into. A
// new one is a line here.
var tools = map[string]func() explain.MatrixMethod{
	"lens":    func() explain.MatrixMethod { return &inspect.Lens{} },
	"direct":  func() explain.MatrixMethod { return &inspect.Direct{} },
	"heads":   func() explain.MatrixMethod { return &inspect.Reads{} },
	"patch":   func() explain.MatrixMethod { return &inspect.Patch{} },
	"path":    func() explain.MatrixMethod { return &inspect.Path{} },
	"circuit": func() explain.MatrixMethod { return &inspect.Circuit{} },
}

// dictionaryTool is the one whose settings name what the server was started with.
const dictionaryTool = "dictionary"

// tool is the one of a name, with its settings: the fields of its struct in package inspect, or those of DictionaryOf.
func (s *Server) tool(name string, settings json.RawMessage) (explain.MatrixMethod, error) {
	if name == dictionaryTool {
		var x DictionaryOf
		if err := readSettings(name, settings, &x); err != nil {
			return nil, err
		}
		return s.dictionary(x)
	}
	make, known := tools[name]
	if !known {
		return nil, fmt.Errorf("the tool %s is about texts of its own, and follows no prompt: leave the request out", name)
	}
	x := make()
	return x, readSettings(name, settings, x)
}

// readSettings reads the settings of a tool strictly.
func readSettings(tool string, settings json.RawMessage, x any) error {
	if len(settings) == 0 {
		return nil
	}
	if err := cmp.Or(strict.Once(settings), strict.Known(settings, x)); err != nil {
		return fmt.Errorf("the settings of the tool %s: %w", tool, err)
	}
	return nil
}

// toolNames lists all tools.
func toolNames() []string {
	all := append(slices.Collect(maps.Keys(tools)), dictionaryTool)
	for name := range studies {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// checkTool says what is wrong with a tool's name. One that reads files is not here, as no request names any.
func checkTool(name string) error {
	switch {
	case slices.Contains(toolNames(), name):
		return nil
	case name == "influence":
		return notFound("the tool influence is not here: it reads the models that a run kept and what it was trained on, " +
			"which are files, and lmkit inspect influence does so")
	}
	return notFound("there is no tool %q; there are %s", name, strings.Join(toolNames(), ", "))
}

// inquiry is everything that can be asked of a model here: why, or by a tool that looks inside.
type inquiry struct {
	lmkit.Request
	Tool     string          `json:"tool,omitempty"`
	Settings json.RawMessage `json:"tool_settings,omitempty"`
}

// key names an inquiry: two with one key have one answer.
func (q inquiry) key() (string, error) {
	b, err := json.Marshal(struct {
		Request  lmkit.Request
		Tool     string
		Settings json.RawMessage
	}{q.Request, q.Tool, q.Settings})
	return string(b), err
}

// inquire answers an inquiry within the limits of the server.
func (s *Server) inquire(ctx context.Context, m Model, q inquiry) (a *lmkit.Answer, err error) {
	if most := s.config.Limits.Memory; most > 0 && (q.Memory == 0 || q.Memory > most) {
		q.Memory = most
	}
	s.asks(m, or(q.Tool, "explain"), q.Request)
	err = s.work(ctx, func(ctx context.Context) error {
		a, err = s.find(ctx, m, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, one := range a.Attributions {
		s.count.rows(one.Cost.ForwardRows, one.Cost.BackwardRows)
	}
	if a.Matrix != nil {
		s.count.rows(a.Matrix.Cost.ForwardRows, a.Matrix.Cost.BackwardRows)
	}
	return a, nil
}

// find answers an inquiry, whose turn has come.
func (s *Server) find(ctx context.Context, m Model, q inquiry) (*lmkit.Answer, error) {
	if q.Tool == "" {
		return q.Answer(ctx, m.Model)
	}
	asked := q.Request
	asked.Memory = 0
	if _, is := studies[q.Tool]; is && reflect.ValueOf(asked).IsZero() {
		return q.studied(ctx, m)
	}
	method, err := s.tool(q.Tool, q.Settings)
	if err != nil {
		return nil, err
	}
	if err := q.Validate(); err != nil {
		return nil, err
	}
	question, err := q.Question(ctx, m.Model)
	if err != nil {
		return nil, err
	}
	found, err := explain.Inside(ctx, m.Model, question, method)
	return &lmkit.Answer{Matrix: found}, err
}

// Inspection is the body of a look inside a model: what is asked about, as for an explanation, and the tool's settings.
type Inspection struct {
	Model    string         `json:"model,omitempty" doc:"which model; the first one if none is named"`
	Request  *lmkit.Request `json:"request,omitempty" doc:"left out where the tool reads texts of its own"`
	Settings map[string]any `json:"settings,omitempty" doc:"the fields of the tool's struct in package inspect"`
}

type inspection struct {
	Tool    string `path:"tool" enum:"circuit,dictionary,direct,heads,lens,patch,path,probe,steer"`
	Accept  string `header:"Accept" doc:"text/event-stream for events of progress before the answer"`
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) inspecting(api huma.API) {
	schemas := api.OpenAPI().Components.Schemas
	o := s.operation("inspect", http.MethodPost, "/v1/inspect/{tool}", "Look inside a model")
	o.SkipValidateBody, o.SkipValidateParams = true, true // a stranger's tool is named by the error
	o.Responses = streams(schemas, reflect.TypeFor[lmkit.Answer](), map[string]reflect.Type{
		"result": reflect.TypeFor[lmkit.Answer]()})
	huma.Register(api, o, func(_ context.Context, in *inspection) (*huma.StreamResponse, error) {
		var raw struct {
			Model    string          `json:"model,omitempty"`
			Request  json.RawMessage `json:"request,omitempty"`
			Settings json.RawMessage `json:"settings,omitempty"`
		}
		if err := strict.Unmarshal(in.RawBody, &raw); err != nil {
			return nil, refusal(fmt.Errorf("the body is no inspection: %w", err))
		}
		if err := checkTool(in.Tool); err != nil {
			return nil, err
		}
		var r lmkit.Request
		var err error
		switch _, alone := studies[in.Tool]; {
		case raw.Request != nil:
			r, err = lmkit.ReadRequest(bytes.NewReader(raw.Request))
		case !alone:
			err = fmt.Errorf("the tool %s follows a prompt: the field request is missing", in.Tool)
		}
		if err != nil {
			return nil, refusal(err)
		}
		m, err := s.model(raw.Model)
		if err != nil {
			return nil, err
		}
		return s.answer(in.Accept, func(ctx context.Context, _ send) (any, error) {
			return s.inquire(ctx, m, inquiry{r, in.Tool, raw.Settings})
		}), nil
	})
	describeBody(api, o, reflect.TypeFor[Inspection](), s.inspections())
}

// inspections are examples of what each tool can be asked.
func (s *Server) inspections() namedExamples {
	examples := namedExamples{}
	for name := range tools {
		x := Inspection{Request: &lmkit.Request{Prompt: "The capital of France is"}, Settings: map[string]any{}}
		if slices.Contains(comparing, name) {
			x.Request = &lmkit.Request{IDs: []token.ID{90, 60, 30}} // of as many tokens as the other prompt, in every model
			x.Settings["ids"] = []token.ID{90, 60, 31}
		}
		examples[name] = x
	}
	var lines []string
	for _, word := range strings.Fields("good fine great kind bright warm calm bad poor cruel dark cold harsh grim") {
		label := "pleasant"
		if len(lines) >= 7 {
			label = "unpleasant"
		}
		lines = append(lines, "It was "+word+"\t"+label)
	}
	examples["probe"] = Inspection{Settings: map[string]any{"lines": lines}}
	examples["steer"] = Inspection{Settings: map[string]any{"lines": lines, "target": "#90", "foil": "#60"}}
	for _, d := range s.config.Dictionaries {
		examples[dictionaryTool] = Inspection{Request: &lmkit.Request{Prompt: "The capital of France is"},
			Settings: map[string]any{"from": d.Name}}
	}
	return examples
}

// comparing are the tools that look at the difference between two prompts.
var comparing = []string{"patch", "path", "circuit"}
