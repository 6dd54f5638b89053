package compiled

import "sync/atomic"

var loads, compiles atomic.Int64

// Counts returns how many programs this process loaded from its cache, and how many it compiled with a cache at hand.
func Counts() (loaded, compiled int) { return int(loads.Load()), int(compiles.Load()) }
