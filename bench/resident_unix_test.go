//go:build unix

package bench

import (
	"os"
	"runtime"
	"syscall"
)

// maxResident is the largest resident size of a process that has ended, in KiB.
func maxResident(s *os.ProcessState) int64 {
	usage, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return usage.Maxrss >> 10
	}
	return usage.Maxrss
}
