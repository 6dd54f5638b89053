package cli

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/progress"
)

// Whatever is told, the meter's line fits its width, steers nothing, and says how much is done and how long the rest
// will take, as soon as that can be told.
func TestMeterLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := progress.Event{What: rapid.String().Draw(t, "what"), Total: rapid.Int64Range(0, 1e9).Draw(t, "total"),
			Unit: rapid.SampledFrom([]string{progress.Rows, progress.Bytes, progress.Steps}).Draw(t, "unit")}
		e.Done = rapid.Int64Range(0, max(e.Total, 5)).Draw(t, "done")
		width := rapid.IntRange(1, 200).Draw(t, "width")
		line := meterLine(e, 3*time.Second, width)
		if printable.Columns(line) > width || strings.ContainsFunc(line, unicode.IsControl) {
			t.Fatalf("%+v: %q in %d columns", e, line, width)
		}
		if width < 80 {
			return
		}
		known := e.Done > 0 && e.Total >= e.Done
		if strings.HasSuffix(line, " left") != known {
			t.Fatalf("%+v: %q", e, line)
		}
	})
}

// The time that is left is that of the rows which are left, and compiling is not counted to them.
func TestMeterTime(t *testing.T) {
	for want, e := range map[string]progress.Event{
		"lime  ████░░░░░░░░░░░░░░░░  1,000 of 5,000 rows, about 8 s left": {What: "lime", Done: 1000, Total: 5000,
			Unit: progress.Rows, Seconds: 2},
		"lime  9 s": {What: "lime", Unit: progress.Rows},
		"lime  ████████████████████  5 of 5 rows, about 0 s left": {What: "lime", Done: 5, Total: 5, Unit: progress.Rows,
			Seconds: 1},
		"get  ██████████░░░░░░░░░░  1.0 of 2.0 MB, about 9 s left": {What: "get", Done: 1e6, Total: 2e6,
			Unit: progress.Bytes},
		"shap  ░░░░░░░░░░░░░░░░░░░░  0 of 900 rows, 9 s": {What: "shap", Total: 900, Unit: progress.Rows},
		"search  3 rows, 9 s": {What: "search", Done: 3, Unit: progress.Rows},
	} {
		if got := meterLine(e, 9*time.Second, 120); got != want {
			t.Errorf("%+v:\n got %q\nwant %q", e, got, want)
		}
	}
}
