package work

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Change implements [api.Work]: a change is a run of a workflow that is made for
// it.
func (w *Work) Change(ctx context.Context, who access.Identity, c api.Change) (runs.Run, error) {
	d, o, err := w.changing(ctx, who, c)
	if err != nil {
		return runs.Run{}, err
	}
	run, diags := w.runner.EnqueueWorkflow(ctx, d, o)
	return run, diags.Err()
}

// changing is the workflow of a change, and the run of it that is to be made.
func (w *Work) changing(ctx context.Context, who access.Identity, c api.Change) (d *flow.Definition, o runs.WorkflowOptions, err error) {
	p, err := w.Project(ctx)
	if err != nil {
		return nil, o, err
	}
	op := w.root()
	environment, diags := op.ChooseEnvironment(p, c.Environment)
	if diags.HasErrors() {
		return nil, o, diags.Err()
	}
	op.Environment, c.Environment = environment, environment
	if c.Configuration != "" {
		if err := w.maySpeculate(ctx, who, c.Configuration); err != nil {
			return nil, o, err
		}
	}
	vars, given, err := w.variablesOf(ctx, p, c)
	if err != nil {
		return nil, o, err
	}
	parts, err := w.parts(ctx, p, &c)
	if err != nil {
		return nil, o, err
	}
	verb := access.Plan
	if c.Apply {
		verb = access.Apply
		if c.Destroy {
			verb = access.Destroy
		}
	}
	verbs := []access.Verb{verb}
	if c.For != "" {
		verbs = append(verbs, project.VerbOf(c.For))
	}
	for _, part := range parts {
		for _, verb := range slices.Backward(verbs) {
			if err := w.Authorize(ctx, who, verb, environment, part.stack); err != nil {
				return nil, o, err
			}
		}
	}
	if c.Rollback != "" {
		undone, err := w.runner.Store.Run(ctx, c.Rollback)
		if err != nil {
			return nil, o, err
		}
		if undone.Machine() || undone.Key != (states.Key{Stack: c.Stack, Environment: environment}) {
			return nil, o, fmt.Errorf("%w: run %s changed nothing of this stack itself: roll back the run of its step that did", api.ErrConflict, undone.ID)
		}
		if !undone.Status.Ended() {
			return nil, o, fmt.Errorf("%w: run %s is %s: cancel it or let it end first", api.ErrConflict, undone.ID, undone.Status)
		}
	}
	made, summary, diags := changeWorkflow(p, c, parts, given)
	if diags.HasErrors() {
		return nil, o, diags.Err()
	}
	d = flow.Compile(made, made.Workflows[project.ChangeName])
	var inputs map[string]cty.Value
	if c.Plan == "" && c.Configuration == "" { // else the variables are those of the plan, or of what was sent
		if inputs, diags = operations.WorkflowInputs(made, d, environment, vars); diags.HasErrors() {
			return nil, o, diags.Err()
		}
	}
	overrides, diags := op.OverridesOf(p, c.Overrides)
	if diags.HasErrors() {
		return nil, o, diags.Err()
	}
	for _, part := range parts {
		if c.Configuration != "" || !gate.HoldThere(p, overrides, part.stack, environment) {
			continue
		}
		if err := w.Authorize(ctx, who, access.Override, environment, part.stack); err != nil {
			return nil, o, err
		}
	}
	run := runs.Run{ID: c.ID, Kind: runs.WorkflowKind, Key: op.Key(), Actor: who.Subject, Authority: who.Authority(), Program: project.ProgramVersion(), Summary: summary, Overrides: overrides, Source: c.Source}
	return d, runs.WorkflowOptions{Run: run, Environment: environment, Inputs: inputs}, nil
}

// variablesOf are the values that a change comes with, for the variables of the
// project. Those for a configuration that was sent, or a plain directory, which are read
// when it is planned, are kept until then, sealed, under the name returned.
func (w *Work) variablesOf(ctx context.Context, p *projects.Project, c api.Change) (vars *project.VariableOptions, kept string, err error) {
	vars = &project.VariableOptions{}
	if len(c.Variables) == 0 {
		return vars, "", nil
	}
	for _, v := range c.Variables {
		if v.File == "" {
			vars.Given = append(vars.Given, configs.GivenVariable{Text: v.Name + "=" + expressionOf(v.Value)})
			continue
		}
		content := append([]byte{}, v.Content...) // not nil: nothing is read here
		vars.Given = append(vars.Given, configs.GivenVariable{File: true, Text: v.File, Content: content})
	}
	if c.Configuration == "" && len(p.Stacks) > 0 {
		return vars, "", nil
	}
	data, err := json.Marshal(vars.Given)
	if err != nil {
		return nil, "", err
	}
	kept = uuid.NewString()
	return &project.VariableOptions{}, kept, w.runner.Store.Cache(ctx, operations.GivenPrefix+kept, data, true, time.Now().Add(operations.SentFor))
}

