package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/secrets/sources"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"golang.org/x/term"
)

func secretCommand() *command {
	return &command{
		name: "secret", summary: "Set, list, rotate and remove secrets, and change the key of the store",
		about: "Secrets are declared in *.tutti.hcl files, by secret blocks. The values of those with the source store are kept in Tutti's store, sealed, for each environment. Versions are kept until they are removed, or revoked by a rotation.",
		sub:   []*command{secretConsumersCommand(), secretGetCommand(), secretHistoryCommand(), secretListCommand(), secretRemoveCommand(), secretRollbackCommand(), secretRotateCommand(), secretRotateKeyCommand(), secretSetCommand()},
	}
}

// secretWork is what the commands about secrets work with.
type secretWork struct {
	*project.Directory
	app         *App
	declared    *projects.Project // nil where there are no project files
	store       *sqlite.Store
	environment string
}

// openSecrets opens the project, its store and the environment.
func (a *App) openSecrets(ctx context.Context) (*secretWork, diag.List) {
	return a.openSecretsIn(ctx, (*project.Directory).ChooseEnvironment)
}

// openSecretsIn is openSecrets with a choice of the environment.
func (a *App) openSecretsIn(ctx context.Context, choose func(p *project.Directory, declared *projects.Project, named string) (string, diag.List)) (*secretWork, diag.List) {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return nil, diags
	}
	w := &secretWork{Directory: p, app: a, environment: p.Environment}
	fail := func(d diag.List) (*secretWork, diag.List) {
		p.Close()
		return nil, append(diags, d...)
	}
	if projects.Exists(p.Place(".")) {
		var d diag.List
		w.declared, d = projects.Load(p.Place("."))
		if w.declared != nil {
			a.Sources = w.declared.Files
		}
		if d.HasErrors() {
			return fail(d)
		}
		if w.environment, d = choose(p, w.declared, a.Environment); d.HasErrors() {
			return fail(d)
		}
	}
	store, d := p.Store(ctx)
	if d.HasErrors() {
		return fail(d)
	}
	w.store = store
	return w, append(diags, d...)
}

// inSecrets runs what a command does with secrets.
func (a *App) inSecrets(ctx context.Context, do func(w *secretWork) int) int {
	w, diags := a.openSecrets(ctx)
	return a.withSecrets(w, diags, do)
}

func (a *App) withSecrets(w *secretWork, diags diag.List, do func(w *secretWork) int) int {
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer w.Close()
	a.Show(diags)
	return do(w)
}

// may refuses what roles do not allow somebody to do with a secret, or with all.
func (w *secretWork) may(name string) diag.List {
	return w.app.May(access.Secret, w.environment, name)
}

// secret is a secret that is declared; nil where it is not.
func (w *secretWork) secret(name string) *projects.Secret {
	if w.declared == nil {
		return nil
	}
	return w.declared.Secrets[name]
}

func (w *secretWork) undeclared(name string) diag.List {
	if w.declared == nil {
		return diag.Errorf("No project files", "There are no *%s files in this directory. Secrets are declared there, in secret blocks.", projects.Suffix)
	}
	names := sortedKeys(w.declared.Secrets)
	if len(names) == 0 {
		return diag.Errorf("No such secret", "This project declares no secrets. Declare it: secret %q { store {} }.", name)
	}
	return diag.Errorf("No such secret", "This project declares no secret %q.%s Declared are: %s.", name, diag.DidYouMean(name, names), strings.Join(names, ", "))
}

func completeSecrets(app *App, _ []string) []string {
	p, _ := app.OpenWorkflows()
	if p == nil {
		return nil
	}
	return sortedKeys(p.Secrets)
}

func secretSetCommand() *command {
	return &command{
		name: "set", args: "NAME", summary: "Set the value of a secret, read from standard input", minArgs: 1, maxArgs: 1, complete: completeSecrets,
		about:   "The value is read from standard input, or asked for without showing it. It cannot be given on the command line, where other users of the machine and the history of the shell would see it. One line end at its end is not part of it.",
		example: "tutti secret set db_password -env=prod < password.txt",
		setup: func(*flagSet) action {
			return func(ctx context.Context, app *App, args []string) int {
				return app.inSecrets(ctx, func(w *secretWork) int { return w.set(ctx, args[0]) })
			}
		},
	}
}

