package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/pflag"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// recipe is the flags of the command train.
type recipe struct {
	source
	tokenizer string
	words     token.WordConfig
	arch      string
	from      string
	model     lm.Config
	config    train.Config
	out       string
	resume    string
	json      bool
	flags     *pflag.FlagSet
}

// resolve finds the model to go on from, which may be a name.
func (r *recipe) resolve(ctx context.Context, a *app) (err error) {
	if r.from != "" {
		r.from, err = a.find(ctx, r.from)
	}
	return err
}

// oldTokenizer is that of the model to go on from; nil where there is none.
func (r *recipe) oldTokenizer() (token.Tokenizer, error) {
	if r.from == "" {
		return nil, nil
	}
	tok, err := lm.ReadTokenizer(r.from)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("it has no tokenizer, by which a text could be read")
	}
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", r.from, err)
	}
	return tok, nil
}

// first is the model to begin with: a fresh one, or the one to go on from.
func (r *recipe) first(engine *backend.Engine, tok token.Tokenizer) (*lm.Model, error) {
	if r.from != "" {
		return lm.Open(engine, r.from)
	}
	if r.Answer != "" {
		return train.FreshForAnswers(engine, r.model, tok, r.config.Seed)
	}
	return lm.New(engine, r.model, tok, r.config.Seed)
}

// takeShape is the shape of the model to go on from. Its own context may be longer than what can be trained here.
func (r *recipe) takeShape() error {
	for _, name := range []string{"arch", "tokenizer", "min-count", "max-vocab", "layers", "width", "heads", "kv-heads",
		"context", "hidden", "tied", "dropout"} {
		if r.flags.Changed(name) {
			return usage("--%s does not go with --from, whose model has a shape and a tokenizer of its own", name)
		}
	}
	c, err := lm.ReadConfig(r.from)
	if err != nil {
		return fmt.Errorf("open model %s: %w", r.from, err)
	}
	if r.model, r.arch = c, filepath.Base(r.from); !c.Recurrent() && r.config.Length == 0 {
		r.config.Length = min(c.Context, longRow)
	}
	return nil
}

// check says what is wrong with the flags, before anything slow.
func (r *recipe) check() error {
	if r.Data == "" {
		return usage("--data is missing: give %s", dataHelp)
	}
	if r.Answer == "" && r.Prompt != "" {
		return usage("--prompt is the column of the texts beside --answer, the column of their answers; give both")
	}
	if r.tokenizer == "" {
		r.tokenizer = "char"
		if kind := r.kind(); kind != "" && kind != "opticks" || r.Answer != "" {
			r.tokenizer = "word"
		}
	}
	if r.from != "" {
		if err := r.takeShape(); err != nil {
			return err
		}
	} else if err := r.makeShape(); err != nil {
		return err
	}
	m := r.model
	m.Vocab = 1 // not known yet
	if err := errors.Join(m.Validate(), r.config.Validate()); err != nil {
		return usage("%w", err)
	}
	return nil
}

// makeShape is the shape of a fresh model, as the flags say.
func (r *recipe) makeShape() error {
	r.model.Arch = r.arch
	if r.arch == "llama" {
		r.model = train.Llama(r.model)
	}
	if r.flags.Changed("kv-heads") && r.arch != "llama" {
		return usage("--kv-heads belongs to --arch llama, not to %s", r.arch)
	}
	of := map[string]string{"heads": lm.Transformer, "context": lm.Transformer, "hidden": lm.LSTM}
	for name, arch := range of {
		if r.flags.Changed(name) && r.model.Arch != arch {
			return usage("--%s belongs to --arch %s, not to %s", name, arch, r.arch)
		}
	}
	if r.model.Recurrent() {
		r.model.Heads, r.model.Context = 0, 0
		if !r.flags.Changed("hidden") {
			r.model.Hidden = r.model.Width
		}
	} else if !r.flags.Changed("tied") {
		r.model.Tied = true
	}
	return nil
}

// settings are the recipe of the architecture, with what the flags say in its place.
func (r *recipe) settings(t text) (train.Config, error) {
	given, c := r.config, train.Recipe(r.model)
	epochs := 1
	if t.answers != nil {
		c = train.AnswerRecipe(r.model)
		epochs = c.Epochs
	}
	if r.from != "" { // what it has learnt is to last
		c.LearningRate, c.MinRate, c.Hide = c.LearningRate/20, c.MinRate/20, 0
	}
	for name, set := range map[string]func(){
		"optimizer": func() { c.Optimizer = given.Optimizer }, "lr": func() {
			c.LearningRate, c.MinRate = given.LearningRate, min(c.MinRate, given.LearningRate/10)
		},
		"weight-decay": func() { c.WeightDecay = given.WeightDecay }, "clip": func() { c.Clip = given.Clip },
		"schedule": func() { c.Schedule = given.Schedule },
		"hide":     func() { c.Hide = given.Hide },
	} {
		if r.flags.Changed(name) {
			set()
		}
	}
	if c.Schedule != train.Cosine {
		c.MinRate = 0
	}
	c.Steps, c.Epochs, c.Rows, c.ValidRows, c.Length, c.Seed = given.Steps, given.Epochs, given.Rows, given.ValidRows,
		given.Length, given.Seed
	c.LogEvery, c.EvalEvery, c.SaveEvery, c.Keep = given.LogEvery, given.EvalEvery, given.SaveEvery, given.Keep
	c.Patience, c.Devices = given.Patience, given.Devices
	steps, err := r.steps(&c, t, epochs)
	if err != nil {
		return c, err
	}
	if c.Warmup = min(c.Warmup, steps/10); r.flags.Changed("warmup") {
		c.Warmup = given.Warmup
	}
	if c.LogEvery == 0 {
		c.LogEvery = max(1, steps/20)
	}
	if err := c.Validate(); err != nil {
		return c, usage("%w", err)
	}
	return c, nil
}

// steps is how many steps the run has; of answers so many epochs, where nothing else is said. Random windows have no
// epochs: one is then as many tokens as the text has.
func (r *recipe) steps(c *train.Config, t text, epochs int) (int, error) {
	full := c.WithDefaults(r.model)
	rows, length := full.Rows, full.Length
	epoch := max(1, (t.tokens()/rows+length-1)/length)
	switch {
	case t.answers != nil:
		if c.Steps == 0 {
			if c.Epochs > 0 {
				epochs = c.Epochs
			}
			c.Steps = t.answers.steps(r.model, rows) * epochs
		}
		c.Epochs = 0
	case r.model.Recurrent() && c.Steps == 0:
		return max(1, c.Epochs) * epoch, nil
	case r.model.Recurrent():
	case c.Schedule == train.StepLR:
		return 0, usage("--schedule %s lowers the learning rate after each epoch, and a transformer's random "+
			"windows have none; "+
			"take %s or %s", train.StepLR, train.Cosine, train.Constant)
	case c.Epochs > 0:
		c.Steps, c.Epochs = c.Epochs*epoch, 0
	case c.Steps == 0:
		c.Steps = 1000
	}
	return c.Steps, nil
}
