package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
)

// Every tool, in every mode, writes one matrix as JSON: rows, columns and as many finite values, their unit, what they
// promise, and the identities that must hold, which do on random weights, too. A flag that no case here gives fails the
// test, so that no mode comes without one.
func TestInspectAsJSON(t *testing.T) {
	t.Setenv(backend.EnvEngine, backend.Go)
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, dir: dir, flags: map[string]map[string]bool{}}
	t.Chdir(t.TempDir())
	w.files()
	w.train("run", "--layers", "2", "--heads", "2", "--context", "16", "--keep", "2")
	w.train("other", "--arch", "lstm", "--layers", "2")
	w.random("llama", "../lm/testdata/families/llama", "run")
	w.random("lstm", "../lm/testdata/reference/lstm", "other")
	w.transformer()
	w.lstm()
	w.unwalked()
}

const (
	walkClean     = "the keys near the box"
	walkCorrupted = "the key near the box" // another token at 1
)

// walk runs the tools of lmkit inspect on small models, and notes which flags were given.
type walk struct {
	t     *testing.T
	dir   string // the package's folder is not the one that the test runs in
	flags map[string]map[string]bool
}

// files writes what tools read.
func (w *walk) files() {
	put(w.t, "few.txt", []byte("the keys near the box\nthe box behind the keys\nthe key\nthe boxes near the key\n"+
		"the keys\n"))
	put(w.t, "texts.tsv", []byte("the keys\tmany\nthe boxes near the key\tmany\nthe key\tone\n"+
		"the box near the keys\tone\n"))
	put(w.t, "words.tsv", []byte(strings.Repeat("the\tDET\nkeys\tNOUN\nnear\tADP\nthe\tDET\nbox\tNOUN\n\n"+
		"the\tDET\nboxes\tNOUN\nbehind\tADP\nthe\tDET\nkey\tNOUN\n\n", 6)))
}

