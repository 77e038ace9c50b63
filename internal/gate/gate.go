package gate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// The gate: every plan passes it on the way to a run, whoever made the plan and
// whatever asks for the run (operations.Operation.CarryOut). The policies are those of
// the project's files as they are now, not as they were when a plan was saved.

// Policies are the policies of a project, read once for all stacks that a
// command works on.
type Policies struct {
	once     sync.Once
	warned   sync.Once
	Declared *projects.Project // nil where there are no project files
	ready    map[string]*policy.Policy
	adHoc    []*policy.Policy
	diags    diag.List
	idle     diag.List // of policies that are never asked
	told     sync.Once // idle was
}

// policiesKey is where a session keeps the policies of a directory.
type policiesKey string

// PoliciesIn are those of the project in a directory.
func PoliciesIn(s *project.Session, root string) *Policies {
	kept, _ := s.Kept.LoadOrStore(policiesKey(root), &Policies{ready: map[string]*policy.Policy{}})
	g := kept.(*Policies)
	g.once.Do(func() { g.diags = g.load(s, root) })
	return g
}

func (g *Policies) load(s *project.Session, root string) diag.List {
	var diags diag.List
	if projects.Exists(root) {
		g.Declared, diags = projects.Load(root)
		if g.Declared != nil {
			s.Quote(g.Declared.Files)
		}
		if diags.HasErrors() {
			return diags
		}
		for _, name := range sortedKeys(g.Declared.Policies) {
			p := g.Declared.Policies[name]
			ready, d := readPolicy(s, p.Name, policy.Level(p.Enforcement), policySourceOf(root, p.Source).with(root, p), &p.SourceRange)
			diags = append(diags, d...)
			g.ready[name] = ready
			g.idle = append(g.idle, neverApplies(g.Declared, p)...)
		}
	}
	for _, dir := range s.MorePolicies {
		from := policySourceOf("", dir)
		p, d := readPolicy(s, from.name, policy.Mandatory, from, nil)
		diags = append(diags, d...)
		g.adHoc = append(g.adHoc, p)
	}
	return diags
}

// readPolicy reads and prepares a policy.
func readPolicy(s *project.Session, name string, level policy.Level, from policySource, at *hcl.Range) (*policy.Policy, diag.List) {
	files, err := from.read()
	var missing *fs.PathError
	if errors.As(err, &missing) && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no file or directory %s", missing.Path)
	}
	if err != nil {
		d := diag.Errorf("Cannot read policy", "The policy %q cannot be read: %s.", name, err)
		d[0].Subject = at
		return nil, d
	}
	sources := map[string][]byte{}
	for file, src := range files {
		sources[filepath.ToSlash(filepath.Join(from.dir, filepath.FromSlash(file)))] = src
	}
	s.Quote(sources)
	in := policy.Source{Dir: filepath.ToSlash(from.dir), Files: files, Decisions: from.decisions}
	for _, dir := range from.data {
		more, err := policy.ReadData(dir)
		if err != nil {
			d := diag.Errorf("Cannot read policy", "The data of policy %q cannot be read: %s.", name, err)
			d[0].Subject = at
			return nil, d
		}
		in.Data = append(in.Data, policy.Source{Dir: filepath.ToSlash(dir), Files: more})
		for file, src := range more {
			sources["data "+dir+" "+file] = src
		}
	}
	key := policyKeyOf(name, level, from.decisions, sources)
	if ready, ok := s.Kept.Load(key); ok {
		return ready.(*policy.Policy), nil
	}
	ready, diags := policy.PrepareSource(name, level, in)
	if !diags.HasErrors() {
		s.Kept.Store(key, ready)
	}
	return ready, diags
}

// policyKey is where a session keeps a policy that is prepared: it tells policies apart
// by all that they are made of.
type policyKey [sha256.Size]byte

func policyKeyOf(name string, level policy.Level, decisions []string, sources map[string][]byte) policyKey {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %q", name, level, decisions)
	for _, file := range sortedKeys(sources) {
		_, _ = fmt.Fprintf(h, " %q %q", file, sources[file])
	}
	return policyKey(h.Sum(nil))
}

