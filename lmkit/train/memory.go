package train

import (
	"time"

	"lmkit.internal/lmkit/internal/program"
)

// memory keeps a run from growing. Each step frees as much as it takes; but glibc takes a large array only from a hole
// that is a little larger than the array (it must be aligned), so that the holes that a step leaves are too small for
// the next one, and the process grows for hours. Pages of holes cost nothing once they are given back.
type memory struct {
	asked time.Time // when the process's size was asked for
	usual int       // bytes that the process holds when nothing is wasted
}

// tidy is called after each step.
func (m *memory) tidy() {
	switch {
	case m.asked.IsZero(): // what the start and the compiler have left
		program.Trim()
	case time.Since(m.asked) < 10*time.Millisecond: // asking takes some microseconds: nothing to a step that takes long
		return
	case m.usual == 0:
		m.usual = program.Resident()
	case program.Resident() > m.usual+m.usual/2:
		program.Trim()
		m.usual = max(m.usual, program.Resident())
	}
	m.asked = time.Now()
}
