package compiled

import (
	"errors"
	"os"
	"slices"
	"strings"
)

// Processor describes the processor as far as compiled programs depend on it: its model and what it can do.
func Processor() (string, error) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	return processor(string(text))
}

// identity are the lines of /proc/cpuinfo that say what a processor is; the others change from core to core, or from
// second to second.
var identity = []string{
	"vendor_id", "cpu family", "model", "model name", "stepping", "flags", // x86
	"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features", // ARM
}

// processor takes the identity out of the text of /proc/cpuinfo. Cores of several sorts give lines of each.
func processor(text string) (string, error) {
	var lines []string
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		if line := strings.TrimSpace(name) + ": " + strings.TrimSpace(value); slices.Contains(identity,
			strings.TrimSpace(name)) && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "", errors.New("/proc/cpuinfo does not say what the processor is")
	}
	return strings.Join(lines, "\n"), nil
}