// ReadRulesAnew has policies, prices and budgets read again: what is carried out
// next, by a process that has been working for long, is held to what the files have
// then.
func ReadRulesAnew(p *project.Directory) {
	root := p.CostRoot()
	root.Session.Kept.Delete(pricesKey(root.RootDir()))
	p.Session.Kept.Delete(policiesKey(p.PolicyRoot()))
}

// Request is what is asked of the gate.
type Request struct {
	Kind   string // of run: apply, destroy, refresh, import, rollback, …
	Parent string // the run that it is a step of; empty for none
	Resume string // the run that is gone on with; empty for a new one
}

// Judgement is what policy says about a plan, with what it was made from.
type Judgement struct {
	policies []*policy.Policy
	about    map[string]any
	Decision *policy.Decision
	hidden   []json.RawMessage // what is not to be shown, beside what the plan JSON says
	judged   *policy.Document  // while something is open
	rest     *policy.Rest      // of judged; see apart
	shown    bool
	Locate   locating
	// estimate is the cost that the policies are told; nil where none looks at it.
	estimate *cost.Estimate
}

// tell puts what a plan costs into what the policies are told.
func (j *Judgement) tell(e *cost.Estimate) {
	j.estimate, j.about = e, maps.Clone(j.about)
	j.about["cost"], j.about["cost_unknown"] = e.Document()
}

// HoldToPolicy holds a plan to the policies that apply to it. It is done once; nil where
// there are none.
func (c *Case) HoldToPolicy(ctx context.Context, l *Plan, r Request) (*Judgement, diag.List) {
	if l.Decided != nil {
		return l.Decided, nil
	}
	j, diags := c.Applicable(ctx, r)
	if j == nil || diags.HasErrors() {
		return nil, diags
	}
	j.Locate, j.hidden = locatorIn(c.Directory, l.Config), sensitiveInputs(l.Plan)
	if d := l.Encode(c.Keyring); d.HasErrors() {
		return nil, d
	}
	data, err := jsonplan.Plan(l.Plan, l.Config, c.JSONOptions(ctx))
	if err != nil {
		return nil, diag.FromError(err)
	}
	if diags = append(diags, c.TellCost(j, func() ([]cost.Instance, error) { return cost.FromPlan("", l.Plan, regionsOf(l)), nil })...); diags.HasErrors() {
		return nil, diags
	}
	if diags = append(diags, c.JudgeDocument(ctx, j, data, l.Plan.Digest)...); diags.HasErrors() {
		return nil, diags
	}
	l.Decided = j
	return j, diags
}

// Applicable finds the policies that apply here, and what they are told about
// the run; nil where there are none. Warnings about policies are given once.
func (c *Case) Applicable(ctx context.Context, r Request) (*Judgement, diag.List) {
	g := PoliciesIn(c.Session, c.PolicyRoot())
	if g.diags.HasErrors() {
		return nil, g.diags
	}
	var diags diag.List
	g.warned.Do(func() { diags = g.diags })
	g.told.Do(func() { c.Session.Show(g.idle) })
	j := &Judgement{policies: slices.Clone(g.adHoc)}
	labels := map[string]string{}
	if g.Declared != nil {
		if choosesEnvironments(g.Declared) {
			// One that is not declared would be one that no rule is for.
			if diags := stacks.CheckEnvironment(g.Declared, c.Environment); diags.HasErrors() {
				return nil, diags
			}
		}
		if e := g.Declared.Environments[c.Environment]; e != nil {
			labels = e.Labels
		}
		for _, name := range sortedKeys(g.Declared.Policies) {
			if g.Declared.Policies[name].Applies(c.Stack, labels) {
				j.policies = append(j.policies, g.ready[name])
			}
		}
	}
	if len(j.policies) == 0 {
		return nil, c.overridePolicies(nil)
	}
	j.about = map[string]any{
		"run": map[string]any{"kind": r.Kind, "parent": r.Parent}, "stack": c.Stack,
		"environment": map[string]any{"name": c.Environment, "labels": labels}, "time": time.Now().UTC().Format(time.RFC3339),
	}
	if diags := c.whoAsks(j.about); diags.HasErrors() {
		return nil, diags
	}
	if r.Parent != "" {
		j.about["workflow"] = c.workflowOf(ctx, r.Parent)
	}
	return j, diags
}

