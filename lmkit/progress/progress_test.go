package progress_test

import (
	"fmt"
	"testing"

	"lmkit.internal/lmkit/progress"
)

func TestNobodyListens(t *testing.T) {
	var nobody progress.Func
	nobody.Begin("unpacking")
	nobody.At("unpacking", 1, 2, progress.Bytes)
}

func Example() {
	var hears progress.Func = func(e progress.Event) { fmt.Printf("%s: %d of %d %s\n", e.What, e.Done, e.Total, e.Unit) }
	hears.At("training", 30, 100, progress.Steps)
	// Output: training: 30 of 100 steps
}
