package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/serve"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

type generateFlags struct {
	generate.Config
	chatFlags
	ids      string
	n        int
	steer    string  // the file of a control vector
	strength float64 // of it
	why      whyFlags
}

func (a *app) generateCmd() *cobra.Command {
	var o generateFlags
	cmd := &cobra.Command{
		Use:   `generate DIR ["PROMPT"]`,
		Short: "Continue a text",
		Long: `Continue a text, token by token as they come. What is written begins with the prompt; the prompt - is read from
stdin. The same seed gives the same text.

With --chat the prompt is what a person says to the model. The model's own chat template makes a text of it, and
only the answer is written. Without a prompt each line of stdin is said in turn.

With --explain a line tells of each token as it comes: how likely it was, and what of the text before it speaks most
for it, by the share of its log-probability (or logit, of methods that share out those) that the method gives to that.`,
		Example: `  lmkit generate runs/first "anna lives in" --tokens 20
  lmkit generate runs/first "the keys near the box" --temperature 0 --stop .
  lmkit generate smollm2 --chat "What is the capital of France?"
  lmkit generate smollm2 --chat "What is the capital of France?" --server http://127.0.0.1:8017
  lmkit generate smollm2 "The capital of France is" --tokens 12 --explain occlusion --html why.html`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.generate(cmd.Context(), args, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.ids, "ids", "", "the prompt as token IDs: 3,7,1")
	f.IntVar(&o.Tokens, "tokens", 100, "how many tokens to add, at most")
	f.Float64Var(&o.Temperature, "temperature", 0.8, "higher is more surprising; 0 always takes the likeliest token")
	f.IntVar(&o.TopK, "top-k", 0, "choose among so many tokens (default: all)")
	f.Float64Var(&o.TopP, "top-p", 0, "choose among the fewest tokens with this share of the probability (default: all)")
	f.StringArrayVar(&o.Stop, "stop", nil, "end before this text; may be given several times")
	f.BoolVar(&o.PastEnd, "past-end", false, "go on after the model's end-of-text token, which else ends the text")
	f.Uint64Var(&o.Seed, "seed", 0, "of the random choices")
	f.StringVar(&o.steer, "steer", "", "steer by the GGUF control vector in this `FILE`, as lmkit inspect steer writes it")
	f.Float64Var(&o.strength, "strength", 1, "with --steer, what its directions are multiplied by")
	f.StringVar((*string)(&o.Part), "steer-part", "", "with --steer, only the tokens of the prompt (prompt), or only "+
		"those that are written (written)")
	f.IntVar(&o.n, "n", 1, "how many texts, with seeds that count up")
	o.register(f)
	o.why.register(f)
	return a.asks(cmd)
}

func (a *app) generate(ctx context.Context, args []string, o generateFlags) error {
	if o.Tokens < 1 || o.n < 1 {
		return usage("--tokens and --n must be 1 or more")
	}
	if err := o.Validate(); err != nil {
		return usage("%w", err)
	}
	if err := errors.Join(o.checkWhy(args), a.checkServed(o)); err != nil {
		return err
	}
	if o.chat {
		return a.talk(ctx, args, o)
	}
	if o.system != "" {
		return usage("--system belongs to --chat")
	}
	prompt, ids, err := a.prompt(args, o.ids)
	if err != nil {
		return err
	}
	if a.server.Address != "" {
		return a.samples(o, prompt, func(c generate.Config) stream {
			return a.server.Generate(ctx, asGeneration(args[0], prompt, nil, c))
		})
	}
	m, err := a.openModel(ctx, args[0], backend.Options{Latency: true})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := o.steered(m); err != nil {
		return err
	}
	enc := token.Encoding{IDs: ids}
	if ids == nil {
		if m.Tokenizer() == nil {
			return errors.New("this model has no tokenizer, and cannot read a text: put its tokenizer.json beside " +
				"config.json, or give the prompt as token IDs, with --ids")
		}
		if enc, err = m.Tokenizer().Encode(prompt); err != nil {
			return fmt.Errorf("the prompt: %w", err)
		}
		ids = enc.IDs
	}
	if o.why.method != "" {
		if enc.Spans == nil {
			return usage("--explain is about a text: give a prompt in words, and not --ids")
		}
		return a.explainWriting(ctx, m, chat.Conversation{Encoding: enc}, o)
	}
	if n := m.Config().Context; n > 0 && len(ids) > n {
		a.note("the prompt has %d tokens, of which the model reads the last %d: its context is no longer", len(ids), n)
	}
	begin := prompt
	switch {
	case m.Tokenizer() == nil:
		begin = joinIDs(ids)
	case prompt == "":
		if begin, err = m.Tokenizer().Decode(ids); err != nil {
			return err
		}
	}
	return a.samples(o, begin, func(c generate.Config) stream {
		s := generate.Stream(ctx, m, ids, c)
		if m.Tokenizer() == nil {
			return numbered(s)
		}
		return s
	})
}

// stream is a text as it comes.
type stream = iter.Seq2[generate.Token, error]

// numbered is a text whose tokens are written as their numbers.
func numbered(s stream) stream {
	return func(yield func(generate.Token, error) bool) {
		for t, err := range s {
			if t.Text = "," + strconv.Itoa(int(t.ID)); t.End || err != nil {
				t.Text = ""
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// samples writes as many texts as were asked for, each after what it begins with.
func (a *app) samples(o generateFlags, begin string, text func(generate.Config) stream) error {
	for i := range o.n {
		if o.n > 1 {
			if err := printf(a.out, "--- seed %d\n", o.Seed); err != nil {
				return err
			}
		}
		if _, err := a.write(begin, text(o.Config)); err != nil {
			return err
		}
		if i < o.n-1 {
			o.Seed++
		}
	}
	return nil
}

// write writes a text as it comes, after what it begins with, and returns it without that.
func (a *app) write(begin string, s stream) (string, error) {
	var said strings.Builder
	begun := false
	for next, err := range s {
		if err != nil {
			if begun {
				_ = printf(a.out, "\n")
			}
			return "", err
		}
		said.WriteString(next.Text)
		if err := printf(a.out, "%s%s", begin, next.Text); err != nil {
			return "", err
		}
		begin, begun = "", true
	}
	return said.String(), printf(a.out, "%s\n", begin)
}

// checkServed finds what a server cannot be asked for.
func (a *app) checkServed(o generateFlags) error {
	for flag, is := range map[string]bool{"--ids": o.ids != "", "--steer": o.steer != "", "--explain": o.why.method != "",
		"--steer-part": o.Part != generate.Whole} {
		if is && a.server.Address != "" {
			return a.opensHere(flag)
		}
	}
	return nil
}

// asGeneration is what a server is asked for: to go on from a prompt, or from messages.
func asGeneration(model, prompt string, messages []chat.Message, c generate.Config) serve.Generation {
	return serve.Generation{Model: called(model), Prompt: prompt, Messages: messages, Tokens: c.Tokens,
		Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, Stop: c.Stop, Seed: c.Seed, PastEnd: c.PastEnd}
}

// steered reads the control vector, if there is one.
func (o *generateFlags) steered(m *lm.Model) (err error) {
	if o.steer == "" && o.Part != generate.Whole {
		return usage("--steer-part says where --steer FILE holds; give both")
	}
	if o.steer == "" {
		return nil
	}
	if math.IsNaN(o.strength) || math.IsInf(o.strength, 0) {
		return usage("--strength is %v; it is a number", o.strength)
	}
	o.Edits, err = inspect.ReadVector(o.steer, m, o.strength)
	return err
}

// prompt is the text or the token IDs that the model is to read.
func (a *app) prompt(args []string, list string) (text string, ids []token.ID, err error) {
	switch {
	case list != "" && len(args) > 1:
		return "", nil, usage("both a prompt and --ids were given; give one")
	case list != "":
		ids, err = parseIDs(list)
		return "", ids, err
	case len(args) < 2 || args[1] == "":
		return "", nil, usage("there is no prompt; give a text in quotes, or - to read it from stdin")
	case args[1] != "-":
		return args[1], nil, nil
	}
	const most = 16 << 20
	all, err := io.ReadAll(io.LimitReader(a.in, most+1))
	if err == nil && len(all) > most {
		err = fmt.Errorf("the prompt on stdin is longer than %d MB", most>>20)
	}
	if err == nil && len(all) == 0 {
		err = usage("there is no prompt on stdin")
	}
	text = strings.TrimSuffix(strings.TrimSuffix(string(all), "\n"), "\r") // which echo adds
	if text == "" {
		text = string(all) // a line break may be all that is asked about
	}
	return text, nil, err
}

func parseIDs(list string) ([]token.ID, error) {
	var ids []token.ID
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
		if err != nil || n < 0 {
			return nil, usage("--ids %s: %q is no token ID; give numbers with commas between, as in 3,7,1", list, s)
		}
		ids = append(ids, token.ID(n))
	}
	return ids, nil
}

func joinIDs(ids []token.ID) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = strconv.Itoa(int(id))
	}
	return strings.Join(parts, ",")
}
