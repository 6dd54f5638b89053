package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/internal/plugin"
	"lmkit.internal/lmkit/internal/whole"
)

// XLA's own flags are read when its plugin is loaded. These hand large products of matrices to oneDNN, which trains and
// explains a few per cent faster. Plugins differ, and an unknown flag ends the process: so a child tries them first.
const (
	envFlags    = "XLA_FLAGS"
	onednnFlags = "--xla_cpu_use_onednn=true --xla_cpu_experimental_onednn_custom_call=true"
)

// envProbe makes [Tune] try a plugin, whose file it names, and exit with 0 if it computes under the present flags.
const envProbe = "LMKIT_PROBE"

// probeTime is how long a plugin may take to load, compile and compute one product. It takes under a second.
const probeTime = 20 * time.Second

// probing says that the program calls [Tune], so that a child of it can try a plugin.
var probing bool

// useOneDNN sets XLA's flags for a plugin that is about to be loaded, if it takes them. Who sets XLA_FLAGS, or turns
// tuning off, decides alone.
func useOneDNN(ctx context.Context, plugin string) {
	if !probing || os.Getenv(envFlags) != "" || os.Getenv(EnvTune) == "off" {
		return
	}
	if takesOneDNN(ctx, plugin) {
		os.Setenv(envFlags, onednnFlags)
	}
}

// verdict is what was found out about a plugin.
type verdict struct {
	Size   int64     `json:"size"`
	Time   time.Time `json:"time"` // the file's
	OneDNN bool      `json:"onednn"`
}

const verdictsFile = "onednn.json"

// takesOneDNN asks the store, or else a child process, whose answer the store keeps.
func takesOneDNN(ctx context.Context, file string) bool {
	info, err := os.Stat(file)
	if err != nil {
		return false
	}
	known, notes := map[string]verdict{}, ""
	if s, err := plugin.Store(); err == nil {
		notes = filepath.Join(s.Folder, verdictsFile)
		if text, err := os.ReadFile(notes); err == nil {
			_ = json.Unmarshal(text, &known) // what cannot be read is found out again
		}
	}
	v, ok := known[file]
	if ok && v.Size == info.Size() && v.Time.Equal(info.ModTime()) {
		return v.OneDNN
	}
	v = verdict{info.Size(), info.ModTime(), tries(ctx, file)}
	if ctx.Err() != nil {
		return false
	}
	known[file] = v
	if text, err := json.MarshalIndent(known, "", "  "); err == nil && notes != "" {
		_ = whole.Write(notes, text) // a cache that cannot be written costs a second at each start
	}
	return v.OneDNN
}

var tries = probe // tests answer themselves

// probe starts this program anew to try a plugin under oneDNN's flags.
func probe(ctx context.Context, plugin string) bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	ctx, stop := context.WithTimeout(ctx, probeTime)
	defer stop()
	child := exec.CommandContext(ctx, self)
	child.Env = append(os.Environ(), envProbe+"="+plugin, envFlags+"="+onednnFlags)
	return child.Run() == nil
}

// probed is the child's part: one product of matrices that is large enough for oneDNN, compared with the sum by hand.
func probed(plugin string) error {
	b, err := newXLA(request{kind: XLACPU, plugin: plugin})
	if err != nil {
		return err
	}
	const n = 96
	x := make([][]float32, n)
	for i := range x {
		x[i] = make([]float32, n)
		for j := range x[i] {
			x[i][j] = float32((i*7+j*3)%11) - 5
		}
	}
	product, err := graph.NewExec(b, func(a *graph.Node) *graph.Node { return graph.Dot(a, a).Product() })
	if err != nil {
		return err
	}
	got, err := product.Call1(x)
	if err != nil {
		return err
	}
	for i, row := range got.Value().([][]float32) {
		for j, v := range row {
			want := 0.0
			for k := range n {
				want += float64(x[i][k]) * float64(x[k][j])
			}
			if math.Abs(float64(v)-want) > 1e-3 {
				return fmt.Errorf("oneDNN's product is %v where it should be %v", v, want)
			}
		}
	}
	return nil
}
