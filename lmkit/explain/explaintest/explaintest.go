// Package explaintest gives the tests of explanation methods small models, and what any honest result must satisfy.
package explaintest

import (
	"bytes"
	"context"
	"path/filepath"
	"runtime"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Models returns the reference models of package lm, on the pure-Go engine, which compiles in no time. They have a
// vocabulary of 13 tokens, and no tokenizer.
func Models(t testing.TB) map[string]*lm.Model {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	ms := map[string]*lm.Model{}
	for _, name := range []string{"gpt2", "lstm"} {
		m, err := lm.Open(backendtest.PureGo(t), filepath.Join(filepath.Dir(here), "..", "..", "lm", "testdata", "reference",
			name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		ms[name] = m
	}
	return ms
}

// IDs returns an input for the models of Models.
func IDs() []token.ID { return []token.ID{4, 1, 12, 7, 7, 0, 9} }

// Explain answers a question by one method.
func Explain(
	ctx context.Context, m *lm.Model, q explain.Question, method explain.Method,
) (*explain.Attribution, error) {
	as, err := explain.Explain(ctx, m, q, method)
	if err != nil {
		return nil, err
	}
	return as[0], nil
}

// CheckMatrix fails when a matrix does not hold what it says, or changes when it is written and read.
func CheckMatrix(t testing.TB, m *explain.Matrix) {
	t.Helper()
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if m.Unit == "" || m.ModelHash == "" || m.InputHash == "" || m.Cost.ForwardRows == 0 || m.Cost.EstimatedRows == 0 {
		t.Errorf("a matrix does not say what it is: %+v", m)
	}
	var first, second bytes.Buffer
	if err := explain.WriteMatrix(&first, m); err != nil {
		t.Fatal(err)
	}
	back, err := explain.ReadMatrix(bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := explain.WriteMatrix(&second, back); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the matrix changes when it is written and read")
	}
}

// Check fails when a result does not satisfy what all results must.
func Check(t testing.TB, a *explain.Attribution) {
	t.Helper()
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
	top := a.Top()
	if measured := len(top) > 0; measured != (a.Evidence.Necessity != nil) || measured != (a.Evidence.Sufficiency != nil) {
		t.Errorf("the top features are %v, and the evidence %+v", top, a.Evidence)
	}
	if a.Cost.ForwardRows == 0 || a.Cost.EstimatedRows == 0 {
		t.Errorf("the cost was not counted: %+v", a.Cost)
	}
	var first, second bytes.Buffer
	if err := explain.Write(&first, a); err != nil {
		t.Fatal(err)
	}
	back, err := explain.Read(bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := explain.Write(&second, back...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the result changes when it is written and read")
	}
}
