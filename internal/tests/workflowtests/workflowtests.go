// Package workflowtests runs tests of workflows: a run in which nothing is real.
// Steps end as mocks say, people and other systems act as the test says, and the
// clock jumps from one happening to the next, so that a month of waiting takes
// no time. Then conditions are judged on the path that was taken, on what came
// out and on the events that were emitted.
//
// The machines are those of real runs: package flow for workflows with steps,
// package asl for definitions in the Amazon States Language. What surrounds them
// in package runs (goroutines, a store, the clock of the wall) is played by a
// world of its own, which is a heap of what is going to happen: the real thing
// could follow a virtual clock only with testing/synctest, which programs cannot
// use, and would not be the same twice. So retries, catches, undoing, expiries
// and everything else that a machine decides is what happens for real, and this
// package repeats only what an execution adds: bounded parallelism, pools, limits
// of time, the cache, children and a cancel.
//
// Nothing here does anything outside of the process.
package workflowtests

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/tests"
)

// Options are what tests need besides their files.
type Options struct {
	Project *projects.Project
	// Check validates a workflow of the project, by name. It is asked once for
	// each.
	Check func(workflow string) diag.List
	// StackOutputs names the outputs that a stack declares; false where they are
	// not known.
	StackOutputs func(stack string) (map[string]bool, bool)
	// Only says which tests are run; nil for all.
	Only  func(f *projects.TestFile, t *projects.Test) bool
	Watch tests.Watcher
}

// Run runs the tests of files one after another.
func Run(ctx context.Context, files []*projects.TestFile, o Options) []*tests.FileResult {
	checked := map[string]diag.List{}
	check := o.Check
	o.Check = func(name string) diag.List {
		if _, known := checked[name]; !known {
			checked[name] = check(name)
		}
		return checked[name]
	}
	var out []*tests.FileResult
	for _, f := range files {
		out = append(out, runFile(ctx, f, o))
	}
	return out
}

// Describe says what a file has, in the terms of package tests.
func Describe(f *projects.TestFile, only func(*projects.TestFile, *projects.Test) bool) *configs.TestFile {
	out := &configs.TestFile{Name: f.Name, Files: f.Files}
	for _, t := range f.Tests {
		if only == nil || only(f, t) {
			out.Runs = append(out.Runs, &configs.TestRun{Name: t.Name, DeclRange: t.DeclRange})
		}
	}
	return out
}

func runFile(ctx context.Context, f *projects.TestFile, o Options) *tests.FileResult {
	about := Describe(f, o.Only)
	out := &tests.FileResult{File: about, Status: tests.Pass}
	o.Watch.FileStarted(about)
	shared := &sharedMocks{known: map[*projects.TestMock]bool{}, used: map[*projects.TestMock]bool{}, wrong: map[*projects.TestMock]string{}}
	for _, t := range f.Tests {
		i := slices.IndexFunc(about.Runs, func(r *configs.TestRun) bool { return r.Name == t.Name })
		if i < 0 {
			continue
		}
		result := &tests.RunResult{Run: about.Runs[i], Status: tests.Skip, Began: time.Now()}
		out.Runs = append(out.Runs, result)
		o.Watch.RunStarted(about, result.Run)
		if ctx.Err() == nil {
			(&trial{options: o, file: f, test: t, result: result, shared: shared}).run(ctx)
		}
		result.Elapsed = time.Since(result.Began)
		if worse(result.Status, out.Status) {
			out.Status = result.Status
		}
		o.Watch.RunEnded(about, result)
	}
	out.Diags = shared.findings(f, len(out.Runs) == len(f.Tests))
	if out.Diags.HasErrors() {
		out.Status = tests.Error
	}
	o.Watch.FileEnded(about, out)
	return out
}

func worse(a, b tests.Status) bool {
	rank := map[tests.Status]int{tests.Pass: 1, tests.Skip: 2, tests.Fail: 3, tests.Error: 4}
	return rank[a] > rank[b]
}

// sharedMocks is what became of the mocks that a whole file has: they need to
// fit one of its tests only.
type sharedMocks struct {
	known map[*projects.TestMock]bool
	used  map[*projects.TestMock]bool
	wrong map[*projects.TestMock]string
}

// findings tells of those that fit no test, and, where all tests were run, of
// those that none used.
func (s *sharedMocks) findings(f *projects.TestFile, all bool) diag.List {
	var out diag.List
	for _, m := range f.Mocks {
		switch wrong := s.wrong[m]; {
		case wrong != "" && !s.known[m]:
			out = append(out, diag.ErrorAt(m.StepRange, "Mock of what cannot be mocked", "%s", wrong)...)
		case all && s.known[m] && !s.used[m]:
			out = append(out, diag.WarningAt(m.StepRange, "Mock was not used", "No test of this file came to the step %q with this mock.", m.Step)...)
		}
	}
	return out
}

func (t *trial) add(diags diag.List) { t.result.Diags = append(t.result.Diags, diags...) }

// problem ends the test: it cannot be carried out as it stands.
func (t *trial) problem(format string, args ...any) {
	if t.w.wrong == nil {
		t.w.wrong = fmt.Errorf(format, args...)
	}
}
