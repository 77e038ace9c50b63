package work

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/notify"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// notifying are the notify blocks of a project as its files are now.
type notifying struct {
	op *operations.Operation

	mu      sync.Mutex
	project *projects.Project
	readers map[string]*project.SecretReader // by environment
}

// ServeNotify tells others what happens, as the notify blocks of the project say,
// until ctx is cancelled. Files that change are read again; while they are wrong,
// what they said before counts.
func ServeNotify(ctx context.Context, o *operations.Operation, n *notify.Notifier) {
	s := &notifying{op: o}
	n.Secret, n.Fingerprint = s.secret, o.Keyring.Fingerprint
	n.Problem = func(err error) { o.Session.Show(diag.Warningf("Cannot notify", "%s.", err)) }
	lists := make(chan []*projects.Notify, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx, lists)
	}()
	ticker := time.NewTicker(fileCheck)
	defer ticker.Stop()
	for before := ""; ctx.Err() == nil; {
		if now := Fingerprint(); now != before {
			before = now
			if list, ok := s.read(); ok {
				select {
				case lists <- list:
				case <-ctx.Done():
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	<-done
}

// read reads the files; false where they are wrong.
func (s *notifying) read() ([]*projects.Notify, bool) {
	p := &projects.Project{}
	if projects.Exists(".") {
		var diags diag.List
		if p, diags = projects.Load("."); diags.HasErrors() {
			s.op.Session.Tell("The notify blocks of the project are not read again until its files are put right.\n")
			return nil, false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.project, s.readers = p, map[string]*project.SecretReader{}
	var list []*projects.Notify
	for _, name := range sortedKeys(p.Notifies) {
		list = append(list, p.Notifies[name])
	}
	return list, true
}

// secret reads a secret for a notify block.
func (s *notifying) secret(ctx context.Context, n *projects.Notify, name string) (string, error) {
	s.mu.Lock()
	p := s.project
	declared := p.Secrets[name]
	environment, diags := s.op.ChooseEnvironment(p, n.Environment)
	if diags.HasErrors() {
		s.mu.Unlock()
		return "", fmt.Errorf("no environment to read it in: give the notify block %q one", n.Name)
	}
	reader := s.readers[environment]
	if reader == nil {
		reader = s.op.SecretReader(environment)
		s.readers[environment] = reader
	}
	s.mu.Unlock()
	if declared == nil {
		return "", fmt.Errorf("the project declares no secret %q any more", name)
	}
	text, _, err := reader.Read(ctx, declared, "")
	return text, err
}

// PlansOf are the plans that a run made or carried out, in the order of
// declaration.
func (w *Work) PlansOf(ctx context.Context, run runs.Run) ([]notify.PlannedStack, error) {
	var digests []string
	if !run.Machine() {
		digests = []string{run.PlanHash}
	} else if m, err := w.Machine(ctx, run); err != nil || m == nil {
		return nil, err
	} else {
		m, diags := w.runner.ReplayWorkflow(ctx, run)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		digests = plannedBy(m)
	}
	var out []notify.PlannedStack
	for _, digest := range digests {
		p, err := w.Plan(ctx, digest, run.ID, func(string, string) bool { return true })
		if err != nil {
			return nil, err
		}
		for _, part := range p.Parts {
			out = append(out, notify.PlannedStack{Stack: part.Stack, Plan: part.Plan, Decision: part.Judged, Cost: part.Priced})
		}
	}
	return out, nil
}

// plannedBy are the digests of the plans that the steps of a workflow made.
func plannedBy(m *flow.Machine) (out []string) {
	values := m.StepValues()
	for _, s := range m.Steps() {
		if s.Action != "plan" {
			continue
		}
		made, err := hcl.GetAttr(values[s.Name], "outputs", nil)
		if err.HasErrors() {
			continue
		}
		digest, err := hcl.GetAttr(made, "digest", nil)
		if err.HasErrors() || digest.IsNull() || !digest.IsKnown() || digest.Type() != cty.String {
			continue
		}
		digest, _ = digest.Unmark()
		if text := digest.AsString(); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
