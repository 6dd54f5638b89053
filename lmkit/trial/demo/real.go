package demo

import (
	"context"
	"fmt"
	"slices"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// asked is a question to the real model.
type asked struct {
	heading string
	text    string // what is to be continued, or what a person says
	reply   string // in a chat: how the answer begins; "": no chat
	foil    string // rather than which token; where it is the first choice itself, the second one
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
	template, err := m.Chat()
	if err != nil {
		return err
	}
	d.say("\n── A real language model: SmolLM2-135M-Instruct, %s numbers ──", thousands(m.Params()))
	for i, q := range questions {
		d.Progress.At("explain SmolLM2", int64(i), int64(len(questions)), "questions")
		a, err := q.explain(ctx, m, template)
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
func (q asked) explain(ctx context.Context, m *lm.Model, template *chat.Template) (*explain.Attribution, error) {
	read, err := m.Tokenizer().Encode(q.text)
	if err != nil {
		return nil, err
	}
	question := explain.Question{IDs: read.IDs}
	if q.reply != "" {
		said, err := template.Encode(m.Tokenizer(), []chat.Message{{Role: "user", Content: q.text}}, true)
		if err != nil {
			return nil, err
		}
		begun, err := token.EncodeWith(m.Tokenizer(), q.reply, token.Options{Bare: true})
		if err != nil {
			return nil, err
		}
		question = explain.Question{IDs: slices.Concat(said.IDs, begun.IDs)}
		for i, held := range said.Held {
			if !held {
				question.Groups = append(question.Groups, []int{i})
			}
		}
	}
	said, err := m.Run(ctx, lm.Query{Rows: [][]token.ID{question.IDs}, Logits: lm.LastLogits})
	if err != nil {
		return nil, err
	}
	choice := explain.Best(said.Logits[0].Data)
	foil, err := explain.FindToken(m, "", q.foil)
	if err != nil {
		return nil, err
	}
	if question.Target = &choice; foil != choice {
		question.Foil = &foil
	}
	method, err := lmkit.Method(q.method, lmkit.Settings{})
	if err != nil {
		return nil, err
	}
	as, err := explain.Explain(ctx, m, question, method)
	if err != nil {
		return nil, err
	}
	return as[0], nil
}
