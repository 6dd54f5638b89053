package train

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Event is what a run tells of a step.
type Event struct {
	Step            int         `json:"step"`  // done so far
	Steps           int         `json:"steps"` // to do in all
	Epoch           int         `json:"epoch,omitzero"`
	TrainLoss       float64     `json:"train_loss"` // nats a token, mean since the event before, with dropout
	Valid           *Evaluation `json:"valid,omitempty"`
	Best            bool        `json:"best,omitzero"`  // no evaluation was better so far
	Saved           bool        `json:"saved,omitzero"` // a checkpoint was written
	LearningRate    float64     `json:"learning_rate"`  // of the step
	GradNorm        float64     `json:"grad_norm"`      // of the step, before clipping
	TokensPerSecond float64     `json:"tokens_per_second"`
	Seconds         float64     `json:"seconds"` // since the run began, without the time that it was stopped
}

// ErrDiverged is wrapped by the error of a run whose loss, gradients or weights are no longer finite numbers.
var ErrDiverged = errors.New("training diverged")

// Interrupted is the error of a run that its context stopped. What it earned is saved.
type Interrupted struct {
	Step  int
	Dir   string // the run's folder; "": it has none
	cause error
}

func (i *Interrupted) Error() string {
	if i.Dir == "" {
		return fmt.Sprintf("training stopped at step %d: %v", i.Step, i.cause)
	}
	return fmt.Sprintf("training stopped; saved at step %d in %s, from where it can be resumed: %v", i.Step, i.Dir, i.cause)
}

// Unwrap is the context's error.
func (i *Interrupted) Unwrap() error { return i.cause }

// line is an event as events.jsonl holds it.
func (e Event) line() ([]byte, error) {
	data, err := json.Marshal(e)
	return append(data, '\n'), err
}
