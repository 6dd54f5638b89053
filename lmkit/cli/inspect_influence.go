package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

func (a *app) influenceCmd() *cobra.Command {
	o, x := &insideFlags{}, inspect.Influence{}
	texts := ""
	cmd := &cobra.Command{
		Use: `influence RUN ["PROMPT"]`,
		Long: `Ask which training texts made a prediction. RUN is the folder of a run of lmkit train. A text's score is what
a step of training on it moves the difference of the two logits by, summed over the models that the run kept on the
way (train --keep): positive where the text raised the target. Texts are the lines of what the run was trained on, or
of --texts; of a run that learned answers, its examples.`,
		Example: `  lmkit train --data grammar:2000 --steps 400 --keep 5 --out runs/kept
  lmkit inspect influence runs/kept "the keys near the box" --target are --foil is`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if x.Top < 1 {
				return usage("--top is %d; it is how many texts to show", x.Top)
			}
			return a.insideBy(cmd.Context(), args, o, func(m *lm.Model) (_ explain.MatrixMethod, err error) {
				x.Checkpoints, err = kepts(m, args[0])
				if err == nil {
					x.Texts, err = a.lessons(cmd.Context(), m, args[0], texts)
				}
				return x, err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&texts, "texts", "", "score the lines of this `FILE`, not what the run was trained on")
	f.IntVar(&x.Top, "top", 10, "how many of the texts that raised it most to show, and of those that lowered it")
	o.register(cmd)
	return cmd
}

// kepts are the models that a run kept, each opened when it is its turn.
func kepts(m *lm.Model, dir string) (all []inspect.Checkpoint, err error) {
	kept, err := train.Kept(dir)
	if err != nil {
		return nil, fmt.Errorf("%w; influence follows a run of lmkit train", err)
	}
	for _, k := range kept {
		all = append(all, inspect.Checkpoint{Step: k.Step, Rate: k.Rate, Open: func(ctx context.Context) (*lm.Model, error) {
			return lm.Options{}.Open(ctx, m.Engine(), k.Dir)
		}})
	}
	return all, nil
}

// lessons are the texts that a run was trained on, or the lines of a file.
func (a *app) lessons(ctx context.Context, m *lm.Model, dir, file string) ([]inspect.Lesson, error) {
	l := lessons{m: m, at: map[string]int{}}
	if file != "" {
		lines, err := a.lines(file)
		if err != nil {
			return nil, err
		}
		return l.read(lines)
	}
	s, err := kept(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not say what it was trained on; give the texts with --texts FILE", dir)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case s.Answer != "":
		t, _, err := readAnswers(ctx, s, m.Tokenizer(), token.Spec{})
		if err != nil {
			return nil, err
		}
		within, _, _ := corpus.Within(t.train, m.Config().Context)
		for _, e := range within {
			first := 1
			if e.Scored > 0 {
				first = len(e.Tokens) - e.Scored
			}
			if err := l.add(e.Tokens, first); err != nil {
				return nil, err
			}
		}
		return l.all, nil
	case s.encoded():
		return nil, fmt.Errorf("%s was trained on a folder of tokens, which has no lines; give the texts with --texts FILE",
			dir)
	}
	c, err := a.load(ctx, s, true)
	if err != nil {
		return nil, err
	}
	var lines []string
	for text := range corpus.Texts(c.Train) {
		lines = append(lines, strings.Split(text, "\n")...)
	}
	return l.read(lines)
}

// lessons gathers different texts.
type lessons struct {
	m   *lm.Model
	all []inspect.Lesson
	at  map[string]int // the place of each
}

// read takes lines of text. One that is longer than the model reads is cut into several.
func (l *lessons) read(lines []string) ([]inspect.Lesson, error) {
	for _, line := range lines {
		if blank(line) {
			continue
		}
		e, err := l.m.Tokenizer().Encode(line)
		if err != nil {
			return nil, fmt.Errorf("the text %.40q: %w", line, err)
		}
		most := l.m.Config().Context
		if most == 0 {
			most = len(e.IDs)
		}
		for ids := e.IDs; len(ids) > 1; ids = ids[min(len(ids), most):] {
			if err := l.add(ids[:min(len(ids), most)], 1); err != nil {
				return nil, err
			}
		}
	}
	if len(l.all) == 0 {
		return nil, errors.New("there are no texts of two tokens or more")
	}
	return l.all, nil
}

// add takes one text, or counts it once more.
func (l *lessons) add(ids []token.ID, first int) error {
	text, err := l.m.Tokenizer().Decode(ids)
	if err != nil {
		return err
	}
	if i, known := l.at[text]; known {
		l.all[i].Times++
		return nil
	}
	l.at[text] = len(l.all)
	l.all = append(l.all, inspect.Lesson{Text: text, IDs: ids, First: first, Times: 1})
	return nil
}