func (w *walk) run(args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = Main(args, strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}

func (w *walk) train(to string, more ...string) {
	w.t.Helper()
	args := append([]string{"train", "--data", "grammar:60", "--width", "8", "--steps", "3", "--out", to}, more...)
	if _, errs, code := w.run(args...); code != 0 {
		w.t.Fatal(errs)
	}
}

// random writes a model of the shape of another one, with random numbers everywhere and the tokens of a run.
func (w *walk) random(name, shape, run string) {
	w.t.Helper()
	e := backendtest.PureGo(w.t)
	trained, err := lm.Open(e, run)
	if err != nil {
		w.t.Fatal(err)
	}
	defer trained.Close()
	like, err := lm.Open(e, filepath.Join(w.dir, shape))
	if err != nil {
		w.t.Fatal(err)
	}
	defer like.Close()
	c := like.Config()
	c.Vocab = trained.Config().Vocab
	m := lmtest.Random(w.t, e, c, rand.New(rand.NewPCG(3, 6)))
	weights := map[string]lm.Array{}
	for _, p := range c.Params() {
		if weights[p.Name], err = m.Weight(p.Name); err != nil {
			w.t.Fatal(err)
		}
	}
	speaking, err := lm.FromWeights(e, c, trained.Tokenizer(), weights)
	if err != nil {
		w.t.Fatal(err)
	}
	defer speaking.Close()
	if err := speaking.Save(name); err != nil {
		w.t.Fatal(err)
	}
}

// matrix runs a tool, and checks the form of what it writes: so many rows and columns, in a unit.
func (w *walk) matrix(rows, columns int, unit string, args ...string) *explain.Matrix {
	w.t.Helper()
	tool := args[0]
	if w.flags[tool] == nil {
		w.flags[tool] = map[string]bool{}
	}
	for _, a := range args {
		if flag, ok := strings.CutPrefix(a, "--"); ok {
			flag, _, _ = strings.Cut(flag, "=")
			w.flags[tool][flag] = true
		}
	}
	out, errs, code := w.run(append(append([]string{"inspect"}, args...), "--json", "--strict")...)
	if code != 0 {
		w.t.Errorf("%q: exit code %d: %s", args, code, errs)
		return nil
	}
	m, err := explain.ReadMatrix(strings.NewReader(out)) // finite, and each row as long as there are columns
	if err != nil {
		w.t.Errorf("%q: %v", args, err)
		return nil
	}
	name := strings.TrimPrefix(strings.TrimPrefix(m.Method.Name, "jacobian-"), "tune-") // of a lens that is made
	if got, want := fmt.Sprint(name, " ", len(m.Rows), " ", len(m.Columns), " ", m.Unit),
		fmt.Sprint(tool, " ", rows, " ", columns, " ", unit); got != want {
		w.t.Errorf("%q: %s, not %s: %q by %q", args, got, want, m.Rows, m.Columns)
	}
	if m.About == "" || m.Axes[0] == "" || m.Axes[1] == "" || m.ModelHash == "" || len(m.Notes) == 0 {
		w.t.Errorf("%q: the matrix does not say what it is: %+v", args, m)
	}
	if len(m.Evidence.Identities) == 0 {
		w.t.Errorf("%q: no identity speaks for it", args)
	}
	for _, i := range m.Evidence.Identities {
		if i.Holds != (math.Abs(i.Got-i.Want) <= i.Tolerance) || !i.Holds {
			w.t.Errorf("%q: %+v", args, i)
		}
	}
	if c := m.Evidence.Completeness; (c == nil) != (m.Promise == nil) || c != nil && !c.Holds {
		w.t.Errorf("%q: the promise %+v, and of it %+v", args, m.Promise, c)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(out), &keys); err != nil {
		w.t.Fatal(err)
	}
	for _, key := range []string{"rows", "columns", "values", "unit", "evidence"} {
		if keys[key] == nil {
			w.t.Errorf("%q: the JSON has no %q", args, key)
		}
	}
	return m
}

// more is what else was measured of each cell, by the beginning of its name.
func (w *walk) more(m *explain.Matrix, names ...string) {
	w.t.Helper()
	for _, name := range names {
		if m != nil && !slices.ContainsFunc(m.More, func(x explain.Measure) bool { return strings.HasPrefix(x.Name, name) }) {
			w.t.Errorf("%s has nothing beside its values that begins with %q", m.Method.Name, name)
		}
	}
}

// places are the activations of a layer that can be patched, by their names without the layer.
func (w *walk) places(model string) (all []lm.TapInfo) {
	w.t.Helper()
	m, err := lm.Open(backendtest.PureGo(w.t), model)
	if err != nil {
		w.t.Fatal(err)
	}
	defer m.Close()
	for _, tap := range m.Taps() {
		part, name, _ := strings.Cut(tap.Name, ".0.")
		if (part == "block" || part == "lstm") && len(tap.Axes) >= 3 {
			tap.Name = name
			all = append(all, tap)
		}
	}
	return all
}

// transformer walks through all tools on a model of 3 layers of 4 heads, of which 2 share keys and values.
func (w *walk) transformer() {
	const L, H, T = 3, 4, 5
	asked := []string{"--target", "are", "--foil", "is"}
	ask := func(tool string, more ...string) []string {
		return slices.Concat([]string{tool, "llama", walkClean}, asked, more)
	}
	// Lenses.
	for _, show := range inspect.LensMeasures {
		unit := map[string]string{"top": "probability", "target": "probability", "logprob": "nat", "rank": "rank",
			"difference": "logit", "entropy": "nat", "kl": "nat"}[show]
		w.more(w.matrix(L+1, T, unit, ask("lens", "--show", show)...), "rank", "entropy", "divergence", "probability of",
			"settled")
	}
	w.matrix(2*L+1, T, "probability", ask("lens", "--mid")...)
	w.matrix(L, 2, "nat", "lens", "llama", "--tuned", "tuned.safetensors", "--fit", "few.txt", "--steps", "3")
	w.matrix(L+1, 2, "share", "lens", "llama", "--jacobian", "jacobian.safetensors", "--fit", "few.txt")
	w.matrix(L+1, T, "probability", ask("lens", "--tuned", "tuned.safetensors")...)
	w.matrix(L+1, T, "probability", ask("lens", "--jacobian", "jacobian.safetensors")...)
	// What writes the difference.
	for by, shape := range map[string][2]int{"component": {2*L + 1, 1}, "token": {2*L + 1, T}, "head": {L, H}} {
		if m := w.matrix(shape[0], shape[1], "logit", ask("direct", "--by", by)...); m != nil && m.Promise == nil {
			w.t.Errorf("direct by %s does not say what its values add up to", by)
		}
	}
	w.matrix(7, 1, "logit", ask("direct", "--by", "neuron", "--top", "7")...)
	// Patches of each activation of a layer, both ways.
	patch := func(more ...string) []string {
		return slices.Concat([]string{"patch", "llama", walkClean, walkCorrupted}, asked, more)
	}
	const share = "share of the difference"
	places := w.places("llama")
	for _, at := range places {
		columns := T
		if n := at.Heads(); n > 0 {
			columns = n
			if at.TokenAxis() >= 0 && !strings.Contains(at.Axes, "S") {
				w.matrix(L*n, T, share, patch("--at", at.Name, "--by", "position")...)
			}
		}
		w.more(w.matrix(L, columns, share, patch("--at", at.Name)...), "log-probability of the target", "rank of the target")
		w.matrix(L, columns, share, patch("--at", at.Name, "--noising")...)
	}
	if len(places) < 15 {
		w.t.Errorf("%d activations of a layer can be patched", len(places))
	}
	for at, columns := range map[string]int{"resid.pre": T, "mlp.out": T, "z": H, "q": H, "k": 2, "v": 2} {
		m := w.matrix(L, columns, share, patch("--at", at, "--estimate", "--verify", "2")...)
		w.more(m, "AtP", "AtP*")
		if m != nil && !slices.ContainsFunc(m.Notes, func(s string) bool { return strings.Contains(s, "at random") }) {
			w.t.Errorf("an estimate of %s does not say how far others are off: %q", at, m.Notes)
		}
	}
	w.matrix(2, T, share, patch("--layers", "0,2")...)
	w.matrix(L, T, share, "patch", "llama", walkClean, walkCorrupted, "--target", "are", "--objective", "logprob")
	w.matrix(L, 3, share, patch("--positions", "1,1")...)
	w.matrix(L, H, share, slices.Concat([]string{"patch", "llama", walkClean, "the box near keys"}, asked,
		[]string{"--positions", "1,3", "--at", "z"})...) // the prompts have different lengths
	w.matrix(L, T, share, ask("patch", "--with", "noise", "--subject", "keys", "--samples", "3")...)
	w.matrix(L, T, "logit", ask("patch", "--with", "zero", "--at", "mlp.out")...)
	for _, with := range []string{"mean", "resample"} {
		put(w.t, "donors.txt", []byte("the boxes behind the key\nthe key near the boxes\n"))
		w.matrix(L, H, "logit", ask("patch", "--with", with, "--donors", "donors.txt", "--at", "z")...)
	}
	// Paths and circuits.
	path := slices.Concat([]string{"path", "llama", walkClean, walkCorrupted}, asked)
	w.matrix(L, H+1, share, path...)
	w.matrix(L, H+1, share, append(path, "--to", "1.0.q,2.0.k,2.3.v,2.mlp", "--through-mlps")...)
	circuit := slices.Concat([]string{"circuit", "llama", walkClean, walkCorrupted}, asked)
	curve := w.matrix(3, 10, share, circuit...)
	if curve != nil && !slices.Equal(curve.Rows, []string{"EAP-IG", "EAP", "random"}) {
		w.t.Errorf("the rankings of a circuit are %q", curve.Rows)
	}
	w.matrix(3, 10, share, append(circuit, "--graph", "c.svg,c.json", "--keep", "0.5", "--edges", "9", "--points",
		"64")...)
	// Heads: by what they do, by their weights, and in a text.
	for _, show := range append(slices.Clone(inspect.Detectors), inspect.Copying, inspect.Matching) {
		unit := "mean attention"
		if show == inspect.Copying || show == inspect.Matching {
			unit = "share of the eigenvalues, from -1 to 1"
		}
		w.more(w.matrix(L, H, unit, "heads", "llama", "--show", show, "--texts", "2", "--tokens", "5"), inspect.Induction,
			inspect.Previous, inspect.Duplicate, inspect.Copying)
	}
	w.matrix(L, H, "attention", "heads", "llama", walkClean, "--at", "3")
	// Probes, directions, dictionaries, and the texts that taught it.
	w.matrix(2, 7, "share of the held-out items", "probe", "llama", "words.tsv", "--tap", "embed,block.1.mlp.out",
		"--seed", "1")
	w.matrix(1+L, 6, "share of the held-out items", "probe", "llama", "words.tsv", "--untrained=false")
	put(w.t, "prompts.txt", []byte("the keys near\nthe box\n"))
	put(w.t, "neutral.txt", []byte("the box near the key\n"))
	w.matrix(2, 3, "logit", slices.Concat([]string{"steer", "llama", "texts.tsv", "--toward", "one", "--layer", "0,2",
		"--strength", "-1,0.5,1", "--prompts", "prompts.txt", "--neutral", "neutral.txt", "--vector", "v.gguf"}, asked)...)
	m := w.matrix(5, T, "logit", ask("dictionary", "--from", w.dictionary(), "--tap", "block.1.resid.post", "--top",
		"3")...)
	w.more(m, "what the objective loses", "activation of the feature")
	if m != nil && m.Promise == nil {
		w.t.Error("the values of a dictionary do not say what they add up to")
	}
	w.matrix(4, 3, "logit", "influence", "run", walkClean, "--target", "are", "--foil", "is", "--top", "2")
	w.matrix(5, 3, "logit", "influence", "run", walkClean, "--target", "are", "--foil", "is", "--texts", "few.txt")
}

// dictionary writes a sparse autoencoder of random directions for a residual of the model llama.
func (w *walk) dictionary() string {
	const D, F = 16, 24
	rng, tensors := rand.New(rand.NewPCG(8, 9)), map[string]safetensors.Tensor{}
	for name, dims := range map[string][]int{"W_enc": {D, F}, "W_dec": {F, D}, "b_enc": {F}, "b_dec": {D}} {
		n := 1
		for _, d := range dims {
			n *= d
		}
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i%7-3)/8 + rng.Float32()/4
		}
		tensors[name] = safetensors.Tensor{Dims: dims, Data: x}
	}
	if err := safetensors.WriteFile("sae.safetensors", tensors); err != nil {
		w.t.Fatal(err)
	}
	return "sae.safetensors"
}

