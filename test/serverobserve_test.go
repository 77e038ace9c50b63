package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const observedThings = `
terraform {
  required_providers {
    world = { source = "tutti-dev/world" }
  }
}
provider "world" {
  folder = "world"
}
resource "world_thing" "it" {
  count = 6
  name  = "it${count.index}"
  value = "one"
}
`

// newObserved is a project with a stack of six things, applied.
func newObserved(t *testing.T, block string) *project {
	t.Helper()
	mirror := providerMirror(t)
	p := newProject(t, "")
	p.env = append(p.env, "TF_CLI_CONFIG_FILE="+mirror)
	if err := os.Remove(filepath.Join(p.dir, "main.tf")); err != nil {
		t.Fatal(err)
	}
	p.write("project.tutti.hcl", "stack \"things\" { source = \"./things\" }\n")
	p.write("observe.tutti.hcl", block)
	p.write("things/main.tf", observedThings)
	p.write("things/world/empty", "")
	p.mustRun("init")
	p.mustRun("apply", "-auto-approve")
	return p
}

// says changes what a thing says, behind everybody's back.
func (p *project) says(thing, value string) {
	p.t.Helper()
	p.alters(thing, "value", value)
}

func (p *project) alters(thing, attribute string, value any) {
	p.t.Helper()
	name := "things/world/thing." + thing + ".json"
	var stored map[string]any
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err == nil {
		err = json.Unmarshal(data, &stored)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	stored[attribute] = value
	if data, err = json.Marshal(stored); err != nil {
		p.t.Fatal(err)
	}
	// At once: nobody who reads it sees half of it.
	p.write(name+".new", string(data))
	if err := os.Rename(filepath.Join(p.dir, name+".new"), filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) said(thing string) string {
	p.t.Helper()
	var stored struct{ Value string }
	data, err := os.ReadFile(filepath.Join(p.dir, "things/world/thing."+thing+".json"))
	if err == nil {
		err = json.Unmarshal(data, &stored)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return stored.Value
}

type drifted struct {
	Observed, Looking bool
	Looked            *time.Time
	Problem           string
	Drifted, Flapping int
	Changes           []struct {
		Address, Action string
		Times           int
		Flapping        bool
		Attributes      []struct {
			Path          string
			Before, After any
		}
	}
	Flaps []struct {
		Address, Path, Because string
		Times                  int
	}
	Repair *struct{ Run, Problem string }
}

func (s *httpServer) drift() (d drifted) {
	s.t.Helper()
	s.get(&d, http.StatusOK, http.MethodGet, "/environments/default/stacks/things/drift", nil)
	return d
}

type driftEvent struct {
	Type, Subject, Actor string
	Data                 struct {
		Stack, Environment, Because, Repair string
		Times                               int
		Changes                             []struct{ Address string }
	}
}

// driftEvents are the events about drift of one kind.
func (s *httpServer) driftEvents(kind string) []driftEvent {
	s.t.Helper()
	var list struct{ Items []driftEvent }
	s.get(&list, http.StatusOK, http.MethodGet, "/events?limit=1000&type=drift."+kind, nil)
	return list.Items
}

// TestServerObserves: drift is found, told once, resolved, repaired, and left alone
// with an explanation where it comes again and again.
func TestServerObserves(t *testing.T) {
	p := newObserved(t, "observe {\n  every = \"1s\"\n  rate = { \"tutti-dev/world\" = \"200/s\" }\n}\n")
	s := p.server()
	eventually(t, "a first look", func() bool { return s.drift().Looked != nil })
	if d := s.drift(); !d.Observed || d.Drifted != 0 || d.Problem != "" {
		t.Fatalf("before anything has changed: %+v", d)
	}

	p.says("it3", "else")
	eventually(t, "drift that is found", func() bool { return s.drift().Drifted == 1 })
	d := s.drift()
	if c := d.Changes[0]; c.Address != "world_thing.it[3]" || c.Action != "update" || len(c.Attributes) != 1 ||
		c.Attributes[0].Path != "value" || c.Attributes[0].Before != "one" || c.Attributes[0].After != "else" {
		t.Fatalf("what was found is %+v", c)
	}
	looked := *d.Looked
	eventually(t, "another look", func() bool { return s.drift().Looked.After(looked) })
	if list := s.driftEvents("found"); len(list) != 1 || list[0].Actor != "service:observer" || list[0].Subject != "default/things" || list[0].Data.Stack != "things" {
		t.Fatalf("told was %+v", list)
	}
	var stacks struct {
		Items []struct {
			Name     string
			Observed bool
			Drift    *struct{ Drifted int }
		}
	}
	s.get(&stacks, http.StatusOK, http.MethodGet, "/stacks", nil)
	if one := stacks.Items[0]; !one.Observed || one.Drift == nil || one.Drift.Drifted != 1 {
		t.Fatalf("the list of stacks says %+v", one)
	}

	p.says("it3", "one")
	eventually(t, "drift that is resolved", func() bool { return len(s.driftEvents("resolved")) == 1 })

	// From now on it is put back: the second time it is, the third time it flaps.
	p.write("observe.tutti.hcl", "observe {\n  every = \"1s\"\n  repair = true\n  rate = { \"tutti-dev/world\" = \"200/s\" }\n}\n")
	p.says("it3", "else")
	eventually(t, "a repair", func() bool { return p.said("it3") == "one" })
	eventually(t, "what was repaired to be resolved", func() bool { return len(s.driftEvents("resolved")) == 2 })
	repair := s.drift().Repair.Run
	if list := s.driftEvents("resolved"); list[1].Data.Repair != repair || list[1].Data.Times != 2 {
		t.Errorf("it was resolved with %+v", list[1])
	}
	var run servedRun
	s.get(&run, http.StatusOK, http.MethodGet, "/runs/"+repair, nil)
	if run.Actor != "service:observer" || run.Summary != "repair things" {
		t.Errorf("the repair is %+v", run)
	}

	p.says("it3", "else")
	eventually(t, "flapping that is noticed", func() bool { return s.drift().Flapping == 1 })
	list := s.driftEvents("flapping")
	if len(list) != 1 || list[0].Data.Times != 3 || !strings.Contains(list[0].Data.Because, "value of world_thing.it[3] was found changed 3 times") {
		t.Errorf("told was %+v", list)
	}
	looked = *s.drift().Looked
	eventually(t, "two more looks", func() bool { return s.drift().Looked.After(looked.Add(2 * time.Second)) })
	if d := s.drift(); p.said("it3") != "else" || d.Repair.Run != repair || !d.Changes[0].Flapping {
		t.Errorf("what flaps is put back: %+v", d)
	}

	// Others are put back all the same, and this one when it is asked for.
	p.says("it1", "else")
	eventually(t, "the repair of another", func() bool { return p.said("it1") == "one" })
	if p.said("it3") != "else" {
		t.Error("what flaps was put back with another")
	}
	s.get(nil, http.StatusAccepted, http.MethodPost, "/environments/default/stacks/things/observe", map[string]any{"reset": true})
	eventually(t, "the repair of what had flapped", func() bool { return p.said("it3") == "one" })
	eventually(t, "no drift", func() bool { d := s.drift(); return d.Drifted == 0 && !d.Looking })

	// What no configuration sets cannot be put back: it is taken as it is.
	resolved := len(s.driftEvents("resolved"))
	p.alters("it5", "revision", 9)
	eventually(t, "a revision that is taken into the state", func() bool {
		return len(s.driftEvents("resolved")) > resolved && s.drift().Drifted == 0
	})
	if looks := s.driftEvents("looked"); len(looks) != 1 || looks[0].Actor != "user:"+p.whoami() {
		t.Errorf("of the look that was asked for is told: %+v", looks)
	}
	var audit struct{ Valid bool }
	if s.get(&audit, http.StatusOK, http.MethodGet, "/audit/verify", nil); !audit.Valid {
		t.Error("the chain of events does not hold")
	}
}

// TestServerObservesAsAService: the observer has the rights of its service and no
// others, and what it puts back passes the gate.
func TestServerObservesAsAService(t *testing.T) {
	p := newObserved(t, "observe {\n  every = \"1s\"\n  repair = true\n  as = \"service:janitor\"\n  rate = { \"tutti-dev/world\" = \"200/s\" }\n}\n")
	roles := func(observer string) string {
		return fmt.Sprintf("role \"people\" {\n  allow = [\"*:*\"]\n}\ngrant {\n  role = role.people\n  to = [\"user:%s\"]\n}\nrole \"observer\" {\n  allow = [%s]\n}\ngrant {\n  role = role.observer\n  to = [\"service:janitor\"]\n}\n", p.whoami(), observer)
	}
	p.write("roles.tutti.hcl", roles(""))
	s := p.server()
	eventually(t, "a look that is not allowed", func() bool {
		return strings.Contains(s.drift().Problem, "service:janitor may not do this")
	})
	p.write("roles.tutti.hcl", roles("\"plan:*\""))
	// The next look of its own comes later with each that failed.
	s.get(nil, http.StatusAccepted, http.MethodPost, "/environments/default/stacks/things/observe", nil)
	eventually(t, "a look that is allowed", func() bool { d := s.drift(); return d.Looked != nil && d.Problem == "" })
	p.says("it2", "else")
	eventually(t, "a repair that is not allowed", func() bool {
		d := s.drift()
		return d.Repair != nil && strings.Contains(d.Repair.Problem, "service:janitor may not do this")
	})
	if p.said("it2") != "else" {
		t.Error("it was put back all the same")
	}

	p.write("no/no.rego", "package no\ndeny contains \"it stays as it is\" if count(input.resource_changes) > 0\n")
	p.write("no.tutti.hcl", "policy \"no\" { source = \"./no\" }\n")
	p.write("roles.tutti.hcl", roles("\"apply:*\""))
	var run struct{ Actor, Status, Problem string }
	eventually(t, "a repair that is denied", func() bool {
		d := s.drift()
		if d.Repair == nil || d.Repair.Problem != "" {
			return false
		}
		s.get(&run, http.StatusOK, http.MethodGet, "/runs/"+d.Repair.Run, nil)
		return run.Status == "failed"
	})
	if run.Actor != "service:janitor" || p.said("it2") != "else" {
		t.Errorf("the repair is %+v", run)
	}
	var status int
	for path, want := range map[string]int{
		"/environments/default/stacks/none/observe": http.StatusNotFound,
		"/environments/default/stacks/-/observe":    http.StatusNotFound,
	} {
		if status, _, _ = s.do(http.MethodPost, "/api/v1"+path, nil); status != want {
			t.Errorf("POST %s: %d", path, status)
		}
	}
	p.write("roles.tutti.hcl", strings.Replace(roles("\"apply:*\""), "\"*:*\"", "\"plan:*\"", 1))
	if status, _, _ = s.do(http.MethodPost, "/api/v1/environments/default/stacks/things/observe", map[string]any{"reset": true}); status != http.StatusForbidden {
		t.Errorf("who may only plan resets: %d", status)
	}
	if status, _, _ = s.do(http.MethodPost, "/api/v1/environments/default/stacks/things/observe", nil); status != http.StatusAccepted {
		t.Errorf("who may plan looks: %d", status)
	}
}

// TestServerObservesAcrossKills: whenever the server is killed, what has changed is
// told once and put back once.
func TestServerObservesAcrossKills(t *testing.T) {
	// A look takes more than half a second: most kills are in the middle of one.
	p := newObserved(t, "observe {\n  every = \"1s\"\n  repair = true\n  flapping = 100\n  rate = { \"tutti-dev/world\" = \"10/s\" }\n}\n")
	kills := 12
	if testing.Short() {
		kills = 3
	}
	for i := range kills {
		s := p.server()
		p.says(fmt.Sprintf("it%d", i%6), fmt.Sprintf("else %d", i))
		timer := time.NewTimer(time.Duration(rand.IntN(3000)) * time.Millisecond)
		<-timer.C
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
	}
	s := p.server()
	eventually(t, "everything to be put back", func() bool {
		for i := range 6 {
			if p.said(fmt.Sprintf("it%d", i)) != "one" {
				return false
			}
		}
		return s.drift().Drifted == 0
	})
	// Each repair is one run, and each run one that was decided.
	var list struct {
		Items []struct{ ID, Summary, Status string }
	}
	s.get(&list, http.StatusOK, http.MethodGet, "/runs?limit=500", nil)
	repairs := map[string]bool{}
	for _, r := range list.Items {
		if r.Summary == "repair things" {
			repairs[r.ID] = true
		}
	}
	for _, e := range s.driftEvents("found") {
		if run := e.Data.Repair; run != "" && !repairs[run] {
			t.Errorf("told was of the repair %s, which there is not", run)
		}
	}
	for _, e := range s.driftEvents("found") {
		delete(repairs, e.Data.Repair)
	}
	if len(repairs) > 0 {
		t.Errorf("these repairs were not decided: %v", repairs)
	}
	told := map[string]int{}
	for _, e := range s.driftEvents("found") {
		for _, c := range e.Data.Changes {
			told[c.Address]++
		}
	}
	for i := range 6 {
		address := fmt.Sprintf("world_thing.it[%d]", i)
		if most := (kills + 5) / 6; told[address] > most {
			t.Errorf("of %s was told %d times, and it was changed %d times", address, told[address], most)
		}
	}
}

// TestObserverIsTakenOver: of two servers one observes, and when it is killed the
// other goes on; what has drifted starts a workflow, once.
func TestObserverIsTakenOver(t *testing.T) {
	p := newObserved(t, "observe {\n  every = \"1s\"\n  rate = { \"tutti-dev/world\" = \"200/s\" }\n}\n")
	p.write("tell.tutti.hcl", `
workflow "tell" {
  variable "what" {
    type = string
  }
  step "say" {
    exec {
      command    = ["echo", var.what]
      idempotent = true
    }
  }
}
trigger "tell" {
  on     = { type = "drift.found", data = { stack = "things" } }
  run    = workflow.tell
  inputs = { what = event.data.changes[0].attributes[0].after }
}
`)
	first, second := p.server(), p.server()
	eventually(t, "a first look", func() bool { return second.drift().Looked != nil })
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait()
	p.says("it4", "else")
	eventually(t, "drift that the other server finds", func() bool { return second.drift().Drifted == 1 })
	eventually(t, "a run of the workflow that has succeeded", func() bool {
		for _, status := range second.runsOf("tell-") {
			if status == "succeeded" {
				return true
			}
		}
		return false
	})
	if n := len(second.runsOf("tell-")); n != 1 || len(second.driftEvents("found")) != 1 {
		t.Errorf("%d runs were started", n)
	}
	_, metrics, _ := second.do(http.MethodGet, "/metrics", nil)
	if !strings.Contains(string(metrics), `tutti_stack_drifted_objects{environment="default",stack="things"} 1`) {
		t.Errorf("the metrics are\n%s", metrics)
	}
}
