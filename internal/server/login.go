package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/access/identities"
)

// Logging in with an identity provider: the browser is sent to the issuer and comes
// back with a code (authorization code with PKCE, state and nonce), for which the
// issuer says who it was. What a login is remembered by is kept here, under a cookie
// that comes along when another site sends the browser back (SameSite=Lax). The
// cookie of the session does not (SameSite=Strict): so the answer is a page of ours
// that goes on to where the browser wanted to.

const (
	loginCookie = "tutti_login"
	// loginPatience is how long people have to log in.
	loginPatience = 10 * time.Minute
	// mostLogins bounds how many logins are under way. The oldest makes room.
	mostLogins = 10_000
	mostNext   = 2000
)

// pendingLogin is a login that is under way.
type pendingLogin struct {
	identities.Login
	identity string
	next     string // where to go afterwards: a path of ours
	expires  time.Time
}

// pendingLogins are those under way, by the SHA-256 of what the cookie has.
type pendingLogins struct {
	mu   sync.Mutex
	list map[[sha256.Size]byte]pendingLogin
}

func (p *pendingLogins) add(l pendingLogin, now time.Time) (cookie string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		p.list = map[[sha256.Size]byte]pendingLogin{}
	}
	if len(p.list) >= mostLogins {
		var oldest [sha256.Size]byte
		first := now.Add(2 * loginPatience)
		for key, one := range p.list {
			if one.expires.Before(first) {
				oldest, first = key, one.expires
			}
		}
		delete(p.list, oldest)
	}
	cookie = rand.Text() + rand.Text()
	p.list[sha256.Sum256([]byte(cookie))] = l
	return cookie
}

// take ends the login that a cookie is of: nobody comes back twice.
func (p *pendingLogins) take(cookie string, now time.Time) (pendingLogin, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := sha256.Sum256([]byte(cookie))
	l, ok := p.list[key]
	delete(p.list, key)
	return l, ok && now.Before(l.expires)
}

// localPath is where a browser is sent after logging in: a page of ours, whatever a
// link says.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || len(next) > mostNext || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(u.Path, "/login/") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery, Fragment: u.Fragment}).String()
}

// canLogIn are the names of the identities that people log in with, sorted.
func (s *Server) canLogIn() []string {
	names := []string{}
	for name := range s.Issuers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// listLogins says with which identities one can log in: for the page that asks, and for
// programs that do without it.
func (s *Server) listLogins(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	logins := []offeredLogin{}
	for _, name := range s.canLogIn() {
		d := s.Issuers[name].Declared
		logins = append(logins, offeredLogin{name, d.Issuer, d.ClientID, d.Scopes})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"identities": s.canLogIn(), "logins": logins})
}

