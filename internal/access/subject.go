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
