package train

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
)

// share is how many devices a run's steps are spread over, when batches have so many rows.
func (c Config) share(e *backend.Engine, rows int) (int, error) {
	n := c.Devices
	switch {
	case n > e.NumDevices():
		cure := "ask for fewer, or for 0, which takes what is there"
		if e.Kind == backend.XLACPU {
			cure = fmt.Sprintf("ask for fewer, or name the engine %s,devices=%d, which shows the processor as so many",
				e.Kind, n)
		}
		return 0, fmt.Errorf("%d devices are asked for, and the engine %s has %d: %s", n, e.Kind, e.NumDevices(), cure)
	case n > 0 && rows%n != 0:
		return 0, notShared(rows, n)
	case n == 0:
		for n = e.Processors(); rows%n != 0; n-- {
		}
	}
	return n, nil
}

func notShared(rows, devices int) error {
	return fmt.Errorf("%d rows cannot be shared equally among %d devices: take a multiple of %d rows, or fewer devices",
		rows, devices, devices)
}

// keptLayouts says of the tensors of keptNames how they lie on the devices: each device has all parameters and
// moments, and the state of its own rows.
func keptLayouts(m lm.Config) []program.Layout {
	ls := make([]program.Layout, len(keptNames(m)))
	for i := range 2 * states(m) {
		ls[3*len(m.Params())+i] = program.ByRows
	}
	return ls
}

// stepProgram is stepGraph over some devices. Whatever their number, it computes the same: a loss is the mean over the
// targets of all rows, and dropout's random numbers are those of a row's place in the whole batch.
func stepProgram(e *backend.Engine, devices int, m lm.Config, c Config) (*program.Program, error) {
	kept := keptLayouts(m)
	// What follows is ids, targets, scalars and seed.
	in := append(keptLayouts(m), program.ByRows, program.ByRows, program.Whole, program.Whole)
	loops := e.Loops()
	build := func(in []*graph.Node) []*graph.Node { return stepGraph(m, c, loops, in) }
	return program.NewSpread(e, devices, in, kept, build)
}
