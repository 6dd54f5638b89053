package inspect

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
)

// Translator turns the residuals of earlier layers into what they come to behind the last one, by a linear map each: x
// becomes W x + b. It is made for one model, and means nothing to another.
type Translator struct {
	Hash    string              // of the model
	Weights map[lm.Tap]lm.Array // [D, D]
	Biases  map[lm.Tap]lm.Array // [D]; none of a Jacobian lens
}

// The names in a translator's file that are no residual's.
const (
	hashName   = "LENS.model_hash" // which comes first in the file
	weightName = ".weight"
	biasName   = ".bias"
)

// LensBegins has what a translator's file begins with, as far as it tells it from files of another sort.
const LensBegins = "\x00\x00\x00\x00\x00\x00\x00\x00{\"" + hashName + "\""

// Write writes the translator as a file of safetensors: the bytes of the model's hash, TAP.weight and TAP.bias.
func (t *Translator) Write(w io.Writer) error {
	hash, err := hex.DecodeString(t.Hash)
	if err != nil {
		return fmt.Errorf("the model's hash %q: %w", t.Hash, err)
	}
	all := map[string]safetensors.Tensor{hashName: {Dims: []int{len(hash)}}}
	one := all[hashName]
	for _, b := range hash {
		one.Data = append(one.Data, float32(b))
	}
	all[hashName] = one
	for tap, w := range t.Weights {
		all[tap+weightName] = safetensors.Tensor(w)
	}
	for tap, b := range t.Biases {
		all[tap+biasName] = safetensors.Tensor(b)
	}
	return safetensors.Write(w, all)
}

// ReadTranslator reads what Write wrote. It fails unless the file is of this model.
func ReadTranslator(path string, m *lm.Model) (*Translator, error) {
	all, err := safetensors.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &Translator{Weights: map[lm.Tap]lm.Array{}, Biases: map[lm.Tap]lm.Array{}}
	var hash []byte
	for _, b := range all[hashName].Data {
		hash = append(hash, byte(b))
	}
	if t.Hash = hex.EncodeToString(hash); t.Hash != m.Hash() {
		if len(hash) == 0 {
			return nil, fmt.Errorf("%s is no lens: it does not say for which model it is", path)
		}
		return nil, fmt.Errorf("%s is a lens for another model, %.12s…, and this one is %.12s…: fit one to this model",
			path, t.Hash, m.Hash())
	}
	known := streams(m, true)
	D := m.ResidualWidth()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		x := lm.Array(all[name])
		tap, isWeight := strings.CutSuffix(name, weightName)
		dims, to := []int{D, D}, t.Weights
		if !isWeight {
			tap, _ = strings.CutSuffix(name, biasName)
			dims, to = []int{D}, t.Biases
		}
		switch {
		case name == hashName:
		case !slices.Contains(known, tap) || !slices.Equal(x.Dims, dims):
			return nil, fmt.Errorf("%s: %.60q of shape %v is not of this model's residuals", path, name, x.Dims)
		default:
			to[tap] = x
		}
	}
	if len(t.Weights) == 0 {
		return nil, errors.New("the lens has no layers")
	}
	return t, nil
}

// apply returns what a residual comes to; itself, where the translator has no map.
func (t *Translator) apply(tap lm.Tap, x []float32) []float32 {
	w, ok := t.Weights[tap]
	if !ok {
		return x
	}
	out := make([]float32, len(x))
	b := t.Biases[tap].Data
	for i := range out {
		sum := dotOf32(w.Index(i).Data, x)
		if b != nil {
			sum += b[i]
		}
		out[i] = sum
	}
	return out
}

func dotOf32(a, b []float32) (sum float32) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
