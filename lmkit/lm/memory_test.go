package lm

import (
	"os"
	"testing"
)

func TestShareOfTheMemory(t *testing.T) {
	const v2, v1 = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is known":     {nil, 1 << 30},
		"a large machine":      {map[string]string{"/proc/meminfo": "MemTotal:       25165824 kB\nMemFree: 1 kB\n"}, 1 << 30},
		"a small machine":      {map[string]string{"/proc/meminfo": "MemTotal:       1048576 kB\n"}, 1 << 27},
		"a container":          {map[string]string{"/proc/meminfo": "MemTotal: 25165824 kB\n", v2: "536870912\n"}, 1 << 26},
		"an older container":   {map[string]string{"/proc/meminfo": "MemTotal: 25165824 kB\n", v1: "536870912\n"}, 1 << 26},
		"a container at large": {map[string]string{"/proc/meminfo": "MemTotal: 1048576 kB\n", v2: "max\n", v1: "9223372036854771712\n"}, 1 << 27},
		"nonsense":             {map[string]string{"/proc/meminfo": "MemTotal: much\n", v2: "\n"}, 1 << 30},
	} {
		got := share(func(path string) ([]byte, error) {
			if text, ok := c.files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}
