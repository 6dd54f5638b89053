package faithful

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Case is a question to a model whose answer rests on tokens that are known.
type Case struct {
	Question explain.Question
	Cause    []int // the positions of these tokens
	// Followed says that the model's answer was seen to change with the cause to the foil: the case is verified. Of
	// other cases the cause is verified by hiding it.
	Followed bool
}

// causes returns the features that hold tokens of the cause.
func (c Case) causes(p *explain.Problem) ([]int, error) {
	var causes []int
	for i, f := range p.Features {
		if slices.ContainsFunc(f.Tokens, func(at int) bool { return slices.Contains(c.Cause, at) }) {
			causes = append(causes, i)
		}
	}
	if causes == nil {
		return nil, errors.New("no feature holds the cause")
	}
	return causes, nil
}

// pose returns planted items as cases: a question about the label rather than the foil, and where the cause stands.
func (s Scoring) pose(m *lm.Model, items []plant.Item) ([]Case, error) {
	if len(items) == 0 {
		return nil, errors.New("there are no planted items to score methods on")
	}
	if m.Tokenizer() == nil {
		return nil, errors.New("planted items are words: they need a model with a tokenizer")
	}
	if s.Keep == nil {
		s.Keep = []string{"=>", "?"}
	}
	var cases []Case
	for i, it := range items {
		c, err := s.poseOne(m.Tokenizer(), it)
		if err != nil {
			return nil, fmt.Errorf("planted item %d: %w", i, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func (s Scoring) poseOne(tok token.Tokenizer, it plant.Item) (Case, error) {
	text := strings.Join(it.Tokens, " ")
	target, foil, err := answers(tok, text, " "+it.Label, " "+it.Foil)
	if err != nil {
		return Case{}, err
	}
	words, err := tokensOfWords(tok, text, it.Tokens)
	if err != nil {
		return Case{}, err
	}
	c := Case{Question: explain.Question{Prompt: text, Target: []token.ID{target}, Foil: []token.ID{foil},
		Objective: explain.Contrast}}
	causes := 0
	for w, word := range it.Tokens {
		isCause := slices.Contains(it.Cause, w)
		if slices.Contains(s.Keep, word) {
			if isCause {
				return Case{}, fmt.Errorf("the word %q is a cause, but is among those that always stay", word)
			}
			continue
		}
		if isCause {
			causes++
			c.Cause = append(c.Cause, words[w]...)
		}
		c.Question.Groups = append(c.Question.Groups, words[w])
	}
	if causes != len(it.Cause) || len(it.Cause) == 0 {
		return Case{}, fmt.Errorf("the causes %v are not places of its %d words, each once", it.Cause, len(it.Tokens))
	}
	return c, nil
}

// answers returns the first token of each of two answers to a text, as they are read behind it: with a space between.
func answers(tok token.Tokenizer, text, label, foil string) (target, other token.ID, err error) {
	if target, err = follows(tok, text, label); err != nil {
		return 0, 0, err
	}
	if other, err = follows(tok, text, foil); err != nil {
		return 0, 0, err
	}
	if target == other {
		return 0, 0, fmt.Errorf("the answers %q and %q begin with the same token: take a word tokenizer",
			strings.TrimSpace(label), strings.TrimSpace(foil))
	}
	return target, other, nil
}

// follows returns the first token of an answer as it is read behind a text.
func follows(tok token.Tokenizer, text, answer string) (token.ID, error) {
	alone, err := tok.Encode(text)
	if err != nil {
		return 0, err
	}
	whole, err := tok.Encode(text + answer)
	if err != nil {
		return 0, err
	}
	n, word := len(alone.IDs), strings.TrimSpace(answer)
	if len(whole.IDs) <= n || !slices.Equal(whole.IDs[:n], alone.IDs) {
		return 0, fmt.Errorf("the tokenizer does not keep the answer %q apart from the text: take a word tokenizer", word)
	}
	if unk, ok := tok.Unknown(); ok && whole.IDs[n] == unk {
		return 0, fmt.Errorf("the answer %q is not in the model's vocabulary: the model was not trained for this task", word)
	}
	return whole.IDs[n], nil
}

// tokensOfWords returns the positions of the tokens of each word. A token belongs to the word that its first byte
// which is no white space belongs to.
func tokensOfWords(tok token.Tokenizer, text string, words []string) ([][]int, error) {
	enc, err := tok.Encode(text)
	if err != nil {
		return nil, err
	}
	out := make([][]int, len(words))
	w, end := -1, -1 // the word that a token begins in, and where it ends
	for i, s := range enc.Spans {
		at := s.Start
		for at < s.End-1 && text[at] == ' ' {
			at++
		}
		for at >= end && w < len(words)-1 {
			w++
			end += 1 + len(words[w])
		}
		out[w] = append(out[w], i)
	}
	if w := slices.IndexFunc(out, func(ts []int) bool { return ts == nil }); w >= 0 {
		return nil, fmt.Errorf("the word %q has no token of its own: take a word tokenizer", words[w])
	}
	return out, nil
}

// lead returns the logit of the target minus the largest of the others.
func lead(target token.ID) func([]float32) float64 {
	return func(logits []float32) float64 {
		return float64(logits[target]) - float64(logits[explain.Best(logits, target)])
	}
}
