package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/grade"
	"lmkit.internal/lmkit/train"
)

// asksAnswers reports whether answers are to be measured, and takes from the run what the flags do not say.
func (o *evalFlags) asksAnswers(dir string) (bool, error) {
	run, err := kept(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if o.Answer == "" && (run.Answer == "" || o.Data != "" && source{Data: o.Data}.kind() != "") {
		if o.labels != nil || o.Prompt != "" || o.asks() {
			return false, usage("--labels, --prompt, --template, --chat and --system belong to --answer")
		}
		return false, nil
	}
	switch {
	case o.asks() && o.Data == "":
		return false, usage("--template and --chat ask about a file: name it with --data")
	case o.chat.asked() && !o.chat.chat:
		return false, usage("--system belongs to --chat")
	case o.chat.chat && o.labels != nil:
		return false, usage("--labels are chosen from, and with --chat the model writes its answer; give one of them")
	case o.asks() && o.part != "":
		return false, usage("--part belongs to examples as they are, without --template and --chat")
	}
	if o.Data == "" {
		if run.Answer == "" {
			return false, usage("%s does not say what answers it was validated on; name a file with --data", dir)
		}
		o.Data, o.Valid = run.Data, run.Valid
	} else if o.part == "" {
		o.part = "all"
	}
	if o.Answer == "" {
		o.Answer = run.Answer
	}
	if o.Prompt == "" && o.Answer == run.Answer {
		o.Prompt = run.Prompt
	}
	return true, nil
}

// asks reports whether the model is asked in other words than those of the examples.
func (o *evalFlags) asks() bool { return o.template != "" || o.chat.asked() }

// questions are the rows of a file as the model is asked about them, which is what the template makes of them or the
// text before the mark, and what is right.
func (o evalFlags) questions() (pairs []corpus.Pair, broken []corpus.Broken, err error) {
	if o.template == "" && (o.Prompt != "" || !corpus.IsTable(o.Data)) {
		o.template = "{" + cmp.Or(o.Prompt, "text") + "}"
	}
	for x, err := range batch.Items(batch.Source{File: o.Data, Template: o.template, Label: o.Answer}, lmkit.Request{}) {
		if err != nil {
			return nil, nil, err
		}
		if x.Wrong == "" && x.Label == "" {
			x.Wrong = fmt.Sprintf("does not say what is right: it has no %q", o.Answer)
		}
		if x.Wrong != "" {
			broken = append(broken, corpus.Broken{Line: x.Line, Why: x.Wrong})
			continue
		}
		space := " "
		if strings.TrimRight(x.Request.Prompt, " \t\n") != x.Request.Prompt {
			space = ""
		}
		pairs = append(pairs, corpus.Pair{Prompt: x.Request.Prompt, Answer: space + x.Label, Line: x.Line})
	}
	if pairs == nil && broken != nil {
		return nil, nil, fmt.Errorf("%s has no row that can be asked about: line %d %s", o.Data, broken[0].Line,
			broken[0].Why)
	}
	return pairs, broken, nil
}

// examples are those to measure on: what a run was validated on, or a file.
func (o evalFlags) examples() (pairs []corpus.Pair, broken []corpus.Broken, err error) {
	if o.asks() {
		return o.questions()
	}
	if !slices.Contains([]string{"", "train", "valid", "all"}, o.part) {
		return nil, nil, usage("there is no part %q of examples; there are train, valid and all", o.part)
	}
	file := o.Data
	if o.Valid != "" && o.part != "train" {
		file, o.part = o.Valid, "all"
	}
	if pairs, broken, err = corpus.Pairs(file, o.PairsIn); err != nil {
		return nil, nil, err
	}
	train, valid := corpus.HoldOut(pairs, train.HeldOut, corpusSeed)
	switch {
	case o.part == "all" || o.part == "train" && o.Valid != "":
		return pairs, broken, nil
	case o.part == "train":
		return train, broken, nil
	}
	return valid, broken, nil
}

func (a *app) evalAnswers(ctx context.Context, dir string, o evalFlags) error {
	pairs, broken, err := o.examples()
	if err != nil {
		return err
	}
	for _, b := range broken[:min(3, len(broken))] {
		a.note("line %d %s: left out", b.Line, b.Why)
	}
	if n := len(broken); n > 3 {
		a.note("%s hold no example in all", count(n, "a line", "lines"))
	}
	m, err := a.openModel(ctx, dir, backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	meter := a.meter()
	c := grade.Config{Progress: meter.hear}
	for _, l := range o.labels {
		c.Labels = append(c.Labels, " "+strings.TrimSpace(l))
	}
	if o.chat.chat {
		if c.Ask, err = o.chat.asker(m); err != nil {
			return fmt.Errorf("chat with %s: %w", dir, err)
		}
	}
	r, err := grade.Answers(ctx, m, pairs, c)
	meter.hide()
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(a.out, r)
	}
	return printf(a.out, "%s", gradeText(r))
}

// gradeText is a report for the terminal.
func gradeText(r *grade.Report) string {
	var b strings.Builder
	what := "accuracy  "
	if r.Texts != nil {
		what = "right     "
	}
	fmt.Fprintf(&b, "examples    %s\n%s  %.1f %% (%.1f to %.1f); always %q would reach %.1f %%\n",
		thousands(r.Examples), what, 100*r.Accuracy.Share, 100*r.Accuracy.Low, 100*r.Accuracy.High,
		r.Majority.Answer, 100*r.Majority.Share)
	if r.Texts != nil {
		fmt.Fprintf(&b, "BLEU        %.2f\nchrF        %.2f\n", r.Texts.BLEU, r.Texts.ChrF)
	}
	if r.MacroF1 != nil {
		fmt.Fprintf(&b, "macro F1    %.3f\n\n", *r.MacroF1)
		b.WriteString(confusion(r.Classes))
	}
	if len(r.Worst) > 0 {
		fmt.Fprintf(&b, "\nThe worst mistakes:\n")
	}
	for _, w := range r.Worst {
		by := ""
		if w.Margin > 0 && w.Margin < 1e300 {
			by = fmt.Sprintf(" by %.2f nats", w.Margin)
		}
		fmt.Fprintf(&b, "  line %d: %q in place of %q%s: %s\n", w.Line, w.Said, w.Right, by, oneLine(w.Prompt))
	}
	return b.String()
}

// confusion is a table of which label was said for which.
func confusion(classes []grade.Class) string {
	width := len("right answer")
	for _, c := range classes {
		width = max(width, len([]rune(c.Label)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  examples  precision  recall     F1  said:", width, "right answer")
	for _, c := range classes {
		fmt.Fprintf(&b, " %8s", c.Label)
	}
	b.WriteString("\n")
	for _, c := range classes {
		fmt.Fprintf(&b, "%-*s  %8s  %9.3f  %6.3f  %5.3f       ", width, c.Label, thousands(c.Right), c.Precision,
			c.Recall, c.F1)
		for i, n := range c.Said {
			fmt.Fprintf(&b, " %*s", max(8, len([]rune(classes[i].Label))), thousands(n))
		}
		b.WriteString("\n")
	}
	return b.String()
}