// changePart is a stack that a change is of, and which of the others are applied
// before it.
type changePart struct {
	stack string
	needs []string
}

// parts are the stacks that a change is of, in the order they are applied. A change
// of several that comes to one is made a change of that one.
func (w *Work) parts(ctx context.Context, p *projects.Project, c *api.Change) ([]changePart, error) {
	if c.Configuration != "" {
		// Its stacks are its own: access to those that are not named is asked for when
		// it is read.
		out := make([]changePart, len(c.Stacks))
		for i, name := range c.Stacks {
			out[i].stack = name
		}
		return out, nil
	}
	if c.Several && len(p.Stacks) == 0 && len(c.Stacks) == 0 {
		c.Several = false
	}
	switch {
	case !c.Several:
		if p.Stacks[c.Stack] == nil && (c.Stack != "" || len(p.Stacks) > 0) {
			return nil, fmt.Errorf("%w: the project declares no stack %q", api.ErrNotFound, c.Stack)
		}
		return []changePart{{stack: c.Stack}}, nil
	case c.Plan != "":
		return w.partsOfPlan(ctx, p, c)
	}
	graph, diags := stacks.NewGraph(p)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	wanted := c.Stacks
	if len(wanted) == 0 {
		for _, target := range c.Targets {
			if stack, _, ok := operations.StackAddress(target); ok {
				wanted = append(wanted, stack)
			}
		}
	}
	names, diags := graph.Select(wanted)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	if len(names) == 1 {
		c.Several, c.Stack = false, names[0]
		for _, list := range [][]string{c.Targets, c.Excludes, c.Replaces} {
			for i, address := range list {
				list[i] = strings.TrimPrefix(address, "stack."+c.Stack+".")
			}
		}
		return []changePart{{stack: c.Stack}}, nil
	}
	needs, order := graph.Among(names), slices.Clone(names)
	if c.Destroy {
		slices.Reverse(order)
		needs = operations.ReversedNeeds(names, needs)
	}
	out := make([]changePart, len(order))
	for i, name := range order {
		out[i] = changePart{name, needs[name]}
	}
	return out, nil
}

// partsOfPlan are the stacks of a plan that was made before. It is applied as a
// whole.
func (w *Work) partsOfPlan(ctx context.Context, p *projects.Project, c *api.Change) ([]changePart, error) {
	store, ok := w.runner.Store.(*sqlite.Store)
	if !ok {
		return nil, fmt.Errorf("%w: no store of plans", api.ErrNotFound)
	}
	r := operations.NewStackRunner(w.root().Directory, nil)
	defer r.Close()
	r.Root.Opened = store
	shared, err := r.Planned(ctx, c.Plan)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", api.ErrNotFound, err)
	case shared.Plan.Environment != c.Environment:
		return nil, fmt.Errorf("%w: the plan was made for the environment %q", api.ErrConflict, shared.Plan.Environment)
	case len(c.Stacks) > 0:
		return nil, fmt.Errorf("%w: a plan is applied as a whole: give either plan or stacks", api.ErrConflict)
	}
	c.Destroy = shared.Plan.Kind == "destroy"
	var out []changePart
	for _, part := range shared.Plan.Stacks {
		if p.Stacks[part.Name] == nil {
			return nil, fmt.Errorf("%w: the project declares no stack %q any more", api.ErrConflict, part.Name)
		}
		out = append(out, changePart{part.Name, part.Needs})
	}
	if len(out) == 1 {
		c.Several, c.Stack = false, out[0].stack
	}
	return out, nil
}

// literal is text as an expression in which nothing is evaluated: who asks for a
// change may say what, and not what the project's files would do.
func literal(text string) string {
	return strconv.Quote(strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text))
}

