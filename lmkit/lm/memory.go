package lm

import (
	"bufio"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// mostMemory is what a query takes for activations where there is enough: more rows at once are not faster.
const mostMemory = 1 << 30

// defaultMemory is what a query takes when it does not say: an eighth of the machine's memory, or of the container's,
// and at most 1 GiB.
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
				number := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB"))
				if kB, err := strconv.ParseInt(number, 10, 64); err == nil && kB > 0 {
					memory = min(memory, kB<<10)
				}
			}
		}
	}
	for _, limit := range limitFiles(read) {
		if text, err := read(limit); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // or it is "max"
				memory = min(memory, n)
			}
		}
	}
	return memory
}

// limitFiles lists where Linux keeps the limits of the control group that the process is in, and of the groups above
// it: each of them holds. A container may see its own group as the topmost one.
func limitFiles(read func(string) ([]byte, error)) (files []string) {
	const v1, v2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
	groups := map[string]string{v1: "/", v2: "/"}
	if text, err := read("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(text)) { // "5:memory:/a/b" in version 1, "0::/a/b" in version 2
			id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
			controllers, group, _ := strings.Cut(rest, ":")
			switch {
			case id == "0" && controllers == "":
				groups[v2] = group
			case slices.Contains(strings.Split(controllers, ","), "memory"):
				groups[v1] = group
			}
		}
	}
	for root, file := range map[string]string{v1: "memory.limit_in_bytes", v2: "memory.max"} {
		for group := path.Clean("/" + groups[root]); ; group = path.Dir(group) {
			files = append(files, path.Join(root, group, file))
			if group == "/" {
				break
			}
		}
	}
	return files
}
