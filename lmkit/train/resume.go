package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
)

// Settings reads the settings of the run in a folder, with which its data can be cut again. The error is
// fs.ErrNotExist when there is no run.
func Settings(dir string) (Config, error) {
	s, err := readState(dir)
	if err != nil {
		return Config{}, fmt.Errorf("read run %s: %w", dir, err)
	}
	return s.Settings, nil
}

// Resume opens the run in a folder at its newest checkpoint. The data must be those that the run was started with;
// what follows is then, bit by bit, what would have followed without the break.
func Resume(e *backend.Engine, dir string, data Data) (*Run, error) {
	r, err := resume(e, dir, data)
	if err != nil {
		return nil, fmt.Errorf("resume %s: %w", dir, err)
	}
	return r, nil
}

func resume(e *backend.Engine, dir string, data Data) (*Run, error) {
	s, err := readState(dir)
	if err != nil {
		return nil, err
	}
	if c, err := lm.ReadConfig(dir); err == nil && c != s.Model {
		return nil, fmt.Errorf("the checkpoint is of another model than %s describes", lm.ConfigFile)
	}
	tok, err := lm.ReadTokenizer(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r := &Run{feeder: feeder{engine: e, model: s.Model}, tokenizer: tok, config: s.Settings, data: data, dir: dir}
	if err := r.open(); err != nil {
		return nil, err
	}
	if err := r.restore(s); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// restore takes up a checkpoint.
func (r *Run) restore(s state) error {
	if r.state.Data != s.Data {
		return errors.New("the run was trained on other data: give the same text, tokenizer, rows and length")
	}
	r.state = s
	r.state.saved.step, r.state.saved.logged = s.Step, s.Logged
	arrays, err := r.readSlot()
	if err != nil {
		return err
	}
	if err := r.rewind(); err != nil {
		return err
	}
	if err := r.tidy(); err != nil {
		return err
	}
	if err := r.publish(arrays); err != nil {
		return err
	}
	return r.keep(arrays)
}

// tidy removes what a killed process was about to rename.
func (r *Run) tidy() error {
	for _, dir := range []string{r.dir, filepath.Join(r.dir, lastDir)} {
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			for _, n := range []string{lm.ConfigFile, lm.TokenizerFile, lm.TrainingFile, lm.WeightsFile, CurveFile, stateFile} {
				rest, ok := strings.CutPrefix(f.Name(), "."+n)
				if ok && strings.Trim(rest, "0123456789") == "" {
					if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func readState(dir string) (s state, err error) {
	data, err := os.ReadFile(filepath.Join(dir, lastDir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("there is no run: %w", err)
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s is damaged: %s", stateFile, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if s.Version != stateVersion {
		return s, fmt.Errorf("%s has version %d; this program knows version %d", stateFile, s.Version, stateVersion)
	}
	if err := errors.Join(s.Settings.Validate(), s.Model.Validate()); err != nil {
		return s, fmt.Errorf("%s is damaged: %w", stateFile, err)
	}
	if s.Step < 0 || s.Logged > s.Step || s.Logged < 0 || !slices.Contains(slots[:], s.Tensors) {
		return s, fmt.Errorf("%s is damaged: step %d, logged %d, tensors in %q", stateFile, s.Step, s.Logged, s.Tensors)
	}
	return s, nil
}

// readSlot reads the checkpoint's tensors, and checks that they are those that were written.
func (r *Run) readSlot() (map[string]lm.Array, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, lastDir, r.state.Tensors))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != r.state.SHA256 {
		return nil, fmt.Errorf("%s is damaged: its SHA-256 is not the one in %s", r.state.Tensors, stateFile)
	}
	ts, err := safetensors.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.state.Tensors, err)
	}
	arrays := map[string]lm.Array{}
	for _, n := range keptNames(r.model) {
		t, ok := ts[n]
		if !ok {
			return nil, fmt.Errorf("%s has no tensor %q", r.state.Tensors, n)
		}
		arrays[n] = lm.Array(t)
	}
	return arrays, nil
}

// rewind cuts events.jsonl to what the checkpoint knows, and reads it.
func (r *Run) rewind() error {
	path := filepath.Join(r.dir, EventsFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if r.state.Events = min(r.state.Events, int64(len(data))); r.state.Events < int64(len(data)) {
		if err := os.Truncate(path, r.state.Events); err != nil {
			return err
		}
	}
	r.curve, err = parseEvents(data[:r.state.Events])
	return err
}
