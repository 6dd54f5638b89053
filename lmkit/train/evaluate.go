package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/border"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Evaluation is how well a model predicts a text.
type Evaluation struct {
	Loss        float64 `json:"loss"`                    // nats a token
	Perplexity  float64 `json:"perplexity"`              // e^Loss
	BitsPerByte float64 `json:"bits_per_byte,omitempty"` // of the text, if the bytes of a token are known; else 0
	Tokens      int     `json:"tokens"`                  // predicted
}

func evaluation(loss float64, tokens int, bytesPerToken float64) Evaluation {
	e := Evaluation{Loss: loss, Perplexity: math.Exp(min(loss, 700)), Tokens: tokens}
	if bytesPerToken > 0 {
		e.BitsPerByte = loss / math.Ln2 / bytesPerToken
	}
	return e
}

// Evaluate measures a model on all batches of an epoch, without dropout. Each token counts the same, in whichever batch
// it is. bytesPerToken is the text's, or 0.
func Evaluate(ctx context.Context, m *lm.Model, batches corpus.Batches, bytesPerToken float64) (Evaluation, error) {
	e, err := newEvaluator(m.Engine(), m.Config())
	if err != nil {
		return Evaluation{}, err
	}
	defer e.program.Finalize()
	loss, tokens, err := e.run(ctx, m.Tensors(), batches)
	if err != nil {
		return Evaluation{}, fmt.Errorf("evaluate: %w", err)
	}
	return evaluation(loss, tokens, bytesPerToken), nil
}

type evaluator struct {
	feeder
	program *border.Program
}

func newEvaluator(engine *backend.Engine, m lm.Config) (*evaluator, error) {
	p, err := border.NewProgram(engine, func(in []*graph.Node) []*graph.Node { return evalGraph(m, engine.Loops(), in) })
	if err != nil {
		return nil, err
	}
	return &evaluator{feeder{engine, m}, p}, nil
}

// run is the mean loss over all targets of an epoch, and how many there are.
func (e *evaluator) run(ctx context.Context, params []*tensors.Tensor, batches corpus.Batches) (loss float64, tokens int, err error) {
	if batches.Len() == 0 {
		return 0, 0, errors.New("the batches have no end: an evaluation needs batches that do, as corpus.Sweep gives")
	}
	var state []*tensors.Tensor
	defer func() { border.Free(state...) }()
	rows := 0
	for i := range batches.Len() {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		b, err := batches.At(i)
		if err != nil {
			return 0, 0, err
		}
		if b.Rows != rows {
			if !b.Fresh {
				return 0, 0, fmt.Errorf("batch %d has %d rows and continues one of %d", i, b.Rows, rows)
			}
			border.Free(state...)
			if state, err = e.zeroState(b.Rows); err != nil {
				return 0, 0, err
			}
			rows = b.Rows
		}
		sum, count, next, err := e.batch(params, state, b)
		if err != nil {
			return 0, 0, fmt.Errorf("batch %d: %w", i, err)
		}
		border.Free(state...)
		state = next
		loss += sum
		tokens += count
	}
	if tokens == 0 {
		return 0, 0, errors.New("the batches have no target to score")
	}
	return loss / float64(tokens), tokens, nil
}

// batch is the sum of the losses of one batch, the number of its targets, and the states after it.
func (e *evaluator) batch(params, state []*tensors.Tensor, b corpus.Batch) (sum float64, count int, next []*tensors.Tensor, err error) {
	args, _, err := e.feed(b)
	if err != nil {
		return 0, 0, nil, err
	}
	defer func() { border.Free(args...) }()
	carried := float32(1)
	if b.Fresh {
		carried = 0
	}
	if args, err = put(args, e.engine, []float32{carried}); err != nil {
		return 0, 0, nil, err
	}
	outs, _, err := e.program.Run(join(params, state, args))
	if err != nil {
		return 0, 0, nil, err
	}
	got, _, err := border.Copy(e.engine, outs[0])
	border.Free(outs[0])
	if err != nil {
		return 0, 0, nil, err
	}
	count = b.Scored()
	return float64(got[0]) * float64(count), count, outs[1:], nil
}

// feeder moves batches to the engine.
type feeder struct {
	engine *backend.Engine
	model  lm.Config
}

// feed is ids and targets [B, T], and how many of these are scored.
func (f feeder) feed(b corpus.Batch) (args []*tensors.Tensor, scored int, err error) {
	if err := checkBatch(f.model, b); err != nil {
		return nil, 0, err
	}
	for _, ids := range [][]token.ID{b.Inputs, b.Targets} {
		data := make([]int32, len(ids))
		for i, id := range ids {
			data[i] = int32(id)
		}
		if args, err = put(args, f.engine, data, b.Rows, b.Length); err != nil {
			border.Free(args...)
			return nil, 0, err
		}
	}
	return args, b.Scored(), nil
}

// checkBatch returns an error unless the model can read a batch.
func checkBatch(m lm.Config, b corpus.Batch) error {
	if m.Arch == lm.Transformer && b.Length > m.Context {
		return fmt.Errorf("rows of %d tokens are longer than the model's context of %d: take shorter rows, or a model with a longer context", b.Length, m.Context)
	}
	if b.Rows < 1 || b.Length < 1 || len(b.Inputs) != b.Rows*b.Length || len(b.Targets) != len(b.Inputs) {
		return fmt.Errorf("a batch says %d rows of %d tokens, but has %d and %d targets", b.Rows, b.Length, len(b.Inputs), len(b.Targets))
	}
	for i, id := range b.Inputs {
		if t := b.Targets[i]; id < 0 || int(id) >= m.Vocab || int(t) >= m.Vocab {
			return fmt.Errorf("token %d is outside the model's vocabulary of %d: the text was encoded by another tokenizer", max(id, t), m.Vocab)
		}
	}
	return nil
}

// zeroState is hidden states and cells of zeros [rows, H], a layer each.
func (f feeder) zeroState(rows int) (state []*tensors.Tensor, err error) {
	for range 2 * states(f.model) {
		if state, err = put(state, f.engine, make([]float32, rows*f.model.Hidden), rows, f.model.Hidden); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// put appends an array on the engine.
func put[N border.Number](ts []*tensors.Tensor, e *backend.Engine, data []N, dims ...int) ([]*tensors.Tensor, error) {
	t, err := border.Put(e, data, dims...)
	if err != nil {
		return ts, err
	}
	return append(ts, t), nil
}

func join(parts ...[]*tensors.Tensor) []*tensors.Tensor {
	var all []*tensors.Tensor
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
