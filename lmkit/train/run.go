package train

import (
	"errors"
	"fmt"

	"github.com/gofrs/flock"

	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/token"
)

// Run is a training run. It is not safe for concurrent use.
type Run struct {
	feeder
	tokenizer  token.Tokenizer
	ends       []token.ID // the tokens that end the model's texts
	config     Config     // all of it filled in
	data       Data
	metUnknown *bool  // whether the data show the tokenizer's unknown token; nil: it has none
	epoch      int    // steps of an epoch; 0: the data have no end
	dir        string // "": nothing is written
	lock       *flock.Flock
	program    *program.Program
	compiled   bool // program is
	eval       *evaluator
	kept       placed // named by keptNames
	rows       int    // of a batch
	next       *ahead // the batch of the next step; nil: it has not set out
	state      state
	curve      []Event
	best       map[string]lm.Array // the best weights, if there is no folder

	watch  stopwatch
	memory memory
	recent int   // tokens since the watch was started
	failed error // the run cannot go on
	unsaid error // a break's checkpoint could not be saved
}

// Start begins a run that trains from m's weights; m itself does not change. The folder dir is made if need be, and
// holds from the first moment on a checkpoint (in last/) and a model directory, which is always the best model so far
// by validation loss; beside them events.jsonl and loss.svg. Without a folder ("") nothing is written.
func Start(m *lm.Model, data Data, c Config, dir string) (*Run, error) {
	r, err := start(m, data, c, dir)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return r, nil
}

func start(m *lm.Model, data Data, c Config, dir string) (*Run, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := Vacant(dir); err != nil {
		return nil, err
	}
	r := &Run{feeder: feeder{engine: m.Engine(), model: m.Config()}, tokenizer: m.Tokenizer(), dir: dir, data: data}
	if r.ends = m.Ends(); data.End != nil {
		r.ends = []token.ID{*data.End}
	}
	r.config = c.WithDefaults(r.model)
	if err := r.open(); err != nil {
		return nil, err
	}
	if err := r.begin(m); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// begin makes what is kept from step to step, and the first checkpoint.
func (r *Run) begin(m *lm.Model) error {
	arrays := map[string]lm.Array{}
	ws, err := m.Weights()
	if err != nil {
		return err
	}
	for n, a := range ws {
		arrays[n] = a
		arrays[firstOf+n] = lm.Array{Dims: a.Dims, Data: make([]float32, len(a.Data))}
		arrays[secondOf+n] = arrays[firstOf+n]
	}
	for _, n := range keptNames(r.model)[3*len(ws):] {
		dims := []int{r.rows, r.model.Hidden}
		if n == progressName {
			dims = []int{2}
		}
		size := 1
		for _, d := range dims {
			size *= d
		}
		arrays[n] = lm.Array{Dims: dims, Data: make([]float32, size)}
	}
	if err := r.keep(arrays); err != nil {
		return err
	}
	if r.dir == "" {
		return nil
	}
	return r.found(m, arrays)
}

// open checks the data and makes the programs.
func (r *Run) open() (err error) {
	if r.data.Train == nil {
		return errors.New("there are no data to train on")
	}
	r.epoch = r.data.Train.Len()
	if r.config, err = r.config.plan(r.epoch); err != nil {
		return err
	}
	trainData, allData, err := fingerprint(r.model, r.data)
	if err != nil {
		return err
	}
	_, config, err := format.Write(r.model)
	if err != nil {
		return err
	}
	if r.metUnknown, err = r.data.showUnknown(r.tokenizer); err != nil {
		return err
	}
	r.state = state{Version: stateVersion, Settings: r.config, Model: config, model: r.model,
		Data: allData, Train: trainData}
	first, err := r.data.Train.At(0)
	if err != nil {
		return err
	}
	r.rows = first.Rows
	if err := errors.Join(lm.Fits(r.model, 4), lm.BatchFits(r.model, first.Rows, first.Length)); err != nil {
		return err
	}
	if r.devices, err = r.config.share(r.engine, r.rows); err != nil {
		return err
	}
	if r.data.Valid != nil {
		if r.eval, err = newEvaluator(r.engine, r.model, r.tokenizer); err != nil {
			return err
		}
	}
	r.program, err = stepProgram(r.engine, r.devices, r.model, r.config)
	return err
}

// keep moves arrays, named by keptNames, to the devices.
func (r *Run) keep(arrays map[string]lm.Array) error {
	r.kept = make(placed, r.devices)
	layouts := keptLayouts(r.model)
	for i, n := range keptNames(r.model) {
		if err := place(r.kept, r.engine, layouts[i], arrays[n].Data, arrays[n].Dims...); err != nil {
			return err
		}
	}
	return nil
}

// Config is the settings of the run, with every default filled in.
func (r *Run) Config() Config { return r.config }

// Step is the number of steps done.
func (r *Run) Step() int { return r.state.Step }

// Done reports whether the run has come to its end.
func (r *Run) Done() bool {
	s := r.state
	return s.Logged == s.Step && (s.Step >= r.config.Steps || r.config.Patience > 0 && s.Since >= r.config.Patience)
}

// weights copies the parameters as they are.
func (r *Run) weights() (map[string]lm.Array, error) {
	ws := map[string]lm.Array{}
	for i, p := range r.model.Params() {
		a, err := r.kept.copy(r.engine, program.Whole, i)
		if err != nil {
			return nil, err
		}
		ws[p.Name] = a
	}
	return ws, nil
}

// Model is the best model so far by validation loss; without an evaluation, the last one.
func (r *Run) Model() (*lm.Model, error) {
	if r.dir != "" {
		return lm.Open(r.engine, r.dir)
	}
	ws, err := r.best, error(nil)
	if ws == nil {
		if ws, err = r.weights(); err != nil {
			return nil, err
		}
	}
	training, err := r.training()
	if err != nil {
		return nil, err
	}
	return lm.FromTraining(r.engine, r.model, r.tokenizer, ws, training, r.ends)
}

// Close frees the engine's memory. Its error is that of the checkpoint that a break should have saved.
func (r *Run) Close() error {
	r.release()
	if r.unsaid != nil {
		return fmt.Errorf("train: %w", r.unsaid)
	}
	return nil
}

func (r *Run) release() {
	r.drop()
	if r.lock != nil {
		_ = r.lock.Close() // it ends with the process at the latest
	}
	r.kept.free()
	r.kept = nil
	if r.program != nil {
		r.program.Finalize()
	}
	if r.eval != nil {
		r.eval.program.Finalize()
	}
	r.program, r.eval = nil, nil
	r.failed = or(r.failed, errors.New("the run is closed"))
}

// seedAt derives a step's seed for dropout: no random number has a state (the mixing function of SplitMix64).
func seedAt(seed uint64, step int) uint32 {
	z := seed + (uint64(step)+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return uint32((z ^ z>>31) >> 32)
}
