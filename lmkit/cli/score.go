package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

type scoreFlags struct {
	after, file string
	json        bool
}

func (a *app) scoreCmd() *cobra.Command {
	var o scoreFlags
	cmd := &cobra.Command{
		Use:   `score MODEL ["TEXT"]`,
		Short: "Say how likely a model finds a text",
		Long: `Say how likely a model finds a text: the log-probability, in nats, of each token after those before it,
and their sum. The text - is read from stdin.

The first token is read after the one that the model's tokenizer puts at the beginning of every text, or else after its
end-of-text token; the output says which. --after gives a text to go on from, which is read and not scored: TEXT then
begins with a space where one belongs.

--file scores each line of a file (- is stdin) by itself. The lines of a .jsonl file are objects with a "text", and an
"after" if need be. With --json each line comes out as one line of JSON, in the same order.`,
		Example: `  lmkit score smollm2 "The capital of France is Paris."
  lmkit score smollm2 " Paris" --after "The capital of France is"
  lmkit score runs/first --file lines.txt --json`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.score(cmd.Context(), args, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.after, "after", "", "the `TEXT` that comes before, which is not scored")
	f.StringVar(&o.file, "file", "", "score the lines of this `FILE`")
	f.BoolVar(&o.json, "json", false, "write JSON")
	return a.asks(cmd)
}

func (a *app) score(ctx context.Context, args []string, o scoreFlags) error {
	switch {
	case o.file != "" && len(args) > 1:
		return usage("both a text and --file were given; give one")
	case o.file != "" && o.after != "":
		return usage("--after belongs to a text; in a .jsonl file each line may have an \"after\"")
	case o.file == "" && len(args) < 2:
		return usage("there is no text; give one in quotes, - to read it from stdin, or --file")
	}
	if o.file != "" {
		return a.scoreFile(ctx, args[0], o)
	}
	text, _, err := a.prompt(args, "")
	if err != nil {
		return err
	}
	score, done, err := a.scorer(ctx, args[0])
	if err != nil {
		return err
	}
	defer done()
	scores, err := score(ctx, []lm.Passage{{Text: text, After: o.after}})
	if err != nil {
		return err
	}
	s := scores[0]
	if s.Error != "" {
		return fmt.Errorf("the text: %s", s.Error)
	}
	if o.json {
		return writeJSON(a.out, s)
	}
	return a.showScore(s)
}

// scorer is what scores texts: the model that is called so, or that of the server.
func (a *app) scorer(ctx context.Context, model string) (
	score func(context.Context, []lm.Passage) ([]lm.Score, error), done func(), err error,
) {
	if a.server.Address != "" {
		return func(ctx context.Context, texts []lm.Passage) ([]lm.Score, error) {
			return a.server.Score(ctx, called(model), texts)
		}, func() {}, nil
	}
	m, err := a.openModel(ctx, model, backend.Options{})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, texts []lm.Passage) ([]lm.Score, error) {
		scores, _, err := m.Score(ctx, texts)
		return scores, err
	}, m.Close, nil
}

// showScore writes the tokens of one text, a line each, and what they come to.
func (a *app) showScore(s lm.Score) error {
	width := 0
	for _, t := range s.Tokens {
		width = max(width, len([]rune(quoted(t.Text))))
	}
	for _, t := range s.Tokens {
		mark := ""
		if t.Unknown {
			mark = "  (the model does not know it, and reads it as its unknown token)"
		}
		err := printf(a.out, "%-*s  %9.4f  %8.4f %%%s\n", width, quoted(t.Text), t.LogProb, 100*math.Exp(t.LogProb), mark)
		if err != nil {
			return err
		}
	}
	err := printf(a.out, "log-probability  %.4f nats of %s\nperplexity       %.3f\n"+
		"unknown          %.2f %% of the tokens\n", s.LogProb, tokens(len(s.Tokens)), s.Perplexity, 100*s.Unknown)
	if err != nil {
		return err
	}
	for _, note := range notesOf(s) {
		if err := printf(a.out, "%s\n", note); err != nil {
			return err
		}
	}
	return nil
}

