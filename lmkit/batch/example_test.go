package batch_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// A file of three rows, of which one is broken, becomes a folder of two results and a failure.
func Example() {
	dir, err := os.MkdirTemp("", "batch")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of an example
	file := filepath.Join(dir, "items.jsonl")
	rows := `{"id":"first","prompt":"the cat sat on the","target":"mat"}` + "\n" +
		`{"id":"second","prompt":"a dog ran on the","target":"rug"}` + "\n" +
		`{"id":"third"` + "\n"
	if err := os.WriteFile(file, []byte(rows), 0o644); err != nil {
		log.Fatal(err)
	}
	tok, err := token.NewWord(slices.Values([]string{"the a cat dog sat ran on mat rug"}), token.WordConfig{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	engine, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	m, err := lm.New(engine, lm.Config{Arch: lm.LSTM, Layers: 1, Width: 8, Hidden: 8, Vocab: tok.Size()},
		tok, 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	job := batch.Job{Source: batch.Source{File: file}, Request: lmkit.Request{Methods: []string{"occlusion"}},
		Model: "untrained", Out: filepath.Join(dir, "results")}
	plan, err := batch.Open(ctx, job)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := plan.Explain(ctx, m); err != nil {
		log.Fatal(err)
	}
	for r, err := range batch.Results(job.Out) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: why %q, by %d scores\n", r.ID, r.Attributions[0].Target.Text, len(r.Attributions[0].Scores))
	}
	for f, err := range batch.Failures(job.Out) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(f)
	}
	// Output:
	// first: why "mat", by 5 scores
	// second: why "rug", by 5 scores
	// line 3 is no JSON object
}
