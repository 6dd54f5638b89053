// Package pipeline is lmkit as a step of an Apache Beam pipeline: a file of items, or the pairs of a suite, on any of
// Beam's runners.
package pipeline

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/lm"
)

// Job is a file of items or a suite, what is asked of it, where the answers go, and what the model runs on. Its file,
// its model and its folder of results are to be at the same path on every machine.
type Job struct {
	batch.Job
	Opening
}

// Run does a job on one of Beam's runners, which must be registered (see beam.RegisterRunner). What runs through the
// pipeline are references to parts of the file; each part becomes a file of the folder of results, whole or not at all.
// The folder is that of [batch.Plan.Explain], byte for byte, whatever the runner, the order of parts, and how often one
// was tried. A job that was stopped goes on when it is given again.
func Run(ctx context.Context, runner string, j Job) (batch.Manifest, error) {
	plan, err := batch.Open(ctx, j.Job)
	if err != nil {
		return batch.Manifest{}, err
	}
	m, err := j.model(ctx, j.Model)
	if err != nil {
		return batch.Manifest{}, err
	}
	return plan.ExplainBy(m, func(job batch.Job, parts []batch.Part) error {
		if runner != "prism" { // whose steps run in this process; those of others run in theirs
			j.forget(job.Model)
		}
		p, err := Build(j, parts)
		if err == nil {
			_, err = beam.Run(ctx, runner, p)
		}
		return err
	})
}

// Build returns the pipeline that makes parts of a job whose folder is begun.
func Build(j Job, parts []batch.Part) (*beam.Pipeline, error) {
	data, err := json.Marshal(j.Job)
	if err != nil {
		return nil, err
	}
	var references []string
	for _, part := range parts {
		r, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		references = append(references, string(r))
	}
	p, s := beam.NewPipelineWithRoot()
	s = s.Scope("lmkit")
	made := beam.ParDo(s, &makePart{Job: data, Opening: j.Opening}, beam.Reshuffle(s, beam.CreateList(s, references)))
	// What is made goes on to a step of its own: prism waits for a step without output in a loop that takes a whole core.
	beam.ParDo0(s, countPart, beam.Reshuffle(s, made))
	return p, nil
}

// makePart makes the parts that are referred to, and says of each whether it was there already.
type makePart struct {
	Job     json.RawMessage // a batch.Job
	Opening Opening

	job batch.Job
}

func init() {
	register.DoFn3x1[context.Context, string, func(bool), error](&makePart{})
	register.Emitter1[bool]()
	register.Function2x0(countPart)
}

var partsMade, partsKept = beam.NewCounter("lmkit", "parts made"), beam.NewCounter("lmkit", "parts kept")

func countPart(ctx context.Context, kept bool) {
	if kept {
		partsKept.Inc(ctx, 1)
	} else {
		partsMade.Inc(ctx, 1)
	}
}

// Setup opens the model, if the process has not done so.
func (f *makePart) Setup(ctx context.Context) error {
	if err := json.Unmarshal(f.Job, &f.job); err != nil {
		return err
	}
	_, err := f.Opening.model(ctx, f.job.Model)
	return err
}

// ProcessElement makes a part.
func (f *makePart) ProcessElement(ctx context.Context, reference string, emit func(bool)) error {
	var part batch.Part
	if err := json.Unmarshal([]byte(reference), &part); err != nil {
		return err
	}
	kept := false
	err := f.Opening.with(ctx, f.job.Model, func(m *lm.Model) (err error) {
		kept, err = f.job.Make(ctx, m, part)
		return err
	})
	if err != nil {
		return fmt.Errorf("part %d: %w", part.Index, err)
	}
	emit(kept)
	return nil
}
