package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
)

// Every row runs at a tiny size, on the pure-Go engine unless the environment names another, and says what it measured
// and what it computed.
func TestEveryRow(t *testing.T) {
	if os.Getenv(backend.EnvEngine) == "" {
		name := os.Getenv(backendtest.EnvEngine)
		if name == "" {
			name = backend.Go
		}
		t.Setenv(backend.EnvEngine, name)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--quick"}, &out); err != nil {
		t.Fatal(err)
	}
	rows := benchmark(true)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines for %d rows:\n%s", len(lines), len(rows), out.String())
	}
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 0) }
	for i, r := range rows {
		var got Measurement
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		if got.Row != r.Name || got.Unit != r.Unit || len(got.Samples) == 0 || !positive(got.First) {
			t.Errorf("%s: %+v", r.Name, got)
		}
		if r.Kind != "compile" && !positive(slices.Min(got.Samples)) { // compiling nothing takes no longer than a step
			t.Errorf("%s: samples %v", r.Name, got.Samples)
		}
		want, have := slices.Sorted(maps.Keys(r.Same)), slices.Sorted(maps.Keys(got.Values))
		if !slices.Equal(want, have) {
			t.Errorf("%s: it computed %v; %v is to be compared", r.Name, have, want)
		}
		if most := r.Same["error"].Most; most > 0 && slices.Max(got.Values["error"]) > most {
			t.Errorf("%s: errors %v, at most %v is wanted", r.Name, got.Values["error"], most)
		}
	}
}

// The stream begins with the numbers that bench/peers.py makes, stays in the vocabulary, and targets are the tokens
// that follow.
func TestStream(t *testing.T) {
	for k, want := range []int{14_757, 20_726, 3_730, 16_593} {
		if got := tokenAt(uint32(k), 28_782); int(got) != want {
			t.Errorf("token %d is %d, want %d", k, got, want)
		}
	}
	e := backendtest.PureGo(t)
	m, err := lm.New(e, sizes(true)["lstm"].Config, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var _ corpus.Batches = &stream{}
	s := newStream(m, Row{Batch: 3, Length: 5})
	for _, i := range []int{0, 1, period - 1, period, period + 1} {
		b, err := s.At(i)
		if err != nil {
			t.Fatal(err)
		}
		for j := range b.Inputs {
			k := i%period*15 + j
			if b.Inputs[j] != tokenAt(uint32(k), 50) || b.Targets[j] != tokenAt(uint32(k+1), 50) {
				t.Fatalf("batch %d: token %d is %d and its target %d", i, j, b.Inputs[j], b.Targets[j])
			}
		}
		if b.Fresh != (i == 0) || b.Rows != 3 || b.Length != 5 {
			t.Errorf("batch %d is %+v", i, b)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, x := range []struct {
		args []string
		want string
	}{
		{[]string{"--rows", "no-such-row"}, `no row "no-such-row"; there are lstm-train,`},
		{[]string{"measure", "ig"}, "--dir DIR measure ROW"},
		{[]string{"--dir", t.TempDir(), "measure", "ig"}, "rows.json"},
		{[]string{"dance"}, "prepare"},
	} {
		err := run(t.Context(), x.args, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v: %v, want %q", x.args, err, x.want)
		}
	}
}
