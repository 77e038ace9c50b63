package cli

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

// tokenVariable is the environment variable that has a bearer token: commands act
// as whom it stands for.
const tokenVariable = "TUTTI_TOKEN"

// identification is how commands find out for whom they act where it is not whom
// the operating system says: by a token, or by a login.
type identification struct {
	app      *App
	project  *projects.Project // nil where there is none
	folder   *identities.Folder
	verifier *identities.Verifier
}

// identification reads what the project declares. Find looks up Tutti's own
// tokens; nil to open the store for it.
func (a *App) identification(find func(context.Context, string) (access.Token, bool, error)) (*identification, diag.List) {
	p, diags := governing()
	if diags.HasErrors() && (p == nil || p.Guarded || len(p.Identities) > 0) {
		if p != nil {
			a.sources = p.Files
		}
		return nil, append(diags, diag.Errorf("Cannot tell who you are", "The project's files have errors, so that it is not known whose word about who somebody is counts.")...)
	}
	// Logins are sealed with the key of the configuration folder, not with that of
	// the project: they are the same in all.
	folder, err := identities.UserFolder(secrets.NewKeyring(secrets.Options{}))
	if err != nil {
		return nil, diag.FromError(err)
	}
	i := &identification{app: a, project: p, folder: folder}
	// Connections are not kept: nothing is to be open when the command goes on.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	if find == nil {
		find = i.ownToken
	}
	i.verifier = identities.NewVerifier(p, find, identities.Options{Transport: transport, Cache: folder})
	return i, nil
}

// identify finds out for whom the command acts. Nobody is taken for somebody else
// because something could not be found out.
func (a *App) identify(ctx context.Context, command string) diag.List {
	bearer := strings.TrimSpace(os.Getenv(tokenVariable))
	if p, diags := governing(); bearer == "" && (p == nil || len(p.Identities) == 0) {
		_ = diags // whoever needs the project will say so
		return nil
	}
	i, diags := a.identification(nil)
	if diags.HasErrors() {
		return diags
	}
	if bearer == "" {
		who, diags := i.login(ctx)
		if who == nil && !diags.HasErrors() {
			diags = i.demanded()
		}
		a.acting = who
		return diags
	}
	who, err := i.verify(ctx, bearer)
	if err != nil {
		return i.refuse(ctx, who, err)
	}
	a.acting = &who
	if err := i.record(ctx, tokenUsed(who, command)); err != nil {
		return diag.Errorf("Cannot record the use of a token", "%s.", err)
	}
	return nil
}

