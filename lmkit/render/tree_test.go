package render

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain/surrogate"
)

func leaf(share float64, values ...float64) *surrogate.Node {
	return &surrogate.Node{Value: values, Share: share, Rows: int(share * 400)}
}

func split(test string, yes, no *surrogate.Node) *surrogate.Node {
	n := &surrogate.Node{Test: test, Share: yes.Share + no.Share, Rows: yes.Rows + no.Rows, Yes: yes, No: no}
	for k := range yes.Value {
		n.Value = append(n.Value, (yes.Share*yes.Value[k]+no.Share*no.Value[k])/n.Share)
	}
	return n
}

func reviews() Tree {
	return Tree{Title: "Which word follows a review", Tree: &surrogate.Tree{
		Outputs: []string{" positive", " negative", " <b>mixed</b>"},
		Root: split(`contains "not"`,
			split(`contains "good"`, leaf(0.12, 0.04, 0.93, 0.03), leaf(0.08, 0.5, 0.3, 0.2)),
			split(`contains "an extraordinarily long token"`,
				split(`ends in "\n"`, leaf(0.3, 0.97, 0.02, 0.01), leaf(0.005, 0.2, 0.2, 0.6)),
				leaf(0.495, 0.1, 0.7, 0.2))),
	}}
}

func localTree() Tree {
	return Tree{Title: "Near this input", Tree: &surrogate.Tree{Outputs: []string{"contrast"}, Root: split(`"not" is present`, split(`"good" is present`, leaf(0.344, -2), leaf(0.278, 0)), leaf(0.378, 3))}}
}

func TestTree(t *testing.T) {
	for name, draw := range map[string]func(io.Writer) error{
		"tree.svg":       reviews().SVG,
		"tree-local.svg": localTree().SVG,
		"tree-leaf.svg":  Tree{Title: "No test at all", Tree: &surrogate.Tree{Outputs: []string{"logit"}, Root: leaf(1, 0)}}.SVG,
	} {
		var got bytes.Buffer
		if err := draw(&got); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, name, got.Bytes())
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s differs from the golden file; look at it, and run with -update if it is right", name)
		}
	}
}

func TestTreeErrors(t *testing.T) {
	deep := leaf(1, 0)
	for range 300 {
		deep = split("x", leaf(1, 0), deep)
	}
	for _, tt := range []struct {
		root *surrogate.Node
		want string
	}{
		{nil, "it has no nodes"},
		{leaf(1), "0 values for 1 outputs"},
		{leaf(1, math.NaN()), "the value NaN"},
		{&surrogate.Node{Value: []float64{0}, Yes: leaf(1, 0)}, "one branch"},
		{deep, "301 leaves"},
	} {
		err := Tree{Title: "bad", Tree: &surrogate.Tree{Outputs: []string{"y"}, Root: tt.root}}.SVG(io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
}
