//go:build unix

package bench

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// processor reports, when it is called again, the processor time that each iteration
// took since.
func processor(b *testing.B) func() {
	spent := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := spent()
	return func() { b.ReportMetric((spent()-before).Seconds()/float64(b.N), "CPU-s/op") }
}

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
