package lmkit_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/lm"
)

// Every method is in the documentation, with its paper, and says what it is.
func TestMethodsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/methods.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range lmkit.Methods() {
		if !strings.Contains(string(doc), "`"+m.Name+"`") {
			t.Errorf("docs/methods.md has no %s", m.Name)
		}
		if m.About == "" || m.Paper == "" || m.Cost == "" || m.Needs == "" {
			t.Errorf("%s is not described: %+v", m.Name, m)
		}
	}
}

// Every matrix is in the documentation, and is called what it is listed as; it explains the models that it says.
func TestMatrices(t *testing.T) {
	doc, err := os.ReadFile("../docs/methods.md")
	if err != nil {
		t.Fatal(err)
	}
	occlusion, err := lmkit.Method("occlusion", lmkit.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	taps := map[string]lm.Tap{lm.Transformer: "block.0.mlp.out", lm.LSTM: "lstm.0.cell"}
	for _, m := range explaintest.Models(t) {
		arch := m.Config().Arch
		for _, info := range lmkit.Matrices() {
			if !strings.Contains(string(doc), "`"+info.Name+"`") || info.About == "" || info.Paper == "" || info.Cost == "" {
				t.Errorf("%s is not described in docs/methods.md or here: %+v", info.Name, info)
			}
			method, err := lmkit.Matrix(info.Name, lmkit.Settings{Tap: taps[arch], Cut: 2}, occlusion)
			if err != nil {
				t.Fatal(err)
			}
			if method.Name() != info.Name {
				t.Errorf("%s is called %s", info.Name, method.Name())
			}
			got, err := explain.ExplainMatrix(context.Background(), m, explain.Question{IDs: explaintest.IDs()[:4]}, method)
			if info.Arch != "" && info.Arch != arch {
				if err == nil {
					t.Errorf("%s explains a %s", info.Name, arch)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			explaintest.CheckMatrix(t, got)
			if c := got.Evidence.Completeness; c != nil && !c.Holds {
				t.Errorf("%s, %s: %+v of %+v", info.Name, arch, c, got.Promise)
			}
		}
	}
	for _, lacking := range []string{"activation", "carried-state", "randomised", "robustness", "none"} {
		if _, err := lmkit.Matrix(lacking, lmkit.Settings{}); err == nil {
			t.Errorf("%s without its setting, and no error", lacking)
		}
	}
}

// What Methods says was found is what docs/leaderboard.md shows.
func TestMeasured(t *testing.T) {
	doc, err := os.ReadFile("../docs/leaderboard.md")
	if err != nil {
		t.Fatal(err)
	}
	arch, shown := "", map[string]map[string]string{lm.Transformer: {}, lm.LSTM: {}}
	for line := range strings.Lines(string(doc)) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Transformer: "):
			arch = lm.Transformer
		case strings.HasPrefix(line, "LSTM: "):
			arch = lm.LSTM
		case strings.HasPrefix(line, "## "): // what follows is about other models
			arch = ""
		case arch != "" && len(fields) > 2:
			shown[arch][fields[0]] = fields[1]
		}
	}
	for _, m := range lmkit.Methods() {
		for arch := range shown {
			found, ok := m.Found[arch]
			if suits := m.Arch == "" || m.Arch == arch; ok != suits {
				t.Errorf("%s, %s: measured %v, suits %v", m.Name, arch, ok, suits)
			} else if ok && shown[arch][m.Name] != fmt.Sprintf("%.2f", found) {
				t.Errorf("%s, %s: measured %.2f, the document has %s", m.Name, arch, found, shown[arch][m.Name])
			}
		}
	}
}
