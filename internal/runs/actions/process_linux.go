package actions

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// starters are threads that start processes for everybody.
//
// The operating system ends a process whose parent died (Pdeathsig) when the
// thread that started it ends, not the program. Any thread that Go lends to a
// goroutine may end: another goroutine locks it, later, and returns. To keep the
// thread for as long as the process lives would cost one for each, so processes
// are started by a few that never end. There are more than one because starting
// takes as long as the program takes to be found on its disk.
var starters = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	for range 4 {
		go func() {
			runtime.LockOSThread()
			for start := range work {
				start()
			}
		}()
	}
	return work
})

// start starts a process that leads a group of its own and dies with this one.
func start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	result := make(chan error, 1)
	starters() <- func() { result <- cmd.Start() }
	return <-result
}

// awaitEnd returns when a process has ended. It leaves it to cmd.Wait to reap it:
// until then its number, which is that of the group as well, is not used again.
//
// Waiting in the kernel would occupy a thread per process. A descriptor of the
// process can be waited for as connections are, together.
func awaitEnd(cmd *exec.Cmd) {
	if fd, err := unix.PidfdOpen(cmd.Process.Pid, unix.PIDFD_NONBLOCK); err == nil {
		f := os.NewFile(uintptr(fd), "process")
		defer func() { _ = f.Close() }()
		if conn, err := f.SyscallConn(); err == nil {
			err := conn.Read(func(fd uintptr) bool {
				// Not with WNOHANG: it says nothing where there is nothing.
				return !errors.Is(peek(unix.P_PIDFD, int(fd)), unix.EAGAIN)
			})
			if err == nil {
				return
			}
		}
	}
	_ = peek(unix.P_PID, cmd.Process.Pid) // kernels before 5.10
}

// groupLives tells whether anybody is left in a process group. Who has died counts
// until it is reaped, which the first process of a container may never do.
func groupLives(group int) bool {
	if unix.Kill(-group, 0) != nil {
		return false
	}
	// This may be the first process itself.
	_, _ = unix.Wait4(-group, nil, unix.WNOHANG, nil)
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return true
	}
	for _, p := range processes {
		if p.Name()[0] < '0' || p.Name()[0] > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue
		}
		// PID (NAME) STATE PARENT GROUP …: a name may have anything in it.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 2 && string(fields[2]) == strconv.Itoa(group) && fields[0][0] != 'Z' && fields[0][0] != 'X' {
			return true
		}
	}
	return false
}

func peek(kind, id int) error {
	for {
		err := unix.Waitid(kind, id, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
