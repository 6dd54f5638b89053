package serve

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// completionForm is the schema of a completion's body: what it may say. Settings that are not done here stand in it
// with the values by which they ask for nothing.
func completionForm(isChat bool) *huma.Schema {
	of := func(kind, about string) *huma.Schema {
		return &huma.Schema{Type: kind, Description: about, Nullable: true}
	}
	list := func(of *huma.Schema) *huma.Schema { return &huma.Schema{Type: huma.TypeArray, Items: of} }
	text, number := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeInteger}
	known := map[string]*huma.Schema{
		"model":       of(huma.TypeString, "which model; the first one if none is named"),
		"max_tokens":  of(huma.TypeInteger, "at most so many are generated"),
		"temperature": of(huma.TypeNumber, "1 if none is given; 0: always the likeliest token"),
		"top_p":       of(huma.TypeNumber, "choose among the fewest tokens with this share of the probability"),
		"n":           of(huma.TypeInteger, "how many texts, with seeds that count up: 1 to 16"),
		"seed":        of(huma.TypeInteger, "of the random choices; another each time if none is given"),
		"stream":      of(huma.TypeBoolean, "answer in events, as the text comes"),
		"stop":        {OneOf: []*huma.Schema{text, list(text), {Type: "null"}}, Description: "end before one of these"},
		"stream_options": {Type: huma.TypeObject, Nullable: true, Properties: map[string]*huma.Schema{
			"include_usage": of(huma.TypeBoolean, "say at the end how many tokens there were")}},
	}
	form := &huma.Schema{Type: huma.TypeObject, Properties: known, AdditionalProperties: false}
	if isChat {
		known["logprobs"] = of(huma.TypeBoolean, "tell the log-probabilities of the answer's tokens")
		known["top_logprobs"] = of(huma.TypeInteger, "and of so many of the likeliest tokens at each place")
		known["max_completion_tokens"] = of(huma.TypeInteger, "another name of max_tokens")
		part := &huma.Schema{Type: huma.TypeObject, Required: []string{"type", "text"}, Properties: map[string]*huma.Schema{
			"type": {Type: huma.TypeString, Enum: []any{"text"}}, "text": text}}
		known["messages"] = list(&huma.Schema{Type: huma.TypeObject, Required: []string{"role", "content"},
			Properties: map[string]*huma.Schema{"role": text, "content": {OneOf: []*huma.Schema{text, list(part)}}}})
		form.Required = []string{"messages"}
	} else {
		known["logprobs"] = of(huma.TypeInteger,
			"tell the log-probabilities of the tokens, and of so many of the likeliest ones at each place")
		known["echo"] = of(huma.TypeBoolean, "begin the text with the prompt")
		known["prompt"] = &huma.Schema{Description: "a text, texts, token IDs, or lists of these",
			AnyOf: []*huma.Schema{text, list(text), list(number), list(list(number))}}
		form.Required = []string{"prompt"}
	}
	for _, name := range ignored {
		known[name] = &huma.Schema{Description: "changes nothing here"}
	}
	for name, values := range neutral {
		one := &huma.Schema{Description: "is not done here", Enum: []any{nil}}
		for _, v := range values {
			var is any
			_ = json.Unmarshal([]byte(v), &is) // they are constants of this package
			one.Enum = append(one.Enum, is)
		}
		known[name] = one
	}
	return form
}

// completionForms are those of a text, and of a chat.
var completionForms = map[bool]*huma.Schema{false: completionForm(false), true: completionForm(true)}

// describeCompletions adds both to the API's description.
func (s *Server) describeCompletions(api huma.API) {
	schemas := api.OpenAPI().Components.Schemas
	examples := map[bool]map[string]any{
		false: {"prompt": "The capital of France is", "max_tokens": 5, "temperature": 0, "logprobs": 2},
		true: {"messages": []any{map[string]any{"role": "user", "content": "What is the capital of France?"}},
			"max_tokens": 5, "temperature": 0},
	}
	for isChat, form := range completionForms {
		o := s.operation("completions", http.MethodPost, "/v1/completions",
			"Go on from a text, as clients of OpenAI's API ask")
		whole, chunk := reflect.TypeFor[Completion](), reflect.TypeFor[Completion]()
		if isChat {
			o = s.operation("chat-completions", http.MethodPost, "/v1/chat/completions",
				"Answer a conversation, as clients of OpenAI's API ask")
			whole, chunk = reflect.TypeFor[ChatCompletion](), reflect.TypeFor[ChatChunk]()
		}
		var events []*huma.Schema
		for _, data := range []*huma.Schema{schemas.Schema(chunk, true, ""),
			schemas.Schema(reflect.TypeFor[CompletionError](), true, ""),
			{Type: huma.TypeString, Enum: []any{"[DONE]"}, Description: "the end, not in quotes"}} {
			events = append(events, &huma.Schema{Type: huma.TypeObject, Required: []string{"data"},
				Properties: map[string]*huma.Schema{"data": data}})
		}
		o.RequestBody = jsonBody(form, examples[isChat])
		o.Responses = map[string]*huma.Response{"200": {Description: "The answer", Content: map[string]*huma.MediaType{
			"application/json":  {Schema: schemas.Schema(whole, true, "")},
			"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{OneOf: events}}}}}}
		for _, status := range []string{"400", "404", "413", "499", "503", "504"} {
			o.Responses[status] = &huma.Response{Description: "What was wrong", Content: map[string]*huma.MediaType{
				"application/json": {Schema: schemas.Schema(reflect.TypeFor[CompletionError](), true, "")}}}
		}
		o.Responses["default"] = problems(schemas)
		api.OpenAPI().AddOperation(&o)
	}
}

// jsonBody describes a body, by a schema and by examples of what is asked. One example has no name.
func jsonBody(schema *huma.Schema, example any) *huma.RequestBody {
	kind := &huma.MediaType{Schema: schema, Example: example}
	if several, named := example.(namedExamples); named {
		kind.Example, kind.Examples = nil, map[string]*huma.Example{}
		for _, name := range slices.Sorted(maps.Keys(several)) {
			kind.Examples[name] = &huma.Example{Value: several[name]}
		}
	}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": kind}}
}

// namedExamples are examples by the value of a parameter of the path that they are for.
type namedExamples map[string]any

// problems describes an error.
func problems(schemas huma.Registry) *huma.Response {
	return &huma.Response{Description: "What was wrong, and what cures it (RFC 9457)", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "")}}}
}
