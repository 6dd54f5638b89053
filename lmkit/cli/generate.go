package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

type generateFlags struct {
	generate.Config
	chatFlags
	ids string
	n   int
}

func (a *app) generateCmd() *cobra.Command {
	var o generateFlags
	cmd := &cobra.Command{
		Use:   `generate DIR ["PROMPT"]`,
		Short: "Continue a text",
		Long: `Continue a text, token by token as they come. What is written begins with the prompt; the prompt - is read from
stdin. The same seed gives the same text.

With --chat the prompt is what a person says to the model. The model's own chat template makes a text of it, and
only the answer is written. Without a prompt each line of stdin is said in turn.`,
		Example: `  lmkit generate runs/first "anna lives in" --tokens 20
  lmkit generate runs/first "the keys near the box" --temperature 0 --stop .
  lmkit generate smollm2 --chat "What is the capital of France?"`,
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
	f.IntVar(&o.n, "n", 1, "how many texts, with seeds that count up")
	o.register(f)
	return cmd
}

func (a *app) generate(ctx context.Context, args []string, o generateFlags) error {
	if o.Tokens < 1 || o.n < 1 {
		return usage("--tokens and --n must be 1 or more")
	}
	if err := o.Validate(); err != nil {
		return usage("%w", err)
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
	m, err := a.openModel(ctx, args[0], backend.Options{Latency: true})
	if err != nil {
		return err
	}
	defer m.Close()
	if ids == nil && m.Tokenizer() != nil {
		enc, err := m.Tokenizer().Encode(prompt)
		if err != nil {
			return fmt.Errorf("the prompt: %w", err)
		}
		ids = enc.IDs
	}
	if n := m.Config().Context; n > 0 && len(ids) > n {
		a.note("the prompt has %d tokens, of which the model reads the last %d: its context is no longer", len(ids), n)
	}
	for i := range o.n {
		if o.n > 1 {
			if err := printf(a.out, "--- seed %d\n", o.Seed); err != nil {
				return err
			}
		}
		if err := a.sample(ctx, m, prompt, ids, o.Config); err != nil {
			return err
		}
		if i < o.n-1 {
			o.Seed++
		}
	}
	return nil
}

// sample writes one text: the prompt, and what comes after it as it comes.
func (a *app) sample(ctx context.Context, m *lm.Model, prompt string, ids []token.ID, c generate.Config) error {
	asText := m.Tokenizer() != nil
	begin := prompt
	if asText && prompt == "" {
		var err error
		if begin, err = m.Tokenizer().Decode(ids); err != nil {
			return err
		}
	}
	if !asText {
		begin = joinIDs(ids)
	}
	if err := printf(a.out, "%s", begin); err != nil {
		return err
	}
	for t, err := range generate.Stream(ctx, m, ids, c) {
		if err != nil {
			_ = printf(a.out, "\n")
			return err
		}
		text := t.Text
		if !asText && t.End {
			break
		}
		if !asText {
			text = "," + strconv.Itoa(int(t.ID))
		}
		if err := printf(a.out, "%s", text); err != nil {
			return err
		}
	}
	return printf(a.out, "\n")
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
