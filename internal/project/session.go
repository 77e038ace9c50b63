package project

import (
	"context"
	"maps"
	"sync"

	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/runs"
)

// Terminal is where people are told things, and asked.
type Terminal interface {
	// Diagnostics shows problems, quoting the source text given.
	Diagnostics(list diag.List, sources map[string][]byte)
	// Remarks shows what people should know that does not belong to a result.
	Remarks(list diag.List, sources map[string][]byte)
	// Tell shows a text while something runs.
	Tell(text string)
	// Decision shows what policy says beside a result.
	Decision(d *policy.Decision)
	// Asker returns what asks one question after another; nil where nobody can be
	// asked. Secret answers are not shown while they are typed.
	Asker() func(ctx context.Context, question string, secret bool) (string, error)
	// Plain is the same for what is no command: text for people, and no questions.
	Plain() Terminal
}

// Session is what one command, or one request to a server, has in common wherever it
// works: for whom it acts, what its options say, and what it has read.
type Session struct {
	Terminal

	// Sources is the text of the configuration or the project that diagnostics quote, by
	// file name; quoted is that of what is read beside it, as policies.
	Sources map[string][]byte
	quoted  map[string][]byte
	mu      sync.Mutex // guards quoted, pending and, once stacks are read side by side, Sources

	// Stacks and environment are what -stack and -env say.
	Stacks       []string
	Environment  string
	Overrides    []string     // what -override says
	MorePolicies []string     // what -policy says
	About        *runs.Source // the code that options name; nil for what the environment says
	Found        *Ensemble    // a project that was opened already

	// Acting is for whom the command acts by a token or a login; nil for whom the
	// operating system says it is.
	Acting *identities.Credential
	// Egress keeps the requests of steps out of networks that are not public, on a
	// server; nil elsewhere: who types a command may reach what they can reach.
	Egress *egress.Guard

	Command  string    // the command that is carried out
	Refusals *Refusals // where to tell of what is refused; nil until the command has ended
	pending  []Refusal // until then

	// Kept is what rooms above keep as long as the session lasts, by keys of types of
	// their own.
	Kept sync.Map
}

// Fresh is the session of one request or run of a server: it has read nothing yet, and
// nobody can be asked anything.
func (s *Session) Fresh() *Session {
	return &Session{Terminal: s.Plain(), Acting: s.Acting, Egress: s.Egress, Command: s.Command, Refusals: s.Refusals}
}

// Show shows problems, quoting the lines that are known.
func (s *Session) Show(diags diag.List) {
	if len(diags) > 0 {
		s.Diagnostics(diags, s.Quoted())
	}
}

// remark shows what people should know that does not belong to a command's
// result.
func (s *Session) remark(diags diag.List) {
	if len(diags) > 0 {
		s.Remarks(diags, s.Quoted())
	}
}

// Quote adds text that diagnostics quote, whatever configuration is read later.
func (s *Session) Quote(files map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quoted == nil {
		s.quoted = map[string][]byte{}
	}
	maps.Copy(s.quoted, files)
}

// Quoted is the text to quote as it is now: other stacks may be read meanwhile.
func (s *Session) Quoted() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	sources := make(map[string][]byte, len(s.Sources)+len(s.quoted))
	maps.Copy(sources, s.Sources)
	maps.Copy(sources, s.quoted)
	return sources
}

// Quote lets diagnostics quote the files of a configuration, those included that
// are added to it later.
func (p *Directory) Quote(files map[string][]byte) {
	if p.Ensemble == nil {
		p.Session.Sources = files
		return
	}
	p.Session.mu.Lock()
	defer p.Session.mu.Unlock()
	if p.Session.Sources == nil {
		p.Session.Sources = map[string][]byte{}
	}
	maps.Copy(p.Session.Sources, files)
}

// Muted tells nobody anything.
type Muted struct{}

// Diagnostics implements [Terminal].
func (Muted) Diagnostics(diag.List, map[string][]byte) {}

// Remarks implements [Terminal].
func (Muted) Remarks(diag.List, map[string][]byte) {}

// Tell implements [Terminal].
func (Muted) Tell(string) {}

// Decision implements [Terminal].
func (Muted) Decision(*policy.Decision) {}

// Plain implements [Terminal].
func (Muted) Plain() Terminal { return Muted{} }

// Asker implements [Terminal].
func (Muted) Asker() func(context.Context, string, bool) (string, error) { return nil }
