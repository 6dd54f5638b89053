package batch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// Explain explains the items of the plan into its folder, and returns the folder's manifest. A folder that a stopped
// run of the same plan left is gone on with: what it holds is kept, and what comes is the same, byte for byte, as if
// the run had not been stopped. An item that cannot be explained is a failure, and the others go on; where all of the
// first ones fail alike, nothing goes on. When ctx ends, all items that were explained are kept. The context's
// progress.Func hears of each item.
func (p *Plan) Explain(ctx context.Context, m *lm.Model) (Manifest, error) {
	return p.run(m, func(j *journal) error {
		r := &run{Plan: p, model: m, journal: j, begun: time.Now(), hears: progress.From(ctx)}
		return r.all(progress.With(ctx, nil))
	})
}

// ExplainBy is Explain with its parts made elsewhere: each of those that are not there is to be made by [Job.Make],
// in any order, on any machine that has the file and the folder, as often as it takes. The bytes are those of Explain.
func (p *Plan) ExplainBy(m *lm.Model, each func(job Job, parts []Part) error) (Manifest, error) {
	return p.run(m, func(*journal) error {
		parts := slices.DeleteFunc(slices.Clone(p.Parts), func(x Part) bool { return p.made(x) })
		if len(parts) == 0 {
			return nil
		}
		if err := each(p.Job, parts); err != nil {
			return err
		}
		for _, x := range parts {
			if !p.made(x) {
				return fmt.Errorf("%s is not there, though all was done: do all machines see the same folder?", p.file(x))
			}
		}
		return nil
	})
}

// run opens the folder of results, has its parts made, and says in its manifest what it holds.
func (p *Plan) run(m *lm.Model, each func(*journal) error) (out Manifest, err error) {
	want := p.manifest(m)
	j, err := p.folder(want)
	if err != nil {
		return out, err
	}
	done := false
	defer func() { err = errors.Join(err, j.close(done)) }()
	if err := each(j); err != nil {
		return want, err
	}
	for _, err := range Failures(p.Out) {
		if err != nil {
			return want, err
		}
		want.Failed++
	}
	want.Explained, want.Done = want.Rows-want.Failed, true
	done = true
	return want, want.write(p.Out)
}

// folder makes the folder of results, or checks that the one that is there is of the same run, and opens its journal.
func (p *Plan) folder(want Manifest) (*journal, error) {
	dir := p.Out
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the folder %s cannot be made: %w; choose another with --out", dir, plain(err))
	}
	there, err := ReadManifest(dir)
	if names, _ := os.ReadDir(dir); errors.Is(err, fs.ErrNotExist) && len(names) == 0 {
		err = want.write(dir)
		there = want
	} else if err != nil {
		return nil, fmt.Errorf("%w; choose a folder of its own for the results with --out", err)
	}
	if err != nil {
		return nil, err
	}
	j, err := openJournal(dir)
	if err != nil {
		return nil, err
	}
	parts, _ := filepath.Glob(filepath.Join(escape(dir), partFiles))
	if differs := there.same(want); differs != "" {
		if len(parts) > 0 || len(j.rows) > 0 {
			return nil, errors.Join(fmt.Errorf("%s holds the results of %s; choose another folder with --out", dir, differs),
				j.close(false))
		}
		if err := want.write(dir); err != nil { // nothing is lost
			return nil, errors.Join(err, j.close(false))
		}
	}
	return j, nil
}

// run is a plan on its way.
type run struct {
	*Plan
	model   *lm.Model
	journal *journal
	hears   progress.Func
	begun   time.Time
	done    int // rows
	here    int // of these, those that this run asked about
}

// all makes the parts that are not there.
func (r *run) all(ctx context.Context) error {
	for _, part := range r.Parts {
		if r.made(part) {
			r.tell(part.Rows, 0)
		} else if err := r.part(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// part makes one part.
func (r *run) part(ctx context.Context, part Part) error {
	kept, err := r.journal.begin(part.Index, r.together())
	if err != nil {
		return err
	}
	r.tell(len(kept), 0)
	items, err := r.items(part)
	if err != nil {
		return err
	}
	err = r.askAll(ctx, r.model, items[min(len(kept), len(items)):], r.first(part) && len(kept) == 0,
		func(rows []outcome) error {
			if err := r.journal.add(rows); err != nil {
				return fmt.Errorf("the results in %s: %w", r.Out, plain(err))
			}
			r.tell(len(rows), len(rows))
			return nil
		})
	if hopeless := (*hopelessError)(nil); errors.As(err, &hopeless) {
		_, again := r.journal.begin(-1, 1) // what failed is forgotten
		return errors.Join(err, again)
	}
	if err != nil {
		return err
	}
	return r.write(part, r.journal.rows)
}

// tell says how far the run has come.
func (r *run) tell(rows, here int) {
	r.done, r.here = r.done+rows, r.here+here
	e := progress.Event{What: r.doing(), Done: int64(r.done), Total: int64(r.Rows), Unit: "items"}
	if r.here > 0 { // what was there before took this run no time
		e.Seconds = time.Since(r.begun).Seconds() / float64(r.here) * float64(r.done)
	}
	r.hears.Tell(e)
}
