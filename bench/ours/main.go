// Command ours measures lmkit on the rows of the benchmark that bench/run compares with Python's tools.
//
//	ours [--quick] [--rows a,b]      every row, or some: one JSON line a measurement
//	ours --dir DIR prepare           write the models and rows.json that both sides read
//	ours --dir DIR measure ROW       one row, in a process of its own
//	ours rates                       how fast this machine multiplies matrices, and reads memory
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
)

func main() {
	backend.Tune() // as the command does
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ours", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "tiny sizes, to see that everything works")
	names := flags.String("rows", "", "rows to measure, separated by commas; empty: all")
	dir := flags.String("dir", "", "the folder of the models and rows.json")
	flags.Bool("ours-only", true, "accepted for bench/run, which leaves the peers out then")
	if err := flags.Parse(args); err != nil {
		return err
	}
	// What an earlier run compiled would be loaded, and nobody would see how long a first call takes.
	if os.Getenv(backend.EnvCache) == "" {
		programs, err := os.MkdirTemp("", "lmkit-bench-programs-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(programs)
		os.Setenv(backend.EnvCache, programs)
	}
	switch words := flags.Args(); {
	case len(words) == 0:
		return all(ctx, *quick, *names, out)
	case words[0] == "rates" && len(words) == 1:
		return rates(ctx, out)
	case words[0] == "prepare" && len(words) == 1 && *dir != "":
		return prepare(*dir, *quick, *names)
	case words[0] == "measure" && len(words) == 2 && *dir != "":
		return measureIn(ctx, *dir, words[1], out)
	}
	return errors.New("give nothing, rates, --dir DIR prepare, or --dir DIR measure ROW")
}

// all measures rows one after another in this process.
func all(ctx context.Context, quick bool, names string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "lmkit-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir, quick, names); err != nil {
		return err
	}
	rows, err := readRows(dir)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := measureIn(ctx, dir, r.Name, out); err != nil {
			return err
		}
	}
	return nil
}

func measureIn(ctx context.Context, dir, name string, out io.Writer) error {
	rows, err := readRows(dir)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Name != name {
			continue
		}
		if r.ofProcess() { // such a row keeps its programs for its next process, or none
			cache := filepath.Join(dir, "programs")
			if r.Cold {
				cache = "off"
			}
			if err := os.Setenv(backend.EnvCache, cache); err != nil {
				return err
			}
		}
		// As the commands open it.
		e, err := backend.Open(ctx, backend.Options{Latency: r.Kind == "generate", Long: r.Kind == "train"})
		if err != nil {
			return err
		}
		m, err := open(e, dir, r)
		if err != nil {
			return err
		}
		defer m.Close()
		got, err := measure(ctx, m, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		return json.NewEncoder(out).Encode(got)
	}
	return fmt.Errorf("there is no row %q in %s", name, dir)
}

// Measurement is what one process found out about one row.
type Measurement struct {
	Row     string               `json:"row"`
	Who     string               `json:"who"`
	Unit    string               `json:"unit"`
	Samples []float64            `json:"samples"`       // in the unit
	First   float64              `json:"first_seconds"` // the first call, with compilation
	Values  map[string][]float64 `json:"values"`        // what was computed, for comparison
	Others  float64              `json:"others"`        // share of the machine that others used meanwhile; -1: not known
	Peak    float64              `json:"peak_mib"`      // most memory that the process held; -1: not known
	Engine  string               `json:"engine"`
	GFLOP   float64              `json:"gflop,omitempty"` // as a row's, where it is known only when it has run
}

// measure dispatches on the kind of a row.
func measure(ctx context.Context, m *lm.Model, r Row) (*Measurement, error) {
	kinds := map[string]func(context.Context, *lm.Model, Row, *Measurement) error{
		"train": measureTraining, "eval": measureEvaluation, "compile": measureCompilation,
		"generate": measureGeneration, "ig-equal-error": measureEqualError,
		"ig": measureExplanation, "occlusion": measureExplanation, "lime": measureExplanation,
		"kernelshap": measureExplanation, "shapley-exact": measureExplanation,
		"start": measureStart, "memory": measureMemory, "patch": measurePatching,
	}
	f, ok := kinds[r.Kind]
	if !ok {
		return nil, fmt.Errorf("there is no kind of row %q", r.Kind)
	}
	got := &Measurement{Row: r.Name, Who: "lmkit", Unit: r.Unit, Values: map[string][]float64{}, Engine: m.Engine().Kind}
	if err := f(ctx, m, r, got); err != nil {
		return nil, err
	}
	got.Peak = peak()
	return got, nil
}
