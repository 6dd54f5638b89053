package lmkit_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "lmkit.internal/lmkit/"

// allowed lists, for the packages that others stand on, what of this module they may import. Packages that are not
// listed may import whatever does not import them.
var allowed = map[string][]string{
	"token":                {},
	"progress":             {},
	"internal/whole":       {},
	"internal/safetensors": {"internal/whole"},
	"internal/fetch":       {"progress"},
	"corpus":               {"token", "progress", "internal/fetch", "internal/whole"},
	"corpus/plant":         {"token", "corpus"},
	"backend":              {"progress", "internal/fetch", "internal/whole"},
	"internal/program":     {"backend"},
	"internal/net":         {},
	"lm":                   {"token", "backend", "internal/program", "internal/net", "internal/safetensors", "internal/whole"},
	"generate":             {"token", "lm"},
	"explain":              {"token", "lm"},
	"render":               {"explain", "explain/surrogate"},
}

// gomlx lists the packages that may import GoMLX: what is exported elsewhere knows no graphs.
var gomlx = []string{"backend", "lm", "train", "internal/net", "internal/program"}

// The arrows between packages point one way.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		may, listed := allowed[name]
		if listed {
			seen++
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && listed && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
			if strings.HasPrefix(i, "github.com/gomlx/") && !slices.Contains(gomlx, name) {
				t.Errorf("%s imports %s", name, i)
			}
			if strings.Contains(i, "gonbui") && name != "notebook" {
				t.Errorf("%s imports %s", name, i)
			}
			if i == "lmkit.internal/kernels" && name != "cli" {
				t.Errorf("%s imports %s", name, i)
			}
			if strings.HasPrefix(name, "explain/") && (i == module+"render" || i == module+"train") {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d of the %d packages with rules were found: keep the list up to date", seen, len(allowed))
	}
}
