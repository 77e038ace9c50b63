package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

func storeCommand() *command {
	return &command{
		name: "store", summary: "Back up the store, restore it, and remove what is old",
		about: "The store (.tutti/store.db) has the project's states with their history, runs with their journals and logs, and the events.",
		sub:   []*command{storeBackupCommand(), storeRestoreCommand(), storePruneCommand()},
	}
}

func storeBackupCommand() *command {
	return &command{
		name: "backup", args: "FILE", summary: "Write all that is in the store into a file", minArgs: 1, maxArgs: 1,
		about: `Writes the store as it is at this moment into a new file that only you may read, while servers, runners and other commands go on with their work. It is looked through before it gets its name: whether it is undamaged, and whether the chain of events holds. The exit code is 1 where the chain does not, although the file is there.

The key that seals sensitive values is not in it. Keep it elsewhere: without it they are lost ("tutti help secret rotate-key" says where it comes from).`,
		example: "tutti store backup /backups/shop-$(date +%F).db",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print what is in it as JSON.")
			return func(ctx context.Context, app *App, args []string) int { return app.backUp(ctx, args[0], o.json) }
		},
	}
}

// contentsJSON is what is in a backup, for programs.
type contentsJSON struct {
	File    string     `json:"file"`
	Bytes   int64      `json:"bytes"`
	Runs    int        `json:"runs"`
	Events  int64      `json:"events"`
	Head    string     `json:"head"`
	Last    *time.Time `json:"last_event,omitempty"`
	Valid   bool       `json:"valid"`
	Problem string     `json:"problem,omitempty"`
}

func describeContents(file string, c sqlite.Contents) contentsJSON {
	out := contentsJSON{File: file, Bytes: c.Bytes, Runs: c.Runs, Events: c.Events.Events, Head: c.Events.Head.String(), Valid: c.Events.Problem == "", Problem: c.Events.Problem}
	if !c.Last.IsZero() {
		out.Last = &c.Last
	}
	return out
}

func (a *App) backUp(ctx context.Context, file string, asJSON bool) int {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	if diags := a.May(access.Admin, p.Environment, ""); diags.HasErrors() {
		return a.fail(diags)
	}
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	var problem *fs.PathError
	c, err := store.Backup(ctx, file)
	switch {
	case errors.Is(err, fs.ErrExist):
		return a.failf("File exists", "There is a file %s already, which is not replaced. Give another name, or remove it.", file)
	case errors.Is(err, fs.ErrNotExist) && !p.HasStore():
		return a.failf("Nothing to back up", "This project has no store yet: it is made when something is first carried out.")
	case errors.As(err, &problem) && filepath.Dir(problem.Path) == filepath.Dir(file):
		return a.fail(writeProblem(file, err))
	case err != nil:
		return a.failf("No backup was made", "%s.", strings.TrimPrefix(err.Error(), "cannot back up the store: "))
	}
	if asJSON {
		if code := a.printJSONIndented(describeContents(file, c)); code != exitOK {
			return code
		}
	} else {
		fmt.Fprintf(a.Out, "Backed up to %s: %s, %d runs, %d events.\nHead: %s\nThe key that seals sensitive values is not in it.\n", file, sizeText(c.Bytes), c.Runs, c.Events.Events, c.Events.Head)
	}
	if c.Events.Problem != "" {
		return a.failf("The events were tampered with", "The backup %s is complete, but the chain of events in the store does not hold: %s.", file, c.Events.Problem)
	}
	return exitOK
}

