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
	"lmkit.internal/lmkit/token"
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
		as, err := explain.Explain(ctx, m, explain.Question{IDs: read, Target: []token.ID{next.ID}}, perturb.Occlusion{})
		if err != nil {
			log.Fatal(err)
		}
		a := as[0]
		because := "of nothing that speaks for it"
		if top := a.Top(); len(top) > 0 {
			because = fmt.Sprintf("of %q, %d before (%+.2f)", a.Features[top[0]].Text, len(read)-top[0], a.Scores[top[0]])
		}
		fmt.Printf("%-12q because %s\n", m.TokenText(next.ID), because)
		read = append(read, next.ID)
	}
}
