package cli

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
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Change implements [api.Work]: a change is a run of a workflow that is made for
// it.
func (w *serverWork) Change(ctx context.Context, who access.Identity, c api.Change) (runs.Run, error) {
	d, o, err := w.changing(ctx, who, c)
	if err != nil {
		return runs.Run{}, err
	}
	run, diags := w.runner.EnqueueWorkflow(ctx, d, o)
	return run, diags.Err()
}

// changing is the workflow of a change, and the run of it that is to be made.
func (w *serverWork) changing(ctx context.Context, who access.Identity, c api.Change) (d *flow.Definition, o runs.WorkflowOptions, err error) {
	p, err := w.Project(ctx)
	if err != nil {
		return nil, o, err
	}
	op := w.root()
	environment, diags := op.chooseEnvironment(p, c.Environment)
	if diags.HasErrors() {
		return nil, o, diags.Err()
	}
	op.environment, c.Environment = environment, environment
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
	for _, part := range parts {
		if err := w.Authorize(ctx, who, verb, environment, part.stack); err != nil {
			return nil, o, err
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
	d = flow.Compile(made, made.Workflows[changeName])
	var inputs map[string]cty.Value
	if c.Plan == "" && c.Configuration == "" { // else the variables are those of the plan, or of what was sent
		if inputs, diags = workflowInputs(made, d, environment, vars); diags.HasErrors() {
			return nil, o, diags.Err()
		}
	}
	overrides, diags := op.overridesOf(p, c.Overrides)
	if diags.HasErrors() {
		return nil, o, diags.Err()
	}
	budgets, policies, _ := overriding(overrides, p)
	for _, part := range parts {
		if c.Configuration != "" || !holdThere(p, budgets, policies, part.stack, environment) {
			continue
		}
		if err := w.Authorize(ctx, who, access.Override, environment, part.stack); err != nil {
			return nil, o, err
		}
	}
	run := runs.Run{ID: c.ID, Kind: runs.WorkflowKind, Key: op.key(), Actor: who.Subject, Authority: who.Authority(), Program: programVersion(), Summary: summary, Overrides: overrides, Source: c.Source}
	return d, runs.WorkflowOptions{Run: run, Environment: environment, Inputs: inputs}, nil
}

// variablesOf are the values that a change comes with, for the variables of the
// project. Those for a configuration that was sent, or a plain directory, which are read
// when it is planned, are kept until then, sealed, under the name returned.
func (w *serverWork) variablesOf(ctx context.Context, p *projects.Project, c api.Change) (vars *variableOptions, kept string, err error) {
	vars = &variableOptions{}
	if len(c.Variables) == 0 {
		return vars, "", nil
	}
	for _, v := range c.Variables {
		if v.File == "" {
			vars.given = append(vars.given, configs.GivenVariable{Text: v.Name + "=" + expressionOf(v.Value)})
			continue
		}
		content := append([]byte{}, v.Content...) // not nil: nothing is read here
		vars.given = append(vars.given, configs.GivenVariable{File: true, Text: v.File, Content: content})
	}
	if c.Configuration == "" && len(p.Stacks) > 0 {
		return vars, "", nil
	}
	data, err := json.Marshal(vars.given)
	if err != nil {
		return nil, "", err
	}
	kept = uuid.NewString()
	return &variableOptions{}, kept, w.runner.Store.Cache(ctx, givenPrefix+kept, data, true, time.Now().Add(sentFor))
}

// givenPrefix begins the keys of what [serverWork.variablesOf] keeps.
const givenPrefix = "given/"

// keptVariables finds what [serverWork.variablesOf] has kept.
func keptVariables(ctx context.Context, store *sqlite.Store, id string) (given []configs.GivenVariable, err error) {
	data, known, err := store.Cached(ctx, givenPrefix+id, time.Now())
	if err == nil && !known {
		err = actions.Errorf("Tutti.PlanFailed", "The values of variables that came with the change are kept no longer: ask for it again.")
	}
	if err != nil {
		return nil, err
	}
	return given, json.Unmarshal(data, &given)
}

// overridesOf are the overrides that a client asks for, as the option -override would
// have them. Whether somebody may override what, is asked where it is judged.
func (o *operation) overridesOf(p *projects.Project, list []api.Override) ([]runs.Override, diag.List) {
	for _, one := range list {
		o.app.overrides = append(o.app.overrides, one.Rule+"="+one.Reason)
	}
	return o.app.overridesFor(p)
}

// changePart is a stack that a change is of, and which of the others are applied
// before it.
type changePart struct {
	stack string
	needs []string
}

// parts are the stacks that a change is of, in the order they are applied. A change
// of several that comes to one is made a change of that one.
func (w *serverWork) parts(ctx context.Context, p *projects.Project, c *api.Change) ([]changePart, error) {
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
			if stack, _, ok := stackAddress(target); ok {
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
		needs = reversedNeeds(names, needs)
	}
	out := make([]changePart, len(order))
	for i, name := range order {
		out[i] = changePart{name, needs[name]}
	}
	return out, nil
}

// partsOfPlan are the stacks of a plan that was made before. It is applied as a
// whole.
func (w *serverWork) partsOfPlan(ctx context.Context, p *projects.Project, c *api.Change) ([]changePart, error) {
	store, ok := w.runner.Store.(*sqlite.Store)
	if !ok {
		return nil, fmt.Errorf("%w: no store of plans", api.ErrNotFound)
	}
	r := newStackRunner(w.root().project, nil)
	defer r.Close()
	r.root.opened = store
	shared, err := r.planned(ctx, c.Plan)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", api.ErrNotFound, err)
	case shared.plan.Environment != c.Environment:
		return nil, fmt.Errorf("%w: the plan was made for the environment %q", api.ErrConflict, shared.plan.Environment)
	case len(c.Stacks) > 0:
		return nil, fmt.Errorf("%w: a plan is applied as a whole: give either plan or stacks", api.ErrConflict)
	}
	c.Destroy = shared.plan.Kind == "destroy"
	var out []changePart
	for _, part := range shared.plan.Stacks {
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

// reversedNeeds turns the order of stacks round: what is needed waits for those
// that need it.
func reversedNeeds(names []string, needs map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, name := range names {
		for _, need := range needs[name] {
			out[need] = append(out[need], name)
		}
	}
	return out
}

// changeName is what the workflow of a change is called. It is no name that a
// project could give one of its own in a file of the name below.
const (
	changeName = "change"
	// directoryName is the stack that stands for a plain directory there.
	directoryName = "directory"
	changeFile    = ".change" + projects.Suffix
)

// isDirectory reports whether a stack stands for a plain directory, in a project
// that was made for a change of it. Its state is the directory's own.
func isDirectory(s *projects.Stack) bool {
	return s.Name == directoryName && filepath.Base(s.DeclRange.Filename) == changeFile
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
	if p.Workflows[changeName] != nil {
		return nil, "", diag.ErrorAt(p.Workflows[changeName].DeclRange, "Name is taken", "Changes of stacks are workflows called %q: give this one another name.", changeName)
	}
	var b strings.Builder
	names := make([]string, len(parts))
	for i, part := range parts {
		names[i] = part.stack
	}
	summary := strings.Join(names, ", ")
	if len(p.Stacks) == 0 {
		fmt.Fprintf(&b, "stack %q {\n  source = \"./\"\n}\n", directoryName)
	}
	if !c.Several && c.Stack == "" {
		names[0] = directoryName
	}
	fmt.Fprintf(&b, "workflow %q {\n", changeName)
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
			step, needs = applyStep(part.stack), "    needs = ["
			for _, need := range part.needs {
				needs += "step." + applyStep(need) + ", "
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

// applyStep is the step of a change of several stacks that applies one of them.
func applyStep(stack string) string { return "apply_" + stack }

// parsedChange is a project with the file of a change.
func parsedChange(p *projects.Project, text, summary string) (*projects.Project, string, diag.List) {
	files := map[string][]byte{filepath.Join(p.Dir, changeFile): []byte(text)}
	for name, src := range p.Files {
		files[name] = src
	}
	made, diags := projects.Parse(p.Dir, files)
	return made, summary, diags
}
