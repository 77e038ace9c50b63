package bench

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/bench/internal/workload"
)

// begins is a workflow whose first step tells when it begins.
const begins = `workflow "begins" {
  step "first" {
    exec { command = ["/bin/sh", "-c", "date +%s%N > began"] }
  }
}
`

// waits is a workflow that waits for somebody to approve.
const waits = `workflow "waits" {
  step "first" {
    approval { message = "May I?" }
  }
}
`

// BenchmarkStart measures from the start of the program to the first step of a
// workflow, with and without a store, and how long starting the step's own
// process takes.
func BenchmarkStart(b *testing.B) {
	const rounds = 11
	program := own(b)
	dir := folder(b)
	if err := write(dir, "w.tutti.hcl", begins); err != nil {
		b.Fatal(err)
	}
	began := func(args ...string) time.Duration {
		b.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(filepath.Join(dir, "began"))
		if err != nil {
			b.Fatal(err)
		}
		at, err := time.ParseDuration(strings.TrimSpace(string(text)) + "ns")
		if err != nil {
			b.Fatal(err)
		}
		return at - time.Duration(start.UnixNano())
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/2].Microseconds()) / 1000
	}
	for b.Loop() {
		var fresh, existing, shell []time.Duration
		for range rounds {
			shell = append(shell, began("/bin/sh", "-c", "date +%s%N > began"))
			if err := os.RemoveAll(filepath.Join(dir, ".tutti")); err != nil {
				b.Fatal(err)
			}
			fresh = append(fresh, began(program, "run", "begins"))
			existing = append(existing, began(program, "run", "begins"))
		}
		b.ReportMetric(median(shell), "ms-bare")
		b.ReportMetric(median(fresh), "ms-new-store")
		b.ReportMetric(median(existing), "ms-store")
	}
}

// BenchmarkIdle measures a process that runs a workflow which waits for an
// approval: its memory, and what it uses of the processor meanwhile.
func BenchmarkIdle(b *testing.B) {
	const settle, idle = 2 * time.Second, 10 * time.Second
	program := own(b)
	for b.Loop() {
		dir := folder(b)
		if err := write(dir, "w.tutti.hcl", waits); err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(program, "run", "waits")
		cmd.Dir = dir
		var said lockedBuffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		time.Sleep(settle)
		before := workload.Processor(cmd.Process.Pid)
		time.Sleep(idle)
		spent := workload.Processor(cmd.Process.Pid) - before
		b.ReportMetric(float64(workload.Resident(cmd.Process.Pid))/(1<<20), "MB")
		b.ReportMetric(float64(spent.Milliseconds())/idle.Seconds(), "CPU-ms/s")
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if !strings.Contains(said.String(), "approv") {
			b.Fatalf("it did not wait for an approval:\n%s", &said)
		}
	}
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var _ io.Writer = (*lockedBuffer)(nil)

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
