package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/explain"
)

func (o *explainFlags) register(cmd *cobra.Command, methods []string) {
	f := cmd.Flags()
	o.flags = f
	f.SortFlags = false
	f.StringVar(&o.ids, "ids", "", "the prompt as token IDs: 3,7,1")
	o.chat.register(f)
	f.StringVar(&o.chat.reply, "reply", "", "with --chat, how the answer has begun: what comes after it is explained")
	f.StringVar(&o.chat.messages, "messages", "", "the conversation in this JSON `FILE` (- is stdin), in place of a "+
		"prompt: [{\"role\": \"user\", \"content\": \"Hi\"}]")
	f.StringVar(&o.Target, "target", "",
		"the token, or an answer of several, to explain, by its text or as #ID #ID (default: the model's first choice)")
	f.IntVar(&o.Generate, "generate", 0, "or: explain the model's own answer, of at most so many tokens")
	f.StringSliceVar(&o.TargetAny, "target-any", nil, "or: any of these tokens, with commas: their probabilities add up")
	f.StringVar(&o.Foil, "foil", "", "contrast: rather than which token or answer (default: the best other token)")
	f.StringSliceVar(&o.FoilAny, "foil-any", nil, "contrast of --target-any: rather than any of these")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "answer" || name == "foil-answer" { // what a target of several tokens is called, too
			name = map[string]string{"answer": "target", "foil-answer": "foil"}[name]
		}
		return pflag.NormalizedName(name)
	})
	f.StringVar(&o.Objective, "objective", "", "what about the target: "+strings.Join(explain.Objectives, ", ")+
		" (default: contrast; without a foil logprob of an answer of several tokens, and prob of --target-any)")
	f.StringSliceVar(&o.Methods, "method", methods, "methods, with commas between; auto; all")
	f.StringVar(&o.FirstToken, "first-token", "",
		"the first token: hold (it stays, without a score) or feature (default: hold if it is the model's attention sink)")
	f.StringVar(&o.Baseline, "baseline", "",
		"what an absent token is: unk, mean, zero, newline, space, end or #ID; several are averaged (default: unk if "+
			"training showed it; newline in a model of byte pairs trained elsewhere; else mean)")
	f.StringVar(&o.By, "by", explain.ByToken, "what gets a score: "+strings.Join(explain.Groupings, ", "))
	f.StringSliceVar(&o.groups, "groups", nil, "or: groups of tokens by their places, from 0, such as 0-3,4+6,7-9")
	f.StringArrayVar(&o.Only, "only", nil, "explain this part of the text, or \"first words ... last words\", and hold "+
		"the rest; may be repeated")
	f.IntVar(&o.Settings.Steps, "steps", 0, "points of an integral (default: as many as the tolerance needs)")
	f.IntVar(&o.Settings.Samples, "samples", 0, "random draws (default: the method's)")
	f.IntVar(&o.Settings.Budget, "budget", 0, "coalitions of features to try; rows forward and backward of an integral "+
		"and of auto (default: the method's)")
	f.IntSliceVar(&o.Settings.Layers, "layer", nil, "attention of these layers, from 0 (default: all)")
	f.IntSliceVar(&o.Settings.Heads, "head", nil, "attention of these heads, from 0 (default: all)")
	f.Float64Var(&o.Tolerance, "tolerance", 0.01, "by how much the scores may miss their sum, relative")
	f.Uint64Var(&o.Seed, "seed", 0, "of random draws")
	f.StringVar(&o.from, "request", "", "run the request in this JSON `FILE` (- is stdin), in place of a prompt and "+
		"flags about it")
	f.BoolVar(&o.print, "print-request", false, "write the request that the flags make as JSON, and run nothing")
	f.StringVar(&o.memory, "memory", "",
		"memory for activations, about, such as 512MB (default: an eighth of the machine's, at most 1GB)")
	f.BoolVar(&o.json, "json", false, "write JSON: an object for one method, an array for several")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	f.StringVar(&o.svg, "svg", "", "write a picture to this `FILE`, too")
	f.StringVar(&o.png, "png", "", "write the picture as pixels to this `FILE`, too")
	f.BoolVar(&o.strict, "strict", false,
		fmt.Sprintf("exit with %d when scores do not add up as their method promises", exitBroken))
}

