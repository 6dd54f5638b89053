package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// Evaluation is how well a model predicts a text.
type Evaluation struct {
	Loss        float64 `json:"loss"`                    // nats a token
	Perplexity  float64 `json:"perplexity"`              // e^Loss
	BitsPerByte float64 `json:"bits_per_byte,omitempty"` // of the text, if the bytes of a token are known; else 0
	Tokens      int     `json:"tokens"`                  // predicted
	// Unknown is the share of these that are the tokenizer's unknown token: text that the numbers do not measure.
	// Where it is above 0, bits per byte are not known.
	Unknown float64 `json:"unknown,omitempty"`
}

// counts is what an evaluation adds up.
type counts struct {
	loss            float64 // in nats, of all targets
	tokens, unknown int     // targets, and those of them that are the unknown token
}

// evaluation is what the counts say, of a text of so many bytes a token (0: not known).
func (n counts) evaluation(bytesPerToken float64) Evaluation {
	loss := n.loss / float64(n.tokens)
	e := Evaluation{Loss: loss, Perplexity: math.Exp(min(loss, 700)), Tokens: n.tokens,
		Unknown: float64(n.unknown) / float64(n.tokens)}
	if bytesPerToken > 0 && n.unknown == 0 {
		e.BitsPerByte = loss / math.Ln2 / bytesPerToken
	}
	return e
}

// Evaluate measures a model on all batches of an epoch, without dropout. Each token counts the same, in whichever
// batch it is. bytesPerToken is the text's, or 0.
func Evaluate(ctx context.Context, m *lm.Model, batches corpus.Batches, bytesPerToken float64) (Evaluation, error) {
	e, err := newEvaluator(m.Engine(), m.Config(), m.Tokenizer())
	if err != nil {
		return Evaluation{}, err
	}
	defer e.program.Finalize()
	n, err := e.run(ctx, m.Tensors(), batches)
	if err != nil {
		return Evaluation{}, fmt.Errorf("evaluate: %w", err)
	}
	return n.evaluation(bytesPerToken), nil
}

type evaluator struct {
	feeder
	program  *program.Program
	compiled [3]int   // the shape of the last batch: rows, length, targets
	unknown  token.ID // the tokenizer's; -1: it has none
}

// newEvaluator makes the evaluator of a model. tok may be nil.
func newEvaluator(engine *backend.Engine, m lm.Config, tok token.Tokenizer) (*evaluator, error) {
	p, err := program.New(engine, func(in []*graph.Node) []*graph.Node { return evalGraph(m, engine.Loops(), in) })
	if err != nil {
		return nil, err
	}
	e := &evaluator{feeder: feeder{engine, m, 1}, program: p, unknown: -1}
	if tok != nil {
		if id, ok := tok.Unknown(); ok {
			e.unknown = id
		}
	}
	return e, nil
}

// run adds up the losses of all targets of an epoch.
func (e *evaluator) run(ctx context.Context, params []*tensors.Tensor, batches corpus.Batches) (n counts, err error) {
	if batches.Len() == 0 {
		return n, errors.New("the batches have no end: an evaluation needs batches that do, as corpus.Sweep gives")
	}
	var state []*tensors.Tensor
	defer func() { program.Free(state...) }()
	rows := 0
	for i := range batches.Len() {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		progress.From(ctx).At("measuring", int64(i), int64(batches.Len()), "batches")
		b, err := batches.At(i)
		if err != nil {
			return n, err
		}
		if b.Rows != rows {
			if !b.Fresh {
				return n, fmt.Errorf("batch %d has %d rows and continues one of %d", i, b.Rows, rows)
			}
			program.Free(state...)
			if state, err = e.zeroState(b.Rows); err != nil {
				return n, err
			}
			rows = b.Rows
		}
		sum, count, next, err := e.batch(ctx, params, state, b)
		if err != nil {
			return n, fmt.Errorf("batch %d: %w", i, err)
		}
		program.Free(state...)
		state = next
		n.loss += sum
		n.tokens += count
		for _, target := range b.Targets {
			if target == e.unknown && target != corpus.Ignore {
				n.unknown++
			}
		}
	}
	if n.tokens == 0 {
		return n, errors.New("the batches have no target to score")
	}
	return n, nil
}

// batch is the sum of the losses of one batch, the number of its targets, and the states after it.
func (e *evaluator) batch(ctx context.Context, params, state []*tensors.Tensor, b corpus.Batch) (sum float64,
	count int, next []*tensors.Tensor, err error) {
	args, count, err := e.feed(b)
	if err != nil {
		return 0, 0, nil, err
	}
	defer args.free()
	carried := float32(1)
	if b.Fresh {
		carried = 0
	}
	if err := place(args, e.engine, program.Whole, []float32{carried}); err != nil {
		return 0, 0, nil, err
	}
	in := slices.Concat(params, state, args[0])
	if shape := [3]int{b.Rows, b.Length, len(b.Targets)}; shape != e.compiled {
		if err := lm.PredictionsFit(e.model, b.Rows, b.Length); err != nil {
			return 0, 0, nil, err
		}
		if _, err := e.program.Ready(ctx, in); err != nil {
			return 0, 0, nil, err
		}
		e.compiled = shape
	}
	outs, _, err := e.program.Run(in)
	if err != nil {
		return 0, 0, nil, err
	}
	got, _, err := program.Copy(e.engine, outs[0])
	program.Free(outs[0])
	if err != nil {
		program.Free(outs[1:]...)
		return 0, 0, nil, err
	}
	return float64(got[0]) * float64(count), count, outs[1:], nil
}

// zeroState is hidden states and cells of zeros [rows, H], a layer each.
func (e *evaluator) zeroState(rows int) ([]*tensors.Tensor, error) {
	state := make(placed, 1)
	for range 2 * states(e.model) {
		if err := place(state, e.engine, program.Whole,
			make([]float32, rows*e.model.Hidden), rows, e.model.Hidden); err != nil {
			state.free()
			return nil, err
		}
	}
	return state[0], nil
}