// lstm walks through the tools that mean something on an LSTM of 2 layers.
func (w *walk) lstm() {
	const L, T = 2, 5
	asked := []string{"--target", "are", "--foil", "is"}
	ask := func(tool string, more ...string) []string {
		return slices.Concat([]string{tool, "lstm", walkClean}, asked, more)
	}
	w.matrix(L, T, "probability", ask("lens")...)
	w.matrix(1, 2, "nat", "lens", "lstm", "--tuned", "lstm.safetensors", "--fit", "few.txt", "--steps", "3")
	w.matrix(L, T, "probability", ask("lens", "--tuned", "lstm.safetensors")...)
	w.matrix(1, T, "logit", ask("direct")...)
	w.matrix(4, 1, "logit", ask("direct", "--by", "neuron", "--top", "4")...)
	patch := func(more ...string) []string {
		return slices.Concat([]string{"patch", "lstm", walkClean, walkCorrupted}, asked, more)
	}
	const share = "share of the difference"
	places := w.places("lstm")
	for _, at := range places {
		w.matrix(L, T, share, patch("--at", at.Name)...)
		w.matrix(L, T, share, patch("--at", at.Name, "--noising")...)
		w.matrix(L, T, share, patch("--at", at.Name, "--estimate", "--verify", "2")...)
	}
	for _, name := range []string{"hidden", "cell", "gate.i", "gate.f", "gate.g", "gate.o"} {
		if !slices.ContainsFunc(places, func(x lm.TapInfo) bool { return x.Name == name }) {
			w.t.Errorf("the LSTM's %s cannot be patched", name)
		}
	}
	w.matrix(L, 2, share, patch("--positions", "1,1")...) // hidden and cell: the state that is carried on
	w.matrix(L, T, "logit", ask("patch", "--with", "zero", "--at", "gate.f")...)
	w.matrix(2, 6, "share of the held-out items", "probe", "lstm", "words.tsv", "--tap", "embed,lstm.1.cell",
		"--untrained=false")
	w.matrix(L, 6, "logit", slices.Concat([]string{"steer", "lstm", "texts.tsv"}, asked)...)
	w.matrix(4, 2, "logit", "influence", "other", walkClean, "--target", "are", "--foil", "is", "--top", "2")
	for _, x := range [][]string{patch("--layers", "7"), ask("direct", "--by", "head"), {"heads", "lstm"},
		slices.Concat([]string{"circuit", "lstm", walkClean, walkCorrupted}, asked),
		slices.Concat([]string{"path", "lstm", walkClean, walkCorrupted}, asked),
		{"lens", "lstm", "--jacobian", "x.safetensors", "--fit", "few.txt"}} {
		out, errs, code := w.run(append([]string{"inspect"}, append(x, "--json")...)...)
		if code != 1 || out != "" || strings.Count(errs, "\n") != 1 {
			w.t.Errorf("%q, which an LSTM has not: exit code %d: %s%s", x, code, errs, out)
		}
	}
}

// unwalked finds tools, and flags of theirs, that no case was about.
func (w *walk) unwalked() {
	var a app
	general := strings.Fields("json html svg png strict memory chat system reply messages ids corrupted-ids server " +
		"server-token engine help")
	for _, tool := range tools {
		cmd := tool.command(&a)
		if w.flags[tool.name] == nil {
			w.t.Errorf("%s was not run", tool.name)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !w.flags[tool.name][f.Name] && !slices.Contains(general, f.Name) && f.Name != "target" && f.Name != "foil" {
				w.t.Errorf("%s was not run with --%s", tool.name, f.Name)
			}
		})
	}
}
