package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/internal/compiled"
	"lmkit.internal/lmkit/internal/plugin"
	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/internal/whole"
)

// envProbe makes [Tune] try a plugin, whose file it names, and exit with 0 if it computes under the present flags.
const envProbe = "LMKIT_PROBE"

// probeTime is how long a plugin may take to load, compile and compute one product. It takes under a second
// on a machine that has nothing else to do.
const probeTime = time.Minute

// probing says that the program calls [Tune], so that a child of it can try a plugin.
var probing bool

// probe starts this program anew, with some more environment, to try a plugin. It is an error that the child does not
// end in time: that says nothing of the plugin.
func probe(ctx context.Context, plugin string, env ...string) (works bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	ctx, stop := context.WithTimeout(ctx, probeTime)
	defer stop()
	child := exec.CommandContext(ctx, self)
	child.Env = append(append(os.Environ(), envProbe+"="+plugin), env...)
	err = child.Run()
	if ctx.Err() != nil {
		return false, fmt.Errorf("try the plugin %s in a process of its own: %w", plugin, ctx.Err())
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return false, nil
	}
	return err == nil, err
}

// probed is the child's part: one product of matrices that is large enough for oneDNN, with a function on it, compared
// with the sums by hand.
func probed(file string) error {
	if os.Getenv(envKeeping) != "" {
		cache, err := compiled.Open()
		if err == nil {
			err = compiled.Install(file, cache)
		}
		if err != nil {
			return err
		}
	}
	b, err := newXLA(request{kind: XLACPU, plugin: file})
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
	product, err := graph.NewExec(b, func(a *graph.Node) (product, squashed *graph.Node) {
		product = graph.Dot(a, a).Product()
		return product, graph.Tanh(graph.MulScalar(product, 1e-3))
	})
	if err != nil {
		return err
	}
	got, squashed, err := product.Call2(x)
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
				return fmt.Errorf("the product is %v where it should be %v", v, want)
			}
			s, want := float64(squashed.Value().([][]float32)[i][j]), math.Tanh(1e-3*want)
			if math.Abs(s-want) > 1e-4 {
				return fmt.Errorf("tanh of the product is %v where it should be %v", s, want)
			}
		}
	}
	if loaded, _ := compiled.Counts(); os.Getenv(envKeeping) == loading && loaded == 0 {
		return errors.New("the program that was kept was not loaded")
	}
	return nil
}

// knowledge is what was found out about a plugin, and holds as long as its file has this size and time.
type knowledge struct {
	Size     int64           `json:"size"`
	Time     time.Time       `json:"time"`
	SHA256   string          `json:"sha256,omitempty"`
	Computes map[string]bool `json:"computes"` // by XLA's flags, whether it computes right under them
	Keeps    map[string]bool `json:"keeps"`    // by setting, whether its programs can be stored and loaded

	file string
}

// notes are where knowledge is kept, by the plugin's file; "" without a cache folder.
func notes() string {
	s, err := plugin.Store()
	if err != nil {
		return ""
	}
	return filepath.Join(s.Folder, "plugins.json")
}

func allKnown() map[string]*knowledge {
	all := map[string]*knowledge{}
	if text, err := os.ReadFile(notes()); err == nil {
		_ = json.Unmarshal(text, &all) // what cannot be read is found out again
	}
	return all
}

// known is what is known of a plugin's file as it is now.
func known(file string) (*knowledge, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	k := allKnown()[file]
	if k == nil || k.Size != info.Size() || !k.Time.Equal(info.ModTime()) {
		k = &knowledge{Size: info.Size(), Time: info.ModTime()}
	}
	if k.Computes == nil {
		k.Computes = map[string]bool{}
	}
	if k.Keeps == nil {
		k.Keeps = map[string]bool{}
	}
	k.file = file
	return k, nil
}

// learn computes the checksum of the plugin's file.
func (k *knowledge) learn(ctx context.Context) error {
	f, err := os.Open(k.file)
	if err != nil {
		return err
	}
	defer f.Close()
	if k.SHA256, _, err = store.Checksum(ctx, f); err != nil {
		return err
	}
	k.remember()
	return nil
}

// remember notes what is known. Where that cannot be written, it costs a second at each start.
func (k *knowledge) remember() {
	all := allKnown()
	all[k.file] = k
	if text, err := json.MarshalIndent(all, "", "  "); err == nil && notes() != "" {
		_ = whole.Write(notes(), text)
	}
}
