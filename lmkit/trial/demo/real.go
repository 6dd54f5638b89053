package demo

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token/chat"
)

// asked is a question to the real model.
type asked struct {
	heading string
	text    string // what is to be continued, or what a person says
	reply   string // in a chat: how the answer begins; "": no chat
	foil    string // rather than which token
	method  string // occlusion in a chat, whose many tokens the template wrote
}

var questions = []asked{
	{"A fact", "The capital of France is", "", " London", "integrated-gradients"},
	{"A question in a chat", "What is the capital of France?", "The capital is", " London", "occlusion"},
	{"A sentiment", "Is this review positive or negative? Answer with one word.\n\n" +
		`"The plot was dull, the acting worse, and I left before the end."`, "This review is", " positive", "occlusion"},
	{"A mistake", "The capital of Australia is", "", " Canberra", "integrated-gradients"},
}

// real asks the real model, and explains each of its answers.
func (d *demo) real(ctx context.Context) error {
	if d.Real == "" {
		d.say("\n── A real language model: left out ──\n%s", d.Missing)
		return nil
	}
	m, err := lm.Open(d.Engine, d.Real)
	if err != nil {
		return err
	}
	defer m.Close()
	d.say("\n── A real language model: SmolLM2-135M-Instruct, %s numbers ──", thousands(m.Params()))
	for i, q := range questions {
		d.Progress.At("explain SmolLM2", int64(i), int64(len(questions)), "questions")
		a, err := q.explain(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", q.heading, err)
		}
		said := fmt.Sprintf("%q goes on with %q.", q.text, a.Target.Text)
		if q.reply != "" {
			said = fmt.Sprintf("To %q the answer %q goes on with %q.", q.text, q.reply, a.Target.Text)
		}
		d.say("\n%s. %s\n", q.heading, said)
		if err := render.Text(d.Out, a, plot.Options{Color: d.Color, Width: d.Width}); err != nil {
			return err
		}
		d.sections = append(d.sections, render.Section{Heading: "SmolLM2: " + q.heading, Paragraphs: []string{said},
			Figures: render.Figures(a)})
	}
	d.Progress.At("explain SmolLM2", int64(len(questions)), int64(len(questions)), "questions")
	return nil
}

// explain says why the model's first choice comes, and not the foil.
func (q asked) explain(ctx context.Context, m *lm.Model) (*explain.Attribution, error) {
	r := lmkit.Request{Prompt: q.text, Foil: q.foil, Methods: []string{q.method}}
	if q.reply != "" {
		r.Prompt = ""
		r.Messages = []chat.Message{{Role: chat.User, Content: q.text}, {Role: chat.Assistant, Content: q.reply}}
	}
	answer, err := r.Answer(ctx, m)
	if err != nil {
		return nil, err
	}
	return answer.Attributions[0], nil
}
