package lmkit_test

import (
	"os"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
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
