package train

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// The files of a run's folder, beside those of the model directory.
const (
	EventsFile = "events.jsonl" // an Event a line
	CurveFile  = "loss.svg"
	SourceFile = "data.json"  // Data.Source
	lastDir    = "last"       // the newest checkpoint:
	lockFile   = "lock"       // held by the process that trains
	stateFile  = "state.json" // says which of the two slots holds its tensors
)

// A checkpoint's tensors are written to the slot that state.json does not name; replacing state.json is the moment at
// which the new checkpoint takes the place of the old one. Both slots keep their room on the disk from the start.
var slots = [2]string{"a.safetensors", "b.safetensors"}

const stateVersion = 1

// state is state.json: all of a checkpoint that is not a tensor.
type state struct {
	Version  int             `json:"version"`
	Step     int             `json:"step"`           // done: also the position in the data
	Logged   int             `json:"logged"`         // the last step that has its event
	Pending  int             `json:"pending_tokens"` // trained on since
	Best     *best           `json:"best,omitempty"`
	Since    int             `json:"evaluations_since_best"`
	Seconds  float64         `json:"seconds"`
	Events   int64           `json:"events_bytes"` // length of events.jsonl
	Tensors  string          `json:"tensors"`      // the slot
	SHA256   string          `json:"sha256"`       // of the slot
	Data     string          `json:"data"`         // fingerprint of all data
	Train    string          `json:"train_data"`   // of those to train on; "": begun by a version that did not write it
	Model    json.RawMessage `json:"model"`        // config.json
	Settings Config          `json:"settings"`

	model lm.Config // what Model says

	saved struct{ step, logged int } // the checkpoint that is on disk
}

// best is the evaluation that model.safetensors stands for.
type best struct {
	Step int     `json:"step"`
	Loss float64 `json:"valid_loss"`
}

const (
	firstOf      = "adam.first/"
	secondOf     = "adam.second/"
	progressName = "progress"
)

// keptNames are the tensors that a run keeps from step to step, in the order of stepGraph.
func keptNames(m lm.Config) []string {
	var names []string
	for _, prefix := range trained {
		for _, p := range m.Params() {
			names = append(names, prefix+p.Name)
		}
	}
	for _, s := range []string{"hidden", "cell"} {
		for l := range states(m) {
			names = append(names, fmt.Sprintf("state.%s/%d", s, l))
		}
	}
	return append(names, progressName)
}

// passing is called before each write to the disk: tests stop a run there.
var passing = func(string) {}

// Occupied is the error of a folder that cannot take a new run, since it holds what the run would replace.
type Occupied struct {
	Dir  string
	What string // it holds: "a run, at step 3 of 9", or a file
	Run  bool   // it is a run, which can be resumed
}

// Error says what the folder holds, and how to go on: with another folder, or with the run that is there.
func (o *Occupied) Error() string {
	cure := "choose another folder"
	if o.Run {
		cure = "resume it, or " + cure
	}
	return fmt.Sprintf("%s already holds %s: %s", o.Dir, o.What, cure)
}

// ErrFolder is wrapped by the error of a folder that cannot be made.
var ErrFolder = errors.New("the run's folder cannot be made")

// Vacant returns an [Occupied] if a folder holds a run, or a file that a new run would replace. What a run left
// that was stopped before its first checkpoint was whole does not count: it can be started again.
func Vacant(dir string) error {
	if dir == "" {
		return nil
	}
	if s, err := readState(dir); err == nil {
		return &Occupied{dir, fmt.Sprintf("a run, at step %d of %d", s.Step, s.Settings.Steps), true}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s already holds a run: %w; choose another folder", dir, err)
	}
	weights, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.safetensors"))
	if err != nil {
		return err
	}
	if len(weights) > 0 {
		return &Occupied{dir, "a model (" + filepath.Base(weights[0]) + ")", false}
	}
	if _, err := os.Stat(filepath.Join(dir, lastDir)); err == nil {
		return nil
	}
	for _, name := range []string{lm.ConfigFile, lm.TokenizerFile, lm.TrainingFile, lm.GenerationFile, SourceFile,
		EventsFile, CurveFile, chat.TemplateFile, chat.SettingsFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return &Occupied{dir, name, false}
		}
	}
	return nil
}

// escapeGlob makes a path that filepath.Glob takes as it is.
func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `[*]`, `?`, `[?]`, `[`, `[[]`).Replace(path)
}

// claim makes the run's folder, and keeps other processes from training in it until the run is closed.
func (r *Run) claim() error {
	passing("folder")
	if err := os.MkdirAll(filepath.Join(r.dir, lastDir), 0o755); err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	r.lock = flock.New(filepath.Join(r.dir, lastDir, lockFile))
	got, err := r.lock.TryLock()
	if err != nil {
		return fmt.Errorf("the run's folder cannot be locked: %w", err)
	}
	if !got {
		return fmt.Errorf("another process is training in %s: let it end, or choose another folder", r.dir)
	}
	return r.tidy()
}

