package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// workflowOptions are the flags of the run command.
type workflowOptions struct {
	aslOptions
	project.VariableOptions
	sourceOptions
	environment string
	parallelism int
	detach      bool
	cancel      bool
	overrides   []string
}

func runCommand() *command {
	return &command{
		name: "run", args: "WORKFLOW", summary: "Run a workflow durably", minArgs: 1, maxArgs: 1, main: true,
		about: `Runs a workflow as a durable run: every step is journalled in the project's store, and a run whose process dies goes on with "tutti resume". WORKFLOW is the name of a workflow of the project (a workflow block in *.tutti.hcl), or a state machine in the Amazon States Language: NAME for NAME.asl.json in the current directory, or a path.

Interrupting it (Ctrl-C) cancels the run: commands and requests at work are ended, applies finish what they are doing, nothing more begins, the steps of "finally" are carried out. A second interrupt gives up what is running; the run can then be resumed.

Standard output is what the workflow returns: its outputs, or the output of the state machine as JSON. The exit code is 1 where it does not succeed.`,
		example: "tutti run release -var version=1.4.2 -env=prod\ntutti run order -input order.json",
		setup: func(f *flagSet) action {
			o := &workflowOptions{}
			f.toggle(&o.json, "json", "Print how it ended as JSON: of a workflow run, status, outputs, error and steps; of a state machine status, output, error, cause and history.")
			f.text(&o.aslOptions.input, "input", "FILE", "The input of a state machine, a JSON value; {} without. - means standard input.")
			f.text(&o.environment, "env", "NAME", "The environment to work in.")
			f.toggle(&o.detach, "detach", "Only make the run and print its name: a runner (\"tutti runner\") drives it.")
			cancelOnInterrupt(f, &o.cancel)
			f.number(&o.parallelism, "parallelism", "N", "Bound on steps at work at once; 10 unless given here or in the workflow.")
			registerOverride(f, &o.overrides)
			registerValues(f, &o.VariableOptions)
			o.sourceOptions.register(f)
			return o.start
		},
		complete: completeWorkflows,
	}
}

func completeWorkflows(*App, []string) []string {
	var names []string
	if projects.Exists(".") {
		if p, _ := projects.Load("."); p != nil {
			names = sortedKeys(p.Workflows)
		}
	}
	entries, _ := os.ReadDir(".")
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), operations.MachineSuffix); ok {
			names = append(names, name)
		}
	}
	return names
}

// start finds out what is meant and runs it.
func (o *workflowOptions) start(ctx context.Context, app *App, args []string) int {
	app.Overrides = o.overrides
	if diags := o.sourceOptions.use(app); diags.HasErrors() {
		return app.fail(diags)
	}
	if app.remote != nil {
		return o.startThere(ctx, app, args[0])
	}
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	if projects.Exists(".") {
		p, diags := app.projectFiles()
		if diags.HasErrors() {
			return app.fail(diags)
		}
		if w := p.Workflows[args[0]]; w != nil {
			if w.Definition != "" {
				return o.runMachine(ctx, op, "", p, w)
			}
			return o.runWorkflow(ctx, op, p, w)
		}
		if _, err := os.Stat(args[0] + operations.MachineSuffix); err != nil && !strings.HasSuffix(args[0], ".json") {
			return app.fail(operations.NoWorkflow(p, args[0]))
		}
	}
	file := args[0]
	if _, err := os.Stat(file + operations.MachineSuffix); err == nil {
		file += operations.MachineSuffix
	}
	return o.runMachine(ctx, op, file, nil, nil)
}

// projectFiles reads the project's files; diagnostics quote them from then on.
func (a *App) projectFiles() (*projects.Project, diag.List) {
	loaded, diags := projects.Load(".")
	if loaded != nil {
		a.Sources = loaded.Files
	}
	return loaded, diags
}

func (o *workflowOptions) runWorkflow(ctx context.Context, op *operation, p *projects.Project, w *projects.Workflow) int {
	app := op.app
	if o.aslOptions.input != "" {
		return app.failf("Not a state machine", "The workflow %q takes variables, not an input: give them with -var.", w.Name)
	}
	d, diags := flow.New(p, w.Name, operations.StackOutputNames(p))
	if diags.HasErrors() {
		return app.fail(diags)
	}
	environment, d2 := op.ChooseEnvironment(p, o.environment)
	diags = append(diags, d2...)
	inputs, d2 := operations.WorkflowInputs(p, d, environment, &o.VariableOptions)
	if diags = append(diags, d2...); diags.HasErrors() {
		return app.fail(diags)
	}
	if diags := app.May(access.Run, environment, w.Name); diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	op.Environment = environment
	overrides, d2 := gate.OverridesFor(app.Session, p)
	if d2.HasErrors() {
		return app.fail(d2)
	}
	return op.workflow(ctx, d, o.json, func(r *runs.Runner, w runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List) {
		w.Run = runs.Run{Kind: runs.WorkflowKind, Key: op.Key(), Actor: app.Actor(), Authority: app.Authority(), Program: project.ProgramVersion(), Overrides: overrides, Source: app.Source()}
		w.Environment, w.Inputs, w.Parallelism = environment, inputs, o.parallelism
		if o.detach {
			run, diags := r.EnqueueWorkflow(ctx, d, w)
			return run, flow.NewMachine(d), diags
		}
		return r.StartWorkflow(ctx, d, w)
	})
}

