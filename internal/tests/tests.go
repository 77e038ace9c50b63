// Package tests runs test files: run blocks that plan or apply a module and
// assert what comes of it, against real providers or against mocks. States live
// in memory and everything that was made is destroyed at the end of a file.
//
// What test files mean is documented at
// https://developer.hashicorp.com/terraform/language/tests.
package tests

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
)

// Status is how a run, a file or all of it ended.
type Status string

// The statuses, from good to bad. Skipped is what comes after an error.
const (
	Pass  Status = "pass"
	Skip  Status = "skip"
	Fail  Status = "fail"  // an assertion does not hold
	Error Status = "error" // something could not be done at all
)

func (s Status) rank() int {
	return map[Status]int{Pass: 1, Skip: 2, Fail: 3, Error: 4}[s]
}

// worse is the worse of two.
func worse(a, b Status) Status {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// Lapse writes a length of virtual time for people: 30d, 1d2h, 5m, 4.498s.
func Lapse(d time.Duration) string {
	d = d.Round(time.Millisecond)
	text := ""
	if days := d / (24 * time.Hour); days > 0 {
		text = strconv.Itoa(int(days)) + "d"
		if d -= days * 24 * time.Hour; d == 0 {
			return text
		}
	}
	rest := d.String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	return text + rest
}

// Options are what a test needs besides its files.
type Options struct {
	// Load reads the configuration of a directory, "." being the module under
	// test. A fresh one is asked for with every run.
	Load      func(dir string) (*configs.Config, diag.List)
	Providers providers.Factory
	// Variables are given from outside: files, environment, command line.
	Variables   map[string]configs.InputValue
	WorkDir     string
	Program     string
	Parallelism int
	Watch       Watcher
}

// Watcher is told how it goes, one call at a time.
type Watcher interface {
	FileStarted(f *configs.TestFile)
	RunStarted(f *configs.TestFile, run *configs.TestRun)
	RunEnded(f *configs.TestFile, r *RunResult)
	TearingDown(f *configs.TestFile)
	FileEnded(f *configs.TestFile, r *FileResult)
}

// RunResult is how a run block ended.
type RunResult struct {
	Run     *configs.TestRun
	Status  Status
	Diags   diag.List
	Began   time.Time
	Elapsed time.Duration
	Plan    *plans.Plan // nil where it did not come to that
	Trace   *Trace      // of tests of workflows: what was carried out
}

// Trace is the path that the run of a workflow took in a test.
type Trace struct {
	Lines []TraceLine
	End   string // how it ended, in a sentence
}

// TraceLine is one step on the way.
type TraceLine struct {
	At      time.Duration // after the start
	Step    string
	Action  string
	Attempt int
	Took    time.Duration
	Outcome string // where there is something to tell
}

// FileResult is how a file ended.
type FileResult struct {
	File   *configs.TestFile
	Status Status
	Runs   []*RunResult
	// Diags are problems of the file and of cleaning up; Left are the objects that
	// could not be destroyed.
	Diags diag.List
	Left  []addrs.Object
}

// Run runs the files one after another.
func Run(ctx context.Context, files []*configs.TestFile, opts Options) []*FileResult {
	var out []*FileResult
	for _, f := range files {
		opts.Watch.FileStarted(f)
		r := newFileRunner(f, opts).run(ctx)
		opts.Watch.FileEnded(f, r)
		out = append(out, r)
	}
	return out
}
