//go:build !linux

package actions

import (
	"os/exec"
	"syscall"
)

// start starts a process that leads a group of its own. Only Linux lets it die
// with this one.
func start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}

// awaitEnd returns when a process has ended.
func awaitEnd(cmd *exec.Cmd) { _ = cmd.Wait() }

// groupLives tells whether anybody is left in a process group.
func groupLives(group int) bool { return syscall.Kill(-group, 0) == nil }
