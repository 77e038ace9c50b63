package project

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

// TokenVariable is the environment variable that has a bearer token: commands act
// as whom it stands for.
const TokenVariable = "TUTTI_TOKEN"

// Identification is how commands find out for whom they act where it is not whom
// the operating system says: by a token, or by a login.
type Identification struct {
	session  *Session
	Project  *projects.Project // nil where there is none
	Folder   *identities.Folder
	Verifier *identities.Verifier
}

// Identification reads what the project declares. Find looks up Tutti's own
// tokens; nil to open the store for it.
func (s *Session) Identification(find func(context.Context, string) (access.Token, bool, error)) (*Identification, diag.List) {
	p, diags := Governing()
	if diags.HasErrors() && (p == nil || p.Guarded || len(p.Identities) > 0) {
		if p != nil {
			s.Sources = p.Files
		}
		return nil, append(diags, diag.Errorf("Cannot tell who you are", "The project's files have errors, so that it is not known whose word about who somebody is counts.")...)
	}
	// Logins are sealed with the key of the configuration folder, not with that of
	// the project: they are the same in all.
	folder, err := identities.UserFolder(secrets.NewKeyring(secrets.Options{}))
	if err != nil {
		return nil, diag.FromError(err)
	}
	i := &Identification{session: s, Project: p, Folder: folder}
	// Connections are not kept: nothing is to be open when the command goes on.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	if find == nil {
		find = i.ownToken
	}
	i.Verifier = identities.NewVerifier(p, find, identities.Options{Transport: transport, Cache: folder})
	return i, nil
}

// Identify finds out for whom the command acts. Nobody is taken for somebody else
// because something could not be found out.
func (s *Session) Identify(ctx context.Context, command string) diag.List {
	bearer := strings.TrimSpace(os.Getenv(TokenVariable))
	if p, diags := Governing(); bearer == "" && (p == nil || len(p.Identities) == 0) {
		_ = diags // whoever needs the project will say so
		return nil
	}
	i, diags := s.Identification(nil)
	if diags.HasErrors() {
		return diags
	}
	if bearer == "" {
		who, diags := i.login(ctx)
		if who == nil && !diags.HasErrors() {
			diags = i.demanded()
		}
		s.Acting = who
		return diags
	}
	who, err := i.verify(ctx, bearer)
	if err != nil {
		return i.refuse(ctx, who, err)
	}
	s.Acting = &who
	if err := i.Record(ctx, tokenUsed(who, command)); err != nil {
		return diag.Errorf("Cannot record the use of a token", "%s.", err)
	}
	return nil
}

// verify says whom a bearer token stands for. Whom one of Tutti's own stands for is
// in the groups that the operating system says.
func (i *Identification) verify(ctx context.Context, bearer string) (identities.Credential, error) {
	who, err := i.Verifier.Verify(ctx, bearer)
	if err == nil && identities.Own(bearer) {
		who.Groups = osIdentity(who.Subject).Groups
	}
	return who, err
}

// tokenUsed is the event about the use of a token.
func tokenUsed(who identities.Credential, command string) events.Event {
	data := tokenEventData{Source: who.Source, Command: command, Issued: who.Issued.ID, For: who.Issued.Subject, Expires: who.Expires}
	return runs.AuditEvent(states.Key{}, "token.used", who.ID, who.Subject, data)
}

