package explain

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// The objectives: which number about the target is explained.
const (
	Contrast = "contrast" // logit of the target minus logit of the foil: why this token rather than that one
	Logit    = "logit"    // logit of the target
	LogProb  = "logprob"  // log-probability of the target, in nats
	Prob     = "prob"     // probability of the target
	Loss     = "loss"     // minus the log-probability of the target, in nats
)

// Objectives lists them.
var Objectives = []string{Contrast, Logit, LogProb, Prob, Loss}

// measure is what the model adds up for an objective, with which sign, and in which unit scores are reported.
type measure struct {
	of     lm.Unit
	weight float64
	unit   string
}

var measures = map[string]measure{
	Contrast: {lm.Logit, 1, "logit"},
	Logit:    {lm.Logit, 1, "logit"},
	LogProb:  {lm.LogProb, 1, "nat"},
	Prob:     {lm.Prob, 1, "probability"},
	Loss:     {lm.LogProb, -1, "nat"},
}

// The groupings of tokens into features.
const (
	ByToken    = "token"
	ByWord     = "word"
	BySentence = "sentence"
	ByMessage  = "message" // of a conversation
)

// Groupings lists them.
var Groupings = []string{ByToken, ByWord, BySentence, ByMessage}

// What becomes of the first token of a text.
const (
	HoldFirst  = "hold"    // it stays as it is, and gets no score
	ScoreFirst = "feature" // it is a feature like the others
)

// Question asks why the model predicts what it does after a text. Its zero value, with a prompt, asks why the first
// choice rather than the second, token by token, against [DefaultBaseline].
type Question struct {
	Prompt string     // the text, or
	IDs    []token.ID // its tokens, or
	// Chat is a conversation, as chat.Template.Encode reads it. The tokens that it holds stay as they are in all that is
	// asked of the model, and get no score: its template wrote them. Without Parts it is any text some of whose tokens
	// are held.
	Chat  *chat.Conversation
	State *lm.State // LSTM: the state before the first token; nil: zeros
	// Target is the token whose prediction is explained, or the tokens of an answer, one after the other: then the
	// objective is the sum over them, each after the input and the tokens before it, which stay as they are. nil: the
	// model's first choice of one token.
	Target []token.ID
	// Foil is, for Contrast, what the target is preferred to: a token or an answer of any length. nil: the best of the
	// other tokens, of a target that is one token. Where either is several tokens, the contrast is the log-probability of
	// the target minus that of the foil.
	Foil []token.ID
	// Any makes Target and Foil sets: any of the tokens may come next, and their probabilities are added up. The
	// objective is Prob, or Contrast, the probability of the target's minus that of the foil's.
	Any       bool
	Objective string  // "": Contrast; without a foil LogProb of an answer of several tokens, and Prob of a set
	By        string  // "": ByToken
	Groups    [][]int // any grouping of token positions, in place of By; tokens in no group stay as they are
	// Only is the parts of the text, in bytes, that are explained: all other tokens are held. nil: all of it.
	Only []token.Span
	// Baseline says what an absent token is replaced with, its position kept: "unk" the unknown token, "mean" the mean
	// of the embedding table, "zero" zeros, "newline", "space" and "end" the tokens that are a line break, that are a
	// space and that end a text, "#7" a token. Several, with commas, are averaged. "": [DefaultBaseline].
	Baseline string
	// FirstToken says whether the first token is a feature like the others (ScoreFirst), or stays as it is in all that is
	// asked of the model, and gets no score (HoldFirst). "": HoldFirst if nobody wrote it, as the token that begins every
	// text, or if the model has an attention sink ([lm.Model.Sink]); but not if the features are given as Groups.
	FirstToken string
	Tolerance  float64 // of the completeness error, relative; 0: 0.01
	Seed       uint64
	Memory     int64 // bytes of activations to hold at once, about; 0: lm's default
}

func (q *Question) defaults(m *lm.Model) error {
	var errs []error
	if q.Objective == "" {
		q.Objective = q.usual()
	}
	if !slices.Contains(Objectives, q.Objective) {
		errs = append(errs, fmt.Errorf("there is no objective %q; there are %s", q.Objective, strings.Join(Objectives, ", ")))
	}
	if q.By == "" {
		q.By = ByToken
	}
	if !slices.Contains(Groupings, q.By) {
		errs = append(errs, fmt.Errorf("there is no grouping by %q; there are %s", q.By, strings.Join(Groupings, ", ")))
	}
	if q.By == ByMessage && (q.Chat == nil || q.Chat.Parts == nil) {
		errs = append(errs, errors.New("messages are the parts of a conversation, and this is a text: group it by sentence"))
	}
	if q.Only != nil && (q.Groups != nil || q.IDs != nil) {
		errs = append(errs, errors.New("a part of the text is asked about, and groups or token IDs were given: name the "+
			"tokens in groups alone"))
	}
	if first := []string{"", HoldFirst, ScoreFirst}; !slices.Contains(first, q.FirstToken) {
		errs = append(errs, fmt.Errorf("the first token cannot be %q; it can be %s", q.FirstToken,
			strings.Join(first[1:], " or ")))
	}
	if q.Tolerance == 0 {
		q.Tolerance = 0.01
	}
	if q.Tolerance < 0 || math.IsNaN(q.Tolerance) {
		errs = append(errs, fmt.Errorf("the tolerance is %v; it must be positive", q.Tolerance))
	}
	if q.Baseline == "" {
		q.Baseline = DefaultBaseline(m)
	}
	errs = append(errs, q.checkAnswers(m)...)
	if given := []bool{q.Prompt != "", q.IDs != nil, q.Chat != nil}; len(slices.DeleteFunc(given, isFalse)) > 1 {
		errs = append(errs, errors.New("of a prompt, token IDs and a conversation more than one was given; give one"))
	}
	if c := q.Chat; c != nil && (len(c.Spans) != len(c.IDs) || c.Held != nil && len(c.Held) != len(c.IDs)) {
		errs = append(errs, fmt.Errorf("the conversation has %d tokens, but %d spans and %d marks of what is held",
			len(c.IDs), len(c.Spans), len(c.Held)))
	}
	return errors.Join(errs...)
}

func isFalse(x bool) bool { return !x }
