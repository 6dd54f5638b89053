package train

import (
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// feeder moves batches to the devices.
type feeder struct {
	engine  *backend.Engine
	model   lm.Config
	devices int
}

// feed is ids and targets as net.Batch has them, of which each device has its share of the rows, and how many targets
// are scored.
func (f feeder) feed(b corpus.Batch) (args placed, scored int, err error) {
	if err := checkBatch(f.model, b); err != nil {
		return nil, 0, err
	}
	if b.Rows%f.devices != 0 {
		return nil, 0, notShared(b.Rows, f.devices)
	}
	args = make(placed, f.devices)
	inputs := make([]int32, len(b.Inputs))
	for i, id := range b.Inputs {
		inputs[i] = int32(id)
	}
	targets, dims := targetsOf(b)
	err = errors.Join(place(args, f.engine, program.ByRows, inputs, b.Rows, b.Length),
		place(args, f.engine, program.ByRows, targets, dims...))
	if err != nil {
		args.free()
		return nil, 0, err
	}
	return args, b.Scored(), nil
}

// targetsOf lays out the targets of a batch as net.Batch has them.
func targetsOf(b corpus.Batch) (data []int32, dims []int) {
	for i, id := range b.Targets {
		if data = append(data, int32(id)); b.After != nil {
			data = append(data, b.After[i])
		}
	}
	n := len(b.Targets) / b.Rows
	if b.After != nil {
		return data, []int{b.Rows, n, 2}
	}
	return data, []int{b.Rows, n}
}

// checkBatch returns an error unless the model can read a batch.
func checkBatch(m lm.Config, b corpus.Batch) error {
	if m.Attends() && b.Length > m.Context {
		return fmt.Errorf("rows of %d tokens are longer than the model's context of %d: "+
			"take shorter rows, or a model with a longer context",
			b.Length, m.Context)
	}
	targets := len(b.Inputs)
	if b.After != nil {
		targets = len(b.After)
	}
	if b.Rows < 1 || b.Length < 1 || len(b.Inputs) != b.Rows*b.Length || len(b.Targets) != targets ||
		targets%b.Rows != 0 {
		return fmt.Errorf("a batch says %d rows of %d tokens, but has %d and %d targets",
			b.Rows, b.Length, len(b.Inputs), len(b.Targets))
	}
	for _, at := range b.After {
		if at < 0 || int(at) >= b.Length {
			return fmt.Errorf("a target comes after token %d of a row of %d", at, b.Length)
		}
	}
	for i, ids := range [][]token.ID{b.Inputs, b.Targets} {
		for _, id := range ids {
			if id < 0 && i == 0 || int(id) >= m.Vocab {
				return fmt.Errorf("token %d is outside the model's vocabulary of %d: "+
					"the text was encoded by another tokenizer", id, m.Vocab)
			}
		}
	}
	return nil
}

// placed is tensors where a program wants them: placed[d][i] is tensor i on device d, whole or the device's rows of
// it.
type placed [][]*tensors.Tensor

// place appends an array.
func place[N program.Number](p placed, e *backend.Engine, layout program.Layout, data []N, dims ...int) error {
	for d := range p {
		part, shape := data, dims
		if layout == program.ByRows {
			n := len(data) / len(p)
			part, shape = data[d*n:(d+1)*n], append([]int{dims[0] / len(p)}, dims[1:]...)
		}
		t, err := program.PutOn(e, d, part, shape...)
		if err != nil {
			return err
		}
		p[d] = append(p[d], t)
	}
	return nil
}

// copy is tensor i as one array.
func (p placed) copy(e *backend.Engine, layout program.Layout, i int) (lm.Array, error) {
	var a lm.Array
	for d := range p {
		data, dims, err := program.Copy(e, p[d][i])
		if err != nil {
			return lm.Array{}, err
		}
		if a.Dims == nil {
			a = lm.Array{Dims: append([]int(nil), dims...), Data: data}
		} else {
			a.Dims[0], a.Data = a.Dims[0]+dims[0], append(a.Data, data...)
		}
		if layout == program.Whole {
			break
		}
	}
	return a, nil
}

func (p placed) free() {
	for _, ts := range p {
		program.Free(ts...)
	}
}

// along is the tensors of several lists, device by device, as a program takes them.
func along(lists ...placed) []*tensors.Tensor {
	var all []*tensors.Tensor
	for d := range lists[0] {
		for _, l := range lists {
			all = append(all, l[d]...)
		}
	}
	return all
}

// apart is what a program returned, by device.
func apart(outs []*tensors.Tensor, devices int) placed {
	p, n := make(placed, devices), len(outs)/devices
	for d := range p {
		p[d] = outs[d*n : (d+1)*n : (d+1)*n]
	}
	return p
}

// fed is a batch on the devices: what a step takes besides the weights, moments and states that stay there.
type fed struct {
	args   placed // ids and targets, scalars, seed: as stepGraph wants them
	scored int    // how many targets there are
	read   int    // how many tokens are no padding
	err    error
}

// ahead is the next step's batch, loaded and copied to the devices in the background while the current step runs.
type ahead struct {
	step int
	done chan fed // gets the batch once it is there
}

// batch returns what a step trains on, waiting for it if it is still being loaded, and begins to load the batch of the
// step after it.
func (r *Run) batch(step int) fed {
	if r.next == nil || r.next.step != step {
		r.drop()
		r.send(step)
	}
	b := <-r.next.done
	r.next = nil
	if b.err == nil && step+1 < r.config.Steps {
		r.send(step + 1)
	}
	return b
}

func (r *Run) send(step int) {
	next := &ahead{step, make(chan fed, 1)}
	r.next = next
	go func() { next.done <- r.load(step) }()
}

// drop waits for the batch that is on its way, and frees it.
func (r *Run) drop() {
	if r.next != nil {
		b := <-r.next.done
		b.args.free()
		r.next = nil
	}
}

// load reads, checks and moves a step's batch. It runs beside the steps, and touches nothing that they change.
func (r *Run) load(step int) (f fed) {
	i := step
	if r.epoch > 0 && !corpus.Reorders(r.data.Train) {
		i %= r.epoch
	}
	b, err := r.data.Train.At(i)
	if err != nil {
		return fed{err: err}
	}
	if states(r.model) > 0 && b.Rows != r.rows {
		return fed{err: fmt.Errorf("batch %d has %d rows, but an LSTM carries the state of %d on", i, b.Rows, r.rows)}
	}
	f.read = b.Read()
	if f.args, f.scored, f.err = r.feed(b); f.err != nil {
		return f
	}
	f.err = errors.Join(
		place(f.args, r.engine, program.Whole, r.config.scalars(step, r.epoch, b.Fresh), scalarsOf),
		place(f.args, r.engine, program.Whole, []uint32{seedAt(r.config.Seed, step)}))
	return f
}
