package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"lmkit.internal/lmkit/lm"
)

// Scores that wait are computed in one batch, and each is what it is alone, to the bit.
func TestScoresAreJoined(t *testing.T) {
	s := server(t, Config{Limits: Limits{Running: 1}})
	for _, m := range s.config.Models {
		before := batches(t, s)
		leave, err := s.queue.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		const n = 8
		for i := range n {
			all.Go(func() {
				text := strings.Repeat("the capital of France ", 1+i)
				in, _ := json.Marshal(Texts{Model: m.Name, Texts: []lm.Passage{{Text: text}, {Text: "it is Paris"}}})
				res, got := ask(s, "POST", "/v1/score", string(in))
				want, _, err := m.Score(t.Context(), []lm.Passage{{Text: text}})
				alone, _, err2 := m.Score(t.Context(), []lm.Passage{{Text: "it is Paris"}})
				if err != nil || err2 != nil {
					t.Error(err, err2)
					return
				}
				sameAs(t, fmt.Sprintf("%s, request %d", m.Name, i), res, got, Scores{append(want, alone...)})
			})
		}
		for s.queue.waiting.Load() < n {
			time.Sleep(time.Millisecond)
		}
		leave()
		all.Wait()
		if made := batches(t, s) - before; made != 1 {
			t.Errorf("%s: %d requests took %d batches", m.Name, n, made)
		}
	}
}

// batches is how many batches of scores a server has computed.
func batches(t *testing.T, s *Server) (n int) {
	t.Helper()
	_, metrics := ask(s, "GET", "/metrics", "")
	_, after, _ := strings.Cut(metrics, "\nlmkit_score_batches_total ")
	_, _ = fmt.Sscan(after, &n)
	return n
}