// notesOf says what else one must know of a score.
func notesOf(s lm.Score) (notes []string) {
	switch {
	case s.Begin != "":
		notes = append(notes, fmt.Sprintf("The first token is read after %s.", quoted(s.Begin)))
	case s.Unscored != "":
		notes = append(notes, fmt.Sprintf("The first token, %s, has no score: "+
			"the model has no token that a text begins after.", quoted(s.Unscored)))
	}
	if s.Windows > 0 {
		notes = append(notes, fmt.Sprintf("The text is longer than the model can read: it was read in %d parts that overlap "+
			"by half.", s.Windows))
	}
	return notes
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// item is a line of a file that is scored.
type item struct {
	line    int
	passage lm.Passage
	wrong   string // why there is nothing to score
}

// itemsOf reads the lines of a file that are not empty. Lines of JSON are objects, of which other fields are left out.
func itemsOf(lines []string, asJSON bool) (items []item) {
	for i, line := range lines {
		x := item{line: i + 1, passage: lm.Passage{Text: line}}
		if blank(line) {
			continue
		}
		if asJSON {
			var o struct{ Text, After *string }
			x.passage.Text = ""
			if err := strict.Decode([]byte(line), &o); err != nil {
				x.wrong = "it is no JSON object with a \"text\": " + err.Error()
			} else if o.Text == nil {
				x.wrong = "it has no \"text\""
			} else if x.passage.Text = *o.Text; o.After != nil {
				x.passage.After = *o.After
			}
		}
		items = append(items, x)
	}
	return items
}

// scoredTogether is how many lines of a file are scored before their scores are written.
const scoredTogether = 512

// scoreFile scores lines, and writes each as soon as it is known.
func (a *app) scoreFile(ctx context.Context, model string, o scoreFlags) error {
	lines, err := a.allLines(o.file)
	if err != nil {
		return err
	}
	items := itemsOf(lines, strings.HasSuffix(o.file, ".jsonl"))
	if len(items) == 0 {
		return fmt.Errorf("%s has no lines to score", o.file)
	}
	score, done, err := a.scorer(ctx, model)
	if err != nil {
		return err
	}
	defer done()
	sum, begun, meter := totals{}, time.Now(), a.meter()
	defer meter.hide()
	for part := range slices.Chunk(items, scoredTogether) {
		meter.hear(progress.Event{What: "scoring", Done: int64(sum.texts), Total: int64(len(items)), Unit: "texts"})
		passages := make([]lm.Passage, len(part))
		for i, x := range part {
			passages[i] = x.passage
		}
		scores, err := score(ctx, passages)
		if err != nil {
			return err
		}
		meter.hide()
		for i, s := range scores {
			if part[i].wrong != "" {
				s.Error = part[i].wrong
			}
			if s.Error != "" {
				a.note("%s line %d: %s", o.file, part[i].line, s.Error)
			}
			sum.add(s)
			if err := a.writeScore(part[i].line, s, o.json); err != nil {
				return err
			}
		}
	}
	return a.sayTotals(sum, time.Since(begun))
}

// writeScore writes the score of a line of a file as one line.
func (a *app) writeScore(number int, s lm.Score, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(a.out)
		e.SetEscapeHTML(false)
		if s.Error != "" { // without numbers, which nothing has given
			return e.Encode(struct {
				Line int `json:"line"`
				lm.Passage
				Error string `json:"error"`
			}{number, s.Passage, s.Error})
		}
		return e.Encode(s)
	}
	if s.Error != "" {
		return printf(a.out, "%12s  %10s  %6s  %s\n", "-", "-", "-", oneLine(s.Text))
	}
	return printf(a.out, "%12.4f  %10.3f  %4.0f %%  %s\n", s.LogProb, s.Perplexity, 100*s.Unknown, oneLine(s.Text))
}

// totals adds up the scores of many texts.
type totals struct {
	texts, failed, tokens int
	logProb, unknown      float64
}

func (t *totals) add(s lm.Score) {
	t.texts++
	if s.Error != "" {
		t.failed++
	}
	t.tokens += len(s.Tokens)
	t.logProb += s.LogProb
	t.unknown += s.Unknown * float64(len(s.Tokens))
}

func (a *app) sayTotals(t totals, took time.Duration) error {
	if t.tokens > 0 {
		n := float64(t.tokens)
		a.note("%s texts, %s; perplexity %.3f a token; unknown %.2f %% of the tokens; %.1f texts a second",
			thousands(t.texts-t.failed), tokens(t.tokens), math.Exp(min(700, -t.logProb/n)), 100*t.unknown/n,
			float64(t.texts-t.failed)/took.Seconds())
	}
	if t.failed > 0 {
		return fmt.Errorf("%d of %d texts have no score", t.failed, t.texts)
	}
	return nil
}