// offeredLogin is what programs need to know that log somebody in by themselves. None
// of it is secret: browsers are sent to the issuer with it.
type offeredLogin struct {
	Name     string   `json:"name"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
}

// redirectOf is where the issuer sends the browser back to.
func (s *Server) redirectOf(identity string) string {
	return strings.TrimSuffix(s.base, "/") + "/login/" + url.PathEscape(identity) + "/callback"
}

// beginLogin sends the browser to an issuer.
func (s *Server) beginLogin(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("identity")
	issuer := s.Issuers[name]
	if issuer == nil {
		loginPage(w, http.StatusNotFound, "", fmt.Sprintf("Nobody logs in with %q here.", name))
		return
	}
	page, l, err := issuer.BeginLogin(r.Context(), s.redirectOf(name))
	if err != nil {
		s.refuse(r, Refusal{Login: true, Name: name, Err: err})
		loginPage(w, http.StatusBadGateway, "", "The identity provider cannot be asked.")
		return
	}
	now := time.Now()
	cookie := s.pending.add(pendingLogin{l, name, localPath(r.URL.Query().Get("next")), now.Add(loginPatience)}, now)
	http.SetCookie(w, s.cookie(loginCookie, cookie, "/login/", loginPatience, http.SameSiteLaxMode))
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, page, http.StatusFound)
}

// finishLogin is where the browser comes back to.
func (s *Server) finishLogin(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("identity")
	session, who, next, err := s.finish(r, name)
	http.SetCookie(w, s.cookie(loginCookie, "", "/login/", -time.Second, http.SameSiteLaxMode))
	if err == nil && s.LoggedIn != nil {
		err = s.LoggedIn(r.Context(), name, who)
	}
	if err != nil {
		s.refuse(r, Refusal{Login: true, Name: name, Err: err})
		loginPage(w, http.StatusForbidden, "", "You are not logged in: "+err.Error()+".")
		return
	}
	s.sessions.end(r) // whatever the browser had before
	secret, ok := s.sessions.open(&login{issuer: s.Issuers[name], session: session}, time.Now())
	if !ok {
		loginPage(w, http.StatusServiceUnavailable, "", "There are too many sessions.")
		return
	}
	http.SetCookie(w, s.cookie(cookieName, secret, "/", sessionTime, http.SameSiteStrictMode))
	loginPage(w, http.StatusOK, next, "You are logged in.")
}

// errOther says that a browser comes back from a login that it did not begin here:
// what somebody else began, or what was finished or given up already.
var errOther = errors.New("this browser began no such login, or it is over. Begin again")

// finish exchanges what the browser came back with.
func (s *Server) finish(r *http.Request, name string) (identities.Session, identities.Credential, string, error) {
	fail := func(err error) (identities.Session, identities.Credential, string, error) {
		return identities.Session{}, identities.Credential{}, "", err
	}
	c, err := r.Cookie(loginCookie)
	if err != nil {
		return fail(errOther)
	}
	l, ok := s.pending.take(c.Value, time.Now())
	issuer := s.Issuers[name]
	if !ok || l.identity != name || issuer == nil {
		return fail(errOther)
	}
	q := r.URL.Query()
	if len(q["state"]) != 1 || len(q["code"]) > 1 {
		return fail(errOther)
	}
	if iss, said := q["iss"]; said && (len(iss) != 1 || iss[0] != issuer.Declared.Issuer) {
		return fail(errors.New("another issuer answers than was asked")) // RFC 9207
	}
	if q.Get("code") == "" {
		return fail(fmt.Errorf("the issuer says %.200q", q.Get("error")))
	}
	session, who, err := issuer.FinishLogin(r.Context(), l.Login, q.Get("state"), q.Get("code"))
	if err == nil && !strings.HasPrefix(who.Subject, access.UserKind+":") {
		err = fmt.Errorf("the ID token stands for %s, and only people log in", who.Subject)
	}
	return session, who, l.next, err
}

func (s *Server) cookie(name, value, path string, lasts time.Duration, site http.SameSite) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: path, MaxAge: int(lasts.Seconds()), HttpOnly: true, Secure: s.secure, SameSite: site}
}

//go:embed login.html
var loginHTML string

// loginPage is a page that says something, and goes on where next says so.
func loginPage(w http.ResponseWriter, status int, next, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	refresh, link, title, action := "", "/", "Not logged in", "Back to logging in"
	if next != "" {
		link, title, action = html.EscapeString(next), "Welcome", "Go on to Tutti"
		refresh = `<meta http-equiv="refresh" content="0;url='` + link + `'">`
	}
	page := strings.NewReplacer("{{refresh}}", refresh, "{{title}}", title, "{{text}}", html.EscapeString(text), "{{link}}", link, "{{action}}", action)
	_, _ = page.WriteString(w, loginHTML)
}

// login is a session of somebody who logged in with an issuer. Its ID token is
// renewed when it has expired: then the issuer says anew who they are and which
// groups they are in.
type login struct {
	issuer *identities.Issuer

	mu      sync.Mutex
	session identities.Session
}

// who is somebody as the issuer said last. The error is final where it is a refusal.
func (l *login) who(ctx context.Context) (access.Identity, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.issuer.Verify(ctx, l.session.IDToken)
	if errors.Is(err, access.ErrExpired) {
		var renewed identities.Session
		if renewed, c, err = l.issuer.Refresh(ctx, l.session); err == nil {
			l.session = renewed
		}
	}
	return c.Identity, err
}

// shownToken is a session of somebody who showed a token.
type shownToken struct {
	token string
	find  func(string) (access.Identity, error)
}

func (t *shownToken) who(context.Context) (access.Identity, error) { return t.find(t.token) }
