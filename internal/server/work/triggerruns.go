package work

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/triggers"
	"github.com/zclconf/go-cty/cty"
)

// ReadTriggers reads the project's triggers that have schedules.
func ReadTriggers(s *project.Session) (*projects.Project, []*triggers.Trigger, diag.List) {
	p, diags := s.OpenWorkflows()
	if diags.HasErrors() {
		return nil, nil, diags
	}
	list, found := triggers.Read(p)
	return p, list, append(diags, found...)
}

// TriggerRuns is what carries out the runs of triggers in this process. Before,
// it checks what they need in the environments they work in.
func TriggerRuns(ctx context.Context, o *operations.Operation, p *projects.Project, list []*projects.Trigger, named string, values *project.VariableOptions) (*triggers.Workflows, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	if o.Session.Refusals == nil {
		o.Session.Refusals = project.NewRefusals(store)
	}
	w := &triggers.Workflows{
		Runner: &runs.Runner{Store: store, Actor: o.Session.Actor(), Egress: o.Session.Egress}, Program: project.ProgramVersion(), Key: o.KeyIn, Machine: operations.MachineDefinition,
		Hard: operations.Hard(ctx).Done(), Drain: ctx.Done(), Authorize: o.Session.Authorizer(store), Admit: o.AdmitAnew,
	}
	w.Values = func(p *projects.Project, environment string) (map[string]cty.Value, diag.List) {
		return operations.VariableValues(p, configs.WholeProject, p.Variables, environment, values)
	}
	w.Stacks = func(p *projects.Project, environment string) (runs.Stacks, func()) {
		if s := (operations.New(o.Aside(o.KeyIn(environment)), o.View())).StackRunner(p); s != nil {
			return s, s.Close
		}
		return nil, func() {}
	}
	w.Secrets = func(environment string) runs.Secrets { return o.SecretReader(o.KeyIn(environment).Environment) }
	return w, append(diags, checkTriggers(o, w, p, list, named)...)
}

// checkTriggers finds the environment of triggers that name none, and checks the
// values in all.
func checkTriggers(o *operations.Operation, w *triggers.Workflows, p *projects.Project, list []*projects.Trigger, named string) diag.List {
	var diags diag.List
	seen := map[string]bool{}
	for _, t := range list {
		environment := t.Environment
		if environment == "" {
			if w.Environment == "" {
				var found diag.List
				if w.Environment, found = o.ChooseEnvironment(p, named); found.HasErrors() {
					return append(diags, found...)
				}
			}
			environment = w.Environment
		}
		if !seen[environment] {
			seen[environment] = true
			_, found := w.Values(p, environment)
			diags = append(diags, found...)
		}
	}
	return diags
}

// CheckSchedules checks all that triggers of a project need.
func CheckSchedules(p *projects.Project, list []*projects.Trigger) diag.List {
	diags := triggers.Check(p)
	used := map[string]bool{}
	for _, t := range list {
		if name := t.Workflow.Name; p.Workflows[name] != nil {
			used[name] = true
		}
	}
	if len(used) > 0 {
		diags = append(diags, operations.CheckWorkflows(p, sortedKeys(used))...)
	}
	return diags
}

// Scheduled are the triggers of a project that have schedules.
func Scheduled(p *projects.Project) []*projects.Trigger {
	return slices.DeleteFunc(allTriggers(p), func(t *projects.Trigger) bool { return t.Schedule == "" })
}

// Fingerprint tells the project's files apart from what they were before.
func Fingerprint() string {
	entries, err := os.ReadDir(".")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), projects.Suffix) && !strings.HasSuffix(e.Name(), operations.MachineSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// fileCheck is how often the project's files are looked at for changes.
const fileCheck = 2 * time.Second

// settle is how long files have to stay as they are before they are read: editors empty
// a file before they write it.
const settle = 100 * time.Millisecond

// settled reports whether the files are still the same a moment later.
func settled(ctx context.Context, before string) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(settle):
		return Fingerprint() == before
	}
}

// WatchFiles hands over the project and its schedules anew when files have changed.
// While they are wrong, those before stay. served says which triggers matter.
func WatchFiles(ctx context.Context, o *operations.Operation, named string, w *triggers.Workflows, before string, served func(*projects.Project) []*projects.Trigger, hand func(*projects.Project, []*triggers.Trigger)) {
	ticker := time.NewTicker(fileCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := Fingerprint()
		if now == before {
			continue
		}
		if before = now; !settled(ctx, now) {
			continue // whoever writes them is not done
		}
		p, list, diags := readTriggers(o, named, w, served)
		if diags.HasErrors() {
			o.Session.Tell("The files have changed and are wrong; what they said before is still done.\n")
			for _, d := range diags {
				o.Session.Tell("  " + strings.ReplaceAll(d.Error(), "\n", "\n  ") + "\n")
			}
			continue
		}
		hand(p, list)
	}
}

// readTriggers reads and checks the project as its files are now, with its schedules.
// served says which triggers matter.
func readTriggers(o *operations.Operation, named string, w *triggers.Workflows, served func(*projects.Project) []*projects.Trigger) (*projects.Project, []*triggers.Trigger, diag.List) {
	p, diags := projects.Load(".")
	var list []*triggers.Trigger
	if !diags.HasErrors() {
		if list, diags = triggers.Read(p); !diags.HasErrors() {
			diags = append(diags, CheckSchedules(p, served(p))...)
		}
	}
	if !diags.HasErrors() {
		checked := *w // the environment is chosen already, unless none was needed
		diags = append(diags, checkTriggers(o, &checked, p, served(p), named)...)
		if checked.Environment != w.Environment {
			diags = append(diags, diag.Errorf("Environment needed", "Triggers that name no environment are new here: start again.")...)
		}
	}
	return p, list, diags
}
