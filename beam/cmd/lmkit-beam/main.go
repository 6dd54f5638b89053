// Command lmkit-beam explains, labels or scores a file of items, or the pairs of a suite, on Apache Beam: in this
// process, or on a cluster.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/exec/optimized"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/harness/init"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"

	"lmkit.internal/beam/pipeline"
	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/bias"
)

const usage = `lmkit-beam explains, labels or scores the items of a file on Apache Beam, or scores the pairs of a suite
as lmkit bias does, into a folder that lmkit summarize reads.

  lmkit-beam --model MODEL --input FILE --output DIR --request FILE
  lmkit-beam --model MODEL --input FILE --output DIR --labels good,bad
  lmkit-beam --model MODEL --input FILE --output DIR --score
  lmkit-beam --model MODEL --suite SUITE --output DIR

Without --runner it runs in this process. On a Flink cluster, by Beam's job server:

  lmkit-beam ... --runner=universal --endpoint=localhost:8099 --parallelism=4

The same command goes on with a run that was stopped. Its own flags; all others are Beam's:
`

// own are the flags that are not Beam's.
var own = flag.NewFlagSet("lmkit-beam", flag.ContinueOnError)

var (
	job             pipeline.Job
	request, labels string
	suite, data     string
	limit           int
	// provision is given to a process that a runner starts as its worker.
	provision = flag.String("provision_endpoint", "", "where a worker hears what it is to do")
	_         = flag.String("artifact_endpoint", "", "not used: a worker has all it needs")
)

func init() {
	text := func(to *string, name, about string) {
		own.StringVar(to, name, "", about)
		flag.StringVar(to, name, "", about)
	}
	text(&job.Model, "model", "a `MODEL`: a folder, a GGUF file, or a name such as smollm2")
	text(&job.Source.File, "input", "the `FILE` of items: .jsonl, .csv, .tsv, .parquet, or lines of text")
	text(&job.Out, "output", "the folder `DIR` of the results")
	text(&request, "request", "the `FILE` of the request, as lmkit explain MODEL --file FILE --print-request writes it")
	text(&labels, "labels", "in place of a request: the labels to choose from, with commas between")
	text(&job.Source.Template, "template", `the prompt made of columns: "Review: {text}\nSentiment:"`)
	text(&job.Source.Label, "label", "the column that says what is right (default: label); of lines of text the mark "+
		"before it")
	text(&job.Source.System, "system", "with --chat, what stands before what a person says")
	text(&job.Source.Reply, "reply", "with --chat, how the answer has begun")
	text(&suite, "suite", "in place of --input: the pairs of sentences that lmkit bias -h describes under --suite")
	text(&data, "data", "the folder or file of a published suite")
	text(&job.Protocol, "protocol", "what a sentence's score is, as lmkit bias -h says (default: what is usual for the "+
		"suite)")
	text(&job.Engine, "engine", "what computes: auto, xla:cpu, xla:cuda or go")
	text(&job.Held.Weights, "weights", "how weights are held in memory: float32 or file")
	text(&job.Held.Precision, "precision", "what products with weights are computed in: float32 or bf16")
	for _, set := range []*flag.FlagSet{own, flag.CommandLine} {
		set.IntVar(&limit, "limit", 0, "of a suite, so many pairs of each group, spread evenly (default: all)")
		set.BoolVar(&job.Score, "score", false, "in place of a request: how likely the model finds each text")
		set.BoolVar(&job.Parquet, "parquet", false, "parts are Parquet in place of lines of JSON")
		set.BoolVar(&job.Source.Chat, "chat", false, "the prompt is what a person says to the model")
	}
	own.SetOutput(os.Stderr)
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		own.PrintDefaults()
	}
}

func main() {
	backend.Tune()
	flag.Parse()
	beamlog.LogLevel = "warn"
	beam.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second one ends the process at once
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lmkit-beam:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if *provision != "" {
		return pipeline.Work(ctx, flag.Lookup("id").Value.String(), *provision)
	}
	if err := check(); err != nil {
		return err
	}
	if *runners.Runner == "universal" {
		tidy, err := elsewhere()
		if err != nil {
			return err
		}
		defer tidy()
	}
	told := tell()
	done, err := pipeline.Run(ctx, *runners.Runner, job)
	told()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: the parts that are done are kept in %s; the same command goes on", job.Out)
		}
		return err
	}
	fmt.Printf("%d of %d items are done in %s, and failures-*.jsonl says why %d are not\n"+
		"lmkit summarize %s sums them up\n",
		done.Explained, done.Rows, job.Out, done.Failed, job.Out)
	return nil
}

