package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/inspect"
)

// patchFlags are those of lmkit inspect patch.
type patchFlags struct {
	insideFlags
	inspect.Patch
	donors string
}

func (a *app) patchCmd() *cobra.Command {
	o := &patchFlags{}
	cmd := &cobra.Command{
		Use: `patch MODEL "CLEAN" ["CORRUPTED"]`,
		Long: `Run a prompt with one activation at a time replaced by that of another version of the prompt, and tell how much
of the difference between the two answers comes with it: 0 is nothing, 1 is all of it. By default a clean activation
is put into the corrupted run (denoising: was it enough?); with --noising a corrupted one into the clean run (was it
needed?). Both prompts must have as many tokens, unless --positions names one of each between which patches go: a
column is then an activation.

A row of the matrix is a layer and a column a token; of activations with heads (z, q, k, v, pattern) a column is a
head, or with --by position each head is a row. --with says what takes the place of a corrupted prompt: noise on the
embeddings of a part of the prompt (--subject), zeros, or what other texts have there (--donors).

With --estimate the cells are estimated from gradients, and the largest of them and some of the others are run.`,
		Example: `  lmkit inspect patch smollm2 "When Mary and John went to the store, John gave a drink to" \
      "When Mary and John went to the store, Mary gave a drink to" --target " Mary" --foil " John" --png patch.png
  lmkit inspect patch smollm2 "The capital of France is" "The capital of Germany is" --target " Paris" --at z
  lmkit inspect patch smollm2 "The capital of France is" --target " Paris" --with noise --subject France --at mlp.out`,
		Args: between(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				o.Corrupted = args[2]
				args = args[:2]
			}
			if err := o.readDonors(); err != nil {
				return err
			}
			return a.inside(cmd.Context(), args, &o.insideFlags, o.Patch)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.At, "at", "", "the activation: resid.pre, resid.mid, resid.post, attn.out, mlp.out, z, q, k, v, "+
		"pattern, mlp.post, ...; of an LSTM: hidden, cell, gate.i, ... (default: resid.pre, or hidden)")
	f.StringVar(&o.By, "by", "", "of activations with heads, the cells of a layer: "+inspect.ByHead+" or "+
		inspect.ByPosition+" (default: head)")
	f.IntSliceVar(&o.Patch.Layers, "layers", nil, "only these layers")
	f.Func("positions", "only between token A of the clean prompt and token B of the corrupted one, from 0: `A,B`",
		o.readPositions)
	f.BoolVar(&o.Noising, "noising", false, "put corrupted activations into the clean run")
	f.StringVar(&o.With, "with", inspect.WithPrompt, "what is put in place: "+strings.Join(inspect.Corruptions, ", "))
	f.StringVar(&o.Subject, "subject", "", "with --with noise: the part of the prompt that the noise is on")
	f.IntVar(&o.Patch.Samples, "samples", 0, "with --with noise: how often it is drawn (default: 5)")
	f.StringVar(&o.donors, "donors", "", "with --with mean or resample: a `FILE` of texts, one a line")
	f.BoolVar(&o.Estimate, "estimate", false, "estimate the cells from gradients, and run only the largest and a sample")
	f.IntVar(&o.Verify, "verify", 0, "with --estimate: how many of the largest cells, and of the others, are run "+
		"(default: 10)")
	f.StringVar(&o.Objective, "objective", "", "what an effect is a share of: contrast, logit, logprob or prob "+
		"(default: contrast, a difference of logits)")
	against(cmd, &o.Patch.IDs)
	o.insideFlags.register(cmd)
	return a.asks(cmd)
}

// readPositions reads a position of each prompt. (They may be the same, as no two of a list of things may.)
func (o *patchFlags) readPositions(list string) error {
	o.Positions = []int{}
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return fmt.Errorf("%q is no position: give one of each prompt, as in 4,4", s)
		}
		o.Positions = append(o.Positions, n)
	}
	return nil
}

// readDonors reads the file of other texts.
func (o *patchFlags) readDonors() error {
	if o.donors == "" {
		return nil
	}
	text, err := os.ReadFile(o.donors)
	if err != nil {
		return fmt.Errorf("the other texts: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			o.Donors = append(o.Donors, line)
		}
	}
	return nil
}