// whoAsks tells policies who wants something done: the subject of grants, its
// groups and its roles.
func (c *Case) whoAsks(about map[string]any) diag.List {
	who, _ := c.Who()
	declared, diags := c.Session.Policy()
	if diags.HasErrors() {
		return diags
	}
	about["actor"], about["groups"], about["roles"] = who.Subject, append([]string{}, who.Groups...), append([]string{}, declared.RolesOf(who)...)
	return nil
}

// TellCost prices resources for the policies, where a rule may look at that. What
// cannot be priced then stops the plan: nobody knows what the rule would say.
func (c *Case) TellCost(j *Judgement, list func() ([]cost.Instance, error)) diag.List {
	if !slices.ContainsFunc(j.policies, func(p *policy.Policy) bool { return p.Mentions("tutti") }) {
		return nil
	}
	prices, diags := PricingOf(c.Directory)
	if diags.HasErrors() {
		return diags
	}
	resources, err := list()
	if err != nil {
		return diag.FromError(err)
	}
	e, diags := prices.Estimate(resources)
	if diags.HasErrors() {
		return diags
	}
	j.tell(e)
	return nil
}

// JudgeDocument evaluates the policies on plan JSON. A rule that cannot be
// evaluated is an error: it must not let anything pass.
func (c *Case) JudgeDocument(ctx context.Context, j *Judgement, data []byte, digest string) diag.List {
	doc, err := j.document(data)
	if err != nil {
		return diag.Errorf("Cannot read plan JSON", "%s.", err)
	}
	var diags diag.List
	j.Decision, diags = policy.Judge(ctx, j.policies, doc, policy.Options{Plan: digest, Stack: c.Stack, Locate: j.Locate, Now: time.Now().UTC()})
	if diags.HasErrors() {
		return diags
	}
	if j.Decision.Open() {
		j.judged = doc
	}
	if j.estimate != nil {
		j.Decision.Cost = EventData(costEvent{Totals: j.estimate.Totals, Unknown: j.estimate.Unknown})
	}
	return append(diags, c.overridePolicies(j.Decision)...)
}

// apart is what was judged without its objects, where something is open.
func (j *Judgement) apart() (*policy.Rest, error) {
	var err error
	if j.rest == nil {
		j.rest, err = j.judged.Rest()
		j.judged = nil // it is large
	}
	return j.rest, err
}

// document is the plan as policies see it.
func (j *Judgement) document(data []byte) (*policy.Document, error) {
	doc, err := policy.ParsePlan(data, j.about)
	for _, value := range j.hidden {
		if err == nil {
			err = doc.Hide(value)
		}
	}
	return doc, err
}

// sensitiveInputs are the parts of the variables' values that are marked as sensitive
// by who gave them, a project that gives its secrets for one. Plan JSON says that only
// of what is declared so.
func sensitiveInputs(p *plans.Plan) (out []json.RawMessage) {
	for _, name := range sortedKeys(p.Variables) {
		if p.Variables[name].Value == cty.NilVal {
			continue
		}
		bare, marked := p.Variables[name].Value.UnmarkDeepWithPaths()
		for _, m := range marked {
			v, err := m.Path.Apply(bare)
			if _, sensitive := m.Marks[marks.Sensitive]; !sensitive || err != nil || !v.IsWhollyKnown() {
				continue
			}
			if data, err := ctyjson.Marshal(v, v.Type()); err == nil {
				out = append(out, data)
			}
		}
	}
	return out
}