func (w *secretWork) set(ctx context.Context, name string) int {
	s := w.secret(name)
	if s == nil {
		return w.app.fail(w.undeclared(name))
	}
	if s.Source != projects.SecretStore {
		return w.app.fail(diag.ErrorAt(s.DeclRange, "Secret is kept elsewhere", "The source of the secret %q is %s: change its value there.", name, s.Source))
	}
	if diags := w.may(name); diags.HasErrors() {
		return w.app.fail(diags)
	}
	value, err := w.app.readSecret(ctx, fmt.Sprintf("Value of %s in %s: ", name, w.environment))
	switch {
	case err != nil:
		return w.app.failf("Cannot read the value", "%s.", err)
	case value == "":
		return w.app.failf("Empty value", "Nothing came from standard input. To take a secret away use \"tutti secret remove %s\".", name)
	case len(value) > sources.Largest:
		return w.app.failf("Value too long", "A secret has at most %d bytes.", sources.Largest)
	}
	version, err := w.store.SetSecret(ctx, w.environment, name, []byte(value), w.app.Actor())
	if err != nil {
		return w.app.fail(diag.FromError(err))
	}
	fmt.Fprintf(w.app.Out, "Set %s in %s: version %d.\n", name, w.environment, version)
	return exitOK
}

// readSecret reads a value from a pipe to its end, or asks for it on a terminal.
func (a *App) readSecret(ctx context.Context, question string) (string, error) {
	if p := a.prompter(); p.fd >= 0 && term.IsTerminal(p.fd) {
		p.out = a.Err
		return p.ask(ctx, question, true)
	}
	text, err := io.ReadAll(io.LimitReader(a.In, sources.Largest+3))
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), err
}

func secretGetCommand() *command {
	return &command{
		name: "get", args: "NAME", summary: "Show where a secret comes from, and its value with -reveal", minArgs: 1, maxArgs: 1, complete: completeSecrets,
		setup: func(f *flagSet) action {
			var reveal bool
			f.toggle(&reveal, "reveal", "Print the value. That it was read is recorded.")
			return func(ctx context.Context, app *App, args []string) int {
				return app.inSecrets(ctx, func(w *secretWork) int { return w.get(ctx, args[0], reveal) })
			}
		},
	}
}

func (w *secretWork) get(ctx context.Context, name string, reveal bool) int {
	s := w.secret(name)
	if s == nil {
		return w.app.fail(w.undeclared(name))
	}
	if reveal {
		if diags := w.may(name); diags.HasErrors() {
			return w.app.fail(diags)
		}
		text, _, err := w.SecretReader(w.environment).Read(ctx, s, "")
		if err != nil {
			return w.app.fail(diag.ErrorAt(s.DeclRange, "Cannot read secret", "The secret %q cannot be read: %s.", name, err))
		}
		fmt.Fprintln(w.app.Out, text)
		return exitOK
	}
	rows, diags := w.rows(ctx)
	if diags.HasErrors() {
		return w.app.fail(diags)
	}
	for _, r := range rows {
		if r.Name == name {
			w.app.showSecrets([]secretJSON{r})
		}
	}
	return exitOK
}

// secretJSON is a secret for programs, without its value.
type secretJSON struct {
	Name        string `json:"name"`
	Environment string `json:"environment"`
	Source      string `json:"source,omitempty"` // empty: not declared any more
	Version     int    `json:"version,omitempty"`
	Versions    int    `json:"versions,omitempty"` // that are kept
	By          string `json:"set_by,omitempty"`
	At          string `json:"set_at,omitempty"`
	Since       string `json:"current_since,omitempty"`
	Pending     int    `json:"pending,omitempty"` // a version that is being rotated to
	PendingRun  string `json:"pending_run,omitempty"`
	Next        string `json:"next_rotation,omitempty"`
	age         string
}

// rows describes all secrets that are declared, or have values.
func (w *secretWork) rows(ctx context.Context) ([]secretJSON, diag.List) {
	versions, err := w.store.SecretVersions(ctx, w.environment, "")
	if err != nil {
		return nil, diag.FromError(err)
	}
	byName := map[string]*secretJSON{}
	if w.declared != nil {
		for name, s := range w.declared.Secrets {
			byName[name] = &secretJSON{Name: name, Environment: w.environment, Source: string(s.Source)}
		}
	}
	now := time.Now()
	for _, v := range versions {
		if !kept(v) {
			continue
		}
		row := byName[v.Name]
		if row == nil {
			row = &secretJSON{Name: v.Name, Environment: w.environment}
			byName[v.Name] = row
		}
		switch row.Versions++; v.State {
		case "current":
			row.Version, row.By, row.At = v.Version, v.By, v.At.Format(time.RFC3339)
			row.Since, row.age = v.Since.Format(time.RFC3339), age(v.At, now)
		case "pending":
			row.Pending, row.PendingRun = v.Version, v.Run
		}
	}
	rows := []secretJSON{}
	for _, name := range sortedKeys(byName) {
		if next := w.nextRotation(w.secret(name), now); !next.IsZero() {
			byName[name].Next = next.Format(time.RFC3339)
		}
		rows = append(rows, *byName[name])
	}
	return rows, nil
}

