package faithful

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// posed is an item as a question to the model.
type posed struct {
	question explain.Question
	causes   []int // features
}

// pose turns items into questions, and counts their tokens.
func (s Scoring) pose(m *lm.Model, items []plant.Item) ([]posed, map[token.ID]int, error) {
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	if len(items) == 0 {
		return nil, nil, errors.New("there are no planted items to score methods on")
	}
	if m.Tokenizer() == nil {
		return nil, nil, errors.New("planted items are words: they need a model with a tokenizer")
	}
	if s.Keep == nil {
		s.Keep = []string{"=>", "?"}
	}
	counts := map[token.ID]int{}
	var ps []posed
	for i, it := range items {
		p, err := s.poseOne(m.Tokenizer(), it, counts)
		if err != nil {
			return nil, nil, fmt.Errorf("planted item %d: %w", i, err)
		}
		p.question.Seed = rand.New(rand.NewPCG(s.Seed, uint64(i))).Uint64()
		ps = append(ps, p)
	}
	return ps, counts, nil
}

func (s Scoring) poseOne(tok token.Tokenizer, it plant.Item, counts map[token.ID]int) (posed, error) {
	text := strings.Join(it.Tokens, " ")
	target, foil, err := answers(tok, text, it)
	if err != nil {
		return posed{}, err
	}
	words, ids, err := tokensOfWords(tok, text, it.Tokens)
	if err != nil {
		return posed{}, err
	}
	for _, id := range ids {
		counts[id]++
	}
	p := posed{question: explain.Question{Prompt: text, Target: &target, Foil: &foil, Objective: explain.Contrast,
		Baseline: s.Baseline, Memory: s.Memory}}
	for w, word := range it.Tokens {
		isCause := slices.Contains(it.Cause, w)
		if slices.Contains(s.Keep, word) {
			if isCause {
				return posed{}, fmt.Errorf("the word %q is a cause, but is among those that always stay", word)
			}
			continue
		}
		if isCause {
			p.causes = append(p.causes, len(p.question.Groups))
		}
		p.question.Groups = append(p.question.Groups, words[w])
	}
	if len(p.causes) != len(it.Cause) || len(it.Cause) == 0 {
		return posed{}, fmt.Errorf("the causes %v are not places of its %d words, each once", it.Cause, len(it.Tokens))
	}
	return p, nil
}

// answers is the tokens by which label and foil begin.
func answers(tok token.Tokenizer, text string, it plant.Item) (target, foil token.ID, err error) {
	alone, err := tok.Encode(text)
	if err != nil {
		return 0, 0, err
	}
	n := len(alone.IDs)
	first := func(word string) (token.ID, error) {
		whole, err := tok.Encode(text + " " + word)
		if err != nil {
			return 0, err
		}
		if len(whole.IDs) <= n || !slices.Equal(whole.IDs[:n], alone.IDs) {
			return 0, fmt.Errorf("the tokenizer does not keep the answer %q apart from the text: take a word tokenizer", word)
		}
		if unk, ok := tok.Unknown(); ok && whole.IDs[n] == unk {
			return 0, fmt.Errorf("the answer %q is not in the model's vocabulary: the model was not trained for this task", word)
		}
		return whole.IDs[n], nil
	}
	if target, err = first(it.Label); err != nil {
		return 0, 0, err
	}
	if foil, err = first(it.Foil); err != nil {
		return 0, 0, err
	}
	if target == foil {
		return 0, 0, fmt.Errorf("the answers %q and %q begin with the same token: take a word tokenizer", it.Label, it.Foil)
	}
	return target, foil, nil
}

// tokensOfWords is the places of each word's tokens: those whose first visible byte is in the word.
func tokensOfWords(tok token.Tokenizer, text string, words []string) ([][]int, []token.ID, error) {
	enc, err := tok.Encode(text)
	if err != nil {
		return nil, nil, err
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
		return nil, nil, fmt.Errorf("the word %q has no token of its own: take a word tokenizer", words[w])
	}
	return out, enc.IDs, nil
}

// lead is the logit of the target minus the largest of the others.
func lead(target token.ID) func([]float32) float64 {
	return func(logits []float32) float64 {
		return float64(logits[target]) - float64(logits[explain.Best(logits, target)])
	}
}
