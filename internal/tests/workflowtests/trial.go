package workflowtests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/tests"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// runID is what the run of a test is called: what is random in it follows from
// that, and is the same every time.
const runID = "test"

// errStopped ends a test about which a diagnostic has said everything.
var errStopped = errors.New("stopped")

// trial is one test.
type trial struct {
	options Options
	file    *projects.TestFile
	test    *projects.Test
	result  *tests.RunResult
	shared  *sharedMocks

	w         *world
	workflow  *projects.Workflow
	functions map[string]function.Function
	inputs    map[string]cty.Value
	sensitive map[string]bool // of the inputs
	mocks     *mocks
	outcomes  map[sameOutputs]flow.Outcome
	stacks    map[string]cty.Value
	cache     map[string]cachedOutcome

	flows   []*flowRun  // in the order they began, the run under test first
	machine *machineRun // nil unless a state machine is tested
	done    map[*projects.TestAct]bool
}

type cachedOutcome struct {
	out     flow.Outcome
	expires time.Time
}

// run carries the test out and judges it.
func (t *trial) run(ctx context.Context) {
	t.result.Status = tests.Error
	t.w = newWorld(ctx, t.test.Start)
	t.mocks = newMocks(t.test.Mocks, t.file.Mocks)
	t.stacks, t.cache = map[string]cty.Value{}, map[string]cachedOutcome{}
	t.outcomes = map[sameOutputs]flow.Outcome{}
	t.done, t.sensitive = map[*projects.TestAct]bool{}, map[string]bool{}
	t.functions = functions.Table(functions.Options{BaseDir: t.options.Project.Dir, PlanTimestamp: t.test.Start})
	root := t.prepare()
	if root == nil || t.result.Diags.HasErrors() {
		return
	}
	t.schedule()
	t.w.until(root)
	t.result.Trace = t.trace(root)
	if t.w.wrong != nil {
		if !errors.Is(t.w.wrong, errStopped) {
			t.add(diag.ErrorAt(t.test.DeclRange, "Test cannot be carried out", "%s", t.w.wrong))
		}
		return
	}
	t.result.Status = tests.Pass
	t.judge(root)
	t.unused()
}

// prepare finds the workflow, checks the test against it and makes the run.
func (t *trial) prepare() *run {
	p := t.options.Project
	ref := t.test.Workflow
	if t.workflow = p.Workflows[ref.Name]; t.workflow == nil {
		t.add(diag.ErrorAt(ref.Range, "No such workflow", "This project has no workflow %q. It has: %s.", ref.Name, strings.Join(append(sortedKeys(p.Workflows), "none else"), ", ")))
		return nil
	}
	if e := t.test.Environment; e != "" && p.Environments[e] == nil && len(p.Environments) > 0 {
		t.add(diag.ErrorAt(t.test.EnvironmentRange, "No such environment", "This project has no environment %q. It has: %s.", e, strings.Join(sortedKeys(p.Environments), ", ")))
	}
	t.add(t.options.Check(ref.Name))
	if t.result.Diags.HasErrors() {
		return nil
	}
	t.stackValues()
	if t.workflow.Definition != "" {
		return t.prepareMachine()
	}
	d := flow.Compile(p, t.workflow)
	t.checkMocks(func(address string) string { return checkStep(d, address) })
	t.checkActs(d)
	if t.test.Input != nil {
		t.add(diag.ErrorAt(t.test.Input.Range(), "Not a state machine", "The workflow %q takes variables, not an input.", t.workflow.Name))
	}
	t.inputs = t.variables(d)
	if t.result.Diags.HasErrors() {
		return nil
	}
	f := t.newFlowRun(d, runID, "", t.inputs, nil)
	f.start()
	return f.r
}

func (t *trial) prepareMachine() *run {
	p := t.options.Project
	d, err := asl.Parse(p.Files[p.DefinitionFile(t.workflow)])
	if err != nil {
		t.add(diag.ErrorAt(t.workflow.DefinitionRange, "Invalid state machine", "%s.", err))
		return nil
	}
	states := d.States()
	t.checkMocks(func(name string) string {
		kind, there := states[name]
		switch {
		case !there:
			return fmt.Sprintf("There is no state %q in the state machine of the workflow %q. There are: %s.", name, t.workflow.Name, strings.Join(sortedKeys(states), ", "))
		case kind != "Task" && kind != "Map":
			return fmt.Sprintf("The state %q is of the type %s, which does nothing outside: it is carried out as it stands.", name, kind)
		}
		return ""
	})
	for _, a := range t.test.Acts {
		if a.Kind != "cancel" {
			t.add(diag.ErrorAt(a.DeclRange, "Nothing takes this", "A state machine waits for no signals and no approvals: mock the task that waits for its token."))
		}
	}
	for _, name := range sortedKeys(t.test.Variables) {
		t.add(diag.ErrorAt(t.test.Variables[name].Range(), "Not a workflow with variables", "A state machine takes an input, a JSON value: input = { ... }."))
		break
	}
	input := json.RawMessage("{}")
	if t.test.Input != nil {
		v, diags := t.test.Input.Value(t.context())
		t.add(diag.FromHCL(diags))
		input = jsonOf(v)
	}
	if t.result.Diags.HasErrors() {
		return nil
	}
	t.machine = t.newMachineRun(d)
	t.machine.start(input)
	return t.machine.r
}

