package backend

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// gpu is what the machine shows of an NVIDIA GPU.
type gpu struct {
	devices []string // device files, or names as the driver gives them
	driver  string   // the driver's version line; "" when there is none
}

func (g gpu) usable() bool { return len(g.devices) > 0 && g.driver != "" }

// findGPU looks at the device files and the driver, and asks nvidia-smi where the system does not show them (WSL).
var findGPU = func() gpu {
	if runtime.GOOS != "linux" {
		return gpu{}
	}
	var g gpu
	g.devices, _ = filepath.Glob("/dev/nvidia[0-9]*")
	if text, err := os.ReadFile("/proc/driver/nvidia/version"); err == nil {
		g.driver = oneLine(string(text))
	}
	if g.usable() {
		return g
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "-L").Output()
	if err == nil && strings.HasPrefix(string(out), "GPU ") {
		return gpu{devices: strings.Split(strings.TrimSpace(string(out)), "\n"), driver: "known to nvidia-smi"}
	}
	return g
}
