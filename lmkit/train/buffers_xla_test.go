//go:build cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64) || (windows && amd64))

package train

import "github.com/gomlx/go-xla/pjrt"

// buffers is how many arrays XLA's devices hold.
func buffers() int64 { return pjrt.BuffersAlive() }
