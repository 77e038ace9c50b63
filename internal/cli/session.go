package cli

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

	// sources is the text that diagnostics quote, by file name.
	sources map[string][]byte
	mu      sync.Mutex // guards sources and pending

	// stacks and environment are what -stack and -env say.
	stacks       []string
	environment  string
	overrides    []string     // what -override says
	morePolicies []string     // what -policy says
	about        *runs.Source // the code that options name; nil for what the environment says
	found        *Ensemble    // a project that was opened already

	// acting is for whom the command acts by a token or a login; nil for whom the
	// operating system says it is.
	acting *identities.Credential
	// egress keeps the requests of steps out of networks that are not public, on a
	// server; nil elsewhere: who types a command may reach what they can reach.
	egress *egress.Guard

	command  string    // the command that is carried out
	refusals *refusals // where to tell of what is refused; nil until the command has ended
	pending  []refusal // until then

	// kept is what rooms above keep as long as the session lasts, by keys of types of
	// their own.
	kept sync.Map
}

// fresh is the session of one request or run of a server: it has read nothing yet, and
// nobody can be asked anything.
func (s *Session) fresh() *Session {
	return &Session{Terminal: s.Plain(), acting: s.acting, egress: s.egress, command: s.command, refusals: s.refusals}
}

// show shows problems, quoting the lines that are known.
func (s *Session) show(diags diag.List) {
	if len(diags) > 0 {
		s.Diagnostics(diags, s.quoted())
	}
}

// remark shows what people should know that does not belong to a command's
// result.
func (s *Session) remark(diags diag.List) {
	if len(diags) > 0 {
		s.Remarks(diags, s.quoted())
	}
}

// quoteToo adds text that diagnostics quote to what there is.
func (s *Session) quoteToo(files map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sources := make(map[string][]byte, len(s.sources)+len(files))
	maps.Copy(sources, s.sources) // they may be those of a configuration
	maps.Copy(sources, files)
	s.sources = sources
}

// quoted is the text to quote as it is now: other stacks may be read meanwhile.
func (s *Session) quoted() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.sources)
}

// quote lets diagnostics quote the files of a configuration, those included that
// are added to it later.
func (p *Directory) quote(files map[string][]byte) {
	if p.ensemble == nil {
		p.session.sources = files
		return
	}
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	if p.session.sources == nil {
		p.session.sources = map[string][]byte{}
	}
	maps.Copy(p.session.sources, files)
}

// Muted tells nobody anything.
type Muted struct{}

func (Muted) Diagnostics(diag.List, map[string][]byte) {}
func (Muted) Remarks(diag.List, map[string][]byte)     {}
func (Muted) Tell(string)                              {}
func (Muted) Decision(*policy.Decision)                {}
func (Muted) Plain() Terminal                          { return Muted{} }
func (Muted) Asker() func(context.Context, string, bool) (string, error) {
	return nil
}
