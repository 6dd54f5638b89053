package lm

import (
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
)

func TestShareOfTheMemory(t *testing.T) {
	const v2, v1 = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is known":   {nil, 1 << 30},
		"a large machine":    {map[string]string{"/proc/meminfo": "MemTotal:       25165824 kB\nMemFree: 1 kB\n"}, 1 << 30},
		"a small machine":    {map[string]string{"/proc/meminfo": "MemTotal:       1048576 kB\n"}, 1 << 27},
		"a container":        {map[string]string{"/proc/meminfo": "MemTotal: 25165824 kB\n", v2: "536870912\n"}, 1 << 26},
		"an older container": {map[string]string{"/proc/meminfo": "MemTotal: 25165824 kB\n", v1: "536870912\n"}, 1 << 26},
		"a container at large": {map[string]string{"/proc/meminfo": "MemTotal: 1048576 kB\n", v2: "max\n",
			v1: "9223372036854771712\n"}, 1 << 27},
		"a service": {map[string]string{"/proc/self/cgroup": "0::/system.slice/lm.service\n",
			"/sys/fs/cgroup/system.slice/lm.service/memory.max": "536870912\n",
			"/sys/fs/cgroup/system.slice/memory.max":            "max\n"}, 1 << 26},
		"a group above": {map[string]string{"/proc/self/cgroup": "0::/a/b/c\n", "/sys/fs/cgroup/a/b/c/memory.max": "max\n",
			"/sys/fs/cgroup/a/memory.max": "536870912\n"}, 1 << 26},
		"an older service": {map[string]string{"/proc/self/cgroup": "7:cpu,cpuacct:/x\n5:memory:/jobs/1\n0::/\n",
			"/sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes": "536870912\n"}, 1 << 26},
		"another's group": {map[string]string{"/proc/self/cgroup": "5:cpu:/jobs/1\n",
			"/sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes": "1\n"}, 1 << 30},
		"a group outside the container": {map[string]string{"/proc/self/cgroup": "0::/../../a\n",
			"/sys/fs/cgroup/a/memory.max": "536870912\n"}, 1 << 26},
		"nonsense": {map[string]string{"/proc/meminfo": "MemTotal: much\n", v2: "\n"}, 1 << 30},
	} {
		got := share(func(path string) ([]byte, error) {
			if text, ok := c.files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}

// What cannot fit is refused before anything is allocated, with the bytes that it would take and those that there are.
func TestFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		exponent := func(name string) int { return 1 << rapid.IntRange(0, 28).Draw(t, name) }
		c := Config{Arch: Transformer, Vocab: exponent("vocab"), Width: exponent("width"),
			Layers: rapid.IntRange(1, 4096).Draw(t, "layers"),
			Heads:  1, Context: exponent("context")}
		err := Fits(c, 2)
		bytes := 0.0
		for _, p := range c.WithDefaults().Params() {
			n := 8.0
			for _, d := range p.Dims {
				n *= float64(d)
			}
			bytes += n
		}
		if (err != nil) != (bytes > float64(machineMemory())) {
			t.Fatalf("%+v, %.3g bytes: %v", c, bytes, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "and the machine has ") || len(err.Error()) > 300) {
			t.Fatal(err)
		}
	})
	huge := Config{Arch: LSTM, Vocab: 10, Width: 1_000_000, Hidden: 1_000_000, Layers: 3}
	if _, err := New(backendtest.PureGo(t), huge, nil, 1); err == nil ||
		!strings.Contains(err.Error(), "parameters, which take 192 TB, and the machine has") {
		t.Errorf("a huge model: %v", err)
	}
	if err := BatchFits(Config{Arch: Transformer, Vocab: 100, Width: 64, Layers: 2, Heads: 2, Context: 1 << 20}, 12,
		1<<20); err == nil {
		t.Error("a million tokens that attend to each other fit")
	}
}

// As many rows are predicted at once as are wanted, or as there is room for: never none, and never more than fit.
func TestPredictedRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Arch: Transformer, Vocab: rapid.IntRange(1, 1<<18).Draw(t, "vocab"), Width: 64, Heads: 4,
			Layers: rapid.IntRange(1, 40).Draw(t, "layers"), Context: 1 << 20}
		wanted, tokens := rapid.IntRange(1, 64).Draw(t, "wanted"), rapid.IntRange(1, 1<<16).Draw(t, "tokens")
		rows := PredictedRows(c, wanted, tokens)
		if rows < 1 || rows > wanted {
			t.Fatalf("%d rows of %d", rows, wanted)
		}
		if err := PredictionsFit(c, rows, tokens); err != nil && rows > 1 {
			t.Fatalf("%d rows: %v", rows, err)
		}
		if PredictionsFit(c, rows, tokens) == nil && PredictionsFit(c, 1, max(1, tokens/2)) != nil {
			t.Fatal("more fits than less")
		}
	})
	err := PredictionsFit(Config{Arch: Transformer, Vocab: 49152, Width: 576, Heads: 9, Layers: 30, Context: 8192}, 1e6,
		8192)
	if err == nil || !strings.Contains(err.Error(), "take fewer rows, or shorter ones") {
		t.Errorf("a million rows: %v", err)
	}
}
