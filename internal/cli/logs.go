package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

func logsCommand() *command {
	return &command{
		name: "logs", args: "RUN [STEP]", summary: "Show what the steps of a run wrote", minArgs: 1, maxArgs: 2, main: true, complete: completeRuns,
		about: "Shows what the steps of a run wrote to their output, in the order it came; with STEP, only that step (NAME, or NAME[\"key\"] for an item). It is kept as it is written: what a process had written before it died is there. With -f, goes on until the run ends.",
		setup: func(f *flagSet) action {
			var o outputOptions
			var follow bool
			f.toggle(&follow, "f", "Follow: go on until the run ends.")
			f.toggle(&follow, "follow", "The same as -f.")
			o.registerJSON(f, "Print each piece as a JSON object on a line of its own.")
			return func(ctx context.Context, app *App, args []string) int {
				if app.remote != nil {
					return app.showLogsThere(ctx, args, follow, o.json)
				}
				return app.showLogs(ctx, args, follow, o.json)
			}
		},
	}
}

// logPolling is how often a followed run is looked at: another process writes.
const logPolling = 200 * time.Millisecond

func (a *App) showLogs(ctx context.Context, args []string, follow, asJSON bool) int {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	run, err := store.Run(ctx, args[0])
	if err != nil {
		return a.fail(operations.NoRun(args[0], err))
	}
	if err := run.Kept(); err != nil {
		return a.failf("Logs were removed", "%s; its logs with it.", err)
	}
	var steps []flow.StepState
	if len(args) > 1 && run.Machine() {
		if machine := a.stepsOf(ctx, store, run); machine != nil {
			steps = machine.Steps()
		}
		if len(steps) > 0 && !hasStep(steps, args[1]) {
			return a.fail(noStep(run.ID, args[1], steps))
		}
	}
	printer := &logPrinter{app: a, json: asJSON, wanted: strings.Join(args[1:], "")}
	ticker := time.NewTicker(logPolling)
	defer ticker.Stop()
	for last := int64(0); ; {
		// Whether it has ended is asked first: nothing comes after the end.
		if run, err = store.Run(ctx, run.ID); err != nil {
			return a.failf("Cannot read the run", "%s.", err)
		}
		const page = 1000
		for {
			chunks, err := store.Logs(ctx, run.ID, last, page)
			if err != nil {
				return a.failf("Cannot read the logs", "%s.", err)
			}
			for _, c := range chunks {
				printer.print(c)
				last = c.ID
			}
			if len(chunks) < page {
				break
			}
		}
		if !follow || run.Status.Ended() || run.Status == runs.Interrupted {
			printer.end()
			if !printer.heard && printer.wanted != "" {
				entries, err := store.Read(ctx, run.ID, 0)
				if err != nil {
					return a.failf("Cannot read the journal", "%s.", err)
				}
				if diags := notBegun(run.ID, printer.wanted, steps, entries); diags.HasErrors() {
					return a.fail(diags)
				}
			}
			if follow && run.Status == runs.Interrupted {
				fmt.Fprintf(a.Err, "The process that worked on this run is gone: \"tutti resume %s\" goes on.\n", run.ID)
			}
			return exitOK
		}
		select {
		case <-ctx.Done():
			printer.end()
			return exitOK
		case <-ticker.C:
		}
	}
}

// noStep says that a run has no step of that name.
func noStep(run, name string, steps []flow.StepState) diag.List {
	var names []string
	for _, s := range steps {
		names = append(names, s.Name)
	}
	return diag.Errorf("No such step", "The workflow of run %s has no step %q.%s There are: %s.", run, name, diag.DidYouMean(name, names), strings.Join(names, ", "))
}

// notBegun says that nothing of that name was begun in a run, of which nothing was heard:
// an item, a state, an operation. Steps that its workflow has need not have begun.
func notBegun(run, name string, steps []flow.StepState, entries []workflow.Entry) diag.List {
	if !strings.Contains(name, "[") && hasStep(steps, name) {
		return nil
	}
	of := strings.TrimSuffix(name, ".undo")
	var names []string
	for _, e := range entries {
		data := runs.ReadStepData(e)
		for _, begun := range []string{data.Step, data.Address} {
			if begun == name || begun == of || strings.HasPrefix(begun, name+"[") {
				return nil
			}
			if begun != "" && !slices.Contains(names, begun) {
				names = append(names, begun)
			}
		}
	}
	const most = 20
	return diag.Errorf("No such step", "Run %s has begun no step %q.%s", run, name, diag.DidYouMean(name, names[:min(len(names), most)]))
}

// hasStep says whether NAME, NAME["key"] or NAME.undo is of a step.
func hasStep(steps []flow.StepState, key string) bool {
	name, _, _ := strings.Cut(key, "[")
	return slices.ContainsFunc(steps, func(s flow.StepState) bool {
		return s.Name == name || s.Name+".undo" == name
	})
}

// logPrinter prints chunks as whole lines, each with the step's name.
type logPrinter struct {
	app    *App
	json   bool
	wanted string
	write  func(step, line string) // instead of printing lines; nil to print them
	partly map[string][]byte       // the beginning of a line, by step and stream
	order  []string
	heard  bool // whether there was anything to print
}

func (l *logPrinter) print(c runs.LogChunk) {
	if l.wanted != "" && c.Name != l.wanted && !strings.HasPrefix(c.Name, l.wanted+"[") {
		return
	}
	l.heard = true
	if l.json {
		l.app.printJSON(struct {
			Step   string    `json:"step"`
			Stream string    `json:"stream"`
			Time   time.Time `json:"time"`
			Text   string    `json:"text"`
		}{c.Name, c.Stream, c.Time, string(c.Data)})
		return
	}
	if l.partly == nil {
		l.partly = map[string][]byte{}
	}
	key := c.Name + " " + c.Stream
	data := append(l.partly[key], c.Data...)
	for {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			break
		}
		l.line(c.Name, line)
		data = rest
	}
	if _, known := l.partly[key]; !known {
		l.order = append(l.order, key)
	}
	l.partly[key] = append([]byte(nil), data...)
}

func (l *logPrinter) line(name string, text []byte) {
	if l.write != nil {
		l.write(name, string(bytes.TrimRight(text, "\r")))
		return
	}
	if l.wanted == name {
		fmt.Fprintf(l.app.Out, "%s\n", bytes.TrimRight(text, "\r"))
		return
	}
	fmt.Fprintf(l.app.Out, "%-16s %s\n", name, bytes.TrimRight(text, "\r"))
}

// end prints lines that were never ended.
func (l *logPrinter) end() {
	for _, key := range l.order {
		if rest := l.partly[key]; len(rest) > 0 {
			name, _, _ := strings.Cut(key, " ")
			l.line(name, rest)
		}
	}
}
