package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/workflow"
)

func aslCommand() *command {
	return &command{
		name: "asl", summary: "Run and check state machines in the Amazon States Language",
		sub: append(taskCommands(), aslRunCommand(), aslTestStateCommand(), aslValidateCommand()),
	}
}

// aslOptions are the flags of the asl commands.
type aslOptions struct {
	json        bool
	input, kind string
}

func (o *aslOptions) register(f *flagSet) {
	f.toggle(&o.json, "json", "Print the answer as JSON.")
	f.text(&o.kind, "type", "TYPE", "The type of the state machine: STANDARD (the default) or EXPRESS.")
}

// open reads a definition and what it is judged for.
func (o *aslOptions) open(app *App, file string) (source []byte, options asl.Options, diags diag.List) {
	switch o.kind {
	case "", "STANDARD":
	case "EXPRESS":
		options.Express = true
	default:
		return nil, options, diag.Errorf("Invalid -type", "A state machine is of the type STANDARD or EXPRESS, not %q.", o.kind)
	}
	source, err := app.readInput(file)
	if err != nil {
		return nil, options, diag.Errorf("Cannot read the state machine", "%s.", files.Reason(err))
	}
	return source, options, nil
}

// start is a new execution with the input that -input names.
func (o *aslOptions) start(app *App) (asl.Start, diag.List) {
	start := asl.Start{Name: uuid.NewString(), Input: json.RawMessage("{}")}
	if o.input == "" {
		return start, nil
	}
	var err error
	if start.Input, err = app.readInput(o.input); err != nil {
		return start, diag.Errorf("Cannot read the input", "%s.", err)
	}
	if _, err := asl.Decode(start.Input); err != nil {
		return start, diag.Errorf("The input is not JSON", "%s: %s.", o.input, err)
	}
	return start, nil
}

func aslRunCommand() *command {
	return &command{
		name: "run", args: "DEFINITION", summary: "Execute a state machine and print how it ended", minArgs: 1, maxArgs: 1,
		about: `Executes a state machine (.asl.json, - for standard input) in this process, and prints its status and output. Waits last as long as they say. Tasks are not carried out and fail with States.TaskFailed: that is what "tutti run" is for.

With -json, the answer is an object with status, output, error, cause and the event history in the form of the Step Functions API, with values decoded. The exit code is 0 where the execution succeeded and 1 where it did not.`,
		example: "tutti asl run -input order.json process-order.asl.json",
		setup: func(f *flagSet) action {
			o := &aslOptions{}
			o.register(f)
			f.text(&o.input, "input", "FILE", "A file with the input, a JSON value; {} without. - means standard input.")
			return o.run
		},
	}
}

func (o *aslOptions) run(ctx context.Context, app *App, args []string) int {
	source, options, diags := o.open(app, args[0])
	if diags.HasErrors() {
		return app.fail(diags)
	}
	start, diags := o.start(app)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	start.Express = options.Express
	if found := asl.Validate(source, options); len(found) > 0 {
		return app.fail(operations.DefinitionErrors(args[0], found))
	}
	definition, err := asl.Parse(source)
	if err != nil {
		return app.failf("Invalid state machine", "%s: %s.", args[0], err)
	}
	machine := asl.NewMachine(definition)
	if err := executeMachine(ctx, machine, start); err != nil {
		return app.failf("The execution broke off", "%s.", err)
	}
	return o.report(app, machine.Result(), func() any { return machine.Recorded() })
}

// report prints how an execution ended; history is nil where nobody knows it.
func (o *aslOptions) report(app *App, result asl.Result, history func() any) int {
	code := exitFailed
	if result.Status == "SUCCEEDED" {
		code = exitOK
	}
	if o.json {
		answer := asl.NewObject().Set("status", result.Status)
		if result.Status == "SUCCEEDED" {
			answer.Set("output", result.Output)
		}
		if result.Error != "" {
			answer.Set("error", result.Error)
		}
		if result.HasCause {
			answer.Set("cause", result.Cause)
		}
		if history != nil {
			answer.Set("history", history())
		}
		if failed := app.printJSON(answer); failed != exitOK {
			return failed
		}
		return code
	}
	if result.Status == "SUCCEEDED" {
		if failed := app.printJSONIndented(result.Output); failed != exitOK {
			return failed
		}
		return code
	}
	fmt.Fprintf(app.Err, "%s", result.Status)
	if result.Error != "" {
		fmt.Fprintf(app.Err, " %s", result.Error)
	}
	if result.HasCause {
		fmt.Fprintf(app.Err, ": %s", result.Cause)
	}
	fmt.Fprintln(app.Err)
	return code
}

