package serve_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/serve"
)

// A server is an http.Handler: this one is asked without a network.
func ExampleNew() {
	e, err := backend.Open(context.Background(), backend.Options{Name: "go"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := lm.New(e, lm.Config{Arch: lm.LSTM, Layers: 1, Width: 8, Hidden: 8, Vocab: 20}, nil, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	s, err := serve.New(serve.Config{Models: []serve.Model{{Name: "small", Model: m}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://localhost/v1/healthz", nil)
	s.ServeHTTP(w, r)
	fmt.Print(w.Body)
	// Output: {"status":"ok"}
}
