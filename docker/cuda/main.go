//go:build linux && amd64

// Command cuda installs XLA's CUDA plugin and NVIDIA's libraries by go-xla's installer, also where there is no GPU:
// while an image is built.
package main

import (
	"fmt"
	"os"

	"github.com/gomlx/go-xla/installer"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: cuda cuda12|cuda13 JAX_VERSION FOLDER")
		os.Exit(2)
	}
	if err := installer.CudaInstall(os.Args[1], os.Args[2], os.Args[3], false, installer.Normal); err != nil {
		fmt.Fprintln(os.Stderr, "cuda:", err)
		os.Exit(1)
	}
}
