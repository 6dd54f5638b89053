//go:build !linux || !cgo

package program

import "runtime/debug"

// Trim gives memory that is free back to the system.
func Trim() { debug.FreeOSMemory() }

// Resident is how many bytes of the machine's memory the process holds; 0 where that is not known.
func Resident() int { return 0 }