// checkMocks reports mocks that fit nothing.
func (t *trial) checkMocks(check func(address string) string) {
	for _, m := range t.test.Mocks {
		if wrong := check(m.Step); wrong != "" {
			t.add(diag.ErrorAt(m.StepRange, "Mock of what cannot be mocked", "%s", wrong))
		}
	}
	for _, m := range t.file.Mocks {
		if wrong := check(m.Step); wrong != "" {
			t.shared.wrong[m] = wrong
		} else {
			t.shared.known[m] = true
		}
	}
}

// checkActs reports decisions about steps that are no approvals.
func (t *trial) checkActs(d *flow.Definition) {
	for _, a := range t.test.Acts {
		if a.Step == "" {
			continue
		}
		action, wrong := resolve(d, a.Step)
		switch {
		case wrong != "":
			t.add(diag.ErrorAt(a.StepRange, "No such step", "%s", wrong))
		case a.Kind == "signal" && action.Kind != "workflow":
			t.add(diag.ErrorAt(a.StepRange, "No run of its own", "The step of a signal is the one whose workflow hears it, and %q runs none. Leave it out: every wait of a run hears its signals.", a.Step))
		case a.Kind != "signal" && action.Kind != "approval":
			t.add(diag.ErrorAt(a.StepRange, "Not an approval", "The step %q asks for no approval.", a.Step))
		}
	}
}

// context is where expressions of the test are evaluated.
func (t *trial) context() *hcl.EvalContext {
	vars := map[string]cty.Value{}
	for name, v := range t.inputs {
		if t.sensitive[name] {
			v = v.Mark(marks.Sensitive)
		}
		vars[name] = v
	}
	return &hcl.EvalContext{Functions: t.functions, Variables: map[string]cty.Value{"var": object(vars)}}
}

// variables are the values the run is started with: those of the environment,
// then those of the test. Nothing comes from outside.
func (t *trial) variables(d *flow.Definition) map[string]cty.Value {
	p, declared := t.options.Project, d.Variables()
	given := map[string]hcl.Expression{}
	if e := p.Environments[t.test.Environment]; e != nil {
		for name, expr := range e.Variables {
			given[name] = expr
		}
	}
	for name, expr := range t.test.Variables {
		given[name] = expr
		if declared[name] == nil {
			t.add(diag.ErrorAt(expr.Range(), "Value for undeclared variable", "Neither the workflow %q nor the project declares a variable %q.", d.Workflow.Name, name))
		}
	}
	inputs := map[string]cty.Value{}
	ctx := &hcl.EvalContext{Functions: t.functions}
	for _, name := range sortedKeys(declared) {
		v := declared[name]
		in := configs.InputValue{Value: v.Default, Source: configs.FromCaller}
		if expr := given[name]; expr != nil {
			value, diags := expr.Value(ctx)
			t.add(diag.FromHCL(diags))
			if diags.HasErrors() {
				continue
			}
			rng := expr.Range()
			in.Value, in.Range = value, &rng
		} else if v.Required() {
			t.add(diag.ErrorAt(t.test.DeclRange, "No value for required variable", "The workflow %q needs a value for its variable %q: variables = { %[2]s = ... }.", d.Workflow.Name, name))
			continue
		}
		value, diags := configs.PrepareVariable(v, in)
		t.add(diags)
		inputs[name], t.sensitive[name] = value, v.Sensitive
	}
	if !t.result.Diags.HasErrors() {
		t.add(flow.CheckInputs(declared, inputs))
	}
	return inputs
}

// stackValues evaluates what stacks give.
func (t *trial) stackValues() {
	for _, list := range [][]*projects.TestStack{t.test.Stacks, t.file.Stacks} {
		for _, s := range list {
			if t.options.Project.Stacks[s.Name] == nil {
				t.add(diag.ErrorAt(s.NameRange, "No such stack", "There is no stack %q in this project.", s.Name))
				continue
			}
			if _, given := t.stacks[s.Name]; given || s.Outputs == nil {
				continue // a test's own comes first
			}
			v, diags := s.Outputs.Value(t.context())
			t.add(diag.FromHCL(diags))
			if !diags.HasErrors() && (v.IsNull() || !v.IsWhollyKnown() || !v.Type().IsObjectType()) {
				t.add(diag.ErrorAt(s.Outputs.Range(), "Unsuitable outputs", "The outputs of a stack are an object."))
			}
			t.stacks[s.Name] = v
		}
	}
}