// verify says whom a bearer token stands for. Whom one of Tutti's own stands for is
// in the groups that the operating system says.
func (i *identification) verify(ctx context.Context, bearer string) (identities.Credential, error) {
	who, err := i.verifier.Verify(ctx, bearer)
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

// serverIdentities is how a server finds out who somebody is.
type serverIdentities struct {
	// token says whom a bearer token stands for. The first use of each is told of.
	token func(shown string) (access.Identity, error)
	// issuers are those that people log in with, by identity.
	issuers map[string]*identities.Issuer
	// loggedIn tells of somebody who did.
	loggedIn func(ctx context.Context, identity string, who identities.Credential) error
}

func (a *App) serverIdentities(ctx context.Context, store *sqlite.Store) (*serverIdentities, diag.List) {
	i, diags := a.identification(store.Token)
	if diags.HasErrors() {
		return nil, diags
	}
	out := &serverIdentities{issuers: map[string]*identities.Issuer{}}
	if i.project != nil {
		for name, d := range i.project.Identities {
			if d.ClientID != "" {
				out.issuers[name] = i.verifier.Issuer(name)
			}
		}
	}
	out.loggedIn = func(ctx context.Context, name string, who identities.Credential) error {
		data := loginEventData{Issuer: i.project.Identities[name].Issuer, Flow: "server", Groups: who.Groups, Expires: who.Expires}
		return store.Record(ctx, runs.AuditEvent(states.Key{}, "login.succeeded", "identity."+name, who.Subject, data))
	}
	var told sync.Map // by id
	out.token = func(shown string) (access.Identity, error) {
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
func (i *identification) refuse(ctx context.Context, who identities.Credential, err error) diag.List {
	if i.hasStore() {
		told := runs.AuditEvent(states.Key{}, "token.refused", who.ID, osUser(), tokenEventData{Source: who.Source, Reason: err.Error()})
		if failed := i.record(ctx, told); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	return i.explain(who.Source, "Token refused", "The token in "+tokenVariable+" lets nobody in", err)
}

// explain is a diagnostic at the identity that it is about, if one is.
func (i *identification) explain(source, summary, what string, err error) diag.List {
	detail := what + ": " + strings.TrimSuffix(err.Error(), ".") + "."
	if errors.As(err, new(*identities.UnreachableError)) {
		summary = "Issuer cannot be asked"
	}
	name, ok := strings.CutPrefix(source, "identity.")
	if !ok || i.project == nil || i.project.Identities[name] == nil {
		return diag.Errorf(summary, "%s", detail)
	}
	i.app.sources = i.project.Files
	return diag.ErrorAt(i.project.Identities[name].IssuerRange, summary, "%s", detail)
}

// demanded is an error where the project lets nobody act who has not logged in.
func (i *identification) demanded() diag.List {
	for _, name := range sortedKeys(i.project.Identities) {
		if d := i.project.Identities[name]; d.Required {
			i.app.sources = i.project.Files
			return diag.ErrorAt(d.DeclRange, "Not logged in", "In this project only those act who have logged in. Run \"tutti login -identity=%s\", or give a token in %s.", name, tokenVariable)
		}
	}
	return nil
}

// login is the login that counts: of those there are the last; nil where there is
// none. One that has expired is renewed. One that cannot be used is an error:
// acting as somebody else instead would surprise.
func (i *identification) login(ctx context.Context) (*identities.Credential, diag.List) {
	d, session, diags := i.session()
	if d == nil || diags.HasErrors() {
		return nil, diags
	}
	issuer := i.verifier.Issuer(d.Name)
	who, err := issuer.Verify(ctx, session.IDToken)
	if errors.Is(err, access.ErrExpired) {
		err = i.folder.Locked(d, func() error {
			// Another command may have renewed it in the meantime.
			session, err := i.folder.Session(d)
			if err != nil {
				return err
			}
			if who, err = issuer.Verify(ctx, session.IDToken); !errors.Is(err, access.ErrExpired) {
				return err
			}
			if session, who, err = issuer.Refresh(ctx, session); err != nil {
				return err
			}
			return i.folder.Keep(d, session)
		})
	}
	if err != nil {
		again := "tutti login -identity=" + d.Name
		if errors.As(err, new(*identities.UnreachableError)) {
			return nil, i.explain("identity."+d.Name, "", "The login cannot be checked", err)
		}
		err = errors.New(strings.TrimSuffix(err.Error(), ".") + ". Log in again with \"" + again + "\", or end the login with \"" + strings.Replace(again, "login", "logout", 1) + "\"")
		return nil, i.explain("identity."+d.Name, "Login is over", "The login cannot be used any more", err)
	}
	return &who, nil
}

// session is the last login of those that the project's identities have; no
// identity where there is none.
func (i *identification) session() (*projects.Identity, identities.Session, diag.List) {
	var last *projects.Identity
	var session identities.Session
	if i.project == nil {
		return nil, session, nil
	}
	for _, name := range sortedKeys(i.project.Identities) {
		d := i.project.Identities[name]
		if d.ClientID == "" {
			continue
		}
		s, err := i.folder.Session(d)
		if errors.Is(err, identities.ErrNoLogin) {
			continue
		}
		if err != nil {
			return nil, session, i.explain("identity."+name, "Cannot read the login", "Log in again with \"tutti login -identity="+name+"\"", err)
		}
		if last == nil || s.Began.After(session.Began) {
			last, session = d, s
		}
	}
	return last, session, nil
}

// storeDir is where the store of the project is that governs here.
func (i *identification) storeDir() string {
	if i.project == nil {
		return storeDir
	}
	return filepath.Join(i.project.Dir, storeDir)
}

func (i *identification) hasStore() bool {
	_, err := os.Stat(filepath.Join(i.storeDir(), "store.db"))
	return err == nil
}

// inStore does something with the store, which the command itself opens later.
func (i *identification) inStore(ctx context.Context, do func(*sqlite.Store) error) error {
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

func (i *identification) record(ctx context.Context, told events.Event) error {
	return i.inStore(ctx, func(s *sqlite.Store) error { return s.Record(ctx, told) })
}

// ownToken finds what is kept of one of Tutti's own tokens.
func (i *identification) ownToken(ctx context.Context, id string) (t access.Token, ok bool, err error) {
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

// actor is for whom the program acts, as runs keep it: whom a token or a login
// stands for, or who the operating system says it is.
func (a *App) actor() string {
	if a.acting == nil {
		return osUser()
	}
	return strings.TrimPrefix(a.acting.Subject, access.UserKind+":")
}

// identity is for whom the program acts, with their groups.
func (a *App) identity() access.Identity { return a.identityOf(a.actor()) }

// authority is what runs keep of for whom the program acts; nil for whom the
// operating system says it is.
func (a *App) authority() *access.Authority {
	if a.acting == nil {
		return nil
	}
	return a.identity().Authority()
}

// identityIn is somebody with the authority that a run has of them, if it has one.
func (a *App) identityIn(actor string, authority *access.Authority) access.Identity {
	if authority != nil {
		return authority.Identity(actor)
	}
	return a.identityOf(actor)
}

// identityOf is somebody with the groups that are known of them.
func (a *App) identityOf(actor string) access.Identity {
	if a.acting != nil && access.Subject(actor) == a.acting.Subject {
		who := a.acting.Identity
		who.Groups, who.Roles = slices.Clone(who.Groups), slices.Clone(who.Roles)
		return who
	}
	return osIdentity(actor)
}
