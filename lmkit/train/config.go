// Package train fits a language model to text: steps to events, with checkpoints that a run resumes from bit by bit.
package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// The optimisers, as PyTorch defines them.
const (
	Adam  = "adam"  // Kingma and Ba 2015; weight decay is added to the gradient
	AdamW = "adamw" // Loshchilov and Hutter 2019; weight decay is apart from the gradient
)

// The schedules of the learning rate, after the warm-up.
const (
	Constant = "constant"
	StepLR   = "step"   // multiplied by Gamma after each epoch
	Cosine   = "cosine" // half a cosine from LearningRate to MinRate, which the last step reaches
)

// Config says how a model is trained. The zero value is plain Adam; [Recipe] is what suits an architecture.
type Config struct {
	// How long: steps, or passes over the data. Neither: one epoch, or 1,000 steps of data without end.
	Steps  int `json:"steps,omitzero"`
	Epochs int `json:"epochs,omitzero"`

	// What [Text] cuts batches to. Rows 0: 20 for an LSTM, 12 for a Transformer; ValidRows 0: as Rows; Length 0: 35 for
	// an LSTM, the context for a Transformer, but 1,024 at most.
	Rows      int `json:"rows,omitzero"`
	ValidRows int `json:"valid_rows,omitzero"`
	Length    int `json:"length,omitzero"`

	Optimizer    string  `json:"optimizer,omitzero"`     // Adam (default) or AdamW
	LearningRate float64 `json:"learning_rate,omitzero"` // 0: 0.001
	Beta1        float64 `json:"beta1,omitzero"`         // 0: 0.9
	Beta2        float64 `json:"beta2,omitzero"`         // 0: 0.999
	Epsilon      float64 `json:"epsilon,omitzero"`       // 0: 1e-8
	WeightDecay  float64 `json:"weight_decay,omitzero"`  // of matrices; biases and LayerNorm's gains do not decay
	Clip         float64 `json:"clip,omitzero"`          // the most that the norm of all gradients may be; 0: no limit

	Schedule string  `json:"schedule,omitzero"` // Constant (default), StepLR or Cosine
	Warmup   int     `json:"warmup,omitzero"`   // steps over which the learning rate first rises linearly from 0
	MinRate  float64 `json:"min_rate,omitzero"` // Cosine: where it ends
	Gamma    float64 `json:"gamma,omitzero"`    // StepLR; 0: 0.95

	// When there is an event, in steps. LogEvery 0: a hundredth of the run; EvalEvery 0: an epoch, or a tenth of the run.
	// A checkpoint is saved at every evaluation, and every SaveEvery steps if that is not 0.
	LogEvery  int `json:"log_every,omitzero"`
	EvalEvery int `json:"eval_every,omitzero"`
	SaveEvery int `json:"save_every,omitzero"`
	// Keep is how many models are kept on the way, evenly over the run, the last one among them: see [Kept]. 0: none, as a
	// checkpoint takes the place of the one before.
	Keep int `json:"keep,omitzero"`

	// Hide is the share of the words that [Text] hides from the model in training (corpus.Hide), if the tokenizer has an
	// unknown token and the text does not.
	Hide float64 `json:"hide,omitzero"`

	// Devices is over how many of the engine's devices the rows of each batch are spread, an equal share each; the
	// numbers stay the same but for rounding. 0: as many GPUs as there are and share the rows; on a processor one, since
	// the devices that XLA shows there share its cores. Validation runs on the first.
	Devices int `json:"devices,omitzero"`

	Patience int    `json:"patience,omitzero"` // stop after so many evaluations in a row without a better one; 0: never
	Seed     uint64 `json:"seed,omitzero"`     // of the windows that Text draws, and of dropout
}

// Recipe is what suits an architecture: for a Transformer AdamW with a warm-up and a cosine, for an LSTM Adam with a
// learning rate that falls each epoch. How long to train is left open.
func Recipe(m lm.Config) Config {
	if m.Recurrent() {
		return Config{Optimizer: Adam, LearningRate: 1e-3, Clip: 0.25, Schedule: StepLR, Gamma: 0.95, Hide: 0.05}
	}
	return Config{Optimizer: AdamW, LearningRate: 2e-3, Beta2: 0.99, WeightDecay: 0.1, Clip: 1, Schedule: Cosine,
		Warmup: 100, MinRate: 2e-4, Hide: 0.05}
}

