package lmkit_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
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
