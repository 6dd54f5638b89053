package progress_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"lmkit.internal/lmkit/progress"
)

func TestNobodyListens(t *testing.T) {
	var nobody progress.Func
	nobody.Begin("unpacking")
	nobody.At("unpacking", 1, 2, progress.Bytes)
	nobody.Tell(progress.Event{})
	progress.From(context.Background()).Begin("unpacking")
}

// The Func of the innermost context hears.
func TestContext(t *testing.T) {
	var heard []string
	at := func(name string) progress.Func {
		return func(e progress.Event) { heard = append(heard, name+" "+e.What) }
	}
	outer := progress.With(context.Background(), at("outer"))
	inner := progress.With(outer, at("inner"))
	progress.From(outer).Begin("a")
	progress.From(inner).Begin("b")
	progress.From(progress.With(inner, nil)).Begin("c")
	if want := []string{"outer a", "inner b"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

func Example() {
	var hears progress.Func = func(e progress.Event) { fmt.Printf("%s: %d of %d %s\n", e.What, e.Done, e.Total, e.Unit) }
	hears.At("training", 30, 100, progress.Steps)
	// Output: training: 30 of 100 steps
}
