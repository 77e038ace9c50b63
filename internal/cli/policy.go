package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/policy/library"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/stacks"
)

func policyCommand() *command {
	return &command{
		name: "policy", summary: "Check plans against policies, and test policies",
		about: "Policies are Rego rules that every change has to pass. They are declared with policy blocks in project files.",
		sub:   []*command{policyCheckCommand(), policyTestCommand()},
	}
}

// policyCheckOptions are the flags of policy check.
type policyCheckOptions struct {
	operations.PlanOptions
	policyOptions
	plan, planJSON, format string
	upload                 bool
}

func policyCheckCommand() *command {
	return &command{
		name: "check", args: "[DIR]", summary: "Hold plans to the policies, and report", maxArgs: 1,
		about: "Judges a plan by the policies that apply to it and by those given with -policy, and reports. The plan is that of the directory, made now, or a saved one, or the output of \"terraform show -json\". In a project of stacks all are planned, or those chosen with -stack=NAME, and there is one report. Nothing is changed.\n\nThe exit code is 0 where nothing is denied: warnings, and what is known only after apply, are reported only. It is 1 where something is denied, and where it could not be judged.\n\nAgainst a server (TUTTI_ADDR) the project there is planned and judged, the files here (-upload), or a plan that the server keeps (-plan=DIGEST).",
		setup: func(f *flagSet) action {
			o := &policyCheckOptions{format: "text"}
			f.text(&o.plan, "plan", "FILE", "Judge this plan, saved by \"tutti plan -out\".")
			f.text(&o.planJSON, "plan-json", "FILE", "Judge this plan JSON, from \"terraform show -json\" or \"tutti show -json\"; - for standard input.")
			f.text(&o.format, "format", "FORMAT", "How to report: text, json, sarif or junit.")
			f.toggle(&o.upload, "upload", "Against a server ("+addressVariable+"): plan and judge the project as the files here have it, which are sent there.")
			o.policyOptions.register(f)
			registerPlan(f, &o.PlanOptions)
			return o.run
		},
	}
}

func (o *policyCheckOptions) run(ctx context.Context, app *App, args []string) int {
	report := views.PolicyReports[o.format]
	if report == nil {
		return app.failf("Unknown format", "Option -format: %q is none of text, json, sarif, junit.", o.format)
	}
	if o.plan != "" && o.planJSON != "" || len(args) > 0 && o.plan+o.planJSON != "" {
		return app.failf("Options that exclude each other", "Give one plan: a directory, -plan=FILE or -plan-json=FILE.")
	}
	for _, file := range []string{o.plan, o.planJSON} {
		if file == "" || file == "-" || app.remote != nil && file == o.plan { // there, plans have digests
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return app.failf("Cannot read plan file", "%s.", files.Reason(err))
		}
	}
	start, err := os.Getwd()
	if err != nil {
		return app.failf("Cannot find the working directory", "%s.", err)
	}
	if len(args) == 1 {
		for i, dir := range o.dirs {
			o.dirs[i] = gate.AbsolutePolicySource(dir)
		}
		if err := os.Chdir(args[0]); err != nil {
			return app.failf("Cannot change to another directory", "%s.", files.Reason(err))
		}
	}
	app.MorePolicies = o.policyOptions.dirs
	judge := o.judge
	if app.remote != nil {
		judge = o.judgeThere
	}
	decision, diags := judge(ctx, app)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	if decision == nil {
		return app.failf("No policy", "No policy applies to this plan. Declare one with a policy block in a *.tutti.hcl file, or give one with -policy=DIR.")
	}
	if len(args) == 1 {
		namePlacesFrom(start, decision)
	}
	if err := report(app.terminals().out, decision); err != nil {
		return app.failf("Cannot write the report", "%s.", err)
	}
	if decision.Blocked() {
		return exitFailed
	}
	return exitOK
}

// namePlacesFrom names the files in a decision as they are seen from a directory, where
// they are in it: reports are read where the command was given.
func namePlacesFrom(dir string, d *policy.Decision) {
	name := func(place *policy.Place) *policy.Place {
		if place == nil {
			return nil
		}
		full, err := filepath.Abs(place.File)
		if err != nil {
			return place
		}
		if _, err := os.Stat(full); err != nil {
			return place // it is no file: of the library, say
		}
		rel, err := filepath.Rel(dir, full)
		if err != nil || !filepath.IsLocal(rel) {
			return place
		}
		out := *place
		out.File = rel
		return &out
	}
	for i := range d.Findings {
		f := &d.Findings[i]
		f.Source, f.RuleAt = name(f.Source), name(f.RuleAt)
	}
}

