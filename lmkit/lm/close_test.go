package lm_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Closing a model waits for the queries and decoders that run: each of their answers is whole, or says that the model
// is closed. (The race detector sees what is freed too early.)
func TestCloseWaitsForUsers(t *testing.T) {
	for _, c := range decodeModels {
		m, err := lm.New(backendtest.PureGo(t), c.Config, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		rows := [][]token.ID{{1, 2, 3}, {4, 5, 6}}
		want, err := m.LogProbs(context.Background(), rows)
		if err != nil {
			t.Fatal(err)
		}
		var users, started sync.WaitGroup
		for k := range 8 {
			started.Add(1)
			users.Go(func() {
				for n := 0; ; n++ {
					var err error
					if k%2 == 0 {
						err = sameAnswer(t, m, rows, want)
					} else {
						err = decodeSome(m, rows)
					}
					if n == 0 {
						started.Done()
					}
					if err != nil {
						if !strings.Contains(err.Error(), "the model is closed") {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		started.Wait()
		m.Close()
		m.Close()
		if _, err := m.Run(context.Background(), lm.Query{Rows: rows}); err == nil {
			t.Error("a closed model answered")
		}
		if _, err := m.Weights(); err == nil {
			t.Error("a closed model has weights")
		}
		users.Wait()
	}
}

func sameAnswer(t *testing.T, m *lm.Model, rows [][]token.ID, want []lm.Array) error {
	got, err := m.LogProbs(context.Background(), rows)
	if err != nil {
		return err
	}
	for i := range want {
		for k, v := range want[i].Data {
			if got[i].Data[k] != v {
				t.Errorf("row %d: got %v, want %v", i, got[i].Data[k], v)
				return nil
			}
		}
	}
	return nil
}

// decodeSome reads rows and three more tokens.
func decodeSome(m *lm.Model, rows [][]token.ID) error {
	d, err := m.Decode(context.Background(), rows, 4, lm.Sampling{})
	if err != nil {
		return err
	}
	defer d.Close()
	for range 3 {
		if err := d.Push(context.Background(), []token.ID{lm.Chosen, 1}); err != nil {
			return err
		}
	}
	return nil
}
