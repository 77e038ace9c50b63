package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// Verb is what somebody wants to do.
type Verb string

// The verbs. Whoever may apply, destroy or edit something may also plan it.
const (
	Plan     Verb = "plan"
	Apply    Verb = "apply"
	Destroy  Verb = "destroy"
	Run      Verb = "run"
	Approve  Verb = "approve"
	Cancel   Verb = "cancel"
	Signal   Verb = "signal"
	State    Verb = "state"    // change a state by hand
	Secret   Verb = "secret"   // read or change secrets
	Override Verb = "override" // go on against a policy
	Admin    Verb = "admin"    // tokens
	Read     Verb = "read"     // look at stacks, runs and what they leave
	Audit    Verb = "audit"    // read the whole feed of events
)

// Policy is what the files of a project say about who may do what. A nil Policy
// says nothing.
type Policy struct {
	roles   map[string]*projects.Role
	grants  []*projects.Grant
	guarded bool
}

// NewPolicy takes it from a project. The project must have been read without
// errors if it is Guarded: half of the rules would let in whom the other half
// keeps out.
func NewPolicy(p *projects.Project) *Policy {
	if p == nil {
		return nil
	}
	return &Policy{roles: p.Roles, grants: p.Grants, guarded: p.Guarded || len(p.Roles)+len(p.Grants) > 0}
}

// Declared reports whether there are any rules.
func (p *Policy) Declared() bool { return p != nil && p.guarded }

// Decision is whether something is allowed, and why.
type Decision struct {
	Allowed bool
	Because string // a sentence without its end
}

// Decide says whether somebody may do something to a stack or a workflow in an
// environment. Without any roles whoever can use the project's files may do
// everything; otherwise a role must allow it and none deny it. An empty resource
// is one without a name, such as a directory that is no stack: only a star means
// it.
func (p *Policy) Decide(who Identity, verb Verb, environment, resource string) Decision {
	what := describe(verb, environment, resource)
	if !p.Declared() {
		return Decision{true, "no roles are declared, so that whoever can use the project's files may do everything"}
	}
	if !slices.Contains(projects.Verbs, string(verb)) {
		return Decision{false, fmt.Sprintf("there is nothing like %s that could be allowed", what)}
	}
	held := p.held(who)
	for _, h := range held {
		for _, rule := range h.role.Deny {
			if matches(rule, verb, environment, resource) {
				return Decision{false, fmt.Sprintf("role %q, which %s has %s, denies %q", h.role.Name, who.name(), h.how, rule.Text)}
			}
		}
	}
	if (verb == Read || verb == Audit) && !p.readingGuarded() {
		return openReading(held, who, verb)
	}
	var names []string
	for _, h := range held {
		if who.Scoped && !slices.Contains(who.Roles, h.role.Name) {
			continue
		}
		names = append(names, h.role.Name)
		for _, rule := range h.role.Allow {
			for _, v := range including(verb) {
				if matches(rule, v, environment, resource) {
					return Decision{true, fmt.Sprintf("role %q, which %s has %s, allows %q", h.role.Name, who.name(), h.how, rule.Text)}
				}
			}
		}
	}
	switch {
	case len(names) > 0:
		return Decision{false, fmt.Sprintf("no role of %s allows %s: it has %s", who.name(), what, strings.Join(names, ", "))}
	case len(held) > 0:
		return Decision{false, fmt.Sprintf("the token of %s is for none of the roles it has", who.name())}
	}
	return Decision{false, fmt.Sprintf("%s has no role in this project", who.name())}
}

// readingGuarded reports whether reading has to be allowed: whether a role allows it
// by name. Projects without such a role let all read who get in.
func (p *Policy) readingGuarded() bool {
	for _, role := range p.roles {
		for _, rule := range role.Allow {
			if rule.Verb == string(Read) || rule.Verb == string(Audit) {
				return true
			}
		}
	}
	return false
}