// literals is a list of such.
func literals(list []string) string {
	quoted := make([]string, len(list))
	for i, text := range list {
		quoted[i] = literal(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// changeWorkflow adds the workflow of a change to a project's files. What it returns
// is the digest of the plan and what the plan does. given names values of variables
// that are kept for it; empty for none.
func changeWorkflow(p *projects.Project, c api.Change, parts []changePart, given string) (*projects.Project, string, diag.List) {
	if p.Workflows[project.ChangeName] != nil {
		return nil, "", diag.ErrorAt(p.Workflows[project.ChangeName].DeclRange, "Name is taken", "Changes of stacks are workflows called %q: give this one another name.", project.ChangeName)
	}
	var b strings.Builder
	names := make([]string, len(parts))
	for i, part := range parts {
		names[i] = part.stack
	}
	summary := strings.Join(names, ", ")
	if len(p.Stacks) == 0 {
		fmt.Fprintf(&b, "stack %q {\n  source = \"./\"\n}\n", project.DirectoryName)
	}
	if !c.Several && c.Stack == "" {
		names[0] = project.DirectoryName
	}
	fmt.Fprintf(&b, "workflow %q {\n", project.ChangeName)
	kind, plan := "apply", literal(c.Plan)
	switch {
	case !c.Apply:
		kind = "plan"
	case c.Repair:
		kind = "repair"
	case c.Destroy:
		kind = "destroy"
	case c.RefreshOnly:
		kind = "refresh"
	}
	if c.Plan == "" {
		which := "stacks  = " + literals(names)
		switch {
		case c.Configuration != "":
			which += "\n      configuration = " + literal(c.Configuration)
		case !c.Several:
			which = "stack   = stack." + names[0]
		}
		fmt.Fprintf(&b, "  step \"plan\" {\n    plan {\n      %s\n      destroy = %t\n      refresh = %t\n", which, c.Destroy, c.Refresh)
		if c.RefreshOnly {
			b.WriteString("      refresh_only = true\n")
		}
		for _, list := range []struct {
			name      string
			addresses []string
		}{{"targets", c.Targets}, {"excludes", c.Excludes}, {"replaces", c.Replaces}} {
			if len(list.addresses) > 0 {
				fmt.Fprintf(&b, "      %s = %s\n", list.name, literals(list.addresses))
			}
		}
		for _, one := range [][2]string{{"rollback", c.Rollback}, {"given", given}} {
			if one[1] != "" {
				fmt.Fprintf(&b, "      %s = %s\n", one[0], literal(one[1]))
			}
		}
		b.WriteString("    }\n  }\n")
		for _, output := range []string{"add", "change", "destroy", "changes"} {
			fmt.Fprintf(&b, "  output %q {\n    value = step.plan.outputs.%[1]s\n  }\n", output)
		}
		plan = "step.plan.outputs.digest"
	}
	fmt.Fprintf(&b, "  output \"plan\" {\n    value = %s\n  }\n", plan)
	if c.Apply && c.Approve {
		fmt.Fprintf(&b, "  step \"approval\" {\n    approval {\n      plan = %s\n    }\n  }\n", plan)
		plan = "step.approval.outputs.plan"
	}
	for i, part := range parts {
		if !c.Apply {
			break
		}
		step, needs := "apply", ""
		if c.Several {
			step, needs = ApplyStep(part.stack), "    needs = ["
			for _, need := range part.needs {
				needs += "step." + ApplyStep(need) + ", "
			}
			needs = strings.TrimSuffix(needs, ", ") + "]\n"
		}
		fmt.Fprintf(&b, "  step %q {\n%s    apply {\n      stack = stack.%s\n      plan  = %s\n    }\n  }\n", step, needs, names[i], plan)
	}
	b.WriteString("}\n")
	if c.Rollback != "" {
		return parsedChange(p, b.String(), "roll back run "+c.Rollback)
	}
	return parsedChange(p, b.String(), strings.TrimSpace(kind+" "+summary))
}

// ApplyStep is the step of a change of several stacks that applies one of them.
func ApplyStep(stack string) string { return "apply_" + stack }

// parsedChange is a project with the file of a change.
func parsedChange(p *projects.Project, text, summary string) (*projects.Project, string, diag.List) {
	files := map[string][]byte{filepath.Join(p.Dir, project.ChangeFile): []byte(text)}
	for name, src := range p.Files {
		files[name] = src
	}
	made, diags := projects.Parse(p.Dir, files)
	return made, summary, diags
}
