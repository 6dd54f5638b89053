package train

import (
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
	"syscall"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/token/chat"
)

// Stored is what the folder of a run says of it.
type Stored struct {
	Step     int // done
	Settings Config
	Model    lm.Config
	Source   json.RawMessage // Data.Source; nil: there was none
}

// Read reads what the folder of a run says of it. The error is fs.ErrNotExist when there is no run.
func Read(dir string) (Stored, error) {
	s, err := readState(dir)
	if err != nil {
		return Stored{}, fmt.Errorf("read run %s: %w", dir, err)
	}
	source, err := os.ReadFile(filepath.Join(dir, SourceFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Stored{}, fmt.Errorf("read run %s: %w", dir, err)
	}
	return Stored{Step: s.Step, Settings: s.Settings, Model: s.model, Source: source}, nil
}

// Resume opens the run in a folder at its newest checkpoint. The data must be those that the run was started with;
// what follows is then, bit by bit, what would have followed without the break. With steps above 0 the run is to have
// so many steps in all from now on, also if it has come to its end: a schedule then goes by the new end, and patience
// begins anew.
func Resume(e *backend.Engine, dir string, data Data, steps int) (*Run, error) {
	r, err := resume(e, dir, data, steps)
	if err != nil {
		return nil, fmt.Errorf("resume %s: %w", dir, err)
	}
	return r, nil
}

func resume(e *backend.Engine, dir string, data Data, steps int) (*Run, error) {
	if _, err := readState(dir); err != nil {
		return nil, err
	}
	r := &Run{dir: dir, data: data}
	if err := r.claim(); err != nil {
		r.release()
		return nil, err
	}
	if err := r.reopen(e, steps); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// reopen reads the newest checkpoint of the claimed folder.
func (r *Run) reopen(e *backend.Engine, steps int) error {
	s, err := readState(r.dir)
	if err != nil {
		return err
	}
	if steps != 0 {
		if steps <= s.Step {
			return fmt.Errorf("the run has done %d steps already: give more than that, not %d", s.Step, steps)
		}
		s.Settings.Steps, s.Since = steps, 0
	}
	if c, err := lm.ReadConfig(r.dir); err == nil && c != s.model {
		return fmt.Errorf("the checkpoint is of another model than %s describes", lm.ConfigFile)
	}
	tok, err := lm.ReadTokenizer(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.feeder, r.tokenizer, r.config = feeder{engine: e, model: s.model}, tok, s.Settings
	if err := r.open(); err != nil {
		return err
	}
	return r.restore(s)
}

// restore takes up a checkpoint.
func (r *Run) restore(s state) error {
	if err := r.state.sameData(s); err != nil {
		return err
	}
	s.Train = r.state.Train
	r.state = s
	r.state.saved.step, r.state.saved.logged = s.Step, s.Logged
	arrays, err := r.readSlot()
	if err != nil {
		return err
	}
	if err := r.rewind(); err != nil {
		return err
	}
	if err := r.publish(arrays); err != nil {
		return err
	}
	return r.keep(arrays)
}

// sameData returns an error that says what differs, unless a checkpoint was made with the data of s.
func (s state) sameData(checkpoint state) error {
	const cure = "give the same text, tokenizer, rows and length"
	switch {
	case s.Data == checkpoint.Data:
		return nil
	case s.Train == checkpoint.Train:
		return errors.New("the run was validated on other data than these, though it was trained on the same: " + cure)
	case checkpoint.Train == "":
		return errors.New("the run was trained on other data, or begun by a version that cut the text to validate on " +
			"in another way: " + cure + ", or begin a new run from its best weights (lmkit train --from)")
	}
	return errors.New("the run was trained on other data: " + cure)
}

// tidy removes what a killed process was about to rename.
func (r *Run) tidy() error {
	names := []string{CurveFile, SourceFile, lm.GenerationFile, chat.TemplateFile, chat.SettingsFile,
		filepath.Join(lastDir, stateFile)}
	folders := []string{""}
	entries, err := os.ReadDir(filepath.Join(r.dir, keptDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		folders = append(folders, filepath.Join(keptDir, e.Name()))
	}
	for _, folder := range folders {
		for _, name := range []string{lm.ConfigFile, lm.TokenizerFile, lm.TrainingFile, lm.WeightsFile} {
			names = append(names, filepath.Join(folder, name))
		}
	}
	for _, name := range names {
		if err := whole.Clean(filepath.Join(r.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func readState(dir string) (s state, err error) {
	data, err := os.ReadFile(filepath.Join(dir, lastDir, stateFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist
		return s, fmt.Errorf("there is no run: %w", err)
	}
	if err != nil {
		return s, err
	}
	if err := strict.Decode(data, &s); err != nil {
		return s, fmt.Errorf("%s is damaged: %s", stateFile, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if s.Version != stateVersion {
		return s, fmt.Errorf("%s has version %d; this program knows version %d", stateFile, s.Version, stateVersion)
	}
	var wrong error
	_, s.model, wrong = format.Read(s.Model)
	if err := errors.Join(s.Settings.Validate(), wrong); err != nil {
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
	ts, err := safetensors.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.state.Tensors, err)
	}
	arrays, err := unpack(r.model, ts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.state.Tensors, err)
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
