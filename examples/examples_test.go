// Package examples holds small programs; this test builds them and runs them.
package examples

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// example builds an example and runs it.
func example(t *testing.T, name string, args ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(context.Background(), bin, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), backend.EnvEngine+"="+backendtest.Either(t).Kind)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return stdout.String()
}

func TestTrain(t *testing.T) {
	out := example(t, "train", "-epochs", "1", "-sentences", "300")
	for _, want := range []string{"epoch 1: loss", "integrated-gradients", "completeness  holds", "occlusion"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestPyTorch(t *testing.T) {
	for _, dir := range []string{"gpt2", "lstm"} {
		out := example(t, "pytorch", filepath.Join("..", "lmkit", "lm", "testdata", "reference", dir), "4", "1", "12", "7",
			"9")
		as, err := explain.Read(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if len(as) != 1 || len(as[0].Scores) != 5 || !as[0].Evidence.Completeness.Holds {
			t.Errorf("%s: %s", dir, out)
		}
	}
}

func TestStream(t *testing.T) {
	tok, err := token.NewChar("abcdefgh ")
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.Either(t), lm.Config{Arch: lm.Transformer, Vocab: tok.Size(), Width: 16, Layers: 1,
		Heads: 2, Context: 8}, tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	out := example(t, "stream", "-tokens", "12", dir, "bad cafe")
	if n := strings.Count(out, "because of"); n != 12 {
		t.Errorf("%d explanations for 12 tokens:\n%s", n, out)
	}
}