// HeldOut is the share of examples that is held out to judge a model that learns answers.
const HeldOut = 0.1

// AnswerRecipe is [Recipe] for learning answers, in ten passes over the examples. An answer comes once a text, so that
// a step has few of them to learn from.
func AnswerRecipe(m lm.Config) Config {
	c := Recipe(m)
	c.Epochs = 10
	if m.Recurrent() {
		c.LearningRate, c.Clip = 5e-3, 1
	}
	return c
}

// longestAnswer bounds the context that [ForAnswers] chooses.
const longestAnswer = 1024

// ForAnswers gives a Transformer the context that its examples take, up to 1,024 tokens, unless one was asked for.
func ForAnswers(m lm.Config, asked int, parts ...[]corpus.Example) lm.Config {
	if m.Recurrent() || asked > 0 {
		return m
	}
	longest := 0
	for _, part := range parts {
		_, _, n := corpus.Within(part, 0)
		longest = max(longest, n)
	}
	m.Context = min(longest, longestAnswer)
	return m
}

// Small fills in, where a model's shape is 0, that of a small model which learns in minutes.
func Small(m lm.Config) lm.Config {
	m.Arch = or(m.Arch, lm.Transformer)
	m.Width = or(m.Width, 128)
	m.Layers = or(m.Layers, 2)
	if m.Recurrent() {
		m.Hidden = or(m.Hidden, m.Width)
		return m
	}
	m.Heads = or(m.Heads, 4)
	m.Context = or(m.Context, 64)
	return m
}

// Llama gives a Transformer of a size the shape of Llama: RMSNorm, rotary positions, no biases, and a gated
// feed-forward layer of about 8/3 the width, so that it has as many parameters as one of GPT-2's shape.
func Llama(m lm.Config) lm.Config {
	m.Arch, m.Norm, m.Gated, m.Activation = lm.Transformer, net.RMSNorm, true, net.SiLU
	m.Rope = net.Rope{Theta: 1e4}
	m.NoBias = net.Projections{QKV: true, Out: true, MLP: true}
	m.Inner = or(m.Inner, (m.Width*8/3+7)/8*8)
	return m
}

// WithDefaults fills in the zero values that do not depend on the data.
func (c Config) WithDefaults(m lm.Config) Config {
	rows, length := 12, min(m.Context, longestDefault)
	if m.Recurrent() {
		rows, length = 20, 35
	}
	c.Rows = or(c.Rows, rows)
	c.ValidRows = or(c.ValidRows, c.Rows)
	c.Length = or(c.Length, length)
	c.Optimizer = or(c.Optimizer, Adam)
	c.LearningRate = or(c.LearningRate, 1e-3)
	c.Beta1 = or(c.Beta1, 0.9)
	c.Beta2 = or(c.Beta2, 0.999)
	c.Epsilon = or(c.Epsilon, 1e-8)
	c.Schedule = or(c.Schedule, Constant)
	c.Gamma = or(c.Gamma, 0.95)
	return c
}

// longestDefault is how many tokens a row has where nobody says it: what is computed grows faster than its length.
const longestDefault = 1024

