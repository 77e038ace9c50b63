package api

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// definition is the work of a server as far as followers ask for it.
type definition struct {
	Work
	d *flow.Definition
}

func (w definition) Machine(context.Context, runs.Run) (*flow.Machine, error) {
	return flow.NewMachine(w.d), nil
}

// Decisions count from when they are made, also while nobody drives the run, and where
// somebody follows it who has read its journal before.
func TestDecisionsCountWhenMade(t *testing.T) {
	p, diags := projects.Parse(".", map[string][]byte{"main.tutti.hcl": []byte("workflow \"w\" {\n  step \"sign_off\" {\n    approval { count = 3 }\n  }\n}\n")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	d := flow.Compile(p, p.Workflows["w"])
	store := runstest.NewStore()
	r := &runs.Runner{Store: store}
	run, diags := r.EnqueueWorkflow(t.Context(), d, runs.WorkflowOptions{Run: runs.Run{ID: "run", Actor: "user:ann"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	a := &API{Store: store, Work: definition{d: d}}
	f, err := a.follower(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	asks := func() (by [][]string) {
		t.Helper()
		steps, err := f.steps(t.Context())
		if err != nil || len(steps) != 1 {
			t.Fatal(steps, err)
		}
		for _, ask := range steps[0].Asks {
			by = append(by, ask.By)
		}
		var listed [][]string
		for _, wait := range a.open.waiting(t.Context(), a, []runs.Run{run}) {
			listed = append(listed, wait.By)
		}
		if !slices.EqualFunc(by, listed, slices.Equal) {
			t.Errorf("the step is approved by %q, the approvals say by %q", by, listed)
		}
		return by
	}
	for _, c := range []struct {
		by   string
		want [][]string
	}{
		{"", [][]string{{}}},
		{"user:bob", [][]string{{"user:bob"}}},
		{"user:bob", [][]string{{"user:bob"}}}, // it does not count twice
		{"user:cem", [][]string{{"user:bob", "user:cem"}}},
		{"user:dan", nil}, // that is enough
	} {
		if c.by != "" {
			data, err := json.Marshal(workflow.Decision{Roles: []string{workflow.AnyRole}})
			if err != nil {
				t.Fatal(err)
			}
			if diags := r.Signal(t.Context(), run.ID, workflow.Signal{Kind: workflow.SignalApprove, Name: "sign_off", By: c.by, Data: data}); diags.HasErrors() {
				t.Fatal(diags)
			}
		}
		if got := asks(); !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("after %q it is approved by %q, not by %q", c.by, got, c.want)
		}
	}
	if got := f.machine.Waiting(); len(got) != 1 || len(got[0].By) != 0 {
		t.Errorf("who drives the run has taken none, but its machine says %+v", got)
	}
}