// check reads what is asked, and makes all paths those of any folder.
func check() (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("there is an argument that belongs to no flag: %q", flag.Arg(0))
	}
	for _, x := range [][2]string{{"model", job.Model}, {"input", job.Source.File + suite}, {"output", job.Out}} {
		if x[1] == "" {
			return fmt.Errorf("--%s is missing; lmkit-beam -h says what it is", x[0])
		}
	}
	switch *runners.Runner {
	case "":
		*runners.Runner = "prism"
	case "prism", "universal":
	default:
		return fmt.Errorf("there is no runner %q; prism is this process, universal one behind a job server",
			*runners.Runner)
	}
	if err := job.Held.Validate(); err != nil {
		return fmt.Errorf("--weights or --precision: %w", err)
	}
	if suite != "" {
		err = checkSuite()
	} else {
		err = checkItems()
	}
	if err != nil {
		return err
	}
	if job.Out, err = filepath.Abs(job.Out); err != nil {
		return err
	}
	if _, err := os.Stat(job.Model); err == nil { // else it is a name
		job.Model, err = filepath.Abs(job.Model)
		return err
	}
	return nil
}

// checkItems reads what is asked of the items of a file.
func checkItems() (err error) {
	asked := 0
	for _, is := range []bool{request != "", labels != "", job.Score} {
		if is {
			asked++
		}
	}
	switch {
	case data+job.Protocol != "" || limit != 0:
		return errors.New("--data, --protocol and --limit belong to --suite")
	case asked != 1:
		return errors.New("give one of --request, --labels and --score: what is asked of each item")
	case !job.Source.Chat && job.Source.System+job.Source.Reply != "":
		return errors.New("--system and --reply belong to --chat")
	}
	if labels != "" {
		job.Labels = strings.Split(labels, ",")
	}
	if request != "" {
		if job.Request, err = read(request); err != nil {
			return err
		}
	}
	job.Source.File, err = filepath.Abs(job.Source.File)
	return err
}

// checkSuite reads the suite.
func checkSuite() (err error) {
	if request+labels != "" || job.Score || job.Source != (batch.Source{}) {
		return errors.New("a suite has its own sentences and question: give --suite without flags about items")
	}
	if limit < 0 {
		return errors.New("--limit is 0 or more")
	}
	if err := bias.Check(job.Protocol); err != nil {
		return err
	}
	if job.Suite, err = bias.Open(suite, data); err == nil {
		job.Suite.Limit(limit)
	}
	return err
}

// read reads a request.
func read(path string) (lmkit.Request, error) {
	in, err := os.Open(path)
	if err != nil {
		return lmkit.Request{}, fmt.Errorf("the request: %w", err)
	}
	defer in.Close()
	r, err := batch.ReadCommon(in)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return r, err
}

// elsewhere has the workers of a runner be this program, started by the runner, where nothing else is asked for. What
// Beam would send them is an empty file.
func elsewhere() (tidy func(), err error) {
	if *jobopts.EnvironmentType == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		config, err := json.Marshal(map[string]string{"command": self})
		if err != nil {
			return nil, err
		}
		*jobopts.EnvironmentType, *jobopts.EnvironmentConfig = "PROCESS", string(config)
	}
	if *jobopts.WorkerBinary != "" {
		return func() {}, nil
	}
	f, err := os.CreateTemp("", "lmkit-beam")
	if err != nil {
		return nil, err
	}
	*jobopts.WorkerBinary = f.Name()
	return func() { _ = os.Remove(f.Name()) }, f.Close()
}

// tell says on stderr how many parts there are, whoever makes them, until the function that it returns is called.
func tell() (end func()) {
	ticker, over := time.NewTicker(10*time.Second), make(chan struct{})
	go func() {
		before := 0
		for {
			select {
			case <-over:
				return
			case <-ticker.C:
			}
			names, _ := os.ReadDir(job.Out)
			n := 0
			for _, x := range names {
				if ok, _ := filepath.Match("part-*[lt]", x.Name()); ok {
					n++
				}
			}
			if n != before {
				fmt.Fprintf(os.Stderr, "lmkit-beam: %d parts of %d items are there\n", n, batch.PartRows)
			}
			before = n
		}
	}()
	return func() { ticker.Stop(); close(over) }
}