// openReading decides where reading need not be allowed. Whoever is denied to read
// something does not read it in the whole feed either.
func openReading(held []holding, who Identity, verb Verb) Decision {
	if verb == Audit {
		for _, h := range held {
			for _, rule := range h.role.Deny {
				if rule.Verb == "*" || rule.Verb == string(Read) {
					return Decision{false, fmt.Sprintf("role %q, which %s has %s, denies %q, so that the whole feed is not for them", h.role.Name, who.name(), h.how, rule.Text)}
				}
			}
		}
	}
	return Decision{true, "no role allows read or audit by name, so that whoever gets in may read what is not denied"}
}

// ReadsEverything reports whether there is nothing that somebody may not read. It may say
// no where that follows only from several rules together.
func (p *Policy) ReadsEverything(who Identity) bool {
	if !p.Declared() {
		return true
	}
	held := p.held(who)
	allowed := !p.readingGuarded()
	for _, h := range held {
		for _, rule := range h.role.Deny {
			if rule.Verb == "*" || rule.Verb == string(Read) {
				return false
			}
		}
		if who.Scoped && !slices.Contains(who.Roles, h.role.Name) {
			continue
		}
		for _, rule := range h.role.Allow {
			reads := rule.Verb == "*" || slices.Contains(including(Read), Verb(rule.Verb))
			allowed = allowed || reads && rule.Environment == "*" && rule.Resource == "*"
		}
	}
	return allowed
}

// RolesOf lists the roles that count for somebody, sorted.
func (p *Policy) RolesOf(who Identity) []string {
	if p == nil {
		return nil
	}
	var out []string
	for _, h := range p.held(who) {
		if !who.Scoped || slices.Contains(who.Roles, h.role.Name) {
			out = append(out, h.role.Name)
		}
	}
	slices.Sort(out)
	return out
}

// HasRole reports whether a role is declared.
func (p *Policy) HasRole(name string) bool { return p != nil && p.roles[name] != nil }

// holding is a role that somebody has, and how it came to them.
type holding struct {
	role *projects.Role
	how  string
}

// held lists the roles granted to somebody, each once, in the order of the grants.
func (p *Policy) held(who Identity) []holding {
	var out []holding
	for _, g := range p.grants {
		role := p.roles[g.Role.Name]
		if role == nil || slices.ContainsFunc(out, func(h holding) bool { return h.role == role }) {
			continue
		}
		for _, to := range g.To {
			if who.has(to) {
				how := "by itself"
				if to != who.Subject {
					how = "as one of " + to
				}
				out = append(out, holding{role, how})
				break
			}
		}
	}
	return out
}

func (i Identity) name() string {
	switch {
	case i.Subject != "":
		return i.Subject
	case len(i.Groups) > 0:
		return "one of " + strings.Join(i.Groups, ", ")
	}
	return "nobody"
}

// including lists the verbs that allow one: whoever may change something sees on
// the way what would change, and whoever may do anything to something may read it.
func including(verb Verb) []Verb {
	switch verb {
	case Plan:
		return []Verb{Plan, Apply, Destroy, State}
	case Read:
		return []Verb{Read, Plan, Apply, Destroy, State, Run, Approve, Cancel, Signal}
	}
	return []Verb{verb}
}

func describe(verb Verb, environment, resource string) string {
	if resource == "" {
		return fmt.Sprintf("%s:%s", verb, environment)
	}
	return fmt.Sprintf("%s:%s/%s", verb, environment, resource)
}

func matches(p projects.Permission, verb Verb, environment, resource string) bool {
	return (p.Verb == "*" || p.Verb == string(verb)) && Like(p.Environment, environment) && Like(p.Resource, resource)
}

// Like reports whether a name is like a pattern, in which a star stands for any
// characters and a question mark for one. It goes back to the last star only, so
// that no pattern takes long.
func Like(pattern, name string) bool {
	p, n := []rune(pattern), []rune(name)
	i, star, mark := 0, -1, 0
	for j := 0; j < len(n); {
		switch {
		// The star first: a name may have one in it.
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == n[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
