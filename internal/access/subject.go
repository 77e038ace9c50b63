package access

import "strings"

// The kinds of subjects: what stands before the colon.
const (
	UserKind    = "user"
	GroupKind   = "group"
	ServiceKind = "service"
	TriggerKind = "trigger"
)

// Subject is the name under which somebody is known to grants: KIND:NAME. Runs
// keep names of users without their kind; no user's name has a colon in it.
func Subject(actor string) string {
	if actor == "" || strings.Contains(actor, ":") {
		return actor
	}
	return UserKind + ":" + actor
}

// Identity is somebody who wants to do something.
type Identity struct {
	Subject string   // user:ann, service:nightly, trigger:nightly
	Groups  []string // group:sre, …
	// Scoped says that only these of the subject's roles count: somebody came
	// with a token.
	Scoped bool
	Roles  []string
	// Token is the ID of the token that was shown, where it was one of Tutti's own.
	Token string
}

// Authority is what somebody's rights rest on besides their name, where that is not
// for the operating system to say: groups that an issuer named, the roles of a
// token. Runs keep it, so that whoever goes on with one has no other rights for it
// than who began it.
type Authority struct {
	Groups []string `json:"groups,omitempty"`
	Scoped bool     `json:"scoped,omitempty"`
	Roles  []string `json:"roles,omitempty"`
	Token  string   `json:"token,omitempty"` // ID of the token that the run was begun with
}

// Authority is what the identity has besides its name.
func (i Identity) Authority() *Authority { return &Authority{i.Groups, i.Scoped, i.Roles, i.Token} }

// Identity is an actor with this authority.
func (a *Authority) Identity(actor string) Identity {
	return Identity{Subject: Subject(actor), Groups: a.Groups, Scoped: a.Scoped, Roles: a.Roles, Token: a.Token}
}

// has reports whether a name in a grant means this identity. An empty name means
// nobody, and nobody is everybody.
func (i Identity) has(to string) bool {
	if to == "" {
		return false
	}
	if to == i.Subject {
		// Whatever calls itself a group is one only by being in it.
		return !strings.HasPrefix(to, GroupKind+":")
	}
	if !strings.HasPrefix(to, GroupKind+":") {
		return false
	}
	for _, g := range i.Groups {
		if g == to {
			return true
		}
	}
	return false
}
