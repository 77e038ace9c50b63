package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/modules"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/tests"
)

// testOptions are the flags of test.
type testOptions struct {
	project.VariableOptions
	filters     []string
	directory   string
	junit       string
	json        bool
	verbose     bool
	parallelism int
}

func testCommand() *command {
	return &command{
		name: "test", summary: "Run the tests of a module",
		about: "Runs the files that end in .tftest.hcl or .tftest.json, beside the configuration and in the folder tests. Each run block plans or applies the module, for real or against mocks, and asserts what comes of it. What was made is destroyed at the end of each file. The state of the project is neither read nor changed.",
		setup: func(f *flagSet) action {
			o := &testOptions{directory: "tests"}
			registerVariables(f, &o.VariableOptions)
			f.list(&o.filters, "filter", "FILE", "Run this test file only. May be given several times.")
			f.text(&o.directory, "test-directory", "DIR", "The folder of tests, seen from the module.")
			f.text(&o.junit, "junit-xml", "FILE", "Write a report in JUnit's XML as well.")
			f.toggle(&o.json, "json", "Print what happens as a stream of JSON objects, one per line.")
			f.toggle(&o.verbose, "verbose", "Show the plan of every run.")
			f.number(&o.parallelism, "parallelism", "N", "How many operations run at once, 10 where nothing is said.")
			f.acceptText("cloud-run")
			return o.run
		},
	}
}

func (o *testOptions) run(ctx context.Context, app *App, _ []string) int {
	app.jsonOut, app.prose = o.json, true
	if len(app.Stacks) > 0 {
		// Tests know neither state nor project: they are those of a directory.
		stack, diags := app.OpenProject()
		if diags.HasErrors() {
			return app.fail(diags)
		}
		dir := stack.RootDir()
		stack.Close()
		if err := os.Chdir(dir); err != nil {
			return app.failf("Cannot change to another directory", "%s.", files.Reason(err))
		}
	}
	// The tests of a directory need no project, but where its files have errors these are
	// why there is nothing here.
	if e, diags := app.FindEnsemble(); diags.HasErrors() {
		return app.fail(diags)
	} else if e != nil {
		defer e.Close()
	}
	p, diags := app.OpenDirectory("")
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	cfg, diags := p.Config(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	files, diags := o.load(app)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	o.Input = false // tests that ask nobody can be repeated
	variables, d := p.Variables(ctx, cfg, &o.VariableOptions, plans.Normal)
	if diags = append(diags, d...); diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	results := tests.Run(ctx, files, tests.Options{
		Load:      func(dir string) (*configs.Config, diag.List) { return loadTested(p, dir) },
		Providers: p.Factory(), Variables: variables, WorkDir: p.WorkDir, Program: project.ProgramVersion(),
		Parallelism: o.parallelism, Watch: o.watcher(app, p, files),
	})
	return o.conclude(app, results)
}

// load reads the test files that are asked for.
func (o *testOptions) load(app *App) ([]*configs.TestFile, diag.List) {
	names, err := configs.TestFileNames(".", o.directory)
	if err != nil {
		return nil, diag.FromError(err)
	}
	var diags diag.List
	for i, filter := range o.filters {
		o.filters[i] = filepath.Clean(filter)
		if !slices.Contains(names, o.filters[i]) {
			there := "There are none here."
			if len(names) > 0 {
				there = "There are:\n  " + strings.Join(names, "\n  ")
			}
			diags = append(diags, diag.Errorf("Unknown test file", "Option -filter: there is no test file %s. %s", filter, there)...)
		}
	}
	var files []*configs.TestFile
	for _, name := range names {
		if len(o.filters) > 0 && !slices.Contains(o.filters, name) {
			continue
		}
		f, d := configs.LoadTestFile(name)
		diags = append(diags, d...)
		if f != nil {
			files = append(files, f)
			maps.Copy(app.Sources, f.Files)
		}
	}
	return files, diags
}

// loadTested reads a module anew: runs change what they are given.
func loadTested(p *project.Directory, dir string) (*configs.Config, diag.List) {
	manifest, err := modules.ReadManifest(p.DataDir)
	if err != nil {
		return nil, diag.FromError(err)
	}
	cfg, diags := configs.Load(filepath.Clean(dir), configs.LoadOptions{Resolve: manifest.Resolve(dir), TerraformVersion: project.TerraformVersion})
	if cfg != nil {
		maps.Copy(p.Session.Sources, cfg.Files)
	}
	return cfg, diags
}

func (o *testOptions) watcher(app *App, p *project.Directory, files []*configs.TestFile) tests.Watcher {
	if o.json {
		stream := &views.TestStream{Stream: views.NewStream(app.Out, time.Now)}
		stream.Stream.Version(project.TerraformVersion, project.ProgramVersion())
		stream.Found(files)
		return stream
	}
	report := &views.TestReport{T: app.terminals().out, Problems: func(diags diag.List, _ map[string][]byte) { app.Show(diags) }}
	if o.verbose {
		report.Details = func(r *tests.RunResult) { app.terminals().out.Plan(r.Plan, p.Schemas(context.Background())) }
	}
	return report
}

// conclude says how it ended.
func (o *testOptions) conclude(app *App, results []*tests.FileResult) int {
	summary := views.Summarize(results)
	if o.json {
		(&views.TestStream{Stream: views.NewStream(app.Out, time.Now)}).Summary(summary)
	} else {
		fmt.Fprintf(app.Out, "\n%s\n", summary.Text())
	}
	if o.junit != "" {
		if err := writeJUnit(o.junit, results); err != nil {
			return app.fail(writeProblem(o.junit, err))
		}
	}
	if summary.Status != tests.Pass {
		return exitFailed
	}
	return exitOK
}

func writeJUnit(name string, results []*tests.FileResult) error {
	var report bytes.Buffer
	if err := views.WriteJUnit(&report, results); err != nil {
		return err
	}
	return files.Replace(name, report.Bytes(), 0o644)
}
