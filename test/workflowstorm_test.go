package test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// stormy has every kind of step whose effect a crash could lose or double:
// commands and requests with a key, items, a wait, a command that must not be
// done twice, and an end that has everything undone in every third run.
const stormy = `
variable "number" { type = number }
variable "url" { type = string }

locals {
  loud = "echo begin $$; for i in 1 2 3 4 5; do echo line $i of $$; sleep 0.01; done; echo end $$"
}

pool "narrow" { limit = 5 }

workflow "storm" {
  parallelism = 4
  step "prepare" {
    exec {
      command    = ["sh", "-c", "mkdir -p did/$TUTTI_IDEMPOTENCY_KEY; ${local.loud}"]
      idempotent = true
    }
    undo {
      exec {
        command    = ["sh", "-c", "mkdir -p undone/$TUTTI_IDEMPOTENCY_KEY; ${local.loud}"]
        idempotent = true
      }
    }
  }
  step "items" {
    needs    = [step.prepare]
    for_each = ["a", "b", "c"]
    http {
      url        = "${var.url}/items/${run.id}/${each.value}"
      method     = "POST"
      idempotent = true
    }
    undo {
      http {
        url        = "${var.url}/undo/${run.id}/${each.value}"
        method     = "POST"
        idempotent = true
      }
    }
  }
  step "rest" {
    needs = [step.items]
    wait { duration = "300ms" }
  }
  step "once" {
    needs = [step.rest]
    exec { command = ["sh", "-c", "echo ${run.id} >> once; ${local.loud}"] }
    catch {
      errors = ["Tutti.OutcomeUnknown"]
    }
  }
  step "narrow" {
    needs = [step.once]
    pool  = pool.narrow
    exec {
      command    = ["sh", "-c", "mkdir -p did/$TUTTI_IDEMPOTENCY_KEY; ${local.loud}"]
      idempotent = true
    }
  }
  step "verdict" {
    needs = [step.narrow]
    when  = var.number % 3 == 0
    http {
      url        = "${var.url}/fail/${run.id}"
      method     = "POST"
      idempotent = true
    }
  }
  finally {
    step "clean" {
      exec {
        command    = ["sh", "-c", "mkdir -p cleaned/$TUTTI_IDEMPOTENCY_KEY"]
        idempotent = true
      }
    }
  }
}
`

// ledger is a service that keeps the requests it has seen by key, as one that
// honours Idempotency-Key does.
type ledger struct {
	mu    sync.Mutex
	paths map[string]map[string]int // path, key, how often it came
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paths[r.URL.Path] == nil {
		l.paths[r.URL.Path] = map[string]int{}
	}
	l.paths[r.URL.Path][r.Header.Get("Idempotency-Key")]++
	if strings.HasPrefix(r.URL.Path, "/fail/") {
		w.WriteHeader(http.StatusConflict)
	}
}

// TestWorkflowStorm kills a runner that drives many workflows at once every 200
// milliseconds. TUTTI_STORM says how long ("60s"); a few seconds otherwise.
func TestWorkflowStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	length := 6 * time.Second
	if text := os.Getenv("TUTTI_STORM"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	const count = 50
	l := &ledger{paths: map[string]map[string]int{}}
	server := httptest.NewServer(l)
	defer server.Close()
	p := newProject(t, "")
	p.env = append(p.env, "TF_CLI_CONFIG_FILE=/dev/null")
	p.write("storm.tutti.hcl", stormy)
	ids := map[string]int{}
	enqueue := func() {
		out := p.mustRun("run", "-detach", "storm", fmt.Sprintf("-var=number=%d", len(ids)), "-var=url="+server.URL)
		ids[strings.TrimSpace(out)] = len(ids)
	}
	for range count {
		enqueue()
	}
	kills := p.storm(t, length, enqueue)
	p.mustRun("runner", "-once", "-quiet")
	t.Logf("%d kills of %d runs", kills, len(ids))
	p.checkStorm(t, ids, l)
}