func (a *App) showSecrets(rows []secretJSON) {
	for _, r := range rows {
		source := r.Source
		var parts []string
		switch {
		case source == "":
			source = "(undeclared)"
		case source == string(projects.SecretStore) && r.Version == 0:
			parts = append(parts, "no value in "+r.Environment)
		}
		if r.Version > 0 {
			parts = append(parts, fmt.Sprintf("version %d", r.Version), fmt.Sprintf("%s by %s", r.At, r.By), "age "+r.age)
		}
		if r.Pending > 0 {
			parts = append(parts, fmt.Sprintf("version %d is pending in run %s", r.Pending, r.PendingRun))
		}
		if r.Next != "" {
			parts = append(parts, "next rotation "+r.Next)
		}
		head := fmt.Sprintf("%-20s %-11s", r.Name, source)
		if len(parts) > 0 {
			head, parts = head+" "+parts[0], parts[1:]
		}
		fmt.Fprintln(a.Out, views.Listed(head, 21, ", ", parts...))
	}
}

func secretListCommand() *command {
	return &command{
		name: "list", summary: "List the secrets of the project, without their values",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				return app.inSecrets(ctx, func(w *secretWork) int {
					rows, diags := w.rows(ctx)
					switch {
					case diags.HasErrors():
						return app.fail(diags)
					case o.json:
						return app.printJSONIndented(rows)
					case len(rows) == 0:
						fmt.Fprintln(app.Out, "No secrets. They are declared in secret blocks.")
					}
					app.showSecrets(rows)
					return exitOK
				})
			}
		},
	}
}

func secretHistoryCommand() *command {
	return &command{
		name: "history", args: "NAME", summary: "Show the versions of a secret: how each stands, who set it, and when", minArgs: 1, maxArgs: 1, complete: completeSecrets,
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, args []string) int {
				return app.inSecrets(ctx, func(w *secretWork) int { return w.history(ctx, args[0], o.json) })
			}
		},
	}
}

func (w *secretWork) history(ctx context.Context, name string, asJSON bool) int {
	type row struct {
		Version   int    `json:"version"`
		By        string `json:"set_by"`
		At        string `json:"set_at"`
		RemovedBy string `json:"removed_by,omitempty"`
		Removed   string `json:"removed_at,omitempty"`
		State     string `json:"state"`
		Since     string `json:"since"`
		Run       string `json:"run,omitempty"` // that made it, or has it pending
		standing  string
	}
	list, err := w.store.SecretVersions(ctx, w.environment, name)
	if err != nil {
		return w.app.fail(diag.FromError(err))
	}
	if len(list) == 0 && w.secret(name) == nil {
		return w.app.fail(w.undeclared(name))
	}
	rows := []row{}
	for _, v := range list {
		r := row{Version: v.Version, By: v.By, At: v.At.Format(time.RFC3339), RemovedBy: v.RemovedBy, State: v.State, Since: v.Since.Format(time.RFC3339), Run: v.Run, standing: standingOf(v)}
		if !v.Removed.IsZero() {
			r.Removed = v.Removed.Format(time.RFC3339)
		}
		rows = append(rows, r)
	}
	if asJSON {
		return w.app.printJSONIndented(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintf(w.app.Out, "The store has never had a value of %s in %s.\n", name, w.environment)
	}
	for _, r := range rows {
		fmt.Fprintln(w.app.Out, views.Listed(fmt.Sprintf("%4d  set %s by %s", r.Version, r.At, r.By), 6, ", ", r.standing))
	}
	return exitOK
}

func secretRemoveCommand() *command {
	return &command{
		name: "remove", args: "NAME", summary: "Remove the versions of a secret, or one of them", minArgs: 1, maxArgs: 1, complete: completeSecrets,
		about: "Without -version removes all versions in the environment. Who set and removed them stays in the history. Where the newest is removed, the one before counts.",
		setup: func(f *flagSet) action {
			var version int
			f.number(&version, "version", "N", "Remove this version only.")
			return func(ctx context.Context, app *App, args []string) int {
				return app.inSecrets(ctx, func(w *secretWork) int {
					if diags := w.may(args[0]); diags.HasErrors() {
						return app.fail(diags)
					}
					count, err := w.store.RemoveSecret(ctx, w.environment, args[0], version, app.Actor())
					if err != nil {
						return app.fail(diag.FromError(err))
					}
					if count == 0 {
						return app.failf("Nothing to remove", "The store has no such value of the secret %q in the environment %q.", args[0], w.environment)
					}
					fmt.Fprintf(app.Out, "Removed %d version(s) of %s in %s.\n", count, args[0], w.environment)
					return exitOK
				})
			}
		},
	}
}
