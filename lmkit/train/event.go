package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"lmkit.internal/lmkit/internal/strict"
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

// Error says at which step the run was stopped, and where it can be resumed.
func (i *Interrupted) Error() string {
	if i.Dir == "" {
		return fmt.Sprintf("training stopped at step %d: %v", i.Step, i.cause)
	}
	return fmt.Sprintf("training stopped; saved at step %d in %s, from where it can be resumed: %v", i.Step, i.Dir,
		i.cause)
}

// Unwrap is the context's error.
func (i *Interrupted) Unwrap() error { return i.cause }

// Heading names the columns of [Event.Row].
const Heading = "    step  epoch train loss valid loss perplexity bits/byte  tokens/s"

// Row is an event as a line of a table under [Heading]; a dash is what was not measured.
func (e Event) Row() string {
	epoch, loss, perplexity, bits := "-", "-", "-", "-"
	if e.Epoch > 0 {
		epoch = strconv.Itoa(e.Epoch)
	}
	if v := e.Valid; v != nil {
		loss, perplexity = fmt.Sprintf("%.4f", v.Loss), fmt.Sprintf("%.2f", v.Perplexity)
		if v.BitsPerByte > 0 {
			bits = fmt.Sprintf("%.4f", v.BitsPerByte)
		}
	}
	row := fmt.Sprintf("%8d %6s %10.4f %10s %10s %9s %9.0f", e.Step, epoch, e.TrainLoss, loss, perplexity, bits,
		e.TokensPerSecond)
	if e.Best {
		row += "  best"
	}
	if e.Valid != nil && e.Valid.Unknown > 0 {
		row += fmt.Sprintf("  %.2f %% unknown", 100*e.Valid.Unknown)
	}
	return row
}

// Line is an event as events.jsonl holds it: a JSON object and a line break. "lmkit train --json" writes such
// lines, too.
func (e Event) Line() ([]byte, error) {
	data, err := json.Marshal(e)
	return append(data, '\n'), err
}

// End is the last line of "lmkit train --json": how the run ended.
type End struct {
	End   string `json:"end"`   // Ended or Stopped
	Step  int    `json:"step"`  // done in all
	Steps int    `json:"steps"` // to do in all
	Dir   string `json:"dir"`   // the run's folder, with the best model
	Curve string `json:"curve"` // the file of the loss curve
}

// How a run ends: because it has done all its steps or its patience is over, or because it was interrupted and saved.
const (
	Ended   = "ended"
	Stopped = "stopped"
)

// Report is a line of "lmkit train --json": one of the two.
type Report struct {
	Event *Event
	End   *End
}

// ReadReports reads the lines of "lmkit train --json" that are whole. What follows the last line break is still being
// written.
func ReadReports(lines []byte) ([]Report, error) {
	var all []Report
	for line := range bytes.Lines(lines) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var end End
		if err := strict.Decode(line, &end); err != nil {
			return all, fmt.Errorf("line %d is no report of a training: %w", len(all)+1, err)
		}
		if end.End != "" {
			all = append(all, Report{End: &end})
			continue
		}
		var event Event
		if err := strict.Decode(line, &event); err != nil {
			return all, fmt.Errorf("line %d is no report of a training: %w", len(all)+1, err)
		}
		all = append(all, Report{Event: &event})
	}
	return all, nil
}
