package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
)

// OSUser is who runs the program, as the operating system knows them. What the
// environment says ($USER, $LOGNAME) is not asked: anybody can say anything there.
func OSUser() string {
	if runtime.GOOS == "windows" {
		if u, err := user.Current(); err == nil {
			return u.Username
		}
		return "unknown"
	}
	id := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(id); err == nil && u.Username != "" && !strings.Contains(u.Username, ":") {
		return u.Username
	}
	return "uid:" + id
}

// osIdentity is somebody with the groups that the operating system says they are
// in. Services and triggers are in none.
func osIdentity(actor string) access.Identity {
	who := access.Identity{Subject: access.Subject(actor)}
	name, ok := strings.CutPrefix(who.Subject, access.UserKind+":")
	if !ok {
		return who
	}
	u, err := user.Lookup(name)
	if err != nil {
		return who
	}
	ids, err := u.GroupIds()
	if err != nil {
		return who
	}
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			who.Groups = append(who.Groups, access.GroupKind+":"+g.Name)
		}
	}
	return who
}

// Governing reads the project whose roles hold for the working directory: the one
// whose files are there, or the one above that declares it as a stack. Unlike
// when looking for what to work on, nothing in the environment keeps it from
// being found.
func Governing() (*projects.Project, diag.List) {
	if projects.Exists(".") {
		return projects.Load(".")
	}
	p, here, diags := Above()
	if p != nil && len(here) == 0 && !(p.Guarded && diags.HasErrors()) {
		return nil, nil // this directory is none of its stacks
	}
	return p, diags
}

// Policy is what the project's files say about who may do what. Where they may
// say something that cannot be read, nothing is allowed.
func (s *Session) Policy() (*access.Policy, diag.List) {
	p, diags := Governing()
	if p == nil {
		if diags.HasErrors() {
			return nil, diags
		}
		return nil, nil
	}
	if p.Guarded && diags.HasErrors() {
		s.Sources = p.Files
		return nil, append(diags, diag.Errorf("Cannot tell who may do what", "The project's files have errors, so that what its roles allow is not known: nothing is allowed until they are corrected.")...)
	}
	return access.NewPolicy(p), nil
}

// May refuses what the roles of the project do not allow for whom the program
// acts. Every command that acts asks here.
func (s *Session) May(verb access.Verb, environment, resource string) diag.List {
	return s.MayBe(s.Identity(), verb, environment, resource, "")
}

// MayBe is [Session.May] for somebody else: who a run is by. The route is by what they come;
// empty for the command.
func (s *Session) MayBe(who access.Identity, verb access.Verb, environment, resource, route string) diag.List {
	return s.mayBe(who, verb, environment, resource, func() { s.Refuse(notAllowed(who, verb, environment, resource, route)) })
}

// MightBe is [Session.MayBe] where nothing is done and it is only asked what would be
// refused: nobody is told of it.
func (s *Session) MightBe(who access.Identity, verb access.Verb, environment, resource string) diag.List {
	return s.mayBe(who, verb, environment, resource, func() {})
}

// mayBe is [Session.MayBe], which calls refuse where it is not allowed.
func (s *Session) mayBe(who access.Identity, verb access.Verb, environment, resource string, refuse func()) diag.List {
	policy, diags := s.Policy()
	if diags.HasErrors() || !policy.Declared() {
		return diags
	}
	d := policy.Decide(who, verb, environment, resource)
	if d.Allowed {
		return nil
	}
	refuse()
	where := "environment " + strconv.Quote(environment)
	if resource != "" {
		where = strconv.Quote(resource) + " in " + where
	}
	return diag.Errorf("Not allowed", "%s may not do this (%s %s): %s.", who.Subject, verb, where, d.Because)
}

// Authorizer is [Session.MayBe] for what carries out runs: of each step that is about to begin
// it asks anew. What was begun with a token that is revoked goes no further.
func (s *Session) Authorizer(store runs.Store) func(by runs.Run, verb access.Verb, environment, resource string) error {
	return func(by runs.Run, verb access.Verb, environment, resource string) error {
		if by.Authority != nil && by.Authority.Token != "" {
			tokens, ok := store.(tokenStore)
			if !ok {
				return errors.New("the tokens cannot be looked up")
			}
			kept, ok, err := tokens.Token(context.Background(), by.Authority.Token)
			if err != nil {
				return fmt.Errorf("it cannot be told whether the token of the run holds: %w", err)
			}
			if !ok || !kept.Revoked.IsZero() {
				s.Refuse(notAllowed(by.Authority.Identity(by.Actor), verb, environment, resource, "run "+by.ID))
				return fmt.Errorf("the token %s that the run was begun with was revoked", by.Authority.Token)
			}
		}
		return s.authorize(by, verb, environment, resource)
	}
}

