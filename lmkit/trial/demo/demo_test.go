package demo_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/hub/hubtest"
	"lmkit.internal/lmkit/trial/demo"
)

// The real model is right about France, negative about a bad film, and wrong about Australia.
func TestReal(t *testing.T) {
	var out bytes.Buffer
	o := demo.Options{Engine: backendtest.Engine(t), Out: &out, Width: 100, Real: hubtest.SmolLM2(t),
		Report: filepath.Join(t.TempDir(), "report.html")}
	if err := demo.Run(context.Background(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`is" goes on with " Paris"`, `The capital is" goes on with " Paris"`, `" negative"`, `goes on with " Sydney"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %s in:\n%s", want, out.String())
		}
	}
}

// Both models learn the task, and the method that adds up names the planted cause first on each.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	report := filepath.Join(t.TempDir(), "report.html")
	o := demo.Options{Engine: backendtest.Engine(t), Out: &out, Width: 100, Report: report, Missing: "for a reason"}
	if err := demo.Run(context.Background(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := out.String()
	if n := strings.Count(text, "200 of 200 unseen texts are answered right"); n != 2 {
		t.Errorf("%d of 2 models learned the task:\n%s", n, text)
	}
	if n := len(regexp.MustCompile(`integrated-gradients +names it first`).FindAllString(text, -1)); n != 2 {
		t.Errorf("integrated gradients name the cause first in %d of 2 models:\n%s", n, text)
	}
	if n := strings.Count(text, "completeness  holds"); n != 2 {
		t.Errorf("%d of 2 explanations add up:\n%s", n, text)
	}
	if !strings.Contains(text, "left out ──\nfor a reason") {
		t.Errorf("that the real model is left out is not said:\n%s", text)
	}
	page, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Transformer: where each head looks", "LSTM: what it keeps while it reads",
		"all methods side by side", "<svg"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the report has no %q", want)
		}
	}
	if m := regexp.MustCompile(`(?i)<script|(src|href)="https?:|url\(https?:`).Find(page); m != nil {
		t.Errorf("the report holds %q", m)
	}
}

func TestReportCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := demo.Run(context.Background(), demo.Options{Engine: backendtest.PureGo(t), Out: &bytes.Buffer{},
		Report: filepath.Join(file, "report.html")})
	if err == nil || !strings.Contains(err.Error(), "could not be written") {
		t.Errorf("got %v, before anything was trained", err)
	}
}
