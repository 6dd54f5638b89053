package main

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// stopwatch measures laps, and how busy others keep the machine meanwhile.
type stopwatch struct {
	began, last time.Time
	laps        int
	busy, own   float64 // at the start
}

func start() *stopwatch {
	busy, own := processors()
	now := time.Now()
	return &stopwatch{began: now, last: now, busy: busy, own: own}
}

// lap is the seconds since the lap before.
func (w *stopwatch) lap() float64 {
	now := time.Now()
	s := now.Sub(w.last).Seconds()
	w.last = now
	w.laps++
	return s
}

// enough reports whether a row has the samples that it wants.
func (w *stopwatch) enough(r Row) bool {
	return w.laps >= r.Samples && w.last.Sub(w.began).Seconds() >= r.Seconds
}

// others is the share of the machine's processors that other processes used since the start, or -1 where there is no
// /proc to tell. Time that a hypervisor gave to other machines counts.
func (w *stopwatch) others() float64 {
	if w == nil || w.busy < 0 {
		return -1
	}
	busy, own := processors()
	share := (busy - w.busy - (own - w.own)) / (float64(runtime.NumCPU()) * time.Since(w.began).Seconds())
	return min(1, max(0, share))
}

// hertz is Linux's unit of processor time for programs, the same on all its machines.
const hertz = 100

// processors is the seconds that all processors, and this process with all its threads, have worked so far; -1, -1
// where that is not known.
func processors() (busy, own float64) {
	all, err := os.ReadFile("/proc/stat")
	if err != nil {
		return -1, -1
	}
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return -1, -1
	}
	line, _, _ := strings.Cut(string(all), "\n")
	f := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal ...
	// The name in brackets may hold spaces; user and system time are the 12th and 13th fields after it.
	g := bytes.Fields(self[bytes.LastIndexByte(self, ')')+1:])
	if len(f) < 9 || len(g) < 13 {
		return -1, -1
	}
	ticks := func(s string) float64 { v, _ := strconv.ParseFloat(s, 64); return v }
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		busy += ticks(f[i]) / hertz
	}
	return busy, (ticks(string(g[11])) + ticks(string(g[12]))) / hertz
}

// peak is the most memory that the process has held, in MiB; -1 where that is not known.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			if kib, err := strconv.ParseFloat(f[1], 64); err == nil {
				return kib / 1024
			}
		}
	}
	return -1
}