// tokenEventData is what is told of a token: never the token.
type tokenEventData struct {
	Source  string    `json:"source,omitempty"`
	Command string    `json:"command,omitempty"`
	Issued  string    `json:"jti,omitempty"`
	For     string    `json:"sub,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Reason  string    `json:"reason,omitempty"`
}

// refuse tells of a token that lets nobody in.
func (i *Identification) refuse(ctx context.Context, who identities.Credential, err error) diag.List {
	if i.hasStore() {
		told := runs.AuditEvent(states.Key{}, "token.refused", who.ID, OSUser(), tokenEventData{Source: who.Source, Reason: err.Error()})
		if failed := i.Record(ctx, told); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	return i.Explain(who.Source, "Token refused", "The token in "+TokenVariable+" lets nobody in", err)
}

// Explain is a diagnostic at the identity that it is about, if one is.
func (i *Identification) Explain(source, summary, what string, err error) diag.List {
	detail := what + ": " + strings.TrimSuffix(err.Error(), ".") + "."
	if errors.As(err, new(*identities.UnreachableError)) {
		summary = "Issuer cannot be asked"
	}
	name, ok := strings.CutPrefix(source, "identity.")
	if !ok || i.Project == nil || i.Project.Identities[name] == nil {
		return diag.Errorf(summary, "%s", detail)
	}
	i.session.Sources = i.Project.Files
	return diag.ErrorAt(i.Project.Identities[name].IssuerRange, summary, "%s", detail)
}

// demanded is an error where the project lets nobody act who has not logged in.
func (i *Identification) demanded() diag.List {
	for _, name := range sortedKeys(i.Project.Identities) {
		if d := i.Project.Identities[name]; d.Required {
			i.session.Sources = i.Project.Files
			return diag.ErrorAt(d.DeclRange, "Not logged in", "In this project only those act who have logged in. Run \"tutti login -identity=%s\", or give a token in %s.", name, TokenVariable)
		}
	}
	return nil
}

// login is the login that counts: of those there are the last; nil where there is
// none. One that has expired is renewed. One that cannot be used is an error:
// acting as somebody else instead would surprise.
func (i *Identification) login(ctx context.Context) (*identities.Credential, diag.List) {
	d, session, diags := i.lastLogin()
	if d == nil || diags.HasErrors() {
		return nil, diags
	}
	issuer := i.Verifier.Issuer(d.Name)
	who, err := issuer.Verify(ctx, session.IDToken)
	if errors.Is(err, access.ErrExpired) {
		err = i.Folder.Locked(d, func() error {
			// Another command may have renewed it in the meantime.
			session, err := i.Folder.Session(d)
			if err != nil {
				return err
			}
			if who, err = issuer.Verify(ctx, session.IDToken); !errors.Is(err, access.ErrExpired) {
				return err
			}
			if session, who, err = issuer.Refresh(ctx, session); err != nil {
				return err
			}
			return i.Folder.Keep(d, session)
		})
	}
	if err != nil {
		again := "tutti login -identity=" + d.Name
		if errors.As(err, new(*identities.UnreachableError)) {
			return nil, i.Explain("identity."+d.Name, "", "The login cannot be checked", err)
		}
		err = errors.New(strings.TrimSuffix(err.Error(), ".") + ". Log in again with \"" + again + "\", or end the login with \"" + strings.Replace(again, "login", "logout", 1) + "\"")
		return nil, i.Explain("identity."+d.Name, "Login is over", "The login cannot be used any more", err)
	}
	return &who, nil
}

// lastLogin is the last login of those that the project's identities have; no
// identity where there is none.
func (i *Identification) lastLogin() (*projects.Identity, identities.Session, diag.List) {
	var last *projects.Identity
	var session identities.Session
	if i.Project == nil {
		return nil, session, nil
	}
	for _, name := range sortedKeys(i.Project.Identities) {
		d := i.Project.Identities[name]
		if d.ClientID == "" {
			continue
		}
		s, err := i.Folder.Session(d)
		if errors.Is(err, identities.ErrNoLogin) {
			continue
		}
		if err != nil {
			return nil, session, i.Explain("identity."+name, "Cannot read the login", "Log in again with \"tutti login -identity="+name+"\"", err)
		}
		if last == nil || s.Began.After(session.Began) {
			last, session = d, s
		}
	}
	return last, session, nil
}

// storeDir is where the store of the project is that governs here.
func (i *Identification) storeDir() string {
	if i.Project == nil {
		return storeDir
	}
	return filepath.Join(i.Project.Dir, storeDir)
}

func (i *Identification) hasStore() bool {
	_, err := os.Stat(filepath.Join(i.storeDir(), "store.db"))
	return err == nil
}

// inStore does something with the store, which the command itself opens later.
func (i *Identification) inStore(ctx context.Context, do func(*sqlite.Store) error) error {
	keys := secrets.FromEnvironment()
	keys.Marker = markerOf(i.storeDir())
	store, err := sqlite.Open(ctx, i.storeDir(), sqlite.Options{Hider: secrets.NewKeyring(keys), Now: time.Now})
	if err != nil {
		return storeProblem(i.storeDir(), err).Err()
	}
	err = do(store)
	if closed := store.Close(); err == nil {
		err = closed
	}
	return err
}

// Record tells the feed of something that has to do with who somebody is.
func (i *Identification) Record(ctx context.Context, told events.Event) error {
	return i.inStore(ctx, func(s *sqlite.Store) error { return s.Record(ctx, told) })
}

// ownToken finds what is kept of one of Tutti's own tokens.
func (i *Identification) ownToken(ctx context.Context, id string) (t access.Token, ok bool, err error) {
	if !i.hasStore() {
		return access.Token{}, false, nil
	}
	err = i.inStore(ctx, func(s *sqlite.Store) error {
		var err error
		t, ok, err = s.Token(ctx, id)
		return err
	})
	return t, ok, err
}

// Actor is for whom the program acts, as runs keep it: whom a token or a login
// stands for, or who the operating system says it is.
func (s *Session) Actor() string {
	if s.Acting == nil {
		return OSUser()
	}
	return strings.TrimPrefix(s.Acting.Subject, access.UserKind+":")
}

// Identity is for whom the program acts, with their groups.
func (s *Session) Identity() access.Identity { return s.IdentityOf(s.Actor()) }

// Authority is what runs keep of for whom the program acts; nil for whom the
// operating system says it is.
func (s *Session) Authority() *access.Authority {
	if s.Acting == nil {
		return nil
	}
	return s.Identity().Authority()
}

// IdentityIn is somebody with the authority that a run has of them, if it has one.
func (s *Session) IdentityIn(actor string, authority *access.Authority) access.Identity {
	if authority != nil {
		return authority.Identity(actor)
	}
	return s.IdentityOf(actor)
}

// IdentityOf is somebody with the groups that are known of them.
func (s *Session) IdentityOf(actor string) access.Identity {
	if s.Acting != nil && access.Subject(actor) == s.Acting.Subject {
		who := s.Acting.Identity
		who.Groups, who.Roles = slices.Clone(who.Groups), slices.Clone(who.Roles)
		return who
	}
	return osIdentity(actor)
}

// ServerIdentities is how a server finds out who somebody is.
type ServerIdentities struct {
	// Token says whom a bearer token stands for. The first use of each is told of.
	Token func(shown string) (access.Identity, error)
	// Issuers are those that people log in with, by identity.
	Issuers map[string]*identities.Issuer
	// LoggedIn tells of somebody who did.
	LoggedIn func(ctx context.Context, identity string, who identities.Credential) error
}

// ServerIdentities reads what the project declares about who somebody is, for a server
// with its store.
func (s *Session) ServerIdentities(ctx context.Context, store *sqlite.Store) (*ServerIdentities, diag.List) {
	i, diags := s.Identification(store.Token)
	if diags.HasErrors() {
		return nil, diags
	}
	out := &ServerIdentities{Issuers: map[string]*identities.Issuer{}}
	if i.Project != nil {
		for name, d := range i.Project.Identities {
			if d.ClientID != "" {
				out.Issuers[name] = i.Verifier.Issuer(name)
			}
		}
	}
	out.LoggedIn = func(ctx context.Context, name string, who identities.Credential) error {
		data := LoginEvent{Issuer: i.Project.Identities[name].Issuer, Flow: "server", Groups: who.Groups, Expires: who.Expires}
		return store.Record(ctx, runs.AuditEvent(states.Key{}, "login.succeeded", "identity."+name, who.Subject, data))
	}
	var told sync.Map // by id
	out.Token = func(shown string) (access.Identity, error) {
		who, err := i.verify(ctx, shown)
		if err != nil {
			return access.Identity{}, err
		}
		if _, before := told.LoadOrStore(who.ID, true); !before {
			if err := store.Record(ctx, tokenUsed(who, "server")); err != nil {
				told.Delete(who.ID)
				return access.Identity{}, err
			}
		}
		return who.Identity, nil
	}
	return out, nil
}

// LoginEvent is what is told of a login.
type LoginEvent struct {
	Issuer  string    `json:"issuer"`
	Flow    string    `json:"flow,omitempty"`
	Groups  []string  `json:"groups,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // of the ID token
	Reason  string    `json:"reason,omitempty"`
}