// workflowOf names the workflow that a run is a step of.
func (c *Case) workflowOf(ctx context.Context, run string) map[string]any {
	out := map[string]any{"run": run}
	store, diags := c.Store(ctx)
	if diags.HasErrors() {
		return out
	}
	if parent, err := store.Run(ctx, run); err == nil && parent.Kind == runs.WorkflowKind {
		name, _, _ := strings.Cut(strings.TrimPrefix(parent.Summary, "workflow "), " ")
		out["name"] = strings.TrimRight(name, ",")
	}
	return out
}

// neverApplies warns of a policy whose labels no environment has: most likely one is
// not written as it should be, and the policy keeps nothing out.
func neverApplies(p *projects.Project, declared *projects.Policy) diag.List {
	if len(declared.When) == 0 {
		return nil
	}
	for _, e := range p.Environments {
		if declared.Chooses(e.Labels) {
			return nil
		}
	}
	var want []string
	for _, name := range sortedKeys(declared.When) {
		want = append(want, fmt.Sprintf("%s = %q", name, declared.When[name]))
	}
	d := diag.Warningf("Policy never applies", "The policy %q is for environments with the labels %s, and this project declares none that has them: it denies nothing.", declared.Name, strings.Join(want, ", "))
	d[0].Subject = &declared.DeclRange
	return d
}

// choosesEnvironments reports whether policies or budgets are for some environments
// only.
func choosesEnvironments(p *projects.Project) bool {
	for _, declared := range p.Policies {
		if len(declared.When) > 0 {
			return true
		}
	}
	for _, b := range p.Budgets {
		if len(b.Environments) > 0 {
			return true
		}
	}
	return false
}

// locating finds where an attribute of an object is set, or the object is declared.
type locating func(address, attribute string) *policy.Place

// Locator finds what is in a configuration.
func Locator(cfg *configs.Config) locating {
	return func(address, attribute string) *policy.Place {
		inst, err := addrs.ParseResourceInstance(address)
		if cfg == nil || err != nil {
			return nil
		}
		r := cfg.Resource(inst.Config())
		if r == nil {
			return nil
		}
		rng, ok := r.AttributeRange(attribute)
		if !ok {
			rng = r.DeclRange
		}
		return &policy.Place{File: rng.Filename, Line: rng.Start.Line, Range: &rng}
	}
}

// locatorIn finds declarations as whoever wrote the files knows them: what a client
// sent is not where it was unpacked to.
func locatorIn(p *project.Directory, cfg *configs.Config) locating {
	locate := Locator(cfg)
	if p.Ensemble == nil || p.Ensemble.Host == nil {
		return locate
	}
	return func(address, attribute string) *policy.Place {
		place := locate(address, attribute)
		if place == nil {
			return nil
		}
		out := *place
		out.File = p.Ensemble.SentName(out.File)
		if place.Range != nil {
			rng := *place.Range
			rng.Filename = out.File
			out.Range = &rng
		}
		return &out
	}
}

// Decide judges a plan and shows what came out, once. The diagnostics have an
// error where the plan must not be carried out.
func (c *Case) Decide(ctx context.Context, l *Plan, r Request) (*Judgement, diag.List) {
	j, diags := c.HoldToPolicy(ctx, l, r)
	if j == nil || diags.HasErrors() {
		return nil, diags
	}
	if !j.shown {
		j.shown = true
		c.view.Settle()
		c.view.Decision(j.Decision)
	}
	return j, append(diags, Denied(j.Decision, "This plan must not be carried out.")...)
}

// Foretell shows what policy says of a plan that is not carried out yet. What is
// against it, or cannot be judged, is a warning: it is judged again then.
func (c *Case) Foretell(ctx context.Context, l *Plan, r Request) diag.List {
	_, diags := c.Decide(ctx, l, r)
	for i := range diags {
		diags[i].Severity = diag.Warning
	}
	return diags
}

