//go:build linux && cgo

package program

/*
#include <malloc.h>

static void trim(void) {
#ifdef __GLIBC__
	malloc_trim(64 << 20);
#endif
}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime/debug"
)

// Trim gives memory that is free, on Go's side and on the engine's, back to the system.
func Trim() {
	debug.FreeOSMemory()
	C.trim()
}

// Resident is how many bytes of the machine's memory the process holds; 0 where that is not known.
func Resident() int {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var all, resident int
	if _, err := fmt.Sscan(string(data), &all, &resident); err != nil {
		return 0
	}
	return resident * os.Getpagesize()
}
