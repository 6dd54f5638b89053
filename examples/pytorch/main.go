// Command pytorch explains a prediction of a model that PyTorch trained, as JSON: a folder with config.json and
// model.safetensors, of a GPT-2 or of nn.Embedding, nn.LSTM and nn.Linear.
//
//	go run ./examples/pytorch lmkit/lm/testdata/reference/lstm 4 1 12 7 9
package main

import (
	"context"
	"log"
	"os"
	"strconv"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/token"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: pytorch DIR ID...")
	}
	m, err := lmkit.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	var ids []token.ID
	for _, arg := range os.Args[2:] {
		id, err := strconv.Atoi(arg)
		if err != nil {
			log.Fatal(err)
		}
		ids = append(ids, token.ID(id))
	}
	method, err := lmkit.Method("integrated-gradients", lmkit.Settings{})
	if err != nil {
		log.Fatal(err)
	}
	as, err := explain.Explain(context.Background(), m, explain.Question{IDs: ids, Baseline: "mean"}, method)
	if err != nil {
		log.Fatal(err)
	}
	if err := explain.Write(os.Stdout, as...); err != nil {
		log.Fatal(err)
	}
}
