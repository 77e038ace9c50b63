package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
)

// machineSuffix is how files with state machines end.
const machineSuffix = ".asl.json"

func runCommand() *command {
	return &command{
		name: "run", args: "WORKFLOW", summary: "Run a workflow durably", minArgs: 1, maxArgs: 1, main: true,
		about: `Runs a workflow as a durable run: every step is journalled in the project's store, and a run whose process dies goes on with "tutti resume". WORKFLOW is a state machine in the Amazon States Language: NAME for NAME.asl.json in the current directory, or a path.

Tasks call tutti:exec, with a command (a list), and optionally dir, environment, stdin and idempotent; or tutti:http, with a url, and optionally method, headers, body and idempotent. Each has an idempotency key, the same whenever it is done again: in TUTTI_IDEMPOTENCY_KEY, or the header Idempotency-Key.

Standard output is the output of the workflow, as JSON. The exit code is 1 where it does not succeed.`,
		example: "tutti run order -input order.json",
		setup: func(f *flagSet) action {
			o := &aslOptions{}
			f.toggle(&o.json, "json", "Print status, output, error, cause and history as JSON.")
			f.text(&o.input, "input", "FILE", "A file with the input, a JSON value; {} without. - means standard input.")
			return o.runDurably
		},
		complete: func(*App, []string) []string {
			entries, _ := os.ReadDir(".")
			var names []string
			for _, e := range entries {
				if name, ok := strings.CutSuffix(e.Name(), machineSuffix); ok {
					names = append(names, name)
				}
			}
			return names
		},
	}
}

func (o *aslOptions) runDurably(ctx context.Context, app *App, args []string) int {
	file := args[0]
	if _, err := os.Stat(file + machineSuffix); err == nil {
		file += machineSuffix
	}
	source, err := app.readInput(file)
	if err != nil {
		return app.failf("No such workflow", "There is neither a file %s%s nor %[1]s: %[3]s.", args[0], machineSuffix, err)
	}
	start, diags := o.start(app)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if found := asl.Validate(source, asl.Options{}); len(found) > 0 {
		return app.fail(definitionErrors(file, found))
	}
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	data, err := json.Marshal(start)
	if err != nil {
		return app.failf("The input is not JSON", "%s.", err)
	}
	return op.machine(ctx, source, o.json, func(r *runs.Runner, e runs.Execution) diag.List {
		e.Start = data
		e.Run = runs.Run{Kind: runs.WorkflowKind, Key: op.key(), Actor: actor(), Program: programVersion(), Summary: "workflow " + strings.TrimSuffix(file, machineSuffix)}
		_, diags := r.Execute(ctx, e)
		return diags
	})
}

// continueMachine resumes a run of a state machine.
func (o *operation) continueMachine(ctx context.Context, run runs.Run, asJSON bool) int {
	source, err := o.opened.Blob(ctx, run.Blob)
	if err != nil {
		return o.app.failf("Cannot read the run's definition", "%s.", err)
	}
	return o.machine(ctx, source, asJSON, func(r *runs.Runner, e runs.Execution) diag.List {
		e.Run = run
		_, diags := r.Continue(ctx, e)
		return diags
	})
}

// machine makes the execution of a definition, has it carried out and reports.
func (o *operation) machine(ctx context.Context, source []byte, asJSON bool, do func(*runs.Runner, runs.Execution) diag.List) int {
	definition, err := asl.Parse(source)
	if err != nil {
		return o.app.failf("Invalid state machine", "%s.", err)
	}
	store, diags := o.store(ctx)
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	machine := asl.NewMachine(definition)
	diags = do(&runs.Runner{Store: store}, runs.Execution{
		Definition: source, Machine: machine,
		Steps: &runs.StateMachine{Machine: machine, Dir: o.workDir},
		Began: func(run runs.Run) { fmt.Fprintf(o.app.Err, "Run %s\n", run.ID) },
	})
	if diags.HasErrors() {
		return o.app.fail(diags)
	}
	o.app.show(diags)
	return (&aslOptions{json: asJSON}).report(o.app, machine)
}
