package batch

import (
	"context"
	"fmt"
	"slices"

	"lmkit.internal/lmkit/lm"
)

// Make makes a part of a job whose folder is begun (see [Plan.ExplainBy]): a file of results that is there whole or not
// at all. One that is there is kept. It fails where the folder is not of this job, model, engine and code.
func (j Job) Make(ctx context.Context, m *lm.Model, part Part) (kept bool, err error) {
	there, err := ReadManifest(j.Out)
	if err != nil {
		return false, err
	}
	if differs := there.same(j.manifest(m, there.SHA256, there.Rows)); differs != "" {
		return false, fmt.Errorf("%s is made of %s than this process has", j.Out, differs)
	}
	if j.made(part) {
		return true, nil
	}
	items, err := j.items(part)
	if err != nil {
		return false, err
	}
	var rows []outcome
	err = j.askAll(ctx, m, items, j.first(part), func(more []outcome) error {
		rows = append(rows, more...)
		return nil
	})
	if err != nil {
		return false, err
	}
	return false, j.write(part, rows)
}

// askAll asks about items, so many together, and gives to take what came of them. Where they are the first ones of a
// file, and fail alike, it gives up.
func (j Job) askAll(ctx context.Context, m *lm.Model, items []Item, first bool, take func([]outcome) error) error {
	var begun []outcome
	for group := range slices.Chunk(items, j.together()) {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := j.ask(ctx, m, group)
		if err != nil {
			return err
		}
		if err := take(rows); err != nil {
			return err
		}
		begun = append(begun, rows...)
		if n := min(hopeless, len(items)); first && len(begun) >= n {
			first = false
			if err := alike(begun[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// first reports whether a part has the items by which a run may be given up. Pairs of a suite are all tried.
func (j Job) first(part Part) bool { return part.Index == 0 && j.Suite == nil }

// hopeless is how many first items must fail alike for a run to be given up.
const hopeless = 8

// hopelessError says that the first items failed alike.
type hopelessError struct {
	items  int
	reason string
}

func (e *hopelessError) Error() string {
	return fmt.Sprintf("none of the first %d items can be asked about: %s", e.items, e.reason)
}

// alike returns a hopelessError where all of some items failed for one and the same reason.
func alike(rows []outcome) error {
	reason := ""
	for _, o := range rows {
		if !o.failed || o.broken || reason != "" && o.reason != reason {
			return nil
		}
		reason = o.reason
	}
	return &hopelessError{len(rows), reason}
}
