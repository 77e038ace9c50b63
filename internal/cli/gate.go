package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/runs"
)

// The gate: every plan passes it on the way to a run, whoever made the plan and
// whatever asks for the run (see [operation.carryOut]). The policies are those of
// the project's files as they are now, not as they were when a plan was saved.

// policyOptions are the flags about policies; -override is that of budgets too.
type policyOptions struct{ dirs []string }

func (o *policyOptions) register(f *flagSet) {
	f.list(&o.dirs, "policy", "DIR", "Hold the plan to the Rego rules in this directory too, as a mandatory policy; tutti:library are those that come with Tutti. May be given several times.")
}

// projectPolicies are the policies of a project, prepared once for all stacks.
type projectPolicies struct {
	once     sync.Once
	declared *projects.Project // nil where there are no project files
	ready    map[string]*policy.Policy
	adHoc    []*policy.Policy
	diags    diag.List
}

// policies are those of the project in a directory.
func (a *App) policies(root string) *projectPolicies {
	a.quoting.Lock()
	if a.gates == nil {
		a.gates = map[string]*projectPolicies{}
	}
	g := a.gates[root]
	if g == nil {
		g = &projectPolicies{ready: map[string]*policy.Policy{}}
		a.gates[root] = g
	}
	a.quoting.Unlock()
	g.once.Do(func() { g.diags = g.load(a, root) })
	return g
}

func (g *projectPolicies) load(a *App, root string) diag.List {
	var diags diag.List
	if projects.Exists(root) {
		g.declared, diags = projects.Load(root)
		if diags.HasErrors() {
			return diags
		}
		for _, name := range sortedKeys(g.declared.Policies) {
			p := g.declared.Policies[name]
			ready, d := readPolicy(a, name, policy.Level(p.Enforcement), policySourceOf(root, p.Source), &p.SourceRange)
			diags = append(diags, d...)
			g.ready[name] = ready
		}
	}
	if a.policyOptions != nil {
		for _, dir := range a.policyOptions.dirs {
			from := policySourceOf("", dir)
			p, d := readPolicy(a, from.name, policy.Mandatory, from, nil)
			diags = append(diags, d...)
			g.adHoc = append(g.adHoc, p)
		}
	}
	return diags
}

// readPolicy reads and prepares a policy.
func readPolicy(a *App, name string, level policy.Level, from policySource, at *hcl.Range) (*policy.Policy, diag.List) {
	files, err := from.read()
	if err != nil {
		d := diag.Errorf("Cannot read policy", "The policy %q cannot be read: %s.", name, err)
		d[0].Subject = at
		return nil, d
	}
	sources := map[string][]byte{}
	for file, src := range files {
		sources[filepath.ToSlash(filepath.Join(from.dir, filepath.FromSlash(file)))] = src
	}
	a.quoteMore(sources)
	return policy.Prepare(name, level, filepath.ToSlash(from.dir), files)
}

// quoteMore adds text that diagnostics may quote.
func (a *App) quoteMore(files map[string][]byte) {
	a.quoting.Lock()
	defer a.quoting.Unlock()
	merged := maps.Clone(a.sources)
	if merged == nil {
		merged = map[string][]byte{}
	}
	maps.Copy(merged, files)
	a.sources = merged
}

// policyRoot is the directory whose project files have the policies.
func (p *project) policyRoot() string {
	if p.ensemble != nil {
		return p.ensemble.root.rootDir()
	}
	return p.rootDir()
}

// judgement is what policy says about a plan, with what it was made from.
type judgement struct {
	policies []*policy.Policy
	about    map[string]any
	decision *policy.Decision
	document *policy.Document // while something is open
	shown    bool
	locate   func(string) *policy.Place
}

