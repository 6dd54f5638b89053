package backend

import (
	"os"
	"syscall"
)

// restart replaces the program by itself in another environment.
func restart(env []string) {
	self, err := os.Executable()
	if err != nil {
		return
	}
	_ = syscall.Exec(self, os.Args, env)
}