// found writes the first checkpoint. Nothing is trained before it is clear that the folder can hold the run.
func (r *Run) found(m *lm.Model, arrays map[string]lm.Array) error {
	if err := r.claim(); err != nil {
		return err
	}
	if err := Vacant(r.dir); err != nil { // another process may have been quicker
		return err
	}
	passing("events")
	if err := os.WriteFile(filepath.Join(r.dir, EventsFile), nil, 0o644); err != nil {
		return fmt.Errorf("the run's folder cannot be written to: %w", err)
	}
	if r.tokenizer != nil {
		data, err := token.Marshal(r.tokenizer)
		if err != nil {
			return err
		}
		passing("tokenizer")
		if err := whole.Write(filepath.Join(r.dir, lm.TokenizerFile), data); err != nil {
			return err
		}
	}
	if len(r.ends) > 0 {
		passing("ends")
		if err := lm.WriteEnds(r.dir, r.ends); err != nil {
			return err
		}
	}
	passing("chat")
	if err := m.WriteChat(r.dir); err != nil {
		return err
	}
	if r.data.Source != nil {
		passing("source")
		if err := whole.Write(filepath.Join(r.dir, SourceFile), r.data.Source); err != nil {
			return err
		}
	}
	if _, err := writeSlot(filepath.Join(r.dir, lastDir, slots[1]), r.model, arrays); err != nil {
		return fmt.Errorf("the run's folder has no room for two checkpoints: %w", err)
	}
	return r.checkpoint(arrays)
}

// save writes a checkpoint, unless the newest one is of this very moment.
func (r *Run) save() error {
	if s := r.state; r.dir == "" || s.saved.step == s.Step && s.saved.logged == s.Logged {
		return nil
	}
	arrays, layouts := map[string]lm.Array{}, keptLayouts(r.model)
	for i, n := range keptNames(r.model) {
		a, err := r.kept.copy(r.engine, layouts[i], i)
		if err != nil {
			return err
		}
		for _, v := range a.Data {
			if v-v != 0 {
				return r.diverged(fmt.Sprintf("%s holds the number %v", n, v))
			}
		}
		arrays[n] = a
	}
	return r.checkpoint(arrays)
}

func (r *Run) checkpoint(arrays map[string]lm.Array) error {
	next := r.state
	next.Tensors = slots[0]
	if r.state.Tensors == slots[0] {
		next.Tensors = slots[1]
	}
	var err error
	if next.SHA256, err = writeSlot(filepath.Join(r.dir, lastDir, next.Tensors), r.model, arrays); err != nil {
		return r.unwritten(err)
	}
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	passing("state")
	if err := whole.Write(filepath.Join(r.dir, lastDir, stateFile), append(data, '\n')); err != nil {
		return r.unwritten(err)
	}
	r.state = next
	r.state.saved.step, r.state.saved.logged = next.Step, next.Logged
	if err := r.publish(arrays); err != nil {
		return r.unwritten(err)
	}
	return nil
}

func (r *Run) unwritten(err error) error {
	return fmt.Errorf("the checkpoint of step %d cannot be written: %w; make room, and resume from step %d",
		r.state.Step, err, r.state.saved.step)
}

// writeSlot writes tensors over a file in place, and returns their SHA-256.
func writeSlot(path string, m lm.Config, arrays map[string]lm.Array) (sum string, err error) {
	passing(filepath.Base(path))
	ts, err := pack(m, arrays)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash, out := sha256.New(), bufio.NewWriterSize(f, 1<<20)
	if err := safetensors.Write(io.MultiWriter(hash, out), ts); err != nil {
		return "", err
	}
	if err := out.Flush(); err != nil {
		return "", err
	}
	passing(filepath.Base(path) + " sync")
	return hex.EncodeToString(hash.Sum(nil)), f.Sync()
}

// publish writes the model directory and the picture, if the checkpoint just written is the best one. It is done again
// when the run resumes, in case it was cut short.
func (r *Run) publish(arrays map[string]lm.Array) error {
	s := r.state
	passing("picture")
	if err := r.draw(); err != nil {
		return err
	}
	best := s.Best == nil || s.Best.Step == s.Step
	if !best && !r.keepDue() {
		return nil
	}
	training, err := r.training()
	if err != nil {
		return err
	}
	ws := map[string]lm.Array{}
	for _, p := range r.model.Params() {
		ws[p.Name] = arrays[p.Name]
	}
	if r.keepDue() {
		passing("kept")
		if err := r.retain(ws, training); err != nil {
			return err
		}
	}
	if !best {
		return nil
	}
	passing("model")
	return lm.WriteDir(r.dir, r.model, r.tokenizer, ws, training)
}

// draw writes the loss curve.
func (r *Run) draw() error {
	if len(r.curve) == 0 {
		return nil
	}
	var svg bytes.Buffer
	if err := chart(r.curve).SVG(&svg); err != nil {
		return err
	}
	return whole.Write(filepath.Join(r.dir, CurveFile), svg.Bytes())
}

// Curve is the loss curve of a run, from the events in its folder.
func Curve(dir string) (plot.Curves, error) {
	data, err := os.ReadFile(filepath.Join(dir, EventsFile))
	if err != nil {
		return plot.Curves{}, err
	}
	events, err := parseEvents(data)
	if err == nil && len(events) == 0 {
		err = fmt.Errorf("%s has no events yet", dir)
	}
	return chart(events), err
}

func chart(events []Event) plot.Curves {
	var trained, valid []plot.Point
	for _, e := range events {
		trained = append(trained, plot.Point{X: float64(e.Step), Y: e.TrainLoss})
		if e.Valid != nil {
			valid = append(valid, plot.Point{X: float64(e.Step), Y: e.Valid.Loss})
		}
	}
	return plot.Loss(trained, valid)
}

func parseEvents(lines []byte) (events []Event, err error) {
	for line := range bytes.Lines(lines) {
		var e Event
		if err := strict.Decode(line, &e); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", EventsFile, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// log appends an event to events.jsonl.
func (r *Run) log(e Event) error {
	if r.dir == "" {
		return nil
	}
	line, err := e.Line()
	if err != nil {
		return err
	}
	passing("event")
	f, err := os.OpenFile(filepath.Join(r.dir, EventsFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(line); err != nil {
		return errors.Join(err, f.Close())
	}
	r.state.Events += int64(len(line))
	return f.Close()
}
