package train

import (
	"context"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
)

// Ten thousand steps take no more memory than one thousand.
func TestMemoryIsSteady(t *testing.T) {
	e := backendtest.Engine(t)
	if testing.Short() || program.Resident() == 0 || !e.Loops() {
		t.Skip("takes a while, on XLA, and where a process can ask for its size")
	}
	const bound = 24 << 20
	for _, mc := range []lm.Config{tinyLSTM, tinyTransformer} {
		t.Run(mc.Arch, func(t *testing.T) {
			c := Config{Steps: 10_000, Rows: 4, Length: 8, LogEvery: 1000, EvalEvery: 1000}
			d, err := Text(mc, c, nil, text(388, 1), text(132, 2))
			if err != nil {
				t.Fatal(err)
			}
			r := startRun(t, newModel(t, e, mc), d, c, "")
			at := map[int]int{}
			for ev, err := range r.Events(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				program.Trim()
				at[ev.Step] = program.Resident()
			}
			t.Logf("%d MB after 1,000 steps, %d MB after 10,000", at[1000]>>20, at[10_000]>>20)
			if grown := at[10_000] - at[1000]; grown > bound {
				t.Errorf("the process has grown by %d MB", grown>>20)
			}
		})
	}
}