// sizeText is a number of bytes for people.
func sizeText(bytes int64) string {
	if bytes < 1000*1000 {
		return fmt.Sprintf("%.1f kB", float64(bytes)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

func storeRestoreCommand() *command {
	return &command{
		name: "restore", args: "FILE", summary: "Put a backup in the place of the store", minArgs: 1, maxArgs: 1,
		about: `Puts a backup in the place of the store, or makes the store of it where there is none. It is checked first; a store that has anything the backup has not is replaced with -force only, and is then kept beside it. Nobody may use the store meanwhile: stop servers and runners before. That it was restored is recorded.

What was done after the backup was made is not known any more. Runs that had not ended then end as cancelled: they may have gone on, and would do again what they did. With -keep-runs they stay, for the next runner or "tutti resume" to go on with, which is right where nothing has happened since the backup. Plan before anything else: refreshing shows how things are now.

Sensitive values can only be read with the key they were sealed with.`,
		setup: func(f *flagSet) action {
			var o sqlite.RestoreOptions
			f.toggle(&o.Force, "force", "Replace a store that is newer, or take a backup in which the chain of events does not hold.")
			f.toggle(&o.KeepRuns, "keep-runs", "Leave runs that had not ended to be gone on with.")
			return func(ctx context.Context, app *App, args []string) int { return app.restore(ctx, args[0], o) }
		},
	}
}

func (a *App) restore(ctx context.Context, file string, o sqlite.RestoreOptions) int {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	if diags := a.May(access.Admin, p.Environment, ""); diags.HasErrors() {
		return a.fail(diags)
	}
	o.By, o.Now = a.Actor(), time.Now
	var problem *fs.PathError
	out, err := sqlite.Restore(ctx, p.StoreDir(), file, o)
	switch {
	case errors.Is(err, sqlite.ErrInUse):
		return a.failf("The store is in use", "Another process has the store of this project open: a server, a runner or a command. Stop it first.")
	case errors.Is(err, sqlite.ErrNewer):
		return a.failf("The store is newer than the backup", "Nothing was changed: it has something that the backup has not, or cannot be read. To replace it all the same give -force; it is then kept beside the restored one.")
	case errors.Is(err, sqlite.ErrNoStore):
		return a.failf("Not a backup of Tutti", "Nothing was changed: %s is not a store of Tutti. Backups are the files that \"tutti store backup FILE\" writes; the file store.db of another project is one, too.", file)
	case errors.Is(err, sqlite.ErrLayout):
		return a.failf("Cannot restore the backup", "Nothing was changed: %s needs a newer version of Tutti: %s.", file, strings.TrimPrefix(err.Error(), "cannot restore the backup: "))
	case errors.As(err, &problem) && problem.Path == file:
		return a.failf("Cannot read the backup", "%s. Backups are the files that \"tutti store backup FILE\" writes.", files.Reason(problem))
	case errors.Is(err, sqlite.ErrTampered):
		return a.failf("The events in the backup were tampered with", "Nothing was changed: %s. To take it all the same give -force.", strings.TrimPrefix(err.Error(), "cannot restore the backup: "))
	case err != nil:
		return a.failf("Cannot restore the backup", "%s.", strings.TrimPrefix(err.Error(), "cannot restore the backup: "))
	}
	last := ""
	if !out.Last.IsZero() {
		last = ", the last one of " + out.Last.Local().Format(time.DateTime)
	}
	fmt.Fprintf(a.Out, "Restored %s: %d runs, %d events%s.\n", file, out.Runs, out.Events.Events, last)
	if out.Former != "" {
		fmt.Fprintf(a.Out, "The store that was here is in %s.\n", out.Former)
	}
	if len(out.Ended) > 0 {
		fmt.Fprintf(a.Out, "Runs that had not ended, and were cancelled: %s.\n", strings.Join(out.Ended, ", "))
	}
	return exitOK
}

func storePruneCommand() *command {
	return &command{
		name: "prune", summary: "Remove what runs left that ended long ago",
		about: `Removes the journals, logs, files and plans of runs that ended before the time given, cached results that have expired, and firings of triggers (dead letters, too) and deliveries that are done with and as old, while everything goes on. What stays for ever: the runs themselves (who, when, what came of it), the history of every object, the definitions of workflows, and all events, so that the chain still verifies.

A run whose journal was removed can be listed and shown, and rolled back. It cannot be run again from a step on ("tutti runs retry"), and what its steps did and wrote is not known any more.

The space becomes free for what is written next; the file keeps its size. A backup that is restored has no free space in it.`,
		example: "tutti store prune -older-than=90d",
		setup: func(f *flagSet) action {
			var o outputOptions
			var age string
			var only bool
			f.text(&age, "older-than", "TIME", "For how long runs must have ended: 90d, 12h.")
			f.toggle(&only, "dry-run", "Only say what would be removed.")
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int { return app.prune(ctx, age, only, o.json) }
		},
	}
}

func (a *App) prune(ctx context.Context, age string, only, asJSON bool) int {
	if age == "" {
		return a.failf("How old?", "Say with -older-than=TIME for how long runs must have ended whose records are removed, such as -older-than=90d.")
	}
	old, err := projects.ParseDuration(age)
	if err != nil || old < 0 {
		return a.failf("Invalid time", "The value of -older-than is no length of time such as \"90d\" or \"12h\": %q.", age)
	}
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	if diags := a.May(access.Admin, p.Environment, ""); diags.HasErrors() {
		return a.fail(diags)
	}
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	before := time.Now().Add(-old)
	done, err := store.Prune(ctx, before, a.Actor(), only)
	if err != nil {
		then := "Run the command again to go on."
		if errors.Is(err, sqlite.ErrFull) {
			then = "What is removed is written down first, which takes some room: make a little elsewhere on this disk, and run the command again to go on."
		}
		return a.failf("Not everything was removed", "%s. %s", strings.TrimSuffix(err.Error(), "."), then)
	}
	if asJSON {
		return a.printJSONIndented(struct {
			Before     time.Time `json:"before"`
			Runs       []string  `json:"runs"`
			Firings    int       `json:"firings"`
			Deliveries int       `json:"deliveries"`
			Freed      int64     `json:"freed_bytes"`
			Only       bool      `json:"dry_run,omitempty"`
		}{before.UTC(), append([]string{}, done.Runs...), done.Firings, done.Deliveries, done.Freed, only})
	}
	since := before.Local().Format(time.DateTime)
	switch {
	case len(done.Runs) == 0:
		fmt.Fprintf(a.Out, "No runs ended before %s whose records are still there.\n", since)
	case only:
		fmt.Fprintf(a.Out, "Would remove the records of %d runs that ended before %s:\n  %s\n", len(done.Runs), since, strings.Join(done.Runs, "\n  "))
	default:
		fmt.Fprintf(a.Out, "Removed the records of %d runs that ended before %s. They cannot be run again from a step on.\n", len(done.Runs), since)
	}
	if done.Firings+done.Deliveries > 0 {
		verb := "Removed"
		if only {
			verb = "Would remove"
		}
		fmt.Fprintf(a.Out, "%s from before then: firings %d, deliveries %d.\n", verb, done.Firings, done.Deliveries)
	}
	if !only {
		fmt.Fprintf(a.Out, "Freed: %s.\n", sizeText(done.Freed))
	}
	return exitOK
}
