package explain

import (
	"errors"
	"fmt"
	"slices"
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
	table, err := p.Model.Embedding()
	if err != nil {
		return err
	}
	p.Embeddings = lm.Array{Dims: []int{len(p.IDs), table.Dims[1]}}
	for _, id := range p.IDs {
		p.Embeddings.Data = append(p.Embeddings.Data, table.Index(int(id)).Data...)
	}
	for name := range strings.SplitSeq(p.Question.Baseline, ",") {
		name = strings.TrimSpace(name)
		b := Baseline{Name: name}
		row := func(id token.ID) lm.Array {
			return lm.Array{Dims: table.Dims[1:], Data: slices.Clone(table.Index(int(id)).Data)}
		}
		switch {
		case name == "zero":
			b.Vector = lm.Array{Dims: table.Dims[1:], Data: make([]float32, table.Dims[1])}
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
			b.Vector = row(id)
		case strings.HasPrefix(name, "#"):
			id, err := strconv.Atoi(name[1:])
			if err != nil || id < 0 || id >= table.Dims[0] {
				return fmt.Errorf("the baseline %s is no token: there are #0 to #%d", name, table.Dims[0]-1)
			}
			b.Vector = row(token.ID(id))
		default:
			return fmt.Errorf("there is no baseline %q; there are unk, mean, zero and #ID (a token)", name)
		}
		p.Baselines = append(p.Baselines, b)
	}
	return nil
}