// tokenStore looks up tokens.
type tokenStore interface {
	Token(ctx context.Context, id string) (access.Token, bool, error)
}

// authorize is what [Session.Authorizer] asks of the roles.
func (s *Session) authorize(by runs.Run, verb access.Verb, environment, resource string) error {
	return s.MayBe(s.IdentityIn(by.Actor, by.Authority), verb, environment, resource, "run "+by.ID).Err()
}

// May refuses what the roles do not allow on the stack that is worked on.
func (p *Directory) May(verb access.Verb) diag.List {
	return p.Session.May(verb, p.Environment, p.Stack)
}

// VerbOf is what carrying out a plan of some kind is.
func VerbOf(kind string) access.Verb {
	switch kind {
	case "destroy":
		return access.Destroy
	case "import":
		return access.State
	}
	return access.Apply
}

// VerbsOf are all that carrying out a plan is: rolling back is applying, and
// destroying where it takes away what was made, whoever made the plan and wherever
// it was kept.
func VerbsOf(kind string, plan *plans.Plan) []access.Verb {
	verb := VerbOf(kind)
	if verb == access.Apply && plan.Unmakes() {
		return []access.Verb{verb, access.Destroy}
	}
	return []access.Verb{verb}
}

// MayRun refuses what the roles do not allow to be done to a run, whatever it is
// a run of.
func (s *Session) MayRun(ctx context.Context, store runs.Store, run runs.Run, verb access.Verb) diag.List {
	policy, diags := s.Policy()
	if diags.HasErrors() || !policy.Declared() {
		return diags
	}
	names, diags := s.ResourcesOf(ctx, store, run)
	if diags.HasErrors() {
		return diags
	}
	for _, name := range names {
		diags = append(diags, s.May(verb, run.Key.Environment, name)...)
	}
	return diags
}

// ResourcesOf names what a run works on: a stack, several, or a workflow.
func (s *Session) ResourcesOf(ctx context.Context, store runs.Store, run runs.Run) ([]string, diag.List) {
	if !run.Machine() {
		return []string{run.Key.Stack}, nil
	}
	if run.Workflow != "" && run.Workflow != stacks.WorkflowName {
		return []string{run.Workflow}, nil
	}
	source, err := store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	if !runs.IsWorkflow(source) {
		return []string{""}, nil // a state machine of no project
	}
	d, diags := runs.DecodeDefinition(source)
	if diags.HasErrors() {
		return nil, diags
	}
	if d.Workflow.Name != stacks.WorkflowName || !IsStacksRun(run) {
		return []string{d.Workflow.Name}, nil
	}
	names := []string{}
	for _, step := range d.Workflow.Steps {
		for _, r := range step.Action.References {
			if r.Kind == "stack" {
				names = append(names, r.Name)
			}
		}
	}
	if len(names) == 0 {
		names = append(names, "")
	}
	return names, nil
}

// IsStacksRun reports whether a run applies a plan of several stacks.
func IsStacksRun(run runs.Run) bool {
	return run.Machine() && slices.Contains([]string{"apply", "destroy", "refresh"}, run.Kind)
}

// Above finds the nearest project above the working directory; here names
// its stacks that are this directory.
func Above() (p *projects.Project, here []string, diags diag.List) {
	info, err := os.Stat(".")
	if err != nil {
		return nil, nil, nil
	}
	at, err := os.Getwd()
	if err == nil {
		at, err = filepath.EvalSymlinks(at) // as "..", and not as $PWD has it
	}
	if err != nil {
		return nil, nil, nil
	}
	for dir := ".."; filepath.Dir(at) != at; dir = filepath.Join(dir, "..") {
		at = filepath.Dir(at)
		if !projects.Exists(at) {
			continue
		}
		p, diags := projects.Load(dir)
		if p == nil {
			return nil, nil, diags
		}
		for name, s := range p.Stacks {
			if other, err := os.Stat(p.StackDir(s)); err == nil && os.SameFile(info, other) {
				here = append(here, name)
			}
		}
		return p, here, diags
	}
	return nil, nil, nil
}
