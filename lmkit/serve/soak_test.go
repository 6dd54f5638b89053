package serve

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
)

var soak = flag.Int("soak", 320, "how many requests TestSoak makes")

// soaked is a question with the answer of the library.
type soaked struct{ path, body, want string }

// Many clients ask all kinds of questions at a time, for as long as -soak says. No answer is an error, each one is the
// library's to the bit, and after the first tenths of them the memory that is in use grows no more.
func TestSoak(t *testing.T) {
	const clients = 32
	s, err := New(Config{Models: models(t)}) // whose answers are not held against the document, which takes its time
	if err != nil {
		t.Fatal(err)
	}
	l := httptest.NewServer(s)
	defer l.Close()
	all := questions(t, s)
	var next atomic.Int64
	heap := make([]uint64, 11) // after each tenth
	var mu sync.Mutex
	tenth := max(1, *soak/10)
	begin := time.Now()
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(c)))
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				n := int(next.Add(1))
				if n > *soak || t.Failed() {
					return
				}
				if n%tenth == 0 {
					mu.Lock()
					heap[n/tenth] = inUse()
					mu.Unlock()
				}
				q := all[rng.IntN(len(all))]
				res, err := client.Post(l.URL+q.path, "application/json", strings.NewReader(q.body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("%s %s: %d %s (%v)", q.path, q.body, res.StatusCode, got, err)
					return
				}
				if a := timeless(t, got); a != q.want {
					t.Errorf("%s %s:\n%s\nwant\n%s", q.path, q.body, a, q.want)
					return
				}
			}
		})
	}
	running.Wait()
	took := time.Since(begin)
	t.Logf("%d requests of %d clients in %v, %.0f a second; memory in use after each tenth, in KiB: %v", *soak, clients,
		took.Round(time.Millisecond), float64(*soak)/took.Seconds(), kib(heap[1:]))
	if *soak < 5000 {
		return // too few to tell growth from what is built up once
	}
	if first, last := slices.Max(heap[1:4]), slices.Min(heap[8:]); last > first { // what is asked just then differs
		t.Errorf("the memory in use has grown from %d to %d KiB", first>>10, last>>10)
	}
}

// inUse is the memory that is in use, in bytes.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func kib(bytes []uint64) (all []uint64) {
	for _, b := range bytes {
		all = append(all, b>>10)
	}
	return all
}

// questions are of all kinds, of both models, with texts of several lengths.
func questions(t *testing.T, s *Server) (all []soaked) {
	t.Helper()
	add := func(path string, body, want any) {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		w, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, soaked{path, string(b), timeless(t, w)})
	}
	for _, m := range s.config.Models {
		for _, text := range []string{"what is", "the capital of France", "what is the capital of France? it is Paris."} {
			passages := []lm.Passage{{Text: text}, {Text: " it is", After: text}}
			scores, _, err := m.Score(t.Context(), passages)
			if err != nil {
				t.Fatal(err)
			}
			add("/v1/score", Texts{m.Name, passages}, Scores{scores})

			g := Generation{Model: m.Name, Prompt: text, Tokens: 8, Temperature: 0.8, Seed: 3}
			add("/v1/generate", g, generated(t, m, g))

			r := lmkit.Request{Prompt: text, Methods: []string{"occlusion", "saliency"}}
			answer, err := r.Answer(t.Context(), m.Model)
			if err != nil {
				t.Fatal(err)
			}
			add("/v1/explain?model="+m.Name, r, answer)

			q, err := lmkit.Request{Prompt: text}.Question(t.Context(), m.Model)
			if err != nil {
				t.Fatal(err)
			}
			found, err := explain.Inside(t.Context(), m.Model, q, inspect.Lens{})
			if err != nil {
				t.Fatal(err)
			}
			add("/v1/inspect/lens", Inspection{Model: m.Name, Request: &lmkit.Request{Prompt: text}},
				lmkit.Answer{Matrix: found})
		}
	}
	return all
}

// generated is what the library generates.
func generated(t *testing.T, m Model, g Generation) (out Generated) {
	t.Helper()
	e, err := m.Tokenizer().Encode(g.Prompt)
	if err != nil {
		t.Fatal(err)
	}
	out = Generated{Tokens: []GeneratedToken{}, Ended: "length"}
	c := generate.Config{Tokens: g.Tokens, Temperature: g.Temperature, Seed: g.Seed}
	for x, err := range generate.Stream(context.Background(), m.Model, e.IDs, c) {
		if err != nil {
			t.Fatal(err)
		}
		if out.Text += x.Text; x.End {
			out.Ended = "end"
			break
		}
		out.Tokens = append(out.Tokens, GeneratedToken{x.ID, x.Text, x.LogProb})
	}
	return out
}
