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

// The objectives: which number about the next token is explained.
const (
	Contrast = "contrast" // logit of the target minus logit of the foil: why this token rather than that one
	Logit    = "logit"    // logit of the target
	LogProb  = "logprob"  // log-probability of the target, in nats
	Prob     = "prob"     // probability of the target
	Loss     = "loss"     // minus the log-probability of the target, in nats
)

// Objectives lists them.
var Objectives = []string{Contrast, Logit, LogProb, Prob, Loss}

// measures says, for each objective, what the model adds up, with which sign, and in which unit scores are reported.
var measures = map[string]struct {
	of     lm.Unit
	weight float64
	unit   string
}{
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
)

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
	Chat      *chat.Conversation
	State     *lm.State // LSTM: the state before the first token; nil: zeros
	Target    *token.ID // nil: the model's first choice
	Foil      *token.ID // for Contrast; nil: the best of the others
	Objective string    // "": Contrast
	By        string    // "": ByToken
	Groups    [][]int   // any grouping of token positions, in place of By; tokens in no group stay as they are
	// Baseline says what an absent token is replaced with, its position kept: "unk" the unknown token, "mean" the mean
	// of the embedding table, "zero" zeros, "space" and "end" the tokens that are a space and that end a text, "#7" a
	// token. Several, with commas, are averaged. "": [DefaultBaseline].
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
		q.Objective = Contrast
	}
	if !slices.Contains(Objectives, q.Objective) {
		errs = append(errs, fmt.Errorf("there is no objective %q; there are %s", q.Objective, strings.Join(Objectives, ", ")))
	}
	if q.By == "" {
		q.By = ByToken
	}
	if !slices.Contains([]string{ByToken, ByWord, BySentence}, q.By) {
		errs = append(errs, fmt.Errorf("there is no grouping by %q; there are token, word and sentence", q.By))
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
	if q.Foil != nil && q.Objective != Contrast {
		errs = append(errs, fmt.Errorf("a foil belongs to the objective contrast, not to %s", q.Objective))
	}
	if q.Target != nil && q.Foil != nil && *q.Target == *q.Foil {
		errs = append(errs, errors.New("target and foil are the same token"))
	}
	for _, id := range []*token.ID{q.Target, q.Foil} {
		if id != nil && (*id < 0 || int(*id) >= m.Config().Vocab) {
			errs = append(errs, fmt.Errorf("token #%d is outside the vocabulary of %d", *id, m.Config().Vocab))
		}
	}
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
