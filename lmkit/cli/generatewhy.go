package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// whyFlags ask why each token stands there while a text is written.
type whyFlags struct {
	method, html string
}

func (o *whyFlags) register(f *pflag.FlagSet) {
	f.StringVar(&o.method, "explain", "", "explain each token as it comes by this `METHOD`, such as occlusion")
	f.StringVar(&o.html, "html", "", "with --explain, write a page of the text to this `FILE`, too: point at a token "+
		"to see what made it")
}

// checkWhy returns what does not go with an explanation.
func (o generateFlags) checkWhy(args []string) error {
	switch {
	case o.why.method == "" && o.why.html != "":
		return usage("--html belongs to --explain")
	case o.why.method == "":
		return nil
	case o.n != 1 || o.steer != "":
		return usage("--explain is about one text of the model as it is: leave --n and --steer out")
	case o.chat && len(args) < 2:
		return usage("--explain is about one answer: say the message")
	}
	return writable(nil, output{"--html", o.why.html, pageBegins})
}

// explainWriting writes a text, a line a token as it comes: what of the text before it speaks most for it. What was
// explained when an interrupt ends the work is on the page.
func (a *app) explainWriting(ctx context.Context, m *lm.Model, read chat.Conversation, o generateFlags) error {
	method, err := lmkit.Method(o.why.method, lmkit.Settings{})
	if err != nil {
		return usage("--explain: %w", err)
	}
	by := explain.PerToken{Method: method}
	o.NoSlide = true
	var found []*explain.Matrix
	var failed error
	for next, err := range generate.Stream(ctx, m, slices.Clone(read.IDs), o.Config) {
		if failed = err; err != nil || next.End {
			break
		}
		q := explain.Question{Chat: &read, Target: []token.ID{next.ID}, Objective: explain.LogProb}
		if explain.Suits(by, m, q) != nil { // some methods share out logits alone
			q.Objective = explain.Logit
		}
		one, err := explain.ExplainMatrix(progress.With(ctx, nil), m, q, by)
		if failed = err; err != nil {
			break
		}
		if failed = a.sayWhy(one, next.LogProb); failed != nil {
			break
		}
		found = append(found, one)
		extend(&read, next.ID, m.TokenText(next.ID))
	}
	if len(found) == 0 {
		return cmp.Or(failed, errors.New("the model ends the text at once, so that there is nothing to explain"))
	}
	all, err := explain.JoinTokens(found...)
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, w := range all.Warnings {
		a.note("warning: %s", w)
	}
	page := render.Report{Title: "Why each token",
		Sections: []render.Section{{Figures: []plot.Figure{render.Matrix{Matrix: all}}}}}
	return errors.Join(failed, a.file(o.why.html, func(w io.Writer) error { return page.HTML(w) }))
}

// mostReasons is how many tokens are named that speak for one.
const mostReasons = 3

// sayWhy writes a line: a token, and what speaks most for it.
func (a *app) sayWhy(one *explain.Matrix, logProb float64) error {
	scores := one.Values[0]
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(scores[j], scores[i]) })
	var because []string
	for _, i := range order[:min(mostReasons, len(order))] {
		if scores[i] > 0 {
			because = append(because, fmt.Sprintf("%s %+.2g", printable.Quoted(one.Columns[i]), scores[i]))
		}
	}
	if len(because) == 0 {
		because = []string{"nothing that speaks for it"}
	}
	word := printable.Quoted(one.Rows[0])
	return printf(a.out, "%s%s %5.1f %%  because of %s\n", word, strings.Repeat(" ", max(0, 16-printable.Columns(word))),
		100*math.Exp(logProb), strings.Join(because, ", "))
}

// extend puts a token of the answer behind a text.
func extend(read *chat.Conversation, id token.ID, text string) {
	span := token.Span{Start: len(read.Text), End: len(read.Text) + len(text)}
	if n := len(read.Parts); n > 0 {
		last := &read.Parts[n-1]
		if last.Role == chat.Assistant && last.Span.End == span.Start {
			last.Span.End = span.End
		} else {
			read.Parts = append(read.Parts, chat.Part{Message: last.Message + 1, Role: chat.Assistant, Span: span})
		}
	}
	if read.Held != nil {
		read.Held = append(read.Held, false)
	}
	read.Text, read.IDs, read.Spans = read.Text+text, append(read.IDs, id), append(read.Spans, span)
}