// plan fills in the rest: how many steps there are, and when there are events. epoch is the number of steps of an
// epoch, or 0 for data without end.
func (c Config) plan(epoch int) (Config, error) {
	switch {
	case epoch > 0:
		c.Steps, c.Epochs = or(c.Steps, or(c.Epochs, 1)*epoch), 0
		c.EvalEvery = or(c.EvalEvery, epoch)
	case c.Epochs > 0:
		return c, fmt.Errorf("the data have no end, so that %d epochs of them have none either: give a number of steps",
			c.Epochs)
	case c.Schedule == StepLR:
		return c, fmt.Errorf("the data have no epochs, after which schedule %q would lower the learning rate: "+
			"take %q or %q", StepLR, Cosine, Constant)
	default:
		c.Steps = or(c.Steps, 1000)
		c.EvalEvery = or(c.EvalEvery, max(1, c.Steps/10))
	}
	c.LogEvery = or(c.LogEvery, max(1, c.Steps/100))
	if c.Keep > c.Steps {
		return c, fmt.Errorf("a run of %d steps has no %d models to keep", c.Steps, c.Keep)
	}
	if c.Warmup >= c.Steps {
		return c, fmt.Errorf("a warm-up of %d steps does not fit in a run of %d", c.Warmup, c.Steps)
	}
	return c, nil
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, n := range []struct {
		name string
		v    int
	}{{"steps", c.Steps}, {"epochs", c.Epochs}, {"rows", c.Rows}, {"rows of validation", c.ValidRows},
		{"length", c.Length}, {"devices", c.Devices}, {"warm-up", c.Warmup},
		{"steps from log to log", c.LogEvery}, {"steps from evaluation to evaluation", c.EvalEvery},
		{"steps from checkpoint to checkpoint", c.SaveEvery}, {"models to keep", c.Keep}, {"patience", c.Patience}} {
		if n.v < 0 {
			say("%s is %d; it cannot be negative", n.name, n.v)
		}
	}
	for _, n := range []struct {
		name  string
		v     float64
		below float64
	}{{"the learning rate", c.LearningRate, math.Inf(1)}, {"beta1", c.Beta1, 1}, {"beta2", c.Beta2, 1},
		{"epsilon", c.Epsilon, math.Inf(1)},
		{"weight decay", c.WeightDecay, math.Inf(1)}, {"the clipping norm", c.Clip, math.Inf(1)},
		{"the least learning rate", c.MinRate, math.Inf(1)}, {"gamma", c.Gamma, math.Inf(1)},
		{"the share of hidden words", c.Hide, 1}} {
		if !(n.v >= 0 && n.v < n.below) {
			say("%s is %v; it must be at least 0 and %s", n.name, n.v, below(n.below))
		}
	}
	if c.Steps > 0 && c.Epochs > 0 {
		say("%d steps and %d epochs: give one of the two", c.Steps, c.Epochs)
	}
	if c.Optimizer != "" && c.Optimizer != Adam && c.Optimizer != AdamW {
		say("there is no optimiser %q; there are %s and %s", c.Optimizer, Adam, AdamW)
	}
	switch c.Schedule {
	case "", Constant, StepLR:
		if c.MinRate != 0 {
			say("a least learning rate (%v) belongs to schedule %q alone", c.MinRate, Cosine)
		}
	case Cosine:
		if c.MinRate > or(c.LearningRate, 1e-3) {
			say("the least learning rate %v is above the learning rate %v", c.MinRate, or(c.LearningRate, 1e-3))
		}
	default:
		say("there is no schedule %q; there are %s, %s and %s", c.Schedule, Constant, StepLR, Cosine)
	}
	return errors.Join(errs...)
}

// below is a bound that is not reached, in words.
func below(bound float64) string {
	if math.IsInf(bound, 1) {
		return "finite"
	}
	return fmt.Sprintf("below %v", bound)
}

// rate is the learning rate of a step, counted from 0.
func (c Config) rate(step, epoch int) float64 {
	if step < c.Warmup {
		return c.LearningRate * float64(step+1) / float64(c.Warmup+1)
	}
	switch c.Schedule {
	case StepLR:
		return c.LearningRate * math.Pow(c.Gamma, float64(step/epoch))
	case Cosine:
		done := float64(step-c.Warmup) / float64(max(1, c.Steps-1-c.Warmup))
		return c.MinRate + (c.LearningRate-c.MinRate)*(1+math.Cos(math.Pi*min(done, 1)))/2
	}
	return c.LearningRate
}

