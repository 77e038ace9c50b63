package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

func tokenCommand() *command {
	return &command{
		name: "token", summary: "Make, list and revoke tokens",
		about: "A token stands for a user or a service, with some of their roles, for a while. It is shown once; what is kept does not let anybody use it. Commands act by the one that is in TUTTI_TOKEN.",
		sub:   []*command{tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand()},
	}
}

const (
	defaultTokenLife = "30d"
	longestTokenLife = 366 * 24 * time.Hour
)

// tokenOptions are what is asked for of a new token.
type tokenOptions struct {
	as, expires, comment string
	roles                []string
	json                 bool
}

func tokenCreateCommand() *command {
	return &command{
		name: "create", summary: "Make a token and show it, once",
		about:   "Makes a token and prints it. It is not kept, and cannot be shown again. It has the roles named and, of those, only the ones whom it stands for has when it is used.",
		example: "tutti token create -as=service:ci -role=operator -expires=90d",
		setup: func(f *flagSet) action {
			var o tokenOptions
			f.text(&o.as, "as", "SUBJECT", "Whom it stands for: user:NAME or service:NAME.")
			f.list(&o.roles, "role", "NAME", "A role that it is for; may be given several times.")
			f.text(&o.expires, "expires", "TIME", "How long it may be used (12h, 90d), a year at most; "+defaultTokenLife+" unless given.")
			f.text(&o.comment, "comment", "TEXT", "What it is for, to be listed.")
			f.toggle(&o.json, "json", "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				return app.withTokens(ctx, func(store *sqlite.Store, policy *access.Policy) int { return app.createToken(ctx, store, policy, o) })
			}
		},
	}
}

// withTokens opens the store for a command about tokens.
func (a *App) withTokens(ctx context.Context, do func(*sqlite.Store, *access.Policy) int) int {
	policy, diags := a.Policy()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if !policy.Declared() {
		return a.failf("No roles", "Tokens stand for somebody with some of their roles, and this project declares none: write role and grant blocks in its *%s files.", projects.Suffix)
	}
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if diags := a.May(access.Admin, p.Environment, ""); diags.HasErrors() {
		return a.fail(diags)
	}
	return do(store, policy)
}

func (a *App) createToken(ctx context.Context, store *sqlite.Store, policy *access.Policy, o tokenOptions) int {
	if o.expires == "" {
		o.expires = defaultTokenLife
	}
	life, err := projects.ParseDuration(o.expires)
	switch {
	case err != nil:
		return a.failf("Invalid expiry", "Option -expires: %s.", err)
	case life <= 0 || life > longestTokenLife:
		return a.failf("Invalid expiry", "A token may be used for a year at most, and for longer than no time.")
	}
	if err := projects.ParseSubject(o.as); err != nil {
		return a.failf("Invalid subject", "Option -as: %s.", err)
	}
	if kind, _, _ := strings.Cut(o.as, ":"); kind != access.UserKind && kind != access.ServiceKind {
		return a.failf("Invalid subject", "Option -as: a token stands for a user or a service.")
	}
	if len(o.roles) == 0 {
		return a.failf("No roles", "Option -role says which roles the token is for: name at least one.")
	}
	for _, role := range o.roles {
		if !policy.HasRole(role) {
			return a.failf("No such role", "There is no role %q in this project.", role)
		}
	}
	slices.Sort(o.roles)
	now := time.Now().UTC()
	shown, kept, err := access.NewToken(rand.Reader, access.Token{
		Subject: o.as, Roles: slices.Compact(o.roles), Comment: o.comment, By: access.Subject(a.Actor()), Created: now, Expires: now.Add(life),
	})
	if err != nil {
		return a.fail(diag.FromError(err))
	}
	told := runs.AuditEvent(states.Key{}, "token.created", kept.ID, a.Actor(), map[string]any{"subject": kept.Subject, "roles": kept.Roles, "expires": kept.Expires})
	if err := store.PutToken(ctx, kept, told); err != nil {
		return a.fail(diag.FromError(err))
	}
	if o.json {
		return a.printJSONIndented(struct {
			Shown string `json:"token"`
			access.Token
		}{shown, kept})
	}
	fmt.Fprintf(a.Err, "Token %s for %s (%s), until %s.\nIt is shown only now:\n", kept.ID, kept.Subject, strings.Join(kept.Roles, ", "), kept.Expires.Local().Format(time.DateTime))
	fmt.Fprintln(a.Out, shown)
	return exitOK
}

func tokenListCommand() *command {
	return &command{
		name: "list", summary: "List the tokens there are",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				return app.withTokens(ctx, func(store *sqlite.Store, _ *access.Policy) int {
					list, err := store.Tokens(ctx)
					if err != nil {
						return app.fail(diag.FromError(err))
					}
					if o.json {
						return app.printJSONIndented(append([]access.Token{}, list...))
					}
					if len(list) == 0 {
						fmt.Fprintln(app.Out, "There are no tokens.")
					}
					for _, t := range list {
						head := fmt.Sprintf("%s  %-20s %s", t.ID, printable(t.Subject), tokenState(t, time.Now()))
						fmt.Fprintln(app.Out, views.Listed(head, len(t.ID)+2, "  ", strings.Join(t.Roles, ", "), printable(t.Comment)))
					}
					return exitOK
				})
			}
		},
	}
}

func tokenState(t access.Token, now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked " + t.Revoked.Local().Format(time.DateTime)
	case !now.Before(t.Expires):
		return "expired " + t.Expires.Local().Format(time.DateTime)
	}
	return "until   " + t.Expires.Local().Format(time.DateTime)
}

func tokenRevokeCommand() *command {
	return &command{
		name: "revoke", args: "ID", summary: "End a token for good", minArgs: 1, maxArgs: 1,
		setup: func(*flagSet) action {
			return func(ctx context.Context, app *App, args []string) int {
				return app.withTokens(ctx, func(store *sqlite.Store, _ *access.Policy) int {
					err := store.RevokeToken(ctx, args[0], time.Now(), runs.AuditEvent(states.Key{}, "token.revoked", args[0], app.Actor(), nil))
					switch {
					case errors.Is(err, sqlite.ErrNoToken):
						return app.failf("No such token", "There is no token %q. \"tutti token list\" lists them.", args[0])
					case err != nil:
						return app.fail(diag.FromError(err))
					}
					fmt.Fprintf(app.Out, "Token %s is revoked.\n", args[0])
					return exitOK
				})
			}
		},
	}
}
