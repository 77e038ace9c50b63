package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const ticking = `
workflow "tick" {
  variable "at" {
    type = string
  }
  step "note" {
    exec {
      command = ["sh", "-c", "echo ${var.at} >> ticks"]
    }
  }
}

trigger "tick" {
  schedule = "@every 1s"
  missed   = "all"
  overlap  = "queue"
  run      = workflow.tick
  inputs = {
    at = event.time
  }
}
`

// server is a process that drives schedules.
type server struct {
	cmd    *exec.Cmd
	events *bufio.Scanner
}

func (p *project) serve() *server {
	p.t.Helper()
	s := &server{cmd: p.command("schedules", "serve", "-json")}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	s.events = bufio.NewScanner(out)
	return s
}

// follow reads a number of events.
func (s *server) follow(t *testing.T, n int) {
	t.Helper()
	for range n {
		if !s.events.Scan() {
			t.Fatalf("the process has ended: %v", s.events.Err())
		}
		if text := s.events.Text(); strings.Contains(text, `"problem"`) || !strings.Contains(text, `"event"`) {
			t.Error(s.events.Text())
		}
	}
}

// end has the process end by a signal and returns its exit code.
func (s *server) end(signal os.Signal) int {
	_ = s.cmd.Process.Signal(signal)
	for s.events.Scan() {
		if !strings.Contains(s.events.Text(), `"event"`) {
			fmt.Fprintln(os.Stderr, s.events.Text())
		}
	}
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

// fires are the instants of the only schedule, oldest first.
func (p *project) fires() []fire {
	p.t.Helper()
	var list []struct{ Last []fire }
	if err := json.Unmarshal([]byte(p.mustRun("schedules", "list", "-json", "-limit", "1000")), &list); err != nil || len(list) != 1 {
		p.t.Fatal(err)
	}
	out := list[0].Last
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

type fire struct {
	At          time.Time
	Status, Run string
}

// TestSchedulesSurviveKills kills the processes that drive a schedule again and
// again, two of them at once. Every instant must have one run.
func TestSchedulesSurviveKills(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	p := newProject(t, "")
	p.write("project.tutti.hcl", ticking)
	a, b := p.serve(), p.serve()
	for range 4 {
		a.follow(t, 1+random.IntN(4))
		a.end(syscall.SIGKILL)
		a = p.serve()
		b.follow(t, 1+random.IntN(4))
		b.end(syscall.SIGKILL)
		b = p.serve()
	}
	a.follow(t, 2)
	b.follow(t, 1) // an interrupt while it starts would be an error
	for _, s := range []*server{a, b} {
		if code := s.end(os.Interrupt); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	fires := p.fires()
	noted, err := os.ReadFile(filepath.Join(p.dir, "ticks"))
	if err != nil || len(fires) < 5 {
		t.Fatalf("%d instants (%v)", len(fires), err)
	}
	var runs []struct{ ID, Status string }
	if err := json.Unmarshal([]byte(p.mustRun("runs", "list", "-json", "-limit", "0")), &runs); err != nil {
		t.Fatal(err)
	}
	begun := map[string]string{}
	for _, r := range runs {
		begun[r.ID] = r.Status
	}
	for i, f := range fires {
		if i > 0 && f.At.Sub(fires[i-1].At) != time.Second {
			t.Errorf("after %v came %v", fires[i-1].At, f.At)
		}
		status := begun[f.Run]
		delete(begun, f.Run)
		count := strings.Count(string(noted), f.At.Format(time.RFC3339)+"\n")
		switch {
		case status == "succeeded" && count == 1:
		case status == "failed" && count <= 1: // killed while the command ran, which may not be run again
		case f.Status == "queued" && status == "":
		case i > len(fires)-4 && count <= 1: // at work when the processes were to end
		default:
			t.Errorf("%v is %s, its run %s, noted %d times", f.At, f.Status, status, count)
		}
	}
	for id, status := range begun {
		t.Errorf("run %s (%s) belongs to no instant", id, status)
	}
	t.Logf("%d instants", len(fires))
}

// TestServeLeavesRuns interrupts a process while it drives a run: the step that is
// at work ends, and the next process goes on with the run.
func TestServeLeavesRuns(t *testing.T) {
	p := newProject(t, "")
	p.write("project.tutti.hcl", `
workflow "slow" {
  step "first" {
    exec {
      command = ["sh", "-c", "touch working; cat pipe; echo first >> steps"]
    }
  }
  step "second" {
    needs = [step.first]
    exec {
      command = ["sh", "-c", "echo second >> steps"]
    }
  }
}

trigger "tick" {
  schedule = "@every 1s"
  run      = workflow.slow
}
`)
	p.pipe("pipe")
	s := p.serve()
	p.await("working")
	_ = s.cmd.Process.Signal(os.Interrupt)
	if err := os.WriteFile(filepath.Join(p.dir, "pipe"), nil, 0o600); err != nil { // lets it go
		t.Fatal(err)
	}
	for s.events.Scan() {
	}
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
	run := p.fires()[0].Run
	if out := p.mustRun("runs", "show", run); !strings.Contains(out, "interrupted") {
		t.Logf("it was over before it was left:\n%s", out)
	}
	s = p.serve()
	for first := p.fires()[0]; first.Status != "succeeded"; first = p.fires()[0] {
		s.follow(t, 1)
	}
	s.end(syscall.SIGKILL)
	steps, _ := os.ReadFile(filepath.Join(p.dir, "steps"))
	if string(steps) != "first\nsecond\n" && !strings.HasPrefix(string(steps), "first\nsecond\nfirst\n") {
		t.Errorf("the steps were %q", steps)
	}
}

// TestServeReadsFilesAgain changes the files of a project that is served: wrong
// ones change nothing.
func TestServeReadsFilesAgain(t *testing.T) {
	p := newProject(t, "")
	p.write("project.tutti.hcl", ticking)
	s := p.serve()
	s.follow(t, 2)
	p.write("project.tutti.hcl", strings.Replace(ticking, `"@every 1s"`, `"@every"`, 1))
	s.follow(t, 6)
	p.write("project.tutti.hcl", strings.Replace(ticking, `trigger "tick"`, `trigger "tock"`, 1))
	for !strings.Contains(s.events.Text(), `"schedule":"tock"`) {
		s.follow(t, 1)
	}
	if code := s.end(os.Interrupt); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