// executeMachine runs a machine to its end on the clock of the wall.
func executeMachine(ctx context.Context, machine *asl.Machine, start asl.Start) error {
	data, err := json.Marshal(start)
	if err != nil {
		return err
	}
	sequence := int64(0)
	timers := map[int]time.Time{}
	var queue []workflow.Entry
	apply := func(e workflow.Entry) (bool, error) {
		sequence++
		e.Sequence, e.Time = sequence, time.Now()
		commands, err := machine.Apply(e)
		if err != nil {
			return true, err
		}
		for _, c := range commands {
			switch c.Kind {
			case workflow.FinishRun:
				return true, nil
			case workflow.StopStep:
				delete(timers, c.Step)
				continue
			}
			if e := machine.Effect(c.Step); !e.Until.IsZero() {
				timers[c.Step] = e.Until
				continue
			}
			queue = append(queue, unbound(machine, c.Step))
		}
		return false, nil
	}
	ended, err := apply(workflow.Entry{Kind: workflow.RunStarted, Step: -1, Data: data})
	for err == nil && !ended {
		if len(queue) > 0 {
			next := queue[0]
			queue = queue[1:]
			ended, err = apply(next)
			continue
		}
		step, until := earliest(timers)
		if step < 0 {
			return fmt.Errorf("nothing is left to wait for")
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-ctx.Done():
			timer.Stop()
			ended, err = apply(workflow.Entry{Kind: workflow.CancelRequested, Step: -1})
		case <-timer.C:
			delete(timers, step)
			ended, err = apply(workflow.Entry{Kind: workflow.StepSucceeded, Step: step})
		}
	}
	return err
}

// unbound is the outcome of a task: nothing is carried out here.
func unbound(machine *asl.Machine, step int) workflow.Entry {
	data, err := json.Marshal(asl.Outcome{
		Error: "States.TaskFailed",
		Cause: fmt.Sprintf("Tasks are not carried out by this command, so %q was not called. To run it: tutti run.", machine.Effect(step).Resource),
	})
	if err != nil {
		panic(err) // two strings
	}
	return workflow.Entry{Kind: workflow.StepFailed, Step: step, Data: data}
}

func earliest(timers map[int]time.Time) (step int, until time.Time) {
	step = -1
	for s, t := range timers {
		if step < 0 || t.Before(until) || t.Equal(until) && s < step {
			step, until = s, t
		}
	}
	return step, until
}

func aslValidateCommand() *command {
	return &command{
		name: "validate", args: "DEFINITION", summary: "Check a state machine without running it", minArgs: 1, maxArgs: 1,
		about: `Checks a state machine (.asl.json, - for standard input) and prints what is wrong with it, each with the code and location the field's tools use. The exit code is 1 where there is an error.

With -json, the answer is an object with result (OK or FAIL), diagnostics and truncated, as ValidateStateMachineDefinition of Step Functions gives it.`,
		setup: func(f *flagSet) action {
			o := &aslOptions{}
			o.register(f)
			return o.validate
		},
	}
}

func (o *aslOptions) validate(_ context.Context, app *App, args []string) int {
	source, options, diags := o.open(app, args[0])
	if diags.HasErrors() {
		return app.fail(diags)
	}
	found := asl.Validate(source, options)
	if o.json {
		result := "OK"
		if len(found) > 0 {
			result = "FAIL"
		}
		if failed := app.printJSON(asl.NewObject().Set("result", result).Set("diagnostics", found).Set("truncated", false)); failed != exitOK {
			return failed
		}
		if len(found) > 0 {
			return exitFailed
		}
		return exitOK
	}
	if len(found) > 0 {
		return app.fail(operations.DefinitionErrors(args[0], found))
	}
	fmt.Fprintln(app.Out, "The state machine is valid.")
	return exitOK
}

func aslTestStateCommand() *command {
	return &command{
		name: "test-state", args: "REQUEST", summary: "Run one state alone, with what it calls mocked", minArgs: 1, maxArgs: 1,
		about: `Runs one state of a state machine with a given input, and prints its output, what it goes on with, and on request how the data looked at each stage inside it. REQUEST is a JSON file (- for standard input) with the members of the TestState call of Step Functions: definition, stateName, input, context, variables, inspectionLevel (INFO, DEBUG, TRACE), mock, stateConfiguration and roleArn. Definition, input, context and variables may be JSON values as well as text.

The answer is always JSON: the members of the call's response, or apiError and message where it is refused. The exit code is 1 where it is refused or the state fails without a retry or catch.`,
		setup: func(f *flagSet) action {
			o := &aslOptions{}
			f.toggle(&o.json, "json", "Print without line breaks.")
			return o.testState
		},
	}
}

func (o *aslOptions) testState(_ context.Context, app *App, args []string) int {
	request, err := app.readInput(args[0])
	if err != nil {
		return app.failf("Cannot read the request", "%s.", files.Reason(err))
	}
	answer, err := asl.TestState(request, time.Now())
	if err != nil {
		return app.failf("Invalid request", "%s: %s.", args[0], err)
	}
	show := app.printJSONIndented
	if o.json {
		show = app.printJSON
	}
	if failed := show(answer); failed != exitOK {
		return failed
	}
	if status, _ := answer.Get("status"); answer.Has("apiError") || status == "FAILED" {
		return exitFailed
	}
	return exitOK
}

// readInput reads a file, or standard input for -.
func (a *App) readInput(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.In)
	}
	return os.ReadFile(name)
}