// stackOutputs are what a stack gives: what the test says, or nulls.
func (t *trial) stackOutputs(name string) cty.Value {
	if v, given := t.stacks[name]; given {
		return v
	}
	if t.test.Required {
		t.problem("The outputs of the stack %q are needed, and mocks are required: write a block stack %q { outputs = { ... } }.", name, name)
		return cty.EmptyObjectVal
	}
	attrs := map[string]cty.Value{}
	if names, known := t.options.StackOutputs(name); known {
		for output := range names {
			attrs[output] = cty.NullVal(cty.DynamicPseudoType)
		}
	}
	if len(attrs) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(attrs)
}

func (t *trial) cached(key string) (flow.Outcome, bool) {
	c, ok := t.cache[key]
	if !ok || !c.expires.IsZero() && !c.expires.After(t.w.now) {
		return flow.Outcome{}, false
	}
	c.out.Cached = true
	return c.out, true
}

func (t *trial) keep(key string, out flow.Outcome, ttl time.Duration) {
	c := cachedOutcome{out: out}
	if ttl > 0 {
		c.expires = t.w.now.Add(ttl)
	}
	t.cache[key] = c
}

// schedule lets people and other systems act at their times.
func (t *trial) schedule() {
	for _, a := range t.test.Acts {
		if at, fixed := a.When(t.test.Start); fixed {
			t.w.at(at, acts, func() { t.act(a, nil, a.Step) })
		}
	}
}

// asked is told that a step waits for a signal: decisions without a time follow.
func (t *trial) asked(f *flowRun, key string) {
	for _, a := range t.test.Acts {
		if _, fixed := a.When(t.test.Start); fixed || a.Kind != "approve" && a.Kind != "reject" {
			continue
		}
		for _, name := range variants(f.r.prefix + key) {
			if a.Step == "" || a.Step == name {
				t.w.at(t.w.now.Add(a.After), acts, func() { t.act(a, f, key) })
				break
			}
		}
	}
}

// act does what a block says; f and name are the run and the step it is about,
// where f is nil they are to be found.
func (t *trial) act(a *projects.TestAct, f *flowRun, name string) {
	t.done[a] = true
	switch a.Kind {
	case "cancel":
		t.w.runs[""].cancel()
	case "signal":
		t.signal(a)
	default:
		problem := errors.New("no step of the run waits for an approval")
		for _, candidate := range t.flows {
			rest, ok := strings.CutPrefix(name, candidate.r.prefix)
			if f != nil && candidate != f || f == nil && (!ok && name != "") || candidate.r.finished {
				continue
			}
			if f != nil || name == "" {
				rest = name
			}
			// A test says who decides, not what they hold: it is about what follows.
			kind, d := workflow.SignalKind(a.Kind), workflow.Decision{Comment: a.Comment, Roles: []string{workflow.AnyRole}}
			d.Digest = candidate.machine.PlanAsked(rest)
			if _, err := candidate.machine.Approval(kind, rest, a.By, d); err != nil {
				if len(candidate.machine.Waiting()) > 0 {
					problem = err
				}
				continue
			}
			candidate.signal(workflow.Signal{Kind: kind, Name: rest, By: a.By, Data: encode(d)})
			return
		}
		t.add(diag.WarningAt(a.DeclRange, "Decision had no effect", "At %s of the test: %s.", tests.Lapse(t.w.now.Sub(t.test.Start)), problem))
	}
}

// signal tells a run of an event.
func (t *trial) signal(a *projects.TestAct) {
	prefix := ""
	if a.Step != "" {
		prefix = a.Step + "."
	}
	for _, f := range t.flows {
		if f.r.prefix != prefix || f.r.finished {
			continue
		}
		data := json.RawMessage("null")
		if a.Data != nil {
			v, diags := a.Data.Value(t.context())
			t.add(diag.FromHCL(diags))
			if diags.HasErrors() {
				t.w.wrong = errStopped
				return
			}
			data = jsonOf(v)
		}
		f.signal(workflow.Signal{Kind: workflow.SignalEvent, Name: a.Event, By: a.By, Data: data})
		return
	}
	t.add(diag.WarningAt(a.DeclRange, "Signal had no effect", "At %s of the test, there is no run of the step %q.", tests.Lapse(t.w.now.Sub(t.test.Start)), a.Step))
}

func (f *flowRun) signal(s workflow.Signal) {
	s.Time = f.t.w.now
	f.r.enter(workflow.SignalReceived, -1, encode(s))
}

// unused warns of what had no part in the test.
func (t *trial) unused() {
	for m := range t.mocks.used {
		t.shared.used[m] = true
	}
	for _, m := range t.test.Mocks {
		if !t.mocks.used[m] {
			t.add(diag.WarningAt(m.StepRange, "Mock was not used", "The run did not come to the step %q with this mock.", m.Step))
		}
	}
	for _, a := range t.test.Acts {
		if t.done[a] {
			continue
		}
		why := "No step waited for it."
		if _, fixed := a.When(t.test.Start); fixed {
			why = "The run had ended by then."
		}
		t.add(diag.WarningAt(a.DeclRange, "Block had no effect", "%s", why))
	}
}