// judge judges what the options name: the plan of one directory, or of several
// stacks.
func (o *policyCheckOptions) judge(ctx context.Context, app *App) (*policy.Decision, diag.List) {
	if o.plan != "" && startsWith(o.plan, stacks.IsPlan) {
		e, diags := app.openPlanOfStacks(ctx, o.plan, false, nil)
		if diags.HasErrors() {
			return nil, diags
		}
		defer e.Close()
		decision, d := o.decideAll(ctx, e, e.Shared.Kind)
		return decision, append(diags, d...)
	}
	var given []byte
	if o.planJSON != "" {
		var diags diag.List
		if given, diags = readPlanJSON(app, o.planJSON); diags.HasErrors() {
			return nil, diags
		}
		if doc := readPlanOfStacks(given); doc != nil {
			return o.decideParts(ctx, app, doc)
		}
		if _, err := policy.ParsePlan(given, nil); err != nil { // before asking for which stack it is
			return nil, diag.Errorf("Cannot read plan JSON", "%s: %s.", nameOfInput(o.planJSON), err)
		}
	}
	if o.plan+o.planJSON == "" {
		e, diags := app.openEnsembleOperation(false)
		if diags.HasErrors() {
			return nil, diags
		}
		if e != nil {
			defer e.Close()
			app.prose, e.View = false, operations.Silent{}
			if diags = e.Plan(ctx, &o.PlanOptions, o.Kind()); diags.HasErrors() {
				return nil, diags
			}
			decision, d := o.decideAll(ctx, e, o.Kind())
			return decision, append(diags, d...)
		}
	}
	if o.plan != "" {
		app.SelectStackOf(o.plan)
	}
	op, diags := app.openOperation(nil, false)
	if diags.HasErrors() {
		return nil, diags
	}
	defer op.Close()
	app.prose = false
	decision, d := o.decide(ctx, operations.New(op.Directory, operations.Silent{}), given)
	return decision, append(diags, d...)
}

// decideParts judges the JSON of a plan of several stacks, each by the policies for it:
// all of them, or those that are selected.
func (o *policyCheckOptions) decideParts(ctx context.Context, app *App, doc *stacksPlanJSON) (*policy.Decision, diag.List) {
	app.Environment = cmp.Or(app.Environment, doc.Environment)
	e, diags := app.OpenEnsemble()
	switch {
	case diags.HasErrors():
		return nil, diags
	case e == nil:
		return nil, diag.Errorf("No project", "The JSON is of a plan of several stacks, and no project is declared here whose stacks they could be. Give the \"plan\" of one of its \"stacks\".")
	}
	defer e.Close()
	app.prose = false
	var all []*policy.Decision
	found := map[string]bool{}
	for _, part := range doc.Stacks {
		if e.Declared.Stacks[part.Name] == nil {
			return nil, append(diags, diag.Errorf("Unknown stack", "The JSON has a plan of stack %q, which this project does not declare.", part.Name)...)
		}
		if found[part.Name] = true; len(app.Stacks) > 0 && !slices.Contains(e.Names, part.Name) {
			continue
		}
		decision, d := decideJSON(ctx, operations.New(e.Member(part.Name), operations.Silent{}), cmp.Or(doc.Kind, o.Kind()), part.Plan, part.Digest)
		if diags = append(diags, project.InStack(part.Name, d)...); decision != nil {
			all = append(all, decision)
		}
	}
	for _, name := range e.Names {
		if len(app.Stacks) > 0 && !found[name] {
			diags = append(diags, diag.Errorf("No plan of the stack", "The JSON has no plan of stack %q.", name)...)
		}
	}
	return policy.Join(all...), diags
}

// decideJSON judges plan JSON, of a run of some kind, by the policies that apply to where
// the operation is.
func decideJSON(ctx context.Context, op *operations.Operation, kind string, data []byte, digest string) (*policy.Decision, diag.List) {
	cfg, broken := op.ConfigOrEmpty(ctx)
	j, diags := op.Applicable(ctx, gate.Request{Kind: kind})
	if j == nil || diags.HasErrors() {
		return nil, diags
	}
	// The configuration beside it may be the one it was made from.
	if !broken.HasErrors() {
		j.Locate = gate.Locator(cfg)
	}
	if diags = append(diags, op.TellCost(j, func() ([]cost.Instance, error) { return cost.FromPlanJSON(data) })...); diags.HasErrors() {
		return nil, diags
	}
	if diags = append(diags, op.JudgeDocument(ctx, j, data, digest)...); diags.HasErrors() {
		return nil, diags
	}
	return j.Decision, diags
}

// decideAll judges the plans of several stacks. The decision is nil where no
// policy applies to any.
func (o *policyCheckOptions) decideAll(ctx context.Context, e *ensembleOperation, kind string) (*policy.Decision, diag.List) {
	e.app.prose = false
	var all []*policy.Decision
	var diags diag.List
	for _, name := range e.Names {
		j, d := e.Operation(name).HoldToPolicy(ctx, e.Plans[name], gate.Request{Kind: kind})
		if diags = append(diags, project.InStack(name, d)...); j != nil {
			all = append(all, j.Decision)
		}
	}
	return policy.Join(all...), diags
}

