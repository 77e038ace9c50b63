package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/project"
)

func accessCommand() *command {
	return &command{
		name: "access", summary: "Look at who may do what",
		about: "Roles and grants in the project's files say who may do what (docs/access.md).",
		sub:   []*command{accessCheckCommand()},
	}
}

// accessAnswer is a decision for programs.
type accessAnswer struct {
	Subject     string   `json:"subject"`
	Groups      []string `json:"groups"`
	Roles       []string `json:"roles"`
	Verb        string   `json:"verb"`
	Environment string   `json:"environment"`
	Resource    string   `json:"resource"`
	Allowed     bool     `json:"allowed"`
	Because     string   `json:"because"`
}

func accessCheckCommand() *command {
	return &command{
		name: "check", summary: "Show whether somebody may do something, and why",
		about:   "Shows whether somebody may do something, and which role decides. Groups are those that the operating system of this machine knows. The exit code is 1 where it is not allowed.",
		example: "tutti access check -as=user:ann -verb=apply -env=prod -resource=shop",
		setup: func(f *flagSet) action {
			var o outputOptions
			var as, verb, environment, resource string
			f.text(&as, "as", "SUBJECT", "Who: user:NAME, group:NAME, service:NAME or trigger:NAME. You, unless given.")
			f.text(&verb, "verb", "VERB", "What: "+strings.Join(projects.Verbs, ", ")+".")
			f.text(&environment, "env", "NAME", "In which environment; \"default\" unless given.")
			f.text(&resource, "resource", "NAME", "To which stack or workflow.")
			o.registerJSON(f, "Print as JSON.")
			return func(_ context.Context, app *App, _ []string) int {
				if environment == "" {
					environment = project.DefaultEnvironment
				}
				return app.checkAccess(as, access.Verb(verb), environment, resource, o.json)
			}
		},
	}
}

func (a *App) checkAccess(as string, verb access.Verb, environment, resource string, asJSON bool) int {
	who := a.Identity()
	if as != "" {
		if err := projects.ParseSubject(as); err != nil {
			return a.failf("Invalid subject", "Option -as: %s.", err)
		}
		who = a.IdentityOf(as)
		if strings.HasPrefix(as, access.GroupKind+":") {
			who = access.Identity{Groups: []string{as}}
		}
	}
	if p, err := projects.ParsePermission(string(verb) + ":*"); err != nil || p.Verb == "*" {
		return a.failf("Invalid verb", "Option -verb must be one of %s.", strings.Join(projects.Verbs, ", "))
	}
	policy, diags := a.Policy()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	d := policy.Decide(who, verb, environment, resource)
	code := exitFailed
	if d.Allowed {
		code = exitOK
	}
	if asJSON {
		doc := accessAnswer{
			Subject: who.Subject, Groups: append([]string{}, who.Groups...), Roles: append([]string{}, policy.RolesOf(who)...),
			Verb: string(verb), Environment: environment, Resource: resource, Allowed: d.Allowed, Because: d.Because,
		}
		if failed := a.printJSONIndented(doc); failed != exitOK {
			return failed
		}
		return code
	}
	answer := "Not allowed"
	if d.Allowed {
		answer = "Allowed"
	}
	fmt.Fprintf(a.Out, "%s: %s.\n", answer, d.Because)
	return code
}
