package lm

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"sync"
)

// mostMemory is what a query takes for activations where there is enough: more rows at once are not faster.
const mostMemory = 1 << 30

// defaultMemory is what a query takes when it does not say: an eighth of the machine's memory, or of the container's, and
// at most 1 GiB.
var defaultMemory = sync.OnceValue(func() int64 { return share(os.ReadFile) })

func share(read func(string) ([]byte, error)) int64 {
	return max(1<<20, min(mostMemory, memoryOf(read)/8))
}

// machineMemory is how many bytes of memory the machine has, or the container.
var machineMemory = sync.OnceValue(func() int64 { return memoryOf(os.ReadFile) })

// memoryOf reads Linux's own account of the memory. Where there is none, it takes the machine for a large one.
func memoryOf(read func(string) ([]byte, error)) int64 {
	memory := int64(1 << 40)
	if text, err := read("/proc/meminfo"); err == nil {
		lines := bufio.NewScanner(strings.NewReader(string(text)))
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
				if kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64); err == nil && kB > 0 {
					memory = min(memory, kB<<10)
				}
			}
		}
	}
	for _, limit := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := read(limit); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // or it is "max"
				memory = min(memory, n)
			}
		}
	}
	return memory
}
