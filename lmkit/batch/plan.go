package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
)

// Job is a file of items, what is asked of them, and where the answers go. Each item is explained, unless Labels or a
// Score are asked for in place of that.
type Job struct {
	Source  Source
	Request lmkit.Request // what all items have in common
	// Labels are chosen from after each prompt, as [Classify] does: its lines are the results.
	Labels []string
	// Score asks how likely the model finds the text of each item, after its column "after", if there is one: the
	// results are lines of [Scored].
	Score bool
	// Suite asks, in place of all that, how likely the model finds the sentences of each pair of a suite, which stands in
	// place of Source: the results are lines of [ScoredPair], of which [Bias] makes the report.
	Suite    *bias.Suite
	Protocol string // that the pairs are scored by; "": the suite's
	// Parquet makes the parts Parquet in place of lines of JSON: see [Packed].
	Parquet bool
	Model   string // what the model is called, for the manifest
	Out     string // the folder of results: a new one, or one of the same job, which is gone on with
}

// Plan is a job whose file has been read once.
type Plan struct {
	Job
	Items  int     // rows that are items
	Rows   int     // all rows
	Broken Failure // the first row that is no item, if there is one
	Parts  []Part  // of PartRows rows each, the last one of those that are left
	sum    string  // of the file
}

// Part is some rows of a file of items, which become one file of results. Each can be made by itself, by [Job.Make].
type Part struct {
	Index int          `json:"index"` // from 0
	From  corpus.Place `json:"from"`  // where its first row begins
	Rows  int          `json:"rows"`
	// Again are the lines in it whose ID an earlier line has, and those lines.
	Again map[int]int `json:"again,omitempty"`
	// Pairs are the rows themselves, of a suite: it is small, and not always one file.
	Pairs []bias.Pair `json:"pairs,omitempty"`
}

func (p *Part) add(x Item) {
	p.Rows++
	if x.earlier > 0 {
		if p.Again == nil {
			p.Again = map[int]int{}
		}
		p.Again[x.Line] = x.earlier
	}
}

// items reads the items of a part.
func (j Job) items(part Part) (items []Item, err error) {
	if j.Suite != nil {
		return itemsOf(part), nil
	}
	for x, err := range itemsFrom(j.Source, j.Request, part.From) {
		if err != nil {
			return nil, err
		}
		if line, again := part.Again[x.Line]; again {
			x.repeats(line)
		}
		if items = append(items, x); len(items) == part.Rows {
			return items, nil
		}
	}
	return nil, fmt.Errorf("%s has fewer rows than it had: part %d has %d of %d", j.Source.File, part.Index, len(items),
		part.Rows)
}

// Open reads the file of a job, and counts its items, or the pairs of its suite. It fails where there are none.
func Open(ctx context.Context, j Job) (*Plan, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	if j.Suite != nil {
		return openSuite(j)
	}
	p := &Plan{Job: j}
	for x, err := range Items(j.Source, j.Request) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if p.Rows%PartRows == 0 {
			p.Parts = append(p.Parts, Part{Index: len(p.Parts), From: x.at})
		}
		p.Parts[len(p.Parts)-1].add(x)
		p.Rows++
		if x.Wrong == "" {
			p.Items++
		} else if p.Rows-p.Items == 1 {
			p.Broken = Failure{Line: x.Line, ID: x.ID, Error: x.Wrong}
		}
	}
	if p.Items == 0 {
		if p.Rows > 0 {
			return nil, fmt.Errorf("%s has no items: %s", j.Source.File, p.Broken)
		}
		return nil, fmt.Errorf("%s has no items: it is empty", j.Source.File)
	}
	f, err := os.Open(j.Source.File)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", j.Source.File, plain(err))
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", j.Source.File, plain(err)), f.Close())
	}
	p.sum = hex.EncodeToString(h.Sum(nil))
	return p, f.Close()
}

// manifest is that of the plan on a model, before anything is done.
func (p *Plan) manifest(m *lm.Model) Manifest { return p.Job.manifest(m, p.sum, p.Rows) }

func (j Job) manifest(m *lm.Model, sum string, rows int) Manifest {
	s := j.Source
	if s.File != "" {
		s.File = filepath.Base(s.File)
	}
	out := Manifest{
		Schema: schema, Model: j.Model, ModelHash: m.Hash(), Weights: m.Held(), Engine: m.Engine().Name(),
		Request: j.Request, Labels: j.Labels, Score: j.Score, Suite: j.Suite, Protocol: j.Protocol, Parquet: j.Parquet,
		Source: s, SHA256: sum, Rows: rows, PartRows: PartRows, Version: Version(),
	}
	if m.Precision() != lm.Float32 {
		out.Precision = m.Precision()
	}
	return out
}
