package lmkit_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// rooms lists every package of the module, each with the packages of the module that it may import. A name is the path
// from lmkit's folder, or from the module's root for what stands beside it.
var rooms = map[string]string{
	// Ground: what everything stands on.
	"progress":                   "",
	"internal/whole":             "",
	"internal/strict":            "internal/kind",
	"internal/strict/stricttest": "",
	"internal/kind":              "",
	"internal/numerics":          "",
	"internal/mapped":            "",
	"internal/gguf":              "internal/kind internal/mapped internal/number",
	"internal/number":            "",
	"internal/safetensors":       "internal/kind internal/mapped internal/number internal/strict internal/whole",
	"internal/net":               "",
	"internal/fetch":             "progress",
	"internal/program":           "backend",
	"internal/printable":         "",
	"internal/canvas":            "internal/printable",
	"internal/canvas/canvastest": "internal/canvas",
	"internal/store":             "internal/strict internal/whole",
	"internal/compiled":          "internal/store",
	"internal/wheel":             "progress internal/fetch internal/store",
	"internal/hub": "progress internal/fetch internal/gguf internal/number internal/safetensors internal/store" +
		" internal/strict internal/wheel internal/whole",
	"internal/hub/hubtest":       "internal/hub",
	"internal/plugin":            "progress internal/fetch internal/store internal/strict internal/wheel",
	"internal/plugin/plugintest": "internal/plugin internal/wheel",
	"backend":                    "progress internal/compiled internal/plugin internal/store internal/whole",
	"backend/backendtest":        "backend",
	// Texts, models and their training.
	"token":        "internal/printable internal/strict",
	"token/chat":   "token internal/printable internal/strict",
	"corpus":       "token progress internal/fetch internal/kind internal/strict internal/whole",
	"corpus/plant": "token corpus",
	"corpus/facts": "",
	"lm/format":    "internal/net internal/number internal/printable internal/safetensors internal/strict",
	"lm": "token token/chat progress backend lm/format internal/gguf internal/mapped internal/net internal/number " +
		"internal/printable internal/program internal/safetensors internal/strict internal/whole",
	"lm/lmtest": "backend internal/net lm",
	"train": "token token/chat corpus progress backend lm lm/format plot internal/net internal/program " +
		"internal/safetensors internal/strict internal/whole",
	"generate": "token lm",
	"grade":    "token corpus lm generate internal/numerics progress",
	"bias":     "lm progress plot render internal/numerics internal/printable internal/strict",
	// Explanations.
	"explain":             "token token/chat lm progress internal/strict internal/numerics",
	"explain/explaintest": "token lm explain backend/backendtest",
	"explain/attention":   "token lm explain",
	"explain/faithful":    "token lm explain corpus/plant corpus/facts internal/numerics",
	"explain/gradient":    "token lm explain internal/numerics",
	"explain/perturb":     "token lm explain",
	"explain/relevance":   "lm explain",
	"explain/shapley":     "explain internal/numerics",
	"explain/surrogate":   "token lm explain internal/numerics",
	"inspect": "token progress lm explain internal/gguf internal/number internal/numerics" +
		" internal/safetensors internal/strict",
	// Pictures.
	"plot":   "internal/canvas internal/printable",
	"render": "plot explain explain/surrogate inspect internal/canvas internal/printable",
	// The front door, and what stands on it.
	"lmkit": "internal/hub token token/chat corpus progress backend lm train generate explain explain/attention " +
		"explain/faithful explain/gradient explain/perturb" +
		" explain/relevance explain/shapley explain/surrogate internal/strict",
	"batch": "lmkit token token/chat corpus lm bias explain grade progress internal/numerics internal/strict" +
		" internal/whole",
	"trial": "token corpus corpus/plant backend lm train plot progress",
	"trial/board": "lmkit token corpus corpus/plant corpus/facts backend lm explain explain/faithful inspect trial plot" +
		" render progress",
	"trial/demo": "lmkit token token/chat corpus/plant backend lm explain trial plot render progress" +
		" internal/whole internal/printable",
	"serve/browsertest": "",
	"serve": "lmkit token token/chat lm generate explain inspect plot render progress internal/printable" +
		" internal/strict",
	"notebook":            "token lm train explain explain/surrogate inspect plot render",
	"kernels":             "backend train explain explain/surrogate inspect plot render progress",
	"kernels/kernelstest": "kernels progress",
	"cli": "lmkit internal/hub token token/chat corpus corpus/plant corpus/facts backend lm train generate grade " +
		"batch bias explain " +
		"explain/surrogate inspect plot render progress trial/board trial/demo" +
		" kernels serve docs internal/compiled internal/printable internal/strict internal/whole",
	"docs":      "",
	"cmd/lmkit": "backend cli",
	// What shows and measures it.
	"bench/ours": "lmkit token corpus backend lm train generate explain explain/gradient explain/perturb explain/shapley" +
		" explain/surrogate",
	"examples":         "",
	"examples/method":  "explain",
	"examples/pytorch": "lmkit token explain",
	"examples/stream":  "lmkit token generate explain explain/perturb",
	"examples/train":   "lmkit corpus lm train plot render",
	"notebooks":        "",
	"docker":           "",
	"docker/cuda":      "",
}

