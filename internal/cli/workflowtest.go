package cli

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/tests"
	"github.com/tutti-dev/tutti/internal/tests/workflowtests"
)

// workflowTestOptions are the flags of workflow test.
type workflowTestOptions struct {
	testOptions
	workflows []string // whose tests are run; empty for all
}

func workflowTestCommand() *command {
	return &command{
		name: "test", args: "[FILE|WORKFLOW...]", summary: "Run the tests of workflows, with nothing real in them", maxArgs: -1, complete: completeProjectWorkflows,
		about: `Runs the test blocks of the files that end in .tuttitest.hcl, beside the project files and in the folder tests; with arguments only those of a file, or of a workflow. Each test runs a workflow in memory: mocks say what becomes of steps, signal, approve, reject and cancel blocks what others do meanwhile, and the clock jumps from one thing to the next, so that a month of waiting takes no time. Assert blocks judge the path, outputs and events. Nothing is executed, requested or stored.

The exit code is 1 where a test does not pass.`,
		example: "tutti workflow test release -verbose",
		setup: func(f *flagSet) action {
			o := &workflowTestOptions{}
			f.list(&o.filters, "filter", "TEXT", "Run only tests with this text in their name. May be given several times.")
			f.text(&o.directory, "test-directory", "DIR", "The folder of tests, seen from the project; tests where nothing is said.")
			f.text(&o.junit, "junit-xml", "FILE", "Write a report in JUnit's XML as well.")
			f.toggle(&o.json, "json", "Print what happens as a stream of JSON objects, one per line.")
			f.toggle(&o.verbose, "verbose", "Show the path of every run with its virtual times, not only of those that fail.")
			return o.run
		},
	}
}

func (o *workflowTestOptions) run(ctx context.Context, app *App, args []string) int {
	app.jsonOut, app.prose = o.json, true
	p, diags := app.OpenWorkflows()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if o.directory == "" {
		o.directory = "tests"
	}
	files, found := o.files(p, args)
	if diags = append(diags, found...); diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	for _, f := range files {
		maps.Copy(f.Files, p.Files) // problems may be in either
	}
	var about []*configs.TestFile
	count := 0
	for _, f := range files {
		about = append(about, workflowtests.Describe(f, o.wanted))
		count += len(about[len(about)-1].Runs)
	}
	if count == 0 {
		return app.failf("No tests found", "There are no tests that match. Tests are test blocks in files that end in %s.", projects.TestSuffix)
	}
	results := workflowtests.Run(ctx, files, workflowtests.Options{
		Project: p, StackOutputs: operations.StackOutputNames(p), Only: o.wanted, Watch: o.watch(app, about),
		Check: func(name string) diag.List { return operations.CheckWorkflows(p, []string{name}) },
	})
	return o.conclude(app, results)
}

// files reads the test files that are asked for, by their names or by the
// workflows that they test.
func (o *workflowTestOptions) files(p *projects.Project, args []string) ([]*projects.TestFile, diag.List) {
	names, err := projects.TestFileNames(".", o.directory)
	if err != nil {
		return nil, diag.FromError(err)
	}
	var diags diag.List
	var chosen []string
	for _, arg := range args {
		switch {
		case p.Workflows[arg] != nil:
			o.workflows = append(o.workflows, arg)
		case strings.HasSuffix(arg, projects.TestSuffix):
			chosen = append(chosen, filepath.Clean(arg))
		default:
			diags = append(diags, diag.Errorf("Neither a file nor a workflow", "%q is neither a workflow of this project nor a file that ends in %s. Workflows are: %s.", arg, projects.TestSuffix, strings.Join(append(sortedKeys(p.Workflows), "none else"), ", "))...)
		}
	}
	if len(chosen) > 0 {
		names = chosen
	}
	var files []*projects.TestFile
	for _, name := range names {
		f, found := projects.LoadTestFile(name)
		diags = append(diags, found...)
		if f == nil {
			continue
		}
		maps.Copy(p.Files, f.Files) // for quoting; the project is only read from here on
		if slices.ContainsFunc(f.Tests, func(t *projects.Test) bool { return o.wanted(f, t) }) {
			files = append(files, f)
		}
	}
	return files, diags
}

// wanted reports whether a test is asked for.
func (o *workflowTestOptions) wanted(_ *projects.TestFile, t *projects.Test) bool {
	named := func(text string) bool { return strings.Contains(t.Name, text) }
	return (len(o.workflows) == 0 || slices.Contains(o.workflows, t.Workflow.Name)) && (len(o.filters) == 0 || slices.ContainsFunc(o.filters, named))
}

func (o *workflowTestOptions) watch(app *App, files []*configs.TestFile) tests.Watcher {
	if o.json {
		stream := &views.TestStream{Stream: views.NewStream(app.Out, time.Now), Word: "test"}
		stream.Stream.Version(project.TerraformVersion, project.ProgramVersion())
		stream.Found(files)
		return stream
	}
	return &views.TestReport{
		T: app.terminals().out, Problems: func(diags diag.List, _ map[string][]byte) { app.Show(diags) }, Word: "test", Traces: o.verbose,
	}
}
