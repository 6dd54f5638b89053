package explain

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Baseline is what stands for an absent token: an embedding.
type Baseline struct {
	Name   string
	Vector lm.Array // [D]
}

// texts are the baselines that are a token of this text: as byte-level BPE spells it, or SentencePiece.
var texts = map[string][]string{"newline": {"\n", "<0x0A>"}, "space": {" ", "▁"}}

// spelt is the token that is one of the texts of a baseline, if the vocabulary has it.
func spelt(tok token.Tokenizer, baseline string) (token.ID, bool) {
	for _, text := range texts[baseline] {
		if id, ok := tok.Lookup(text); ok {
			return id, true
		}
	}
	return 0, false
}

// DefaultBaseline is what stands for an absent token where a question does not say it: the unknown token, if training
// showed it to the model. A model of byte pairs that was trained elsewhere has a line break, or else a space: on facts
// that a pretrained model knows, integrated gradients find the true cause twice as often against it as against the mean
// embedding, for less work than against any other, and no usual method does badly (docs/methods.md). All others have
// the mean embedding.
func DefaultBaseline(m *lm.Model) string {
	if m.MetUnknown() {
		return "unk"
	}
	if tok, ok := m.Tokenizer().(*token.BPE); ok && m.Training() == nil {
		for _, name := range []string{"newline", "space"} {
			if _, ok := spelt(tok, name); ok {
				return name
			}
		}
	}
	return "mean"
}

// baselines finds the embeddings of the input, and those that stand for an absent token.
func (p *Problem) baselines() error {
	var err error
	if p.Embeddings, err = p.Model.Embeddings(p.IDs...); err != nil {
		return err
	}
	D := p.Embeddings.Dims[1]
	given := map[string]string{} // the name under which each was given, by what it is
	for name := range strings.SplitSeq(p.Question.Baseline, ",") {
		b := Baseline{Name: strings.TrimSpace(name)}
		is := b.Name
		switch b.Name {
		case "zero":
			b.Vector = lm.Array{Dims: []int{D}, Data: make([]float32, D)}
		case "mean":
			if b.Vector, err = p.Model.MeanEmbedding(); err != nil {
				return err
			}
		default:
			id, err := baselineToken(p.Model, b.Name)
			if err != nil {
				return err
			}
			rows, err := p.Model.Embeddings(id)
			if err != nil {
				return err
			}
			b.Vector, is = lm.Array{Dims: []int{D}, Data: rows.Data}, fmt.Sprintf("#%d", id)
		}
		if other, twice := given[is]; twice {
			return fmt.Errorf("the baselines %s and %s are the same; leave one out", other, b.Name)
		}
		given[is] = b.Name
		p.Baselines = append(p.Baselines, b)
	}
	return nil
}

// baselineToken is the token that a baseline names.
func baselineToken(m *lm.Model, name string) (token.ID, error) {
	tok := m.Tokenizer()
	if tok == nil && (name == "unk" || texts[name] != nil) {
		return 0, fmt.Errorf("the baseline %s needs a tokenizer, and this model has none: choose mean, zero or #ID", name)
	}
	switch {
	case name == "unk":
		if id, ok := tok.Unknown(); ok {
			return id, nil
		}
		return 0, errors.New("this model's tokenizer has no unknown token: choose the baseline mean, zero or #ID")
	case texts[name] != nil:
		if id, ok := spelt(tok, name); ok {
			return id, nil
		}
		return 0, fmt.Errorf("this model's tokenizer has no token that is a %s: choose the baseline mean, zero or #ID", name)
	case name == "end":
		if ends := m.Ends(); len(ends) > 0 {
			return ends[0], nil
		}
		return 0, errors.New("this model has no token that ends a text: choose the baseline mean, zero or #ID")
	case strings.HasPrefix(name, "#"):
		id, err := strconv.Atoi(name[1:])
		if last := m.Config().Vocab - 1; err != nil || id < 0 || id > last {
			return 0, fmt.Errorf("the baseline %s is no token: there are #0 to #%d", name, last)
		}
		return token.ID(id), nil
	}
	return 0, fmt.Errorf("there is no baseline %q; there are unk, mean, zero, newline, space, end and #ID (a token)", name)
}
