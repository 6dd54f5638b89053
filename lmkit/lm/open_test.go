package lm_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
)

// counting is an engine that counts the memory of the arrays it is given. It runs nothing.
type counting struct {
	compute.Backend
	live, most int64 // bytes
	arrays     int   // that were ever made
}

// counted is an array of such an engine.
type counted struct {
	compute.Buffer
	by    *counting
	bytes int64
}

func countingEngine(t *testing.T) (*backend.Engine, *counting) {
	t.Helper()
	c := &counting{Backend: backendtest.Engine(t).Backend}
	return &backend.Engine{Backend: c, Kind: backend.XLACPU}, c
}

func (c *counting) add(b compute.Buffer, s shapes.Shape) compute.Buffer {
	bytes := int64(s.ByteSize())
	c.live, c.arrays = c.live+bytes, c.arrays+1
	c.most = max(c.most, c.live)
	return &counted{b, c, bytes}
}

func (c *counting) NewSharedBuffer(d compute.DeviceNum, s shapes.Shape) (compute.Buffer, any, error) {
	b, flat, err := c.Backend.NewSharedBuffer(d, s)
	if err != nil {
		return nil, nil, err
	}
	return c.add(b, s), flat, nil
}

func (c *counting) BufferFromFlatData(d compute.DeviceNum, flat any, s shapes.Shape) (compute.Buffer, error) {
	b, err := c.Backend.BufferFromFlatData(d, flat, s)
	if err != nil {
		return nil, err
	}
	return c.add(b, s), nil
}

func (b *counted) Finalize() error {
	b.by.live, b.bytes = b.by.live-b.bytes, 0
	return b.Buffer.Finalize()
}

// opens is a GPT-2, whose matrices are stored transposed and queries, keys and values together, and a Llama, whose
// tensors are the parameters.
var opens = map[string]lm.Config{
	"gpt2": {Arch: lm.Transformer, Vocab: 2000, Width: 256, Layers: 4, Heads: 4, Context: 64, Tied: true},
	"llama": {Arch: lm.Transformer, Vocab: 4000, Width: 256, Layers: 4, Heads: 4, KVHeads: 2, Context: 64, Norm: "rms",
		Gated: true, Activation: "silu", Positions: "rotary", Rope: net.Rope{Theta: 1e4},
		NoBias: net.Projections{QKV: true, Out: true, MLP: true}},
}

