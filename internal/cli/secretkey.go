package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

func secretRotateKeyCommand() *command {
	return &command{
		name: "rotate-key", summary: "Seal everything in the store with a new key",
		about: "Makes a new key in your configuration folder and seals everything in the store with it: attributes and outputs of states, their history, journals, signals, cached results, definitions, plans and secrets. Where TUTTI_STATE_KEY, TUTTI_STATE_KEY_FILE or TUTTI_STATE_KEY_COMMAND names keys, the first of them is the new one; the former ones must follow it until it is done.\n\nIt may be cut off at any time: both keys are valid until it is done, and running it again goes on. It is refused while a run is under way. In the end the former key opens nothing in the store, and a program that still has only that one can write nothing sealed.",
		setup: func(*flagSet) action {
			return func(ctx context.Context, app *App, _ []string) int {
				// It is about the store, and all environments in it.
				whole := func(p *project.Directory, _ *projects.Project, _ string) (string, diag.List) {
					return p.Environment, nil
				}
				w, diags := app.openSecretsIn(ctx, whole)
				return app.withSecrets(w, diags, func(w *secretWork) int { return w.rotateKey(ctx) })
			}
		},
	}
}

func (w *secretWork) rotateKey(ctx context.Context) int {
	environments := []string{w.environment}
	if w.declared != nil && len(w.declared.Environments) > 0 {
		environments = sortedKeys(w.declared.Environments)
	}
	for _, environment := range environments {
		if diags := w.app.May(access.Secret, environment, ""); diags.HasErrors() {
			return w.app.fail(diags)
		}
	}
	unended, err := w.store.Unended(ctx)
	if err != nil {
		return w.app.fail(diag.FromError(err))
	}
	for _, r := range unended {
		if r.Status == runs.Running {
			return w.app.failf("A run is under way", "Run %s is being carried out, with the key that is to be changed. Wait until it has ended, or cancel it. \"tutti runs\" lists all.", r.ID)
		}
	}
	r, diags := w.rotation(ctx)
	if diags.HasErrors() {
		return w.app.fail(diags)
	}
	var done sqlite.Resealed
	if !r.Sealed {
		if done, err = w.store.Reseal(ctx, r, w.Keyring, sqlite.ResealOptions{After: func(sqlite.Resealed) error { return context.Cause(ctx) }}); err != nil {
			return w.app.failf("The key is not changed yet", "%s. Nothing is lost: both keys are valid. Run the command again to go on.", strings.TrimSuffix(err.Error(), "."))
		}
	}
	retired, err := w.store.Retired(ctx)
	if err != nil {
		return w.app.fail(diag.FromError(err))
	}
	for _, key := range retired {
		if _, err := w.Keyring.Retire(key); err != nil {
			return w.app.fail(diag.FromError(err))
		}
	}
	if err := w.store.EndRotation(ctx, r); err != nil {
		return w.app.fail(diag.FromError(err))
	}
	if len(done.Skipped) > 0 {
		const most = 10
		shown := done.Skipped[:min(most, len(done.Skipped))]
		w.app.Show(diag.Warningf("Values stay as they are", "%d values could not be opened, and are still sealed with the key they were sealed with:\n  %s", len(done.Skipped), strings.Join(shown, "\n  ")))
	}
	fmt.Fprintf(w.app.Out, "Sealed %d values anew. The key is %s now.\n", done.Values, r.Key)
	if len(retired) > 0 {
		fmt.Fprintf(w.app.Out, "Retired: %s.\nPlans saved in files, and backups of the store, need the key they were made with.\n", strings.Join(retired, ", "))
	}
	return exitOK
}

// rotation begins a change of the key, or goes on with the one that was cut off.
func (w *secretWork) rotation(ctx context.Context) (sqlite.Rotation, diag.List) {
	named, err := w.Keyring.Named()
	if err != nil {
		return sqlite.Rotation{}, diag.FromError(err)
	}
	r, under, err := w.store.Rotation(ctx)
	if err != nil {
		return r, diag.FromError(err)
	}
	if !under {
		former, err := w.Keyring.KeyID()
		key := former
		if err == nil && !named {
			key, err = w.Keyring.Make()
		}
		if err != nil {
			return r, diag.FromError(err)
		}
		if r, err = w.store.BeginRotation(ctx, key, former, w.app.Actor()); err != nil {
			return r, diag.FromError(err)
		}
	}
	if !named {
		if err := w.Keyring.Use(r.Key); err != nil {
			return r, diag.FromError(err)
		}
	}
	key, err := w.Keyring.KeyID()
	if err != nil {
		return r, diag.FromError(err)
	}
	if key != r.Key {
		return r, diag.Errorf("Another change of the key is under way", "Since %s everything is being sealed with the key %s, but here %s would seal. Give that key first, and finish the change.", r.Began.Local().Format("2006-01-02 15:04:05"), r.Key, key)
	}
	return r, nil
}
