package serve

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// This file has the answers of the completions as those clients read them. A field that they expect to be there and to
// be null is a nullable.

// Completion is the answer of POST /v1/completions, and each piece of its stream.
type Completion struct {
	ID      string       `json:"id"`
	Object  string       `json:"object" enum:"text_completion"`
	Created int64        `json:"created" doc:"seconds since 1970"`
	Model   string       `json:"model"`
	Choices []TextChoice `json:"choices" nullable:"false"`
	Usage   *Usage       `json:"usage,omitempty"`
}

// TextChoice is one text, or a piece of one.
type TextChoice struct {
	Index    int                    `json:"index"`
	Text     string                 `json:"text"`
	Finish   nullable[Finish]       `json:"finish_reason"`
	LogProbs nullable[TextLogProbs] `json:"logprobs"`
}

// Finish says why a text has ended: stop is the model's own end or a stop text, length the number of tokens.
type Finish string

// Schema implements huma.SchemaProvider.
func (Finish) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{"stop", "length"}}
}

// finishes are the reasons for an end in those clients' words.
var finishes = map[string]Finish{"end": "stop", "stop": "stop", "length": "length"}

// TextLogProbs are of each token of a text, in lists of one length.
type TextLogProbs struct {
	Tokens  []string             `json:"tokens" nullable:"false"`
	Probs   []float64            `json:"token_logprobs" nullable:"false" doc:"nats"`
	Top     []map[string]float64 `json:"top_logprobs" nullable:"false"`
	Offsets []int                `json:"text_offset" nullable:"false" doc:"characters before the token"`
}

// ChatCompletion is the answer of POST /v1/chat/completions.
type ChatCompletion struct {
	ID      string       `json:"id"`
	Object  string       `json:"object" enum:"chat.completion"`
	Created int64        `json:"created" doc:"seconds since 1970"`
	Model   string       `json:"model"`
	Choices []ChatChoice `json:"choices" nullable:"false"`
	Usage   *Usage       `json:"usage,omitempty"`
}

// ChatChoice is one answer.
type ChatChoice struct {
	Index    int                    `json:"index"`
	Message  ChatSaid               `json:"message"`
	Finish   nullable[Finish]       `json:"finish_reason"`
	LogProbs nullable[ChatLogProbs] `json:"logprobs"`
}

// ChatSaid is what the model said.
type ChatSaid struct {
	Role    string           `json:"role" enum:"assistant"`
	Content string           `json:"content"`
	Refusal nullable[string] `json:"refusal" doc:"always null"`
}

// ChatLogProbs are those of the tokens of an answer.
type ChatLogProbs struct {
	Content []ChatToken      `json:"content" nullable:"false"`
	Refusal nullable[string] `json:"refusal" doc:"always null"`
}

// ChatToken is a token of an answer, with the likeliest ones at its place.
type ChatToken struct {
	LikelyToken
	Top []LikelyToken `json:"top_logprobs" nullable:"false"`
}

// LikelyToken is a token as those clients read one.
type LikelyToken struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob" doc:"nats"`
	Bytes   []int   `json:"bytes" nullable:"false" doc:"of its text in UTF-8"`
}

// ChatChunk is a piece of the stream of POST /v1/chat/completions.
type ChatChunk struct {
	ID      string      `json:"id"`
	Object  string      `json:"object" enum:"chat.completion.chunk"`
	Created int64       `json:"created" doc:"seconds since 1970"`
	Model   string      `json:"model"`
	Choices []ChatPiece `json:"choices" nullable:"false"`
	Usage   *Usage      `json:"usage,omitempty"`
}

// ChatPiece is a piece of an answer.
type ChatPiece struct {
	Index    int                    `json:"index"`
	Delta    ChatDelta              `json:"delta"`
	Finish   nullable[Finish]       `json:"finish_reason"`
	LogProbs nullable[ChatLogProbs] `json:"logprobs"`
}

// ChatDelta is what a piece adds: the first one says who speaks.
type ChatDelta struct {
	Role    string  `json:"role,omitempty" enum:"assistant"`
	Content *string `json:"content,omitempty"`
}

// Usage is how many tokens a completion took.
type Usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// CompletionError is an error in the form that those clients read.
type CompletionError struct {
	Error struct {
		Message string           `json:"message"`
		Type    string           `json:"type" enum:"invalid_request_error,server_error"`
		Param   nullable[string] `json:"param"`
		Code    nullable[string] `json:"code"`
	} `json:"error"`
}

// nullable is a value that is there, or null in JSON.
type nullable[T any] struct{ value *T }

// MarshalJSON implements json.Marshaler.
func (n nullable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(n.value) }

// Schema implements huma.SchemaProvider.
func (nullable[T]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{r.Schema(reflect.TypeFor[T](), true, ""), {Type: "null"}}}
}