// saved is the folder of a fresh model.
func saved(t *testing.T, c lm.Config) (dir string, m *lm.Model) {
	t.Helper()
	m, err := lm.New(backendtest.PureGo(t), c, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	dir = t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// Opening a model takes its weights on the engine, once, and beside them no more than one of its tensors: all that is
// made meanwhile is counted, whether it is garbage in between or not.
func TestOpeningTakesOneCopy(t *testing.T) {
	for name, c := range opens {
		dir, fresh := saved(t, c)
		largest := 0
		for _, p := range fresh.Config().Params() {
			largest = max(largest, 4*p.Size())
		}
		e, count := countingEngine(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := lm.Open(e, dir)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		weights := int64(4 * m.Params())
		if count.most != weights {
			t.Errorf("%s: the engine held up to %d bytes, and the weights are %d", name, count.most, weights)
		}
		const rest = 1 << 20 // configuration, names, goroutines
		allowed := int64(largest + rest)
		if backendtest.Engine(t).Kind == backend.Go { // whose memory is Go's
			allowed += weights
		}
		if made := int64(after.TotalAlloc - before.TotalAlloc); made > allowed {
			t.Errorf("%s: %d bytes were made in Go to open %d; the largest tensor has %d", name, made, weights, largest)
		}
		if m.Close(); count.live != 0 {
			t.Errorf("%s: %d bytes are left after closing", name, count.live)
		}
	}
}

// Whatever keeps a model from being opened, nothing stays behind on the engine; and what the directory of tensors
// already shows is found before anything is taken.
func TestFailedOpenFrees(t *testing.T) {
	type tensors = map[string]safetensors.Tensor
	for _, x := range []struct {
		name, want string
		early      bool // nothing is put before
		tensors    func(ts tensors)
		folder     func(dir string) error
	}{
		{name: "a missing tensor", want: "is missing", early: true, tensors: func(ts tensors) { delete(ts, "ln_f.bias") }},
		{name: "a wrong shape", want: "has shape", early: true, tensors: func(ts tensors) {
			ts["h.2.mlp.c_proj.weight"] = safetensors.Tensor{Dims: []int{2, 3}, Data: make([]float32, 6)}
		}},
		{name: "a number that is not finite", want: "not finite", tensors: func(ts tensors) {
			ts["ln_f.bias"].Data[7] = float32(math.NaN())
		}},
		{name: "an unknown number type", want: `"U32" is not supported`, early: true, folder: func(dir string) error {
			path := filepath.Join(dir, lm.WeightsFile)
			all, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			at := bytes.Index(all, []byte(`"h.2.mlp.c_proj.weight":`))
			kind := at + bytes.Index(all[at:], []byte("F32"))
			return os.WriteFile(path, append(append(all[:kind:kind], "U32"...), all[kind+3:]...), 0o600)
		}},
		{name: "a training.json that cannot be read", want: "training.json", folder: func(dir string) error {
			return os.Mkdir(filepath.Join(dir, lm.TrainingFile), 0o700)
		}},
	} {
		dir, _ := saved(t, opens["gpt2"])
		if x.tensors != nil {
			ts, err := safetensors.ReadFile(filepath.Join(dir, lm.WeightsFile))
			if err != nil {
				t.Fatal(err)
			}
			x.tensors(ts)
			if err := safetensors.WriteFile(filepath.Join(dir, lm.WeightsFile), ts); err != nil {
				t.Fatal(err)
			}
		} else if err := x.folder(dir); err != nil {
			t.Fatal(err)
		}
		e, count := countingEngine(t)
		if m, err := lm.Open(e, dir); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", x.name, m, err, x.want)
		}
		if count.live != 0 || x.early != (count.arrays == 0) {
			t.Errorf("%s: %d bytes are left of %d arrays", x.name, count.live, count.arrays)
		}
	}
}

// A model has one hash, whether it is fresh, or opened from one file, or from several with notes beside the tensors;
// and each number counts.
func TestHash(t *testing.T) {
	for name, c := range opens {
		dir, fresh := saved(t, c)
		weights := filepath.Join(dir, lm.WeightsFile)
		hash := func(what string) string {
			m, err := lm.Open(backendtest.PureGo(t), dir)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, what, err)
			}
			defer m.Close()
			return m.Hash()
		}
		if hash("saved") != fresh.Hash() || len(fresh.Hash()) != 64 {
			t.Errorf("%s: the saved model's hash is another one", name)
		}
		ts, err := safetensors.ReadFile(weights)
		if err != nil {
			t.Fatal(err)
		}
		split(t, dir, ts)
		if err := os.Remove(weights); err != nil {
			t.Fatal(err)
		}
		if hash("in parts") != fresh.Hash() {
			t.Errorf("%s: in parts it has another hash", name)
		}
		for tensor, x := range ts { // any
			x.Data[len(x.Data)/2] += 1e-3
			t.Logf("%s: %s is changed", name, tensor)
			break
		}
		split(t, dir, ts)
		if hash("changed") == fresh.Hash() {
			t.Errorf("%s: another number, and the same hash", name)
		}
	}
}

// split writes tensors to two files and an index.
func split(t *testing.T, dir string, ts map[string]safetensors.Tensor) {
	t.Helper()
	files := []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
	parts := []map[string]safetensors.Tensor{{}, {}}
	index := map[string]string{}
	for n, x := range ts {
		k := len(index) % 2
		parts[k][n], index[n] = x, files[k]
	}
	for k, part := range parts {
		if err := safetensors.WriteFile(filepath.Join(dir, files[k]), part); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]string{"total_size": "1"}, "weight_map": index})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, safetensors.IndexFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
}
