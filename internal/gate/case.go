package gate

import (
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
)

// Case is what is held to the rules: where something is to be done, and for whom.
type Case struct {
	*project.Directory
	view View
	// actor is on whose behalf it is done; empty for who runs the program.
	actor string
	// authority is that of the actor, as runs keep it.
	authority *access.Authority
	// overrides are those of the run that it is done for; nil: what -override says.
	overrides []runs.Override
	// starts is the workflow that is started, where no stack is worked on.
	starts string
	// looks says that nothing is done now: see [Case.Look].
	looks bool
}

// NewCase is a case in a directory, for who runs the program.
func NewCase(p *project.Directory, view View) Case { return Case{Directory: p, view: view} }

// As makes it a case for somebody else.
func (c *Case) As(actor string, authority *access.Authority, overrides []runs.Override) {
	c.actor, c.authority, c.overrides = actor, authority, overrides
}

// Look makes it a case of which it is only asked what would be said, for whomever that
// is: nobody did anything that they could be refused, so the feed is not told.
func (c *Case) Look() { c.looks = true }

// View shows what the rules say.
type View interface {
	// Settle ends what is being drawn, before something else is printed.
	Settle()
	// Decision shows what policy says.
	Decision(d *policy.Decision)
	// Cost shows what plans come to.
	Cost(j *Costs)
	// Shown reports whether anybody sees it.
	Shown() bool
}

// resource is what is worked on, as permissions name it.
func (c *Case) resource() string {
	if c.starts != "" {
		return c.starts
	}
	return c.Stack
}

// Who is on whose behalf it is done, with what their rights rest on.
func (c *Case) Who() (access.Identity, *access.Authority) {
	if c.actor == "" {
		return c.Session.Identity(), c.Session.Authority()
	}
	return c.Session.IdentityIn(c.actor, c.authority), c.authority
}

// By is on whose behalf it is done.
func (c *Case) By() string {
	if c.actor != "" {
		return c.actor
	}
	return c.Session.Actor()
}

// Subject is [Case.By] as grants, policies and the feed name them.
func (c *Case) Subject() string { return access.Subject(c.By()) }
