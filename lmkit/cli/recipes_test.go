package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/hub/hubtest"
)

// What the recipes of docs/recipes.md measure is better than chance, on the data themselves, on fewer steps and rows.
// TestManual runs the page as it stands, on data that are made up, and so also what is only to work: a model that
// people have is trained on, and a text is explained while it is written.
func TestRecipes(t *testing.T) {
	backendtest.Engine(t)
	model := hubtest.SmolLM2(t)
	data := filepath.Dir(filepath.Dir(hubtest.Reference(t, "facts.json")))
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/recipes",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv("SMOLLM2", model)
			return recipeData(data, e.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"least": least},
	})
}

// least KEY NUMBER: the last command wrote JSON whose KEY (with dots into objects, and numbers into lists) is at least
// NUMBER, or the number under another key.
func least(ts *testscript.TestScript, neg bool, args []string) {
	var all any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &all))
	at := func(path string) float64 {
		if n, err := strconv.ParseFloat(path, 64); err == nil {
			return n
		}
		x := all
		for key := range strings.SplitSeq(path, ".") {
			switch of := x.(type) {
			case map[string]any:
				x = of[key]
			case []any:
				i, err := strconv.Atoi(key)
				ts.Check(err)
				x = of[i]
			}
		}
		n, ok := x.(float64)
		if !ok {
			ts.Fatalf("%s is %v, and no number", path, x)
		}
		return n
	}
	got, want := at(args[0]), at(args[1])
	ts.Logf("%s is %v", args[0], got)
	if (got < want) != neg {
		ts.Fatalf("%s is %v, want %v or more", args[0], got, want)
	}
}

// recipeData writes the files that the recipes read: reviews, pairs of sentences and questions.
func recipeData(data, to string) error {
	var train, test bytes.Buffer
	for _, label := range []string{"positive", "negative"} {
		text, err := os.ReadFile(filepath.Join(data, "rt-polarity", "rt-polarity."+label[:3]))
		if err != nil {
			return err
		}
		for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
			out := &train
			if (i+1)%10 == 0 {
				out = &test
			}
			for _, b := range bytes.TrimSpace(line) { // Latin-1
				out.WriteRune(rune(b))
			}
			fmt.Fprintf(out, " => %s\n", label)
		}
	}
	files := map[string][]byte{"reviews.txt": train.Bytes(), "reviews.test.txt": test.Bytes()}
	for name, part := range map[string]string{"pairs.txt": "train", "pairs.valid.txt": "val"} {
		de, err := unpacked(filepath.Join(data, "multi30k", part+".de.gz"))
		if err != nil {
			return err
		}
		en, err := unpacked(filepath.Join(data, "multi30k", part+".en.gz"))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		for i := range min(len(de), len(en), 10_000) {
			fmt.Fprintf(&b, "%s => %s\n", strings.ToLower(de[i]), strings.ToLower(en[i]))
		}
		files[name] = b.Bytes()
	}
	questions, err := questions(filepath.Join(data, "squad", "sample.json"))
	if err != nil {
		return err
	}
	files["questions.jsonl"] = questions
	lines := strings.Split(strings.TrimSpace(test.String()), "\n")
	var some bytes.Buffer
	for i := 0; i < len(lines); i += len(lines) / 24 {
		text, label, _ := strings.Cut(lines[i], " => ")
		fmt.Fprintf(&some, "{\"text\":%q,\"label\":%q}\n", text, label)
	}
	files["some.jsonl"] = some.Bytes()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(to, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unpacked are the lines of a file that gzip packed.
func unpacked(path string) (lines []string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	z, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	return strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

// questions are those of SQuAD's sample that have an answer, a line each.
func questions(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var sample struct {
		Data []struct {
			ID, Question, Context string
			Answers               struct{ Text []string }
		}
	}
	if err := json.Unmarshal(text, &sample); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, q := range sample.Data {
		if len(q.Answers.Text) == 0 {
			continue
		}
		if err := e.Encode(map[string]string{"id": q.ID, "text": q.Context + "\n\n" + q.Question,
			"answer": q.Answers.Text[0], "span": q.Answers.Text[0]}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