// Denied says which policies keep something from being done.
func Denied(d *policy.Decision, mustNot string) diag.List {
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
	var lines, options []string
	for _, name := range sortedKeys(by) {
		lines = append(lines, fmt.Sprintf("  - %s (%s): %s", name, by[name].level, diag.CountOf(by[name].n, "finding")))
		if by[name].level == policy.SoftMandatory {
			options = append(options, overrideOption(name))
		}
	}
	hint := ""
	switch {
	case len(options) < len(by): // where one cannot be overridden, the others need not be
	case len(options) == 1:
		hint = "\n\nA soft-mandatory policy can be overridden, which is recorded: " + options[0] + "."
	default:
		hint = "\n\nSoft-mandatory policies can be overridden, which is recorded: " + strings.Join(options, " ") + "."
	}
	return diag.Errorf("Denied by policy", "%s Nothing was changed. It is denied by:\n%s%s", mustNot, strings.Join(lines, "\n"), hint)
}

// Gate lets a plan pass that is about to be carried out, or not. The decision is
// nil where there are no policies, and for runs that are resumed: it was kept when
// they began. The guard goes on judging what becomes known during the run; nil
// where nothing is left open.
func (c *Case) Gate(ctx context.Context, l *Plan, r Request) (*policy.Decision, *Guard, diag.List) {
	if r.Resume == "" {
		j, diags := c.Decide(ctx, l, r)
		if j == nil || diags.HasErrors() {
			return nil, nil, diags
		}
		guard, d := newGuard(c, l, j)
		return j.Decision, guard, append(diags, d...)
	}
	// The run passed when it began; what was overridden then stays so. It is judged
	// as its own, whoever goes on with it.
	run, err := c.Opened.Run(ctx, r.Resume)
	if err != nil {
		return nil, nil, diag.FromError(err)
	}
	own := *c
	own.actor, own.overrides = run.Actor, []runs.Override{}
	j, diags := own.HoldToPolicy(ctx, l, r)
	if j == nil || diags.HasErrors() {
		return nil, nil, diags
	}
	raw, err := runs.Decision(ctx, c.Opened, r.Resume)
	var before policy.Decision
	if err == nil && len(raw) > 0 && json.Unmarshal(raw, &before) == nil {
		for _, override := range before.Overrides {
			j.Decision.Override(override)
		}
	}
	guard, d := newGuard(c, l, j)
	return nil, guard, append(diags, d...)
}

// DeniedBecause says in one line what keeps a plan from being carried out.
func DeniedBecause(d *policy.Decision) string {
	text, more := "", -1
	for _, f := range d.Findings {
		if !f.Blocks() {
			continue
		}
		if more++; more == 0 {
			text = fmt.Sprintf("%s (policy %s, rule %s)", diag.FirstLine(f.Message), f.Policy, f.Rule)
		}
	}
	if more > 0 {
		text += ", and " + diag.CountOf(more, "more finding")
	}
	return text
}

// findingDiag is what is found during a run, as a diagnostic. made says that the
// object was there before it could be judged.
func findingDiag(f policy.Finding, made bool) diag.Diagnostic {
	d := diag.Diagnostic{Severity: diag.Error, Summary: "Denied by policy", Address: f.Resource}
	if !f.Blocks() {
		d.Severity, d.Summary = diag.Warning, "Policy "+f.Policy+" warns"
	}
	d.Detail = f.Message + "\n"
	line := func(name, text string) {
		if text != "" {
			d.Detail += fmt.Sprintf("\n%-9s  %s", name, text)
		}
	}
	line("attribute", f.Attribute)
	line("fix", f.Fix)
	rule := fmt.Sprintf("%s (%s), rule %s", f.Policy, f.Level, f.Rule)
	if f.RuleAt != nil {
		rule += fmt.Sprintf(" at %s:%d", f.RuleAt.File, f.RuleAt.Line)
	}
	line("policy", rule)
	switch {
	case made && f.Blocks():
		d.Detail += "\n\nThis could be known only afterwards: the change was made."
	case f.Blocks() && f.Level == policy.SoftMandatory:
		d.Detail += "\n\nA soft-mandatory policy can be overridden, which is recorded: " + overrideOption(f.Policy) + "."
	}
	if f.Source != nil {
		d.Subject = f.Source.Range
	}
	return d
}

// overrideOption is what overrides a policy.
func overrideOption(name string) string { return fmt.Sprintf("-override='%s=REASON'", name) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