// request is what the flags and arguments ask, or the request in a file.
func (a *app) request(args []string, o *explainFlags) (err error) {
	if err := o.outputs.check(append(args[:1:1], o.from, o.chat.messages)); err != nil {
		return err
	}
	if o.file != (fileFlags{}) {
		if err := o.checkFile(args); err != nil {
			return err
		}
	}
	if o.from != "" {
		return a.readRequest(args, o)
	}
	if o.memory != "" {
		if o.Memory, err = parseBytes(o.memory); err != nil {
			return err
		}
	}
	if o.Tolerance == 0 {
		return usage("--tolerance is 0; it must be above 0")
	}
	for i, name := range o.Methods {
		o.Methods[i] = strings.TrimSpace(name)
	}
	if o.Matrix != "" && !o.flags.Changed("method") {
		o.Methods = nil // the default is for features
	} else if len(o.Methods) == 0 {
		return usage("no method was given; there is --method all")
	}
	for _, name := range []string{"target", "foil", "target-any", "foil-any"} {
		if f := o.flags.Lookup(name); f.Changed && strings.Trim(f.Value.String(), "[]") == "" {
			return usage("--%s is empty: give a text, or leave it out", name)
		}
	}
	if o.Groups, err = parseGroups(o.groups); err != nil {
		return err
	}
	if o.file.File != "" {
		return mistakes(batch.CheckCommon(o.Request))
	}
	asked := o.Request
	asked.Prompt, asked.IDs = "-", nil // which stdin may have to be read for
	if err := mistakes(asked.Validate()); err != nil {
		return err
	}
	return a.ask(&o.Request, args, o.ids, o.chat)
}

// ask puts the prompt, the token IDs or the conversation that arguments and flags give into a request, and checks it.
func (a *app) ask(r *lmkit.Request, args []string, ids string, chat chatFlags) (err error) {
	if chat.asked() {
		if ids != "" {
			return usage("--ids are tokens, which no chat template writes; give a text")
		}
		r.Messages, err = a.conversation(args, chat)
	} else {
		r.Prompt, r.IDs, err = a.prompt(args, ids)
	}
	if err != nil {
		return err
	}
	return mistakes(r.Validate())
}

// parseGroups reads groups of places: 0-3,4+6.
func parseGroups(texts []string) (groups [][]int, err error) {
	for _, text := range texts {
		var group []int
		for part := range strings.SplitSeq(text, "+") {
			first, last, ranges := strings.Cut(strings.TrimSpace(part), "-")
			from, err := strconv.Atoi(first)
			to := from
			if ranges && err == nil {
				to, err = strconv.Atoi(last)
			}
			if err != nil || from < 0 || to < from || to-from > 1<<20 {
				return nil, usage("--groups %s: give places of tokens, from 0, such as 0-3,4+6,7-9", text)
			}
			for at := from; at <= to; at++ {
				group = append(group, at)
			}
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// readRequest reads the request that --request names.
func (a *app) readRequest(args []string, o *explainFlags) error {
	var others []string
	may := []string{"request", "print-request", "json", "html", "svg", "png", "strict", "engine", "weights", "precision",
		"file", "template", "out", "server", "server-token"}
	if o.file.Chat { // which belongs to the items
		may = append(may, "chat", "system", "reply")
	}
	o.flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains(may, f.Name) {
			others = append(others, "--"+f.Name)
		}
	})
	if len(args) > 1 {
		others = append(others, "a prompt")
	}
	if others != nil {
		return usage("%s cannot go with --request, which says all that is asked", strings.Join(others, ", "))
	}
	in := a.in
	if o.from != "-" {
		file, err := os.Open(o.from)
		if err != nil {
			return fmt.Errorf("the request %s: %w", o.from, plain(err))
		}
		defer file.Close()
		in = file
	}
	var err error
	read := lmkit.ReadRequest
	if o.file.File != "" {
		read = batch.ReadCommon
	}
	if o.Request, err = read(in); err != nil {
		return usage("%s: %w", o.from, err)
	}
	return nil
}

// mistakes names the settings of a request as flags do.
func mistakes(err error) error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		all = several.Unwrap()
	}
	var said []string
	for _, err := range all {
		text := err.Error()
		var m *lmkit.Mistake
		if errors.As(err, &m) && m.Setting != "" {
			flag := m.Setting
			if one, ok := map[string]string{"layers": "layer", "heads": "head"}[flag]; ok {
				flag = one
			}
			flag = strings.ReplaceAll(flag, "_", "-")
			text = "--" + flag + " " + m.Problem
		}
		said = append(said, text)
	}
	return usage("%s", strings.Join(said, "; "))
}

// parseBytes reads a size such as 512MB.
func parseBytes(text string) (int64, error) {
	s := strings.ToUpper(strings.TrimSpace(text))
	factor := int64(1)
	for suffix, f := range map[string]int64{"GB": 1 << 30, "MB": 1 << 20, "KB": 1 << 10} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = strings.TrimSpace(rest), f
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0) || n*float64(factor) > 1<<60 {
		return 0, usage("--memory %s: give a size such as 512MB or 2GB", text)
	}
	return int64(n * float64(factor)), nil
}
