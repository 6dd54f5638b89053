package kernels

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithParent has a program interrupted when this one is killed: no training goes on that nobody sees.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// startAndWait runs a program to its end, on one thread: to Linux a thread is the parent.
func startAndWait(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// endFamily ends what a program that was started with dieWithParent has started itself and left behind.
func endFamily(pid int) { _ = syscall.Kill(-pid, syscall.SIGTERM) }
