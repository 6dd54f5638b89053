// Package explain holds the words that every explanation method shares: the question, the answer and its evidence.
package explain

import (
	"encoding/json"
	"math"
)

// Schema is the version of an attribution's JSON form that this package writes. It reads this version and older ones.
const Schema = 2

// Attribution says how much each feature of an input contributed to one number that a model computed. It is the
// one result type of all methods, and carries its own evidence: read Evidence and Warnings before the scores.
type Attribution struct {
	Schema    int        `json:"schema"`
	Method    MethodInfo `json:"method"`
	Objective string     `json:"objective"`      // contrast | logit | logprob | prob | loss
	Target    Token      `json:"target"`         // the token whose prediction is explained; of several, the first
	Foil      *Token     `json:"foil,omitempty"` // contrast: the token it is preferred to; of several, the first
	// Choice is the model's own first choice of the next token; nil: older files do not say it.
	Choice *Token `json:"choice,omitempty"`
	// Answer is the tokens that are explained together: an answer, one after the other, or a set. Empty: Target alone.
	Answer     []Token      `json:"answer,omitempty"`
	FoilAnswer []Token      `json:"foil_answer,omitempty"` // what it is preferred to, where Foil is not all
	Any        bool         `json:"any,omitempty"`         // Answer and FoilAnswer are sets: any token may come next
	Baseline   string       `json:"baseline"`              // what "absent" means: "unk", "mean", "zero", "#7", "none"
	Tokens     []InputToken `json:"tokens"`                // the input, one entry a token
	Features   []Feature    `json:"features"`              // what the scores belong to, one entry a score
	Scores     []float64    `json:"scores"`                // one a feature, in Unit, signed
	Spread     []float64    `json:"spread,omitempty"`      // standard error of each score, where there is one
	Unit       string       `json:"unit"`                  // logit | nat | probability | logit per embedding unit ...
	Value      float64      `json:"value"`                 // the objective on the input
	Base       float64      `json:"base"`                  // the objective on the baseline, or what BaseOf says
	// BaseOf is, in words, what Base is by the method's own account where it is not the objective on the baseline: for
	// the LRP family what it credits no feature with. The evidence is measured against the baseline all the same.
	BaseOf string `json:"base_of,omitempty"`
	// what the scores must add up to; nil: nothing, or in schema 1: Difference
	Promise   *Promise `json:"promise,omitempty"`
	Evidence  Evidence `json:"evidence"`
	Cost      Cost     `json:"cost"`
	Seed      uint64   `json:"seed"`
	ModelHash string   `json:"model_hash"`
	InputHash string   `json:"input_hash"`
	Warnings  []string `json:"warnings,omitempty"` // what is wrong with this result, and what would cure it
}

// MethodInfo names a method and the settings it ran with (a JSON object, or nil).
type MethodInfo struct {
	Name     string          `json:"name"`
	Settings json.RawMessage `json:"settings,omitempty"`
}

// Token is an entry of the model's vocabulary.
type Token struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

// InputToken is a token of the input, with the bytes that it covers of the prompt, or of the conversation as the
// model's chat template writes it (0, 0 where there is no text).
type InputToken struct {
	ID    int    `json:"id"`
	Text  string `json:"text"`
	Start int    `json:"start"`
	End   int    `json:"end"`
	// Unknown says that Text stands in the prompt, but the model read its unknown token.
	Unknown bool `json:"unknown,omitempty"`
	// Held says that the token stays as it is in all that is asked of the model, and gets no score: see Evidence.Held.
	Held bool `json:"held,omitempty"`
	// Role is, in a conversation, whose words these are: system, user or assistant; "": those of the chat template.
	Role string `json:"role,omitempty"`
}

// Feature is a group of input tokens that gets one score.
type Feature struct {
	Text   string `json:"text"`
	Tokens []int  `json:"tokens"` // positions in the input, ascending
}