// storm starts runners and kills them, again and again. Meanwhile new runs come
// about as fast as old ones end.
func (p *project) storm(t *testing.T, length time.Duration, enqueue func()) (kills int) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 11))
	for end := time.Now().Add(length); time.Now().Before(end); kills++ {
		cmd := exec.Command(binary(t), "runner", "-quiet")
		cmd.Dir, cmd.Env = p.dir, p.env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(150+random.IntN(100))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for range 2 {
			enqueue()
		}
		_ = cmd.Wait()
		timer.Stop()
	}
	return kills
}

type shownRun struct {
	Status  string
	Journal []struct {
		Kind string
		Data struct{ Step, Error string }
	}
}

func (p *project) checkStorm(t *testing.T, ids map[string]int, l *ledger) {
	t.Helper()
	unknown := 0
	for id, number := range ids {
		out := p.mustRun("runs", "show", "-json", id)
		var run shownRun
		if err := json.Unmarshal([]byte(out), &run); err != nil {
			t.Fatal(err)
		}
		want := "succeeded"
		if number%3 == 0 {
			want = "failed"
		}
		if run.Status != want {
			t.Errorf("run %s of number %d has %s", id, number, run.Status)
		}
		succeeded := map[string]bool{}
		for _, e := range run.Journal {
			if e.Kind == "step_lost" {
				unknown++
				if e.Data.Step != "once" {
					t.Errorf("run %s: %s was lost", id, e.Data.Step)
				}
			}
			succeeded[e.Data.Step] = succeeded[e.Data.Step] || e.Kind == "step_succeeded"
		}
		for _, item := range []string{"a", "b", "c"} {
			if keys := l.paths["/items/"+id+"/"+item]; len(keys) != 1 {
				t.Errorf("run %s: item %s came under %d keys", id, item, len(keys))
			}
			if keys := l.paths["/undo/"+id+"/"+item]; len(keys) != map[bool]int{true: 1}[number%3 == 0] {
				t.Errorf("run %s: item %s was undone under %d keys", id, item, len(keys))
			}
		}
		p.checkLogs(t, id, succeeded)
	}
	once, _ := os.ReadFile(filepath.Join(p.dir, "once"))
	lines := strings.Fields(string(once))
	seen := map[string]bool{}
	for _, id := range lines {
		if seen[id] {
			t.Errorf("run %s did twice what must be done once", id)
		}
		seen[id] = true
	}
	if len(lines)+unknown < len(ids) {
		t.Errorf("%d of %d were done once and %d are unknown", len(lines), len(ids), unknown)
	}
	for folder, each := range map[string]int{"did": 2 * len(ids), "cleaned": len(ids), "undone": (len(ids) + 2) / 3} {
		if made, err := os.ReadDir(filepath.Join(p.dir, folder)); err != nil || len(made) != each {
			t.Errorf("%s: %d effects, not %d (%v)", folder, len(made), each, err)
		}
	}
	t.Logf("%d unknown outcomes", unknown)
}

var begins = regexp.MustCompile(`^(begin|line \d of|end) (\d+)$`)

// checkLogs looks whether all that processes wrote which came to their end is
// there, in order, and that the steps that succeeded have such a process.
func (p *project) checkLogs(t *testing.T, id string, succeeded map[string]bool) {
	t.Helper()
	for _, step := range []string{"prepare", "once", "narrow"} {
		if !succeeded[step] {
			continue
		}
		out := p.mustRun("logs", id, step)
		wrote := map[string][]string{}
		whole := false
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			m := begins.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("run %s, step %s: odd line %q", id, step, line)
				continue
			}
			wrote[m[2]] = append(wrote[m[2]], m[1])
			if m[1] == "end" {
				whole = true
				if got := strings.Join(wrote[m[2]], ","); got != "begin,line 1 of,line 2 of,line 3 of,line 4 of,line 5 of,end" {
					t.Errorf("run %s, step %s: wrote %s", id, step, got)
				}
			}
		}
		if !whole {
			t.Errorf("run %s, step %s: the log of what succeeded is not whole: %q", id, step, out)
		}
	}
}
