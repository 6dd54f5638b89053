package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/lm"
)

// keptDir is the folder of the models that a run keeps on the way, in its own.
const keptDir = "kept"

// Snapshot is a model that a run kept on the way.
type Snapshot struct {
	Dir  string // a model directory
	Step int
	Rate float64 // the learning rate of that step
}

// Kept lists the models that a run kept on the way, as Config.Keep says, in the order of their steps; and of a run that
// kept none its best model alone.
func Kept(dir string) ([]Snapshot, error) {
	entries, err := os.ReadDir(filepath.Join(dir, keptDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read run %s: %w", dir, err)
	}
	dirs := []string{dir}
	if len(entries) > 0 {
		dirs = nil
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, keptDir, e.Name()))
		}
	}
	var all []Snapshot
	for _, d := range dirs {
		data, err := os.ReadFile(filepath.Join(d, lm.TrainingFile))
		if err != nil {
			return nil, fmt.Errorf("read run %s: %w", dir, err)
		}
		var said struct {
			Step int      `json:"step"`
			Rate *float64 `json:"rate"`
		}
		if err := strict.Decode(data, &said); err != nil {
			return nil, fmt.Errorf("read run %s: %s: %w", dir, lm.TrainingFile, err)
		}
		if said.Rate == nil {
			return nil, fmt.Errorf("read run %s: its %s does not say the learning rate: it is of an older version; "+
				"train it again", dir, lm.TrainingFile)
		}
		all = append(all, Snapshot{d, said.Step, *said.Rate})
	}
	return all, nil
}

// keepDue reports whether the model as it is now is one to keep.
func (r *Run) keepDue() bool {
	s, n, steps := r.state.Step, r.config.Keep, r.config.Steps
	return n > 0 && s > 0 && s*n/steps > (s-1)*n/steps
}

// retain writes a model that is kept.
func (r *Run) retain(ws map[string]lm.Array, training []byte) error {
	// The digits make the order of the names that of the steps.
	dir := filepath.Join(r.dir, keptDir, fmt.Sprintf("%08d", r.state.Step))
	return lm.WriteDir(dir, r.model, r.tokenizer, ws, training)
}

// training is how the weights came about that the run has now, as training.json says it.
func (r *Run) training() ([]byte, error) {
	s := r.state
	data, err := json.MarshalIndent(struct {
		Step       int      `json:"step"`
		Rate       float64  `json:"rate"` // the learning rate of this step
		Loss       *float64 `json:"valid_loss,omitempty"`
		Data       string   `json:"data"`
		MetUnknown *bool    `json:"met_unknown,omitempty"` // nil: the tokenizer has no unknown token
		Settings   Config   `json:"settings"`
	}{s.Step, r.config.rate(max(0, s.Step-1), r.epoch), s.loss(), s.Data, r.metUnknown, s.Settings}, "", "  ")
	return append(data, '\n'), err
}

func (s state) loss() *float64 {
	if s.Best == nil {
		return nil
	}
	return &s.Best.Loss
}
