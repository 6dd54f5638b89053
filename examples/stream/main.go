// Command stream generates text from a model directory, and says for each token, as it comes, which earlier token
// speaks most for it.
//
//	go run ./examples/stream runs/shakespeare "ROMEO:"
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/generate"
)

func main() {
	tokens := flag.Int("tokens", 20, "how many tokens to generate")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal(`usage: stream [-tokens N] DIR "PROMPT"`)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m, err := lmkit.Open(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	enc, err := m.Tokenizer().Encode(flag.Arg(1))
	if err != nil {
		log.Fatal(err)
	}
	read := enc.IDs
	for next, err := range generate.Stream(ctx, m, read, generate.Config{Tokens: *tokens}) {
		if err != nil {
			log.Fatal(err)
		}
		if c := m.Config().Context; c > 0 && len(read) > c {
			read = read[len(read)-c:]
		}
		as, err := explain.Explain(ctx, m, explain.Question{IDs: read, Target: &next.ID}, perturb.Occlusion{})
		if err != nil {
			log.Fatal(err)
		}
		a := as[0]
		top := explain.TopFeatures(a.Scores)[0]
		fmt.Printf("%-12q because of %q, %d before (%+.2f)\n", m.TokenText(next.ID), a.Features[top].Text, len(read)-top,
			a.Scores[top])
		read = append(read, next.ID)
	}
}
