package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/runs"
)

func poolsCommand() *command {
	return &command{
		name: "pools", summary: "Show which steps are in the pools and which wait to get in",
		about: "Pools limit how many steps, of whatever runs, are at work at once or begin within a time. Shown are those that are in, and those that wait, in the order they will get in.",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				return app.withRunner(ctx, func(r *runs.Runner) int {
					list, err := r.Store.Pools(ctx)
					if err != nil {
						return app.fail(diag.FromError(err))
					}
					if o.json {
						if list == nil {
							list = []runs.Ticket{}
						}
						return app.printJSONIndented(list)
					}
					if len(list) == 0 {
						fmt.Fprintln(app.Out, "No step is in a pool or waits for one.")
					}
					for _, t := range list {
						state := "waits since " + t.Asked.Local().Format(time.DateTime)
						if !t.Granted.IsZero() {
							state = "in since    " + t.Granted.Local().Format(time.DateTime)
						}
						fmt.Fprintln(app.Out, views.Listed(fmt.Sprintf("%-16s %s", t.Pool, state), 17, "  ", fmt.Sprintf("%-14s", t.Run), t.Name))
					}
					return exitOK
				})
			}
		},
	}
}

func runsArtifactsCommand() *command {
	return &command{
		name: "artifacts", args: "RUN", summary: "List the files that the steps of a run left, or copy them out", minArgs: 1, maxArgs: 1, complete: completeRuns,
		setup: func(f *flagSet) action {
			var o outputOptions
			var dir string
			f.text(&dir, "out", "DIR", "Copy the files there, in a folder for each step.")
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, args []string) int {
				return app.withRunner(ctx, func(r *runs.Runner) int { return app.artifacts(ctx, r, args[0], dir, o.json) })
			}
		},
	}
}

func (a *App) artifacts(ctx context.Context, r *runs.Runner, id, dir string, asJSON bool) int {
	run, err := r.Store.Run(ctx, id)
	if err != nil {
		return a.fail(operations.NoRun(id, err))
	}
	if err := run.Kept(); err != nil {
		return a.failf("Files were removed", "%s; its files with it.", err)
	}
	list, err := r.Store.Artifacts(ctx, id)
	if err != nil {
		return a.fail(diag.FromError(err))
	}
	for _, one := range list {
		if dir == "" {
			break
		}
		data, err := r.Store.Blob(ctx, "artifact/"+one.Digest)
		if err != nil {
			return a.fail(diag.FromError(err))
		}
		name := filepath.Join(dir, folderOf(one.Name), filepath.FromSlash(filepath.Clean("/"+one.Path)))
		if err = os.MkdirAll(filepath.Dir(name), 0o755); err == nil {
			err = files.Replace(name, data, 0o644)
		}
		if err != nil {
			return a.fail(writeProblem(name, err))
		}
	}
	if asJSON {
		if list == nil {
			list = []runs.Artifact{}
		}
		return a.printJSONIndented(list)
	}
	if len(list) == 0 {
		fmt.Fprintf(a.Out, "The steps of run %s left no files.\n", id)
	}
	for _, one := range list {
		fmt.Fprintln(a.Out, views.Listed(fmt.Sprintf("%-20s %10d", one.Name, one.Size), 4, "  ", one.Path))
	}
	return exitOK
}

// folderOf makes the name of a step a name of a folder.
func folderOf(step string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\"[]:*?<>|`, r) {
			return '_'
		}
		return r
	}, step)
}