// Data is what a run learns from, and what it is judged by.
type Data struct {
	Train         corpus.Batches
	Valid         corpus.Batches // may be nil: the last model then counts as the best
	BytesPerToken float64        // of the text to judge by; 0: not known, and bits per byte are not reported
	// End is the token that ends what the model is to say: the model that comes of it ends its texts there. nil: those
	// of the model to begin with.
	End *token.ID
	// Source says, in JSON of the caller's, what the data are. It is kept in the run's folder for whoever resumes it; see
	// [Read]. nil: nothing is kept.
	Source json.RawMessage
}

// looked is how many batches are searched for the unknown token: where it is rarer, hardly anything was learned of it.
const looked = 200

// showUnknown reports whether the unknown token is among the inputs to learn from; nil: the tokenizer has none.
func (d Data) showUnknown(tok token.Tokenizer) (*bool, error) {
	if tok == nil {
		return nil, nil
	}
	unknown, ok := tok.Unknown()
	if !ok {
		return nil, nil
	}
	n := looked
	if epoch := d.Train.Len(); epoch > 0 {
		n = min(n, epoch)
	}
	met := false
	for i := 0; i < n && !met; i++ {
		b, err := d.Train.At(i)
		if err != nil {
			return nil, err
		}
		for r := range b.Rows {
			met = met || slices.Contains(b.Inputs[r*b.Length:r*b.Length+b.ReadIn(r)], unknown)
		}
	}
	return &met, nil
}

// Text cuts streams of text into the batches that suit an architecture: rows that carry an LSTM's state on, random
// windows for a Transformer; every token once for validation. tok and valid may be nil.
func Text(m lm.Config, c Config, tok token.Tokenizer, train, valid corpus.Stream) (Data, error) {
	if err := c.Validate(); err != nil {
		return Data{}, err
	}
	c = c.WithDefaults(m.WithDefaults())
	var d Data
	var err error
	if m.Recurrent() {
		d.Train, err = corpus.Carried(train, c.Rows, c.Length)
	} else {
		d.Train, err = corpus.Windows(train, c.Rows, c.Length, c.Seed)
	}
	if err != nil {
		return Data{}, fmt.Errorf("the text to train on: %w", err)
	}
	if d.Train, err = hide(d.Train, c, tok, train); err != nil {
		return Data{}, err
	}
	if valid == nil {
		return d, nil
	}
	if m.Recurrent() {
		d.Valid, err = corpus.SweepCarried(valid, c.ValidRows, c.Length)
	} else {
		d.Valid, err = corpus.Sweep(valid, c.ValidRows, c.Length)
	}
	if err != nil {
		return Data{}, fmt.Errorf("the text to validate on: %w", err)
	}
	return d, nil
}

// Answers makes batches of examples, of which only the answers are to be predicted: each is a row of its own, in
// another order each epoch. Every answer ends in the token end. tok may be nil, valid empty.
func Answers(m lm.Config, c Config, tok token.Tokenizer, train, valid []corpus.Example, end token.ID) (Data, error) {
	if err := c.Validate(); err != nil {
		return Data{}, err
	}
	c = c.WithDefaults(m.WithDefaults())
	d := Data{End: &end}
	var err error
	if d.Train, err = corpus.Shuffled(train, c.Rows, c.Seed); err != nil {
		return Data{}, fmt.Errorf("the examples to train on: %w", err)
	}
	var all corpus.Memory
	for _, e := range train {
		all = append(all, e.Tokens...)
	}
	if d.Train, err = hide(d.Train, c, tok, all); err != nil || len(valid) == 0 {
		return d, err
	}
	if d.Valid, err = corpus.Shuffled(valid, c.ValidRows, 0); err != nil {
		return Data{}, fmt.Errorf("the examples to validate on: %w", err)
	}
	return d, nil
}

// hide hides words from the model where the unknown token would else mean nothing to it.
func hide(b corpus.Batches, c Config, tok token.Tokenizer, text corpus.Stream) (corpus.Batches, error) {
	if c.Hide == 0 || tok == nil {
		return b, nil
	}
	unknown, ok := tok.Unknown()
	if !ok {
		return b, nil
	}
	met, err := corpus.Holds(text, unknown)
	if err != nil || met {
		return b, err
	}
	return corpus.Hide(b, unknown, c.Hide, c.Seed), nil
}
