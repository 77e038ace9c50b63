package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/bench/internal/workload"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// childEnv makes a process of this program one that is to be killed: what it
// does is in the variable as JSON.
const childEnv = "TUTTI_BENCH_CHILD"

// child is a process that carries a large run out, or a part of it.
type child struct {
	Dir    string
	Steps  int
	Resume bool
	// Idempotent items are done again after a crash; others that were at work fail,
	// and the run with them.
	Idempotent bool
	DieAt      int64  // kills itself after so many items; 0 for never
	DieLast    bool   // kills itself in the step behind all items
	Profile    string // file for a processor profile, and one of the heap; empty for none
}

// largeRun is the run of every child.
const largeRun = "million"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var c child
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			panic(err)
		}
		if err := c.run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run says what happens as lines on standard output: "ready" once the process
// begins, "first" with the first step it does, "ended" with the run.
func (c child) run() error {
	ctx := context.Background()
	w, err := workload.Open(ctx, c.Dir)
	if err != nil {
		return err
	}
	last := workload.Idempotent(workload.Step("last", "each"))
	d := workload.Define(nil, workload.Each("each", c.Steps, c.Idempotent), last)
	if c.Profile != "" {
		f, err := os.Create(c.Profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Println("ready")
	var done atomic.Int64
	die := func() {
		c.profileHeap()
		pprof.StopCPUProfile()
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	o := workload.Doing(func(_ context.Context, call runs.WorkflowCall) (runs.WorkflowResult, error) {
		n := done.Add(1)
		if n == 1 {
			fmt.Println("first")
		}
		if n == c.DieAt || c.DieLast && call.Effect.Key == "last" {
			die()
		}
		return runs.WorkflowResult{}, nil
	}, 256)
	o.Run = runs.Run{ID: largeRun, Key: states.Key{Stack: "bench", Environment: "default"}}
	start := w.Runner.StartWorkflow
	if c.Resume {
		start = w.Runner.ContinueWorkflow
	}
	run, _, diags := start(ctx, d, o)
	if diags.HasErrors() {
		return diags.Err()
	}
	if run.Status != runs.Succeeded {
		return fmt.Errorf("run %s: %s", run.Status, run.Problem)
	}
	fmt.Println("ended")
	return w.Close()
}

// profileHeap writes what is in use, beside the processor profile.
func (c child) profileHeap() {
	if c.Profile == "" {
		return
	}
	f, err := os.Create(c.Profile + ".heap")
	if err != nil {
		return
	}
	runtime.GC()
	_ = pprof.WriteHeapProfile(f)
	_ = f.Close()
}

// observed is what was seen of a child from outside.
type observed struct {
	at       map[string]time.Duration // by line, since it was started
	resident []int64                  // twice a second
	largest  int64
	wall     time.Duration
	cpu      time.Duration
}

func observe(b *testing.B, c child) observed {
	b.Helper()
	what, err := json.Marshal(c)
	if err != nil {
		b.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), childEnv+"="+string(what))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	o := observed{at: map[string]time.Duration{}}
	ended := make(chan struct{})
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			select {
			case <-ended:
				return
			case <-time.After(500 * time.Millisecond):
				if size := workload.Resident(cmd.Process.Pid); size > 0 {
					o.resident = append(o.resident, size)
				}
			}
		}
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		o.at[lines.Text()] = time.Since(began)
	}
	err = cmd.Wait()
	o.wall = time.Since(began)
	close(ended)
	<-sampled
	o.largest = maxResident(cmd.ProcessState) << 10
	o.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	dies := c.DieAt > 0 || c.DieLast
	if killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled(); killed != dies || err != nil && !dies {
		b.Fatalf("the process that runs %+v: %v", c, err)
	}
	return o
}

// curve writes ten samples of a resident size over time.
func (o observed) curve() string {
	var list []string
	for i := range 10 {
		if len(o.resident) > 0 {
			list = append(list, strconv.FormatInt(o.resident[i*(len(o.resident)-1)/9]>>20, 10))
		}
	}
	return strings.Join(list, " ")
}

// BenchmarkLarge runs very many steps in a process of their own, kills it in the
// middle and at the end, and measures how long it takes to go on.
func BenchmarkLarge(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				large(b, n)
			}
		})
	}
}

func large(b *testing.B, n int) {
	profile := os.Getenv("TUTTI_BENCH_PROFILE")
	named := func(part string) string {
		if profile == "" {
			return ""
		}
		return fmt.Sprintf("%s-%s-%d.prof", profile, part, n)
	}
	whole := child{Dir: folder(b), Steps: n, DieLast: true, Profile: named("run")}
	o := observe(b, whole)
	wall := o.wall - o.at["ready"]
	b.Logf("resident MB over time: %s; largest %d", o.curve(), o.largest>>20)
	b.ReportMetric(float64(n)/wall.Seconds(), "steps/s")
	b.ReportMetric(wall.Seconds(), "s")
	b.ReportMetric(float64(o.cpu.Microseconds())/float64(n), "CPU-µs/step")
	b.ReportMetric(float64(o.largest)/(1<<20), "MB-largest")
	b.ReportMetric(float64(workload.Size(whole.Dir))/float64(n), "store-B/step")

	// All items are done; the step behind them begins again.
	o = observe(b, child{Dir: whole.Dir, Steps: n, Resume: true, Profile: named("resume")})
	b.ReportMetric((o.at["ended"] - o.at["ready"]).Seconds(), "s-resume-100%")
	b.ReportMetric(float64(o.largest)/(1<<20), "MB-resumed-100%")

	half := child{Dir: folder(b), Steps: n, Idempotent: true, DieAt: int64(n / 2)}
	observe(b, half)
	o = observe(b, child{Dir: half.Dir, Steps: n, Idempotent: true, Resume: true})
	b.ReportMetric((o.at["first"] - o.at["ready"]).Seconds(), "s-resume-50%")
}
