package providers

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets the operating system end a provider whose parent was
// killed: it would stay for ever otherwise.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
