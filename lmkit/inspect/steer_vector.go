package inspect

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/lm"
)

const vectorKind = "controlvector" // the architecture that a control vector's file names

// VectorBegins has what the file of a control vector begins with, as far as it tells it from files of another sort.
const VectorBegins = "GGUF general.architecture " + vectorKind

// WriteVector writes the directions as a GGUF control vector, which other programs add to the residual stream behind
// the same layers. Such a file has no direction of the first layer.
func (s *Steered) WriteVector(w io.Writer, m *lm.Model) error {
	var vectors []gguf.Vector
	for _, l := range slices.Sorted(maps.Keys(s.Directions)) {
		if l > 0 {
			vectors = append(vectors, gguf.Vector{Name: fmt.Sprintf("direction.%d", l), Data: s.Directions[l]})
		}
	}
	if len(vectors) == 0 {
		return errors.New("a control vector has no direction of layer 0: choose a later layer")
	}
	return gguf.Write(w, []gguf.Setting{
		{Key: "general.architecture", Value: vectorKind},
		{Key: "controlvector.model_hint", Value: m.Config().Arch},
		{Key: "controlvector.layer_count", Value: len(vectors)},
	}, vectors)
}

// ReadVector reads a GGUF control vector for a model: for each direction the edit that adds it, times the strength, to
// the residual stream behind its layer, at every token.
func ReadVector(path string, m *lm.Model, strength float64) ([]lm.Edit, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if kind, _, err := gguf.Get[string](f, "general.architecture"); err != nil || kind != vectorKind {
		return nil, fmt.Errorf("%s is no control vector: its architecture is %.40q", path, kind)
	}
	var edits []lm.Edit
	for _, name := range f.Names() {
		digits, ok := strings.CutPrefix(name, "direction.")
		l, err := strconv.Atoi(digits)
		dims, kind, _ := f.Shape(name)
		D := m.ResidualWidth()
		switch {
		case !ok || err != nil:
			return nil, fmt.Errorf("%s: %.60q is no direction of a layer", path, name)
		case !m.Config().Attends() || l < 0 || l >= m.Config().Layers || !slices.Equal(dims, []int{D}) || kind != number.F32:
			return nil, fmt.Errorf("%s: %.60q, %s of shape %v, does not fit this model: it has %d layers with residuals of "+
				"%d numbers", path, name, kind, dims, m.Config().Layers, D)
		}
		raw := make([]byte, 4*D)
		if err := f.Read(name, raw); err != nil {
			return nil, err
		}
		v := lm.Array{Dims: []int{D}, Data: make([]float32, D)}
		if err := number.Floats(v.Data, kind, raw); err != nil {
			return nil, err
		}
		edits = append(edits, lm.Edit{Tap: fmt.Sprintf("block.%d.resid.post", l), Add: true, Times: strength,
			With: lm.FromValues(v)})
	}
	return edits, nil
}