// workflow has a run of a workflow carried out, watches it and reports.
func (o *operation) workflow(ctx context.Context, d *flow.Definition, asJSON bool, do func(*runs.Runner, runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List)) int {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	view := newWorkflowView(o.app)
	runner := &runs.Runner{Store: store}
	options := runs.WorkflowOptions{Began: view.began, Watch: view.watch, Hard: operations.Hard(ctx).Done(), Authorize: o.app.Authorizer(store), Admit: o.Admit, Secrets: o.SecretReader(o.Key().Environment)}
	if r := o.StackRunner(d.Project); r != nil {
		defer r.Close()
		options.Stacks = r
	}
	run, machine, diags := do(runner, options)
	if machine == nil {
		return o.app.fail(diags)
	}
	view.rest(machine)
	runner.Wait()
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	o.app.Show(diags)
	if run.Status == runs.Pending {
		fmt.Fprintln(o.app.Out, run.ID)
		return exitOK
	}
	code := o.app.reportWorkflow(run, machine, asJSON)
	if !asJSON {
		o.app.reportRotation(d, machine)
	}
	return code
}

func (o *workflowOptions) runMachine(ctx context.Context, op *operation, file string, p *projects.Project, w *projects.Workflow) int {
	app := op.app
	name, pinned := strings.TrimSuffix(file, operations.MachineSuffix), []byte(nil)
	var found diag.List
	if w != nil {
		name, pinned = w.Name, runs.EncodeDefinition(p, w.Name)
		found = operations.CheckWorkflows(p, []string{w.Name})
	} else {
		source, err := app.readInput(file)
		if err != nil {
			return app.failf("No such workflow", "No *%s file here declares a workflow %[2]q, and there is no state machine in a file %[2]s or %[2]s%[3]s.", projects.Suffix, name, operations.MachineSuffix)
		}
		pinned, found = source, operations.DefinitionErrors(file, asl.Validate(source, asl.Options{}))
	}
	if len(o.VariableOptions.Given) > 0 {
		return app.failf("Not a workflow with variables", "A state machine takes an input, a JSON value: give it with -input.")
	}
	start, diags := o.aslOptions.start(app)
	if diags = append(diags, found...); diags.HasErrors() {
		return app.fail(diags)
	}
	environment := ""
	if p != nil {
		if environment, diags = op.ChooseEnvironment(p, o.environment); diags.HasErrors() {
			return app.fail(diags)
		}
		op.Environment = environment
	}
	if diags := app.May(access.Run, op.Environment, name); diags.HasErrors() {
		return app.fail(diags)
	}
	overrides, diags := gate.OverridesFor(app.Session, p)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	return op.machine(ctx, pinned, o.json, func(r *runs.Runner, e runs.Execution) (runs.Run, diag.List) {
		e.Run = runs.Run{Kind: runs.WorkflowKind, Key: op.Key(), Actor: app.Actor(), Authority: app.Authority(), Program: project.ProgramVersion(), Summary: "workflow " + name, Overrides: overrides, Source: app.Source()}
		operations.ActsFor(e, e.Run)
		if steps, ok := e.Steps.(*runs.StateMachine); ok {
			e.Admit = steps.Options.Admits(name, nil)
		}
		e.Start, e.Sensitive = runs.MachineStart(start.Name, start.Input, uuid.NewString()), true
		if o.detach {
			return r.Enqueue(ctx, e)
		}
		return r.Execute(ctx, e)
	})
}

// continueWorkflow resumes a run of a workflow or a state machine.
func (o *operation) continueWorkflow(ctx context.Context, run runs.Run, asJSON bool) int {
	if diags := o.app.MayRun(ctx, o.Opened, run, access.Run); diags.HasErrors() {
		return o.app.fail(diags)
	}
	source, err := o.Opened.Blob(ctx, run.Blob)
	if err != nil {
		return o.app.failf("Cannot read the run's definition", "%s.", err)
	}
	o.UseKey(run.Key)
	d, diags := operations.DefinitionOf(o.Directory, source)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	if d != nil && d.Workflow.Definition == "" {
		o.app.Sources = d.Project.Files
		return o.workflow(ctx, d, asJSON, func(r *runs.Runner, w runs.WorkflowOptions) (runs.Run, *flow.Machine, diag.List) {
			w.Run = run
			inputs, environment, diags := r.Inputs(ctx, run)
			if diags.HasErrors() {
				return run, nil, diags
			}
			w.Inputs, w.Environment = inputs, environment
			return r.ContinueWorkflow(ctx, d, w)
		})
	}
	return o.machine(ctx, source, asJSON, func(r *runs.Runner, e runs.Execution) (runs.Run, diag.List) {
		e.Run = run
		operations.ActsFor(e, run)
		return r.Continue(ctx, e)
	})
}