// decide judges the plan that the options name; given is plan JSON, where they name that.
func (o *policyCheckOptions) decide(ctx context.Context, op *operations.Operation, given []byte) (*policy.Decision, diag.List) {
	if o.planJSON != "" {
		return decideJSON(ctx, op, o.Kind(), given, "")
	}
	var l *gate.Plan
	var diags diag.List
	if o.plan != "" {
		if l, diags = operations.LoadPlanFile(op.Directory, o.plan); l != nil {
			diags = append(diags, madeFor(op, l.Plan.StateKey, "")...)
		}
	} else {
		in, d := op.PlanInput(ctx, &o.PlanOptions)
		if d.HasErrors() {
			return nil, d
		}
		l, diags = op.MakePlan(ctx, in)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	j, d := op.HoldToPolicy(ctx, l, gate.Request{Kind: operations.KindOf(l.Plan.Mode)})
	if diags = append(diags, d...); j == nil || diags.HasErrors() {
		return nil, diags
	}
	return j.Decision, diags
}

// readPlanJSON reads the file of an option that names plan JSON, and says what is there
// instead where it is no JSON object.
func readPlanJSON(app *App, name string) ([]byte, diag.List) {
	data, err := readFileOrInput(app, name)
	if err != nil {
		return nil, diag.Errorf("Cannot read plan", "%s.", files.Reason(err))
	}
	var object map[string]json.RawMessage
	err = json.Unmarshal(data, &object)
	var invalid *json.SyntaxError
	found := ""
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		found = "is empty"
	case errors.As(err, &invalid):
		found = fmt.Sprintf("is no JSON: %s, at byte %d", invalid, invalid.Offset)
	case err != nil || object == nil:
		found = "is no JSON object"
	default:
		return data, nil
	}
	return nil, diag.Errorf("Cannot read plan JSON", "%s %s. Give the output of \"terraform show -json PLAN\" or \"tutti show -json PLAN\".", nameOfInput(name), found)
}

// nameOfInput is a file as people are told of it.
func nameOfInput(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

func readFileOrInput(app *App, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(app.In)
	}
	return os.ReadFile(name)
}

// policyTestOptions are the flags of policy test.
type policyTestOptions struct {
	filter, junit string
	json, verbose bool
}

func policyTestCommand() *command {
	return &command{
		name: "test", args: "[DIR...]", summary: "Run the unit tests of policies", maxArgs: -1,
		about: "Runs the rules named test_NAME in the Rego files of directories, as \"opa test\" does, and says how much of the rules they reach. Without a directory, those of the policies that the project declares. The exit code is 1 where a test does not pass.",
		setup: func(f *flagSet) action {
			o := &policyTestOptions{}
			f.text(&o.filter, "filter", "PATTERN", "Only tests whose PACKAGE.NAME matches this regular expression.")
			f.text(&o.junit, "junit-xml", "FILE", "Write a report in JUnit's XML as well.")
			f.toggle(&o.verbose, "verbose", "Show tests that pass and lines that no test reaches too.")
			f.toggle(&o.json, "json", "Print results and coverage as JSON.")
			return o.run
		},
	}
}

func (o *policyTestOptions) run(ctx context.Context, app *App, dirs []string) int {
	if len(dirs) == 0 {
		var diags diag.List
		if dirs, diags = app.policyDirs(); diags.HasErrors() {
			return app.fail(diags)
		}
	}
	var results []views.PolicyTests
	for _, dir := range dirs {
		rules, err := policy.ReadDir(dir)
		if err != nil {
			return app.failf("Cannot read policy", "%s. Name directories with rules, or declare policies in the project's *%s files.", files.Reason(err), projects.Suffix)
		}
		sources := map[string][]byte{}
		for name, src := range rules {
			sources[filepath.ToSlash(filepath.Join(dir, filepath.FromSlash(name)))] = src
		}
		app.Quote(sources)
		list, cover, diags := policy.Test(ctx, filepath.ToSlash(dir), o.filter, rules)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		results = append(results, views.PolicyTests{Dir: dir, Tests: list, Coverage: cover})
	}
	if o.junit != "" {
		var report bytes.Buffer
		err := views.PolicyTestsJUnit(&report, results)
		if err == nil {
			err = files.Replace(o.junit, report.Bytes(), 0o644)
		}
		if err != nil {
			return app.fail(writeProblem(o.junit, err))
		}
	}
	failed := false
	for _, r := range results {
		failed = failed || r.Failed()
	}
	if o.json {
		if code := app.printJSONIndented(results); code != exitOK {
			return code
		}
	} else {
		app.terminals().out.PolicyTests(results, o.verbose)
	}
	if failed {
		return exitFailed
	}
	return exitOK
}

// policyDirs are the directories of the policies that the project declares.
func (a *App) policyDirs() ([]string, diag.List) {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return nil, diags
	}
	defer p.Close()
	root := p.PolicyRoot()
	g := gate.PoliciesIn(a.Session, root)
	if g.Declared == nil {
		return []string{"policy"}, nil
	}
	var out []string
	for _, name := range sortedKeys(g.Declared.Policies) {
		source := g.Declared.Policies[name].Source
		if _, shipped, _ := library.ParseSource(source); !shipped { // those are tested by its own tests
			out = append(out, filepath.Join(root, filepath.FromSlash(source)))
		}
	}
	if len(out) == 0 {
		return []string{"policy"}, nil
	}
	return out, nil
}
