package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/archives"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
)

// Speculative plans: a client sends the files of a project as it would have them, and
// the server plans them as if they were its own. The plan is looked at, and cannot be
// applied: it is kept as the document that clients are shown, and no more.

// speculate plans a configuration that was sent, or lies in another directory, in a
// directory of its own.
func (r *StackRunner) speculate(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
	store, diags := r.Root.Store(ctx)
	if diags.HasErrors() {
		return runs.StackPlan{}, diags.Err()
	}
	dir, err := r.copyOf(ctx, store, req)
	if err != nil {
		return runs.StackPlan{}, err
	}
	defer actions.GiveBackScratch(dir)
	log := newLogView(req.Log)
	defer log.Settle()
	e, diags := r.guest(store, dir)
	if diags.HasErrors() {
		diags = (&project.Ensemble{Root: &project.Directory{Dir: dir}}).AsSent(diags)
		log.show(diags, nil)
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	defer e.CloseMembers()
	names, diags := e.Graph.Select(req.Stacks)
	e.Names = names
	o := &EnsembleOperation{Ensemble: e, Session: e.Root.Session, View: log, Plans: map[string]*gate.Plan{}, Named: len(req.Stacks) > 0, by: req}
	po, err := r.options(ctx, req)
	if err != nil {
		return runs.StackPlan{}, err
	}
	e.Give(&po.VariableOptions)
	// Whoever may not plan a stack has nothing of it read or run.
	if diags = append(diags, o.May(access.Plan)...); !diags.HasErrors() {
		diags = append(diags, o.install(ctx, log)...)
	}
	if !diags.HasErrors() {
		diags = append(diags, o.planSent(ctx, po)...)
	}
	diags = e.AsSent(diags)
	if log.show(diags, e.SentSources()); diags.HasErrors() {
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	if err := o.keepSpeculated(ctx, store, po.Kind()); err != nil {
		return runs.StackPlan{}, err
	}
	n := o.Totals()
	return runs.StackPlan{Digest: o.Shared.Digest, Add: n.Add, Change: n.Change, Destroy: n.Destroy, Changes: o.Changes(), Stacks: o.Names}, nil
}

// copyOf puts the files that a request is about into a new directory, from which
// nothing of a checkout, an earlier plan or a state beside them is read.
func (r *StackRunner) copyOf(ctx context.Context, store *sqlite.Store, req runs.StackRequest) (string, error) {
	var archive []byte
	if req.Directory != "" {
		var err error
		if archive, err = archives.Pack(r.Root.Place(req.Directory)); err != nil {
			return "", actions.Errorf("Tutti.PlanFailed", "The files in the directory %q cannot be taken: %s.", req.Directory, err)
		}
	} else {
		data, known, err := store.Cached(ctx, SentPrefix+req.Configuration, time.Now())
		if err != nil {
			return "", err
		}
		if !known || json.Unmarshal(data, &archive) != nil {
			return "", actions.Errorf("Tutti.PlanFailed", "No configuration %q is kept: it is sent to a server, which keeps it for a day.", req.Configuration)
		}
	}
	dir, err := actions.TakeScratch()
	if err != nil {
		return "", err
	}
	if err := archives.Unpack(archive, dir); err != nil {
		actions.GiveBackScratch(dir)
		return "", err
	}
	return dir, nil
}

// guest is the project in a directory that a client's files were unpacked to, beside
// the server's own: it has the server's states to plan from, and is held to the
// server's rules.
func (r *StackRunner) guest(store *sqlite.Store, dir string) (*project.Ensemble, diag.List) {
	declared, diags := projects.Load(dir)
	if declared == nil || diags.HasErrors() {
		return nil, diags
	}
	if len(declared.Stacks) == 0 {
		files := map[string][]byte{filepath.Join(dir, project.ChangeFile): fmt.Appendf(nil, "stack %q {\n  source = \"./\"\n}\n", project.DirectoryName)}
		for name, src := range declared.Files {
			files[name] = src
		}
		if declared, diags = projects.Parse(dir, files); diags.HasErrors() {
			return nil, diags
		}
	}
	if diags := stacks.CheckEnvironment(declared, r.Root.Environment); diags.HasErrors() {
		return nil, diags
	}
	root := &project.Directory{
		Session: r.Root.Session.Fresh(), Dir: dir, DataDir: filepath.Join(dir, ".terraform"), WorkDir: dir, CLIConfig: r.Root.CLIConfig, Keyring: r.Root.Keyring,
		Opened: store, Environment: r.Root.Environment,
	}
	e, diags := project.NewEnsemble(root, declared)
	if diags.HasErrors() {
		return nil, diags
	}
	e.Host = r.Root.CostRoot()
	root.Ensemble = e
	return e, diags
}

// install brings the modules and providers that the stacks need, which are not sent.
func (o *EnsembleOperation) install(ctx context.Context, log *logView) diag.List {
	var diags diag.List
	for _, name := range o.Names {
		if _, d := o.Module(name); d.HasErrors() {
			diags = append(diags, d...)
			continue
		}
		diags = append(diags, o.Member(name).Install(ctx, &project.Installation{Modules: true}, log.watcher.Tell)...)
	}
	return diags
}

// planSent plans the stacks and shows their plans.
func (o *EnsembleOperation) planSent(ctx context.Context, po *PlanOptions) diag.List {
	diags := o.Plan(ctx, po, po.Kind())
	if o.Shared != nil {
		o.Show(ctx, po.Mode(), diags)
	}
	if diags.HasErrors() {
		return diags
	}
	diags = append(diags, o.foretell(ctx, po.Kind())...)
	diags = append(diags, o.Finish(po.Mode())...)
	_, d := o.Encode()
	return append(diags, d...)
}

// keepSpeculated keeps of the plan what clients are shown.
func (o *EnsembleOperation) keepSpeculated(ctx context.Context, store *sqlite.Store, kind string) error {
	out := api.Plan{Digest: o.Shared.Digest, Environment: o.Environment, Kind: kind}
	for _, part := range o.Shared.Stacks {
		one, err := o.Operation(part.Name).Part(ctx, o.Plans[part.Name], gate.Request{Kind: kind, Parent: o.by.Parent})
		if err != nil {
			return err
		}
		out.Parts = append(out.Parts, one)
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return store.Cache(ctx, SpeculatedPrefix+out.Digest, data, true, time.Now().Add(SentFor))
}

// Part describes the plan of one stack to clients, who look at it.
func (o *Operation) Part(ctx context.Context, l *gate.Plan, r gate.Request) (api.PlanPart, error) {
	out := api.PlanPart{Stack: o.Stack, Resource: o.Stack, Counts: l.Plan.Count(), Needs: api.NeedsOf(l.Plan), Plan: l.Plan}
	document, err := jsonplan.Plan(l.Plan, nil, o.JSONOptions(ctx))
	if err != nil {
		return out, err
	}
	if out.Document, err = api.MaskPlan(document); err != nil {
		return out, err
	}
	seen := o.Case
	seen.Look()
	j, diags := seen.HoldToPolicy(ctx, l, r)
	if j != nil && !diags.HasErrors() {
		out.Decision, out.Judged = gate.EventData(j.Decision), j.Decision
	}
	if j := seen.Judge(ctx, l); j.Estimate != nil {
		out.Cost, out.Priced = gate.EventData(j.Estimate), j.Estimate
	} else if j.Denied {
		diags = append(diags, j.Take()...)
	}
	out.Problem = errorText(diags)
	return out, nil
}

// errorText is what the errors among diagnostics say, a line each; empty for none.
func errorText(diags diag.List) string {
	var lines []string
	for _, d := range diags.Sorted() {
		line := d.Summary
		if d.Detail != "" {
			line += ": " + diag.FirstLine(d.Detail)
		}
		if d.Severity != diag.Warning && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

const (
	// SentPrefix begins the keys of configurations that were sent.
	SentPrefix = "configuration/"
	// SpeculatedPrefix begins those of what was planned of them.
	SpeculatedPrefix = "speculative/"
	// SentFor is how long both are kept.
	SentFor = 24 * time.Hour
)
