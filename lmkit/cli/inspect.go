package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// tools are those of lmkit inspect, in the order in which they are shown. A new one is a line here, and a file
// inspect_NAME.go with its command.
var tools = []struct {
	name, about, paper string
	command            func(*app) *cobra.Command
}{
	{"lens", "what each layer would predict next, at every token", "nostalgebraist 2020", (*app).lensCmd},
	{"direct", "which parts write the difference of two logits: layers, heads, neurons, tokens", "Elhage et al. 2021",
		(*app).directCmd},
	{"steer", "how predictions move when a direction is added to the residual stream", "Rimsky et al. 2023",
		(*app).steerCmd},
	{"probe", "what a linear map reads from activations, with controls", "Hewitt and Liang 2019", (*app).probeCmd},
	{"patch", "which activations carry the difference between two prompts", "Vig et al. 2020", (*app).patchCmd},
	{"path", "what goes from one part straight to another", "Wang et al. 2022", (*app).pathCmd},
	{"circuit", "which edges between a model's parts carry the difference", "Hanna et al. 2024", (*app).circuitCmd},
	{"heads", "what the attention heads do: induction, copying, what each reads", "Olsson et al. 2022", (*app).headsCmd},
	{"dictionary", "which features of a sparse autoencoder a prediction goes by", "Bricken et al. 2023",
		(*app).dictionaryCmd},
	{"influence", "which training texts made a prediction", "Pruthi et al. 2020", (*app).influenceCmd},
}

func (a *app) inspectCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect TOOL MODEL",
		Short: "Look inside a model: what its layers, heads and neurons do",
		Long: `Look inside a model. Every result prints the identities that must hold if its numbers are what they are said to
be, with what was measured; one that does not hold is a warning, and with --strict an error.`,
		Example: `  lmkit inspect lens smollm2 "The capital of France is"`,
		Args:    cobra.ArbitraryArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, t := range tools {
			names = append(names, t.name)
		}
		return usage("there is no tool %q; the tools are %s", args[0], strings.Join(names, ", "))
	}
	for _, t := range tools {
		sub := t.command(a)
		sub.Short = t.about + " (" + t.paper + ")"
		cmd.AddCommand(a.opens(sub))
	}
	return cmd
}

// insideFlags are what tools share that ask about what comes after a prompt.
type insideFlags struct {
	lmkit.Request
	outputs
	chat        chatFlags
	ids, memory string
	others      []output // beside those of outputs
}

func (o *insideFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Target, "target", "",
		"the token to follow, by its text or as #ID (default: the model's first choice)")
	f.StringVar(&o.Foil, "foil", "", "rather than which token (default: the best of the others)")
	f.StringVar(&o.ids, "ids", "", "the prompt as token IDs: 3,7,1")
	o.chat.register(f)
	f.StringVar(&o.chat.reply, "reply", "", "with --chat, how the answer has begun")
	f.StringVar(&o.chat.messages, "messages", "", "the conversation in this JSON `FILE` (- is stdin), not a prompt")
	f.StringVar(&o.memory, "memory", "",
		"memory for activations, about, such as 512MB (default: an eighth of the machine's, at most 1GB)")
	o.outputs.register(cmd)
}

// register adds the flags of where results go.
func (o *outputs) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "write JSON")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	f.StringVar(&o.svg, "svg", "", "write a picture to this `FILE`, too")
	f.StringVar(&o.png, "png", "", "write the picture as pixels to this `FILE`, too")
	f.BoolVar(&o.strict, "strict", false, fmt.Sprintf("exit with %d when an identity does not hold", exitBroken))
}

// against adds the flag of the tokens of a corrupted prompt.
func against(cmd *cobra.Command, to *[]token.ID) {
	cmd.Flags().Func("corrupted-ids", "the corrupted prompt as token IDs: 3,7,1", func(list string) (err error) {
		*to, err = parseIDs(list)
		return err
	})
}

// check finds mistakes in where results go, before the work begins.
func (o outputs) check(reads []string, others ...output) error {
	return writable(reads, append([]output{{"--html", o.html, pageBegins}, {"--svg", o.svg, pictureBegins},
		{"--png", o.png, pngBegins}}, others...)...)
}

// askInside checks the flags, and reads the prompt that they and the arguments give.
func (a *app) askInside(args []string, o *insideFlags) (err error) {
	if err := o.outputs.check(args[:1], o.others...); err != nil {
		return err
	}
	if o.memory != "" {
		if o.Memory, err = parseBytes(o.memory); err != nil {
			return err
		}
	}
	return a.ask(&o.Request, args, o.ids, o.chat)
}

// inside runs a method that looks inside a model on a prompt, and shows what it found.
func (a *app) inside(ctx context.Context, args []string, o *insideFlags, method explain.MatrixMethod) error {
	if a.server.Address == "" {
		return a.insideBy(ctx, args, o, func(*lm.Model) (explain.MatrixMethod, error) { return method, nil })
	}
	return a.served(ctx, args, o, method.Name(), method)
}

// served is inside by a tool of the server's.
func (a *app) served(ctx context.Context, args []string, o *insideFlags, tool string, settings any) error {
	if err := a.askInside(args, o); err != nil {
		return err
	}
	return a.shown(ctx, args[0], o.Request, tool, settings, o.outputs)
}

// study asks a tool of the server's that is about no one text.
func (a *app) study(ctx context.Context, model, tool string, settings any, o outputs) error {
	return a.shown(ctx, model, lmkit.Request{}, tool, settings, o)
}

// shown asks a tool of the server's, and shows what it found.
func (a *app) shown(ctx context.Context, model string, r lmkit.Request, tool string, settings any, o outputs) error {
	answer, err := a.server.Inspect(ctx, called(model), r, tool, settings)
	a.meter().hide()
	if err != nil {
		return err
	}
	return a.showMatrix(answer.Matrix, o)
}

// insideBy is inside for a method that is made for the model, which is opened here.
func (a *app) insideBy(
	ctx context.Context, args []string, o *insideFlags, method func(*lm.Model) (explain.MatrixMethod, error),
) error {
	if a.server.Address != "" {
		return a.opensHere("a lens from a file")
	}
	if err := a.askInside(args, o); err != nil {
		return err
	}
	m, err := a.openModel(ctx, args[0], backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	q, err := o.Question(ctx, m)
	if err != nil {
		return err
	}
	by, err := method(m)
	if err != nil {
		return err
	}
	found, err := explain.Inside(ctx, m, q, by)
	a.meter().hide()
	if err != nil {
		return err
	}
	return a.showMatrix(found, o.outputs)
}