// Evidence is what speaks for an attribution, measured on the model. A nil part was not measured, and means nothing.
type Evidence struct {
	Completeness *Completeness `json:"completeness,omitempty"` // nil: the method makes no such promise
	Necessity    *Deletion     `json:"necessity,omitempty"`    // the top features replaced by the baseline
	Sufficiency  *Deletion     `json:"sufficiency,omitempty"`  // everything but the top features replaced
	Held         *Held         `json:"held,omitempty"`         // the tokens that stay, and are no features
	Float32      *float64      `json:"float32,omitempty"`      // Value in float32; nil: that is what the model computes in
}

// Held is what stays as it is in all that is asked of the model, and gets no score: the tokens that nobody wrote, such
// as those of a chat template, and a first token that is an attention sink. In many language models it is one: paths
// that move it pass places where gradients are huge, so that integrals along them do not converge, and deleting it
// breaks the model rather than the argument.
type Held struct {
	Text   string   `json:"text"`           // of the first of the tokens; which they are is InputToken.Held
	Why    string   `json:"why,omitempty"`  // HeldSink, HeldAsked, HeldTokenizer, HeldTemplate, HeldOutside; "": older
	Sink   *float64 `json:"sink,omitempty"` // see [lm.Model.Sink]; nil: not measured
	Effect float64  `json:"effect"`         // value - value with the baseline in their place, in the unit of the objective
	// Share is the relevance that a method of the LRP family gives them, which Base has; nil: the method gives them none.
	Share *float64 `json:"share,omitempty"`
}

// Completeness compares the sum of the scores with what the method promises.
type Completeness struct {
	Error     float64 `json:"error"`     // sum of scores - promised total, in Unit
	Relative  float64 `json:"relative"`  // |error| / max(|promised total|, 1e-9)
	Tolerance float64 `json:"tolerance"` // of Relative
	Holds     bool    `json:"holds"`
}

// Deletion is what the objective becomes when some features are replaced by the baseline.
type Deletion struct {
	Features []int   `json:"features"` // the top ones, see [Attribution.Top]: those that were deleted, or alone kept
	Value    float64 `json:"value"`    // the objective afterwards
	Drop     float64 `json:"drop"`     // value before - value after
	// necessity: the mean drop for as many features chosen at random; nil: not measured
	Random *float64 `json:"random,omitempty"`
	// drop / (value - base): 1 means as if all were gone, 0 as if none; nil: value and base are the same
	Share    *float64 `json:"share,omitempty"`
	Decision string   `json:"decision"` // the model's first choice afterwards
	Flips    bool     `json:"flips"`    // its first choice was the target before, and is not afterwards
	// of several: the one by which Decision and Flips are; the numbers are means
	Baseline string `json:"baseline,omitempty"`
}

// Cost counts what an explanation took. A row is one token sequence through the model.
type Cost struct {
	ForwardRows    int     `json:"forward_rows"`
	BackwardRows   int     `json:"backward_rows"`
	EstimatedRows  int     `json:"estimated_rows"` // forward and backward, as the method last foresaw
	Seconds        float64 `json:"seconds"`        // without compilation
	CompileSeconds float64 `json:"compile_seconds"`
}

// Add adds up costs.
func (c *Cost) Add(d Cost) {
	c.ForwardRows += d.ForwardRows
	c.BackwardRows += d.BackwardRows
	c.EstimatedRows += d.EstimatedRows
	c.Seconds += d.Seconds
	c.CompileSeconds += d.CompileSeconds
}

// Promised returns what the scores must add up to, or nil where they need not. An attribution of schema 1 does not
// say it, but follows from its completeness.
func (a *Attribution) Promised() *Promise {
	c := a.Evidence.Completeness
	if a.Promise != nil || c == nil {
		return a.Promise
	}
	p := &Promise{Total: -c.Error, Of: Difference}
	for _, s := range a.Scores {
		p.Total += s
	}
	if d := a.Value - a.Base; math.Abs(p.Total-d) > 1e-6*max(math.Abs(d), math.Abs(p.Total)) {
		p.Of = "what the method promises"
	}
	return p
}
