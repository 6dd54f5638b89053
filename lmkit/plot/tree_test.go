package plot

import (
	"io"
	"math"
	"strings"
	"testing"
)

func leaf(share float64, values ...float64) *Node {
	return &Node{Value: values, Share: share, Rows: int(share * 400)}
}

func split(test string, yes, no *Node) *Node {
	n := &Node{Test: test, Share: yes.Share + no.Share, Rows: yes.Rows + no.Rows, Yes: yes, No: no}
	for k := range yes.Value {
		n.Value = append(n.Value, (yes.Share*yes.Value[k]+no.Share*no.Value[k])/n.Share)
	}
	return n
}

func reviews() Tree {
	return Tree{Title: "Which word follows a review",
		Outputs: []string{" positive", " negative", " <b>mixed</b>"},
		Root: split(`contains "not"`,
			split(`contains "good"`, leaf(0.12, 0.04, 0.93, 0.03), leaf(0.08, 0.5, 0.3, 0.2)),
			split(`contains "an extraordinarily long token"`,
				split(`ends in "\n"`, leaf(0.3, 0.97, 0.02, 0.01), leaf(0.005, 0.2, 0.2, 0.6)),
				leaf(0.495, 0.1, 0.7, 0.2))),
	}
}

func localTree() Tree {
	return Tree{
		Title:   "Near this input",
		Outputs: []string{"contrast"},
		Root:    split(`"not" is present`, split(`"good" is present`, leaf(0.344, -2), leaf(0.278, 0)), leaf(0.378, 3)),
	}
}

func TestTreeErrors(t *testing.T) {
	deep := leaf(1, 0)
	for range 300 {
		deep = split("x", leaf(1, 0), deep)
	}
	for _, tt := range []struct {
		root *Node
		want string
	}{
		{nil, "it has no nodes"},
		{leaf(1), "0 values for 1 outputs"},
		{leaf(1, math.NaN()), "the value NaN"},
		{&Node{Value: []float64{0}, Yes: leaf(1, 0)}, "one branch"},
		{deep, "301 leaves"},
	} {
		err := Tree{Title: "bad", Outputs: []string{"y"}, Root: tt.root}.SVG(io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
}
