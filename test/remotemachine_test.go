package test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestRemoteHistory compares the history of executions of state machines that a server runs
// with that of executions here. It is told to whom the run is by.
func TestRemoteHistory(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
workflow "twice" { definition = "twice.asl.json" }
role "all" { allow = ["*:*"] }
grant {
  role = role.all
  to   = ["service:one", "service:two", "user:`+p.whoami()+`"]
}
`)
	p.write("twice.asl.json", `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {
  "A": {"Type": "Pass", "Output": {"z": "{% $states.input.n * 2 %}", "a": [1, null, "<x>"]}, "Next": "B"},
  "B": {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.z > 1 %}", "Next": "C"}], "Default": "A"},
  "C": {"Type": "Fail", "Error": "Mine", "Cause": "because"}}}`)
	history := func(p *project) string {
		t.Helper()
		p.write("input.json", `{"n": 21}`)
		cmd := p.command("run", "twice", "-input=input.json", "-json")
		out, _ := cmd.Output() // it fails
		var said struct {
			Status, Error string
			History       json.RawMessage
		}
		if err := json.Unmarshal(out, &said); err != nil || said.Status != "FAILED" || said.Error != "Mine" || !strings.Contains(string(said.History), "PassStateExited") {
			t.Fatalf("%v: %s", err, out)
		}
		return string(said.History)
	}
	if there, here := history(p.server().client()), history(p); there != here {
		t.Errorf("there:\n%s\nhere:\n%s", there, here)
	}
	s := p.server("-require-token")
	clients := map[string]*project{}
	for _, who := range []string{"one", "two"} {
		clients[who] = s.client("TUTTI_TOKEN=" + p.lastLine(p.mustRun("token", "create", "-as=service:"+who, "-role=all")))
	}
	history(clients["one"])
	var listed []struct{ ID, Actor string }
	if err := json.Unmarshal([]byte(p.mustRun("runs", "-json")), &listed); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(listed, func(r struct{ ID, Actor string }) bool { return strings.HasPrefix(r.Actor, "service:one") })
	if at < 0 {
		t.Fatalf("no run by service:one in %+v", listed)
	}
	s.token = clients["two"].env[len(clients["two"].env)-1][len("TUTTI_TOKEN="):]
	if _, told, _ := s.do("GET", "/api/v1/runs/"+listed[at].ID+"/result?history=true", nil); !strings.Contains(string(told), "FAILED") || strings.Contains(string(told), "StateExited") {
		t.Errorf("to somebody else: %s", told)
	}
}