// machine makes the execution of a definition, has it carried out and reports.
func (o *operation) machine(ctx context.Context, pinned []byte, asJSON bool, do func(*runs.Runner, runs.Execution) (runs.Run, diag.List)) int {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	steps, e, done, diags := o.MachineExecution(&runs.Runner{Store: store}, pinned)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	defer done()
	if !asJSON {
		steps.Machine.Forget()
	}
	e.Hard, steps.Hard = operations.Hard(ctx).Done(), operations.Hard(ctx).Done()
	e.Began = func(run runs.Run) { fmt.Fprintf(o.app.Err, "Run %s\n", run.ID) }
	run, diags := do(steps.Runner, e)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	steps.Runner.Wait()
	o.app.Show(diags)
	if run.Status == runs.Pending {
		fmt.Fprintln(o.app.Out, run.ID)
		return exitOK
	}
	return (&aslOptions{json: asJSON}).report(o.app, steps.Machine.Result(), func() any { return steps.Machine.Recorded() })
}

// workflowJSON is how a run of a workflow ended, for programs.
type workflowJSON struct {
	Run     string                     `json:"run"`
	Status  string                     `json:"status"`
	Outputs map[string]json.RawMessage `json:"outputs,omitempty"`
	Error   *workflowErrorJSON         `json:"error,omitempty"`
	Steps   []workflowStepJSON         `json:"steps"`
}

type workflowErrorJSON struct {
	Name  string `json:"name"`
	Cause string `json:"cause"`
	Step  string `json:"step,omitempty"`
}

type workflowStepJSON struct {
	Name   string             `json:"name"`
	Status string             `json:"status"`
	Items  int                `json:"items,omitempty"`
	Error  *workflowErrorJSON `json:"error,omitempty"`
}

func describeError(e *flow.Error, step string) *workflowErrorJSON {
	if e == nil {
		return nil
	}
	return &workflowErrorJSON{Name: e.Name, Cause: e.Cause, Step: step}
}

// reportWorkflow prints how a run of a workflow ended. Sensitive outputs are
// hidden from people; programs that ask for JSON get them, as with output.
func (a *App) reportWorkflow(run runs.Run, m *flow.Machine, asJSON bool) int {
	return a.reportEnd(run, m.Result(), m.Steps(), asJSON)
}

// reportEnd is reportWorkflow for what was told of a run.
func (a *App) reportEnd(run runs.Run, result flow.Result, steps []flow.StepState, asJSON bool) int {
	code := exitFailed
	if run.Status == runs.Succeeded {
		code = exitOK
	}
	if asJSON {
		doc := workflowJSON{Run: run.ID, Status: string(run.Status), Outputs: map[string]json.RawMessage{}, Error: describeError(result.Error, result.Step), Steps: []workflowStepJSON{}}
		for name, v := range outputsOf(result) {
			doc.Outputs[name] = gate.PlainJSON(v)
		}
		for _, s := range steps {
			doc.Steps = append(doc.Steps, workflowStepJSON{Name: s.Name, Status: string(s.Status), Items: s.Items, Error: describeError(s.Error, "")})
		}
		if failed := a.printJSONIndented(doc); failed != exitOK {
			return failed
		}
		return code
	}
	switch run.Status {
	case runs.Succeeded:
		fmt.Fprintf(a.Err, "Run %s succeeded.\n", run.ID)
		a.printOutputs(outputsOf(result))
	case runs.Cancelled:
		fmt.Fprintf(a.Err, "Run %s was cancelled.\n", run.ID)
	default:
		step := ""
		if result.Step != "" {
			step = " in step " + result.Step
		}
		fmt.Fprintf(a.Err, "Run %s failed%s", run.ID, step)
		if result.Error != nil {
			fmt.Fprintf(a.Err, ": %s", result.Error.Name)
		}
		fmt.Fprintln(a.Err)
		out := a.terminals().err
		if result.Error != nil {
			out.Indented(result.Error.Cause, 2)
		}
		if len(result.NotUndone) > 0 {
			out.Indented(fmt.Sprintf("Undoing these failed: %s.", strings.Join(result.NotUndone, ", ")), 0)
		}
		out.Indented(fmt.Sprintf("Look at what it wrote with \"tutti logs %s\"; try again from a step with \"tutti runs retry %[1]s -from STEP\".", run.ID), 0)
	}
	return code
}

func outputsOf(result flow.Result) map[string]cty.Value {
	if result.Outputs == cty.NilVal || result.Outputs.IsNull() {
		return nil
	}
	return result.Outputs.AsValueMap()
}
