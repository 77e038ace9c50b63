package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/project"
)

// whoamiAnswer is who somebody is, for programs.
type whoamiAnswer struct {
	Subject string    `json:"subject"`
	Groups  []string  `json:"groups"`
	Roles   []string  `json:"roles"`
	Scoped  bool      `json:"scoped"` // only these roles count, of those that the subject has
	Source  string    `json:"source"` // os, token, identity.NAME, or server
	Issuer  string    `json:"issuer,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

func whoamiCommand() *command {
	return &command{
		name: "whoami", summary: "Show for whom commands act",
		about: "Shows for whom commands act here, with their groups and roles, and how that is known: by a token in TUTTI_TOKEN, by a login (tutti login -identity=NAME), or from the operating system.",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int { return app.whoami(ctx, o.json) }
		},
	}
}

func (a *App) whoami(ctx context.Context, asJSON bool) int {
	if a.remote != nil {
		return a.whoamiThere(asJSON)
	}
	if diags := a.Identify(ctx, "whoami"); diags.HasErrors() {
		return a.fail(diags)
	}
	policy, diags := a.Policy()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	who := a.Identity()
	doc := whoamiAnswer{
		Subject: who.Subject, Groups: append([]string{}, who.Groups...), Roles: append([]string{}, policy.RolesOf(who)...),
		Scoped: who.Scoped, Source: "os",
	}
	if a.Acting != nil {
		doc.Source, doc.Expires = a.Acting.Source, a.Acting.Expires.UTC()
		if p, _ := project.Governing(); p != nil {
			if d := p.Identities[strings.TrimPrefix(doc.Source, "identity.")]; d != nil {
				doc.Issuer = d.Issuer
			}
		}
	}
	return a.tellWhoami(doc, policy.Declared(), asJSON)
}

func (a *App) tellWhoami(doc whoamiAnswer, guarded, asJSON bool) int {
	if asJSON {
		return a.printJSONIndented(doc)
	}
	fmt.Fprintln(a.Out, doc.Subject)
	line := func(name, text string) { fmt.Fprintf(a.Out, "  %-8s %s\n", name, text) }
	line("groups:", orNone(doc.Groups))
	if guarded {
		line("roles:", orNone(doc.Roles))
	}
	source := map[string]string{"os": "the operating system", "token": "a token of this project", "server": "the server"}[doc.Source]
	if source == "" {
		source = doc.Source
	}
	if doc.Issuer != "" {
		source += " (" + doc.Issuer + ")"
	}
	line("source:", source)
	if !doc.Expires.IsZero() {
		line("until:", doc.Expires.Local().Format(time.DateTime))
	}
	return exitOK
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