// holdToPolicy holds a plan to the policies that apply to it. It is done once; nil where
// there are none.
func (o *operation) holdToPolicy(ctx context.Context, l *loadedPlan, opts runOptions) (*judgement, diag.List) {
	if l.decided != nil {
		return l.decided, nil
	}
	j, diags := o.applicable(ctx, opts)
	if j == nil || diags.HasErrors() {
		return nil, diags
	}
	j.locate = locator(l.config)
	if d := l.encode(o.keyring); d.HasErrors() {
		return nil, d
	}
	data, err := jsonplan.Plan(l.plan, l.config, o.jsonOptions(ctx))
	if err != nil {
		return nil, diag.FromError(err)
	}
	if diags = append(diags, o.judgeDocument(ctx, j, data, l.plan.Digest)...); diags.HasErrors() {
		return nil, diags
	}
	l.decided = j
	return j, diags
}

// applicable finds the policies that apply here, and what they are told about
// the run; nil where there are none.
func (o *operation) applicable(ctx context.Context, opts runOptions) (*judgement, diag.List) {
	g := o.app.policies(o.policyRoot())
	if g.diags.HasErrors() {
		return nil, g.diags
	}
	j := &judgement{policies: slices.Clone(g.adHoc)}
	labels := map[string]string{}
	if g.declared != nil {
		if e := g.declared.Environments[o.environment]; e != nil {
			labels = e.Labels
		}
		for _, name := range sortedKeys(g.declared.Policies) {
			if g.declared.Policies[name].Applies(o.stack, labels) {
				j.policies = append(j.policies, g.ready[name])
			}
		}
	}
	if len(j.policies) == 0 {
		return nil, o.checkOverrides(nil)
	}
	j.about = map[string]any{
		"run": map[string]any{"kind": opts.kind, "parent": opts.parent}, "actor": actor(), "stack": o.stack,
		"environment": map[string]any{"name": o.environment, "labels": labels}, "time": time.Now().UTC().Format(time.RFC3339),
	}
	if opts.parent != "" {
		j.about["workflow"] = o.workflowOf(ctx, opts.parent)
	}
	return j, nil
}

// judgeDocument evaluates the policies on plan JSON. A rule that cannot be
// evaluated is an error: it must not let anything pass.
func (o *operation) judgeDocument(ctx context.Context, j *judgement, data []byte, digest string) diag.List {
	doc, err := policy.ParsePlan(data, j.about)
	if err != nil {
		return diag.Errorf("Cannot read plan JSON", "%s.", err)
	}
	var diags diag.List
	j.decision, diags = policy.Judge(ctx, j.policies, doc, policy.Options{Plan: digest, Stack: o.stack, Locate: j.locate, Now: time.Now().UTC()})
	if diags.HasErrors() {
		return diags
	}
	if j.decision.Open() {
		j.document = doc
	}
	return append(diags, o.checkOverrides(j.decision)...)
}

// workflowOf names the workflow that a run is a step of.
func (o *operation) workflowOf(ctx context.Context, run string) map[string]any {
	out := map[string]any{"run": run}
	store, diags := o.store(ctx)
	if diags.HasErrors() {
		return out
	}
	if parent, err := store.Run(ctx, run); err == nil && parent.Kind == runs.WorkflowKind {
		name, _, _ := strings.Cut(strings.TrimPrefix(parent.Summary, "workflow "), " ")
		out["name"] = strings.TrimRight(name, ",")
	}
	return out
}

// checkOverrides applies the overrides that were asked for. One for a policy that
// is about other stacks only has no effect here.
func (o *operation) checkOverrides(d *policy.Decision) diag.List {
	declared := o.app.policies(o.policyRoot()).declared
	var diags diag.List
	for _, text := range o.app.overrides {
		name, reason, _ := strings.Cut(text, "=")
		name, reason = strings.TrimPrefix(strings.TrimSpace(name), "policy."), strings.TrimSpace(reason)
		if declared != nil && declared.Budgets[strings.TrimPrefix(name, "budget.")] != nil {
			continue
		}
		if declared == nil || declared.Policies[name] == nil {
			diags = append(diags, diag.Errorf("No such budget or policy", "Option -override: there is no budget %q in this project, and no policy.", name)...)
			continue
		}
		level := declared.Policies[name].Enforcement
		switch {
		case reason == "":
			diags = append(diags, diag.Errorf("Override without a reason", "Option -override: %q must have the form POLICY=REASON. The reason is recorded with the run.", text)...)
		case level != string(policy.SoftMandatory):
			diags = append(diags, diag.Errorf("Policy cannot be overridden", "Option -override: The policy %q is %s: only soft-mandatory policies can be overridden.", name, level)...)
		case d != nil:
			d.Override(policy.Override{Policy: name, Actor: actor(), Reason: reason})
		}
	}
	return diags
}

