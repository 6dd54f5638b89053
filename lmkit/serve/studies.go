package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
)

// study looks inside a model, within some bytes of memory, about (0: lm's default), where there is no prompt to follow:
// what it reads stands in its settings, or is made up.
type study func(ctx context.Context, m *lm.Model, memory int64) (*explain.Matrix, error)

// studies are those by their names, each with what its settings are read into.
var studies = map[string]func() (settings any, run study){
	"heads": func() (any, study) {
		x := &inspect.Heads{}
		return x, func(ctx context.Context, m *lm.Model, _ int64) (*explain.Matrix, error) { return x.Measure(ctx, m) }
	},
	"probe": func() (any, study) { x := &Probing{}; return x, x.run },
	"steer": func() (any, study) {
		x := &inspect.Behaviour{}
		return x, func(ctx context.Context, m *lm.Model, memory int64) (*explain.Matrix, error) {
			asked, err := x.Steer(m)
			if err != nil {
				return nil, err
			}
			asked.Memory = least(asked.Memory, memory)
			found, err := asked.Run(ctx, m)
			if err != nil {
				return nil, err
			}
			return found.Matrix, nil
		}
	},
}

// Probing are the settings of the tool probe.
type Probing struct {
	Lines  []string `json:"lines"`          // of pieces and their labels, as inspect.ReadLabelled reads them
	Taps   []lm.Tap `json:"taps,omitempty"` // the activations; nil: the embeddings, and up to eight residuals
	Seed   uint64   `json:"seed,omitempty"` // of what is held out, and of random labels
	Memory int64    `json:"memory,omitempty"`
}

func (x *Probing) run(ctx context.Context, m *lm.Model, memory int64) (*explain.Matrix, error) {
	items, err := inspect.ReadLabelled(x.Lines)
	if err != nil {
		return nil, err
	}
	return inspect.Probe{Items: items, Taps: x.Taps, Seed: x.Seed, Memory: least(x.Memory, memory)}.Run(ctx, m)
}

// least is the smaller of what is asked for and what is allowed; 0 says nothing.
func least(asked, allowed int64) int64 {
	if asked == 0 || allowed == 0 {
		return max(asked, allowed)
	}
	return min(asked, allowed)
}

// studied answers an inquiry about no one text.
func (q inquiry) studied(ctx context.Context, m Model) (*lmkit.Answer, error) {
	settings, run := studies[q.Tool]()
	if err := readSettings(q.Tool, q.Settings, settings); err != nil {
		return nil, err
	}
	found, err := run(ctx, m.Model, q.Memory)
	return &lmkit.Answer{Matrix: found}, err
}

// Dictionary is a sparse autoencoder under the name that requests call it by.
type Dictionary struct {
	Name string
	*inspect.Autoencoder
}

// DictionaryOf are the settings of the tool dictionary.
type DictionaryOf struct {
	From string `json:"from"`          // the name of a dictionary that is served
	Tap  lm.Tap `json:"tap,omitempty"` // the activation that it is of; "": what the dictionary says
	Top  int    `json:"top,omitempty"` // how many features are shown; 0: 10
}

// dictionary finds the dictionary that settings name.
func (s *Server) dictionary(x DictionaryOf) (explain.MatrixMethod, error) {
	var names []string
	for _, d := range s.config.Dictionaries {
		if names = append(names, d.Name); d.Name == x.From {
			return inspect.Dictionary{Of: d.Autoencoder, Tap: x.Tap, Top: x.Top}, nil
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no dictionary is served here: lmkit serve --dictionary FILE serves one")
	}
	return nil, fmt.Errorf("there is no dictionary %q here; there are: %s", x.From, strings.Join(names, ", "))
}