// gomlx lists the packages that may import GoMLX: what is exported elsewhere knows no graphs. docker/cuda only installs
// the plugin.
var gomlx = []string{"backend", "lm", "train", "internal/net", "internal/program", "internal/plugin",
	"internal/compiled", "docker/cuda"}

// imports returns what each package of the module imports, whatever folder of it the test runs in.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p.Imports
	}
}

// Nobody who uses lmkit gets Beam and its modules: they belong to the module beam/ alone.
func TestNoBeam(t *testing.T) {
	list := exec.Command("go", "list", "-m", "all")
	list.Env = append(os.Environ(), "GOWORK=off")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "apache/beam") || !strings.Contains(string(out), "gomlx") {
		t.Errorf("the modules are:\n%s", out)
	}
	if _, err := os.Stat("../beam/go.mod"); err != nil {
		t.Error(err)
	}
}

// room is the name of a package of this module; ok says whether it is one.
func room(path string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path, "lmkit.internal/")
	return strings.TrimPrefix(name, "lmkit/"), ok
}

// The arrows between packages are those of the list: no package is missing from it, and none imports what it may not.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for path, imported := range imports(t) {
		name, _ := room(path)
		seen[name] = true
		list, listed := rooms[name]
		if !listed {
			t.Errorf("%s is not in the list of rooms", name)
		}
		may := strings.Fields(list)
		for _, i := range imported {
			if other, ours := room(i); ours && !slices.Contains(may, other) {
				t.Errorf("%s imports %s", name, other)
			}
			if strings.HasPrefix(i, "github.com/gomlx/") && !slices.Contains(gomlx, name) {
				t.Errorf("%s imports %s", name, i)
			}
			if strings.Contains(i, "gonbui") && name != "notebook" {
				t.Errorf("%s imports %s", name, i)
			}
		}
		for _, other := range may {
			if _, known := rooms[other]; !known ||
				!slices.ContainsFunc(imported, func(i string) bool { n, _ := room(i); return n == other }) {
				t.Errorf("%s may import %s, but does not: take it from the list", name, other)
			}
		}
	}
	for name := range rooms {
		if !seen[name] {
			t.Errorf("%s is in the list of rooms, but no package", name)
		}
	}
}

// unshown lists the packages for others that have no example, and why.
var unshown = map[string]string{
	"trial/demo": "it trains two models until they know their tasks, which takes minutes",
}

// Every package that is for others shows in a runnable example, which is checked by its output, what is done with it
// first. Programs, helpers of tests and what is internal are for nobody else.
func TestExamples(t *testing.T) {
	shown := regexp.MustCompile(`(?m)^func Example\w*\(\) \{\n(?:\t.*\n|\n)*?\t// Output:`)
	for name := range rooms {
		folder := filepath.Join("..", "lmkit", name)
		switch first, _, _ := strings.Cut(name, "/"); {
		case strings.HasSuffix(name, "test"),
			slices.Contains([]string{"internal", "examples", "bench", "cmd", "docker", "notebooks"}, first):
			continue
		case name == "lmkit":
			folder = "."
		case first == "kernels", first == "docs":
			folder = filepath.Join("..", name)
		}
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		has := slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			}
			return shown.Match(text)
		})
		if _, excepted := unshown[name]; has == excepted {
			t.Errorf("%s has a runnable example: %v; write one, or keep the list of those without one", name, has)
		}
	}
	for name := range unshown {
		if _, known := rooms[name]; !known {
			t.Errorf("%s needs no example, but is no package", name)
		}
	}
}

// A line of Go fits a screen: it has 120 characters at the most.
func TestLines(t *testing.T) {
	const most = 120
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		for i, line := range strings.Split(string(text), "\n") {
			if n := utf8.RuneCountInString(line); n > most {
				t.Errorf("%s:%d has %d characters, more than %d: wrap it", path, i+1, n, most)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Only lm/format knows what other programs call the tensors of a model.
func TestForeignNames(t *testing.T) {
	foreign := regexp.MustCompile(
		`\b(wte|wpe|c_attn|c_proj|c_fc|lm_head|ln_[12f]|(weight|bias)_[ih]h_l|self_attn|[qkvo]_proj|embed_tokens|` +
			`(gate|up|down)_proj|input_layernorm|query_key_value|dense_h_to_4h|token_embd|attn_output|ffn_\w+)`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "format" {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if name := foreign.Find(text); name != nil {
			t.Errorf("%s speaks of %s, which is another program's name: see lm/format", path, name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