// locator finds declarations of objects by address.
func locator(cfg *configs.Config) func(string) *policy.Place {
	return func(address string) *policy.Place {
		inst, err := addrs.ParseResourceInstance(address)
		if cfg == nil || err != nil {
			return nil
		}
		r := cfg.Resource(inst.Config())
		if r == nil {
			return nil
		}
		rng := r.DeclRange
		return &policy.Place{File: rng.Filename, Line: rng.Start.Line, Range: &rng}
	}
}

// decide judges a plan and shows what came out, once. The diagnostics have an
// error where the plan must not be carried out.
func (o *operation) decide(ctx context.Context, l *loadedPlan, opts runOptions) (*judgement, diag.List) {
	j, diags := o.holdToPolicy(ctx, l, opts)
	if j == nil || diags.HasErrors() {
		return nil, diags
	}
	if !j.shown {
		j.shown = true
		o.view.settle()
		o.view.decision(j.decision)
	}
	return j, append(diags, denied(j.decision)...)
}

// denied says which policies keep a plan from being carried out.
func denied(d *policy.Decision) diag.List {
	if !d.Blocked() {
		return nil
	}
	type count struct {
		level policy.Level
		n     int
	}
	by := map[string]count{}
	for _, f := range d.Findings {
		if f.Blocks() {
			by[f.Policy] = count{f.Level, by[f.Policy].n + 1}
		}
	}
	var lines []string
	hint := ""
	for _, name := range sortedKeys(by) {
		lines = append(lines, fmt.Sprintf("  - %s (%s): %s", name, by[name].level, countOf(by[name].n, "finding")))
		if by[name].level == policy.SoftMandatory && hint == "" {
			hint = fmt.Sprintf("\n\nA soft-mandatory policy can be overridden, which is recorded: -override='%s=REASON'.", name)
		}
	}
	return diag.Errorf("Denied by policy", "This plan must not be carried out. Nothing was changed. It is denied by:\n%s%s", strings.Join(lines, "\n"), hint)
}

// gate lets a plan pass that is about to be carried out, or not. The guard goes
// on judging what becomes known during the run; nil where nothing is left open.
func (o *operation) gate(ctx context.Context, l *loadedPlan, opts runOptions) (json.RawMessage, *guard, diag.List) {
	if opts.resume == "" {
		j, diags := o.decide(ctx, l, opts)
		if j == nil || diags.HasErrors() {
			return nil, nil, diags
		}
		guard, d := newGuard(o, l, j)
		return j.decision.Encode(), guard, append(diags, d...)
	}
	// The run passed when it began; what was overridden then stays so.
	j, diags := o.holdToPolicy(ctx, l, opts)
	if j == nil || diags.HasErrors() {
		return nil, nil, diags
	}
	raw, err := runs.Decision(ctx, o.opened, opts.resume)
	var before policy.Decision
	if err == nil && len(raw) > 0 && json.Unmarshal(raw, &before) == nil {
		for _, override := range before.Overrides {
			j.decision.Override(override)
		}
	}
	guard, d := newGuard(o, l, j)
	return nil, guard, append(diags, d...)
}

// findingDiag is a denial as a diagnostic.
func findingDiag(f policy.Finding) diag.Diagnostic {
	d := diag.Diagnostic{Severity: diag.Error, Summary: "Denied by policy", Address: f.Resource}
	d.Detail = fmt.Sprintf("%s\n\nPolicy %s (%s), rule %s.", f.Message, f.Policy, f.Level, f.Rule)
	if f.Fix != "" {
		d.Detail += "\nHow to fix it: " + f.Fix
	}
	if f.Source != nil {
		d.Subject = f.Source.Range
	}
	return d
}
