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

// baselines finds the embeddings of the input, and those that stand for an absent token.
func (p *Problem) baselines() error {
	var err error
	if p.Embeddings, err = p.Model.Embeddings(p.IDs...); err != nil {
		return err
	}
	V, D := p.Model.Config().Vocab, p.Embeddings.Dims[1]
	for name := range strings.SplitSeq(p.Question.Baseline, ",") {
		name = strings.TrimSpace(name)
		b := Baseline{Name: name}
		row := func(id token.ID) error {
			rows, err := p.Model.Embeddings(id)
			b.Vector = lm.Array{Dims: []int{D}, Data: rows.Data}
			return err
		}
		switch {
		case name == "zero":
			b.Vector = lm.Array{Dims: []int{D}, Data: make([]float32, D)}
		case name == "mean":
			if b.Vector, err = p.Model.MeanEmbedding(); err != nil {
				return err
			}
		case name == "unk":
			tok := p.Model.Tokenizer()
			if tok == nil {
				return errors.New("the baseline unk needs a tokenizer, and this model has none: choose mean, zero or #ID")
			}
			id, ok := tok.Unknown()
			if !ok {
				return errors.New("this model's tokenizer has no unknown token: choose the baseline mean, zero or #ID")
			}
			if err := row(id); err != nil {
				return err
			}
		case strings.HasPrefix(name, "#"):
			id, err := strconv.Atoi(name[1:])
			if err != nil || id < 0 || id >= V {
				return fmt.Errorf("the baseline %s is no token: there are #0 to #%d", name, V-1)
			}
			if err := row(token.ID(id)); err != nil {
				return err
			}
		default:
			return fmt.Errorf("there is no baseline %q; there are unk, mean, zero and #ID (a token)", name)
		}
		p.Baselines = append(p.Baselines, b)
	}
	return nil
}
