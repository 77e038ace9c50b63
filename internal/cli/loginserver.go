package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/secrets"
)

// Logins to servers: the server says which issuers it believes, one of them says who
// somebody is, and its ID token is what commands come with. A login is kept for the
// address it was made for, and sent nowhere else.

// renewBefore is how long before its end an ID token is renewed: it is to outlast the
// request that it is sent with.
const renewBefore = 30 * time.Second

// serverLogin is somebody's login to a server.
type serverLogin struct {
	address string
	kept    *identities.Kept
	folder  *identities.Folder

	mu      sync.Mutex
	session identities.Session
}

// loginTo is the login to a server; nobody's until it is read.
func loginTo(address string) (*serverLogin, error) {
	// Logins are sealed with the key of the configuration folder.
	folder, err := identities.UserFolder(secrets.NewKeyring(secrets.Options{}))
	if err != nil {
		return nil, err
	}
	return &serverLogin{address: address, folder: folder, kept: folder.Server(canonicalAddress(address))}, nil
}

// read reads the login, if somebody is logged in.
func (l *serverLogin) read() (loggedIn bool, diags diag.List) {
	var err error
	l.session, err = l.kept.Session()
	switch {
	case errors.Is(err, identities.ErrNoLogin):
		return false, nil
	case err != nil:
		return false, diag.Errorf("Cannot read the login", "The login to %s: %s. Log in again with \"tutti login\".", l.address, err)
	}
	return true, nil
}

// canonicalAddress is one form of all that an address of a server can be written as.
func canonicalAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	host := strings.ToLower(u.Hostname())
	if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host + strings.TrimRight(u.Path, "/")
}

// issuer is the issuer that the login is of, or is to be of.
func (l *serverLogin) issuer(d loginIdentity) *identities.Issuer {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	declared := &projects.Identity{
		Name: d.Name, Issuer: d.Issuer, ClientID: d.ClientID, Scopes: d.Scopes,
		// Whom the token stands for, the server says. Here it only has to be one that
		// the issuer made for this client.
		Audience: []string{d.ClientID}, UsernameClaim: "sub",
	}
	return identities.NewIssuer(declared, identities.Options{Transport: transport, Cache: l.folder})
}

// token is the ID token to come with. One that is about to end is renewed.
func (l *serverLogin) token(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := func() bool { return time.Until(l.session.Expires) > renewBefore }
	if fresh() {
		return l.session.IDToken, nil
	}
	err := l.kept.Locked(func() error {
		// Another command may have renewed it in the meantime, or have ended it.
		session, err := l.kept.Session()
		if err != nil {
			return err
		}
		if l.session = session; fresh() {
			return nil
		}
		issuer := l.issuer(loginIdentity{Name: session.Identity, Issuer: session.Issuer, ClientID: session.Client})
		renewed, _, err := issuer.Refresh(ctx, session)
		if err != nil {
			return err
		}
		l.session = renewed
		return l.kept.Keep(renewed)
	})
	if err != nil && time.Now().After(l.session.Expires) {
		return "", err
	}
	return l.session.IDToken, nil
}

// errLogin says that there is no token to come with any more.
type errLogin struct{ error }

func (e errLogin) Unwrap() error { return e.error }

// As makes it the answer of a server that lets nobody in: it would, and there is no use
// in asking it again.
func (e errLogin) As(target any) bool {
	p, ok := target.(**client.Problem)
	if ok {
		*p = &client.Problem{Status: http.StatusUnauthorized, Title: "Login is over", Detail: e.Error()}
	}
	return ok
}

// withLogin has requests come with the ID token of a login.
type withLogin struct {
	http.RoundTripper
	login *serverLogin
}

func (t withLogin) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.login.token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errLogin{err}
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return t.RoundTripper.RoundTrip(r)
}

// loginIdentity is an identity that a server lets people log in with, as it says.
type loginIdentity struct {
	Name     string   `json:"name"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
}

// loginServer logs in to the server that commands run against.
func (a *App) loginServer(ctx context.Context, name, flow string) int {
	if diags := checkFlow(flow); diags.HasErrors() {
		return a.fail(diags)
	}
	l, c, diags := serverToLogInTo()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	a.remote = &remote{Client: c, login: l}
	offered, err := l.offered(ctx, c.HTTP)
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	var names []string
	for _, d := range offered {
		names = append(names, d.Name)
	}
	i := slices.Index(names, name)
	switch {
	case len(names) == 0:
		return a.failf("Nobody logs in there", "The server %s has no identity to log in with: come with a token in %s (\"tutti token create\" makes one there).", l.address, project.TokenVariable)
	case name == "" && len(names) == 1:
		i = 0
	case name == "":
		return a.failf("Which identity?", "One can log in to %s with several identities: choose one with -identity=NAME. There are: %s.", l.address, strings.Join(names, ", "))
	case i < 0:
		return a.failf("No such identity", "The server %s has no identity %q to log in with. There are: %s.", l.address, name, strings.Join(names, ", "))
	}
	chosen := offered[i]
	if wrong := projects.CheckIssuer(chosen.Issuer); wrong != "" || chosen.ClientID == "" {
		return a.failf("Invalid issuer", "The server %s says that the issuer of its identity %q is %q. %s", l.address, chosen.Name, chosen.Issuer, wrong)
	}
	fmt.Fprintf(a.Out, "The server %s believes what %s says of who you are.\n", l.address, chosen.Issuer)
	waiting, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	session, _, _, err := a.logIn(waiting, l.issuer(chosen), flow)
	if err != nil {
		if waiting.Err() != nil {
			err = errors.New("the login was not finished")
		}
		return a.failf("Cannot log in", "Nobody is logged in: %s.", strings.TrimSuffix(err.Error(), "."))
	}
	l.session = session
	c.HTTP.Transport = withLogin{c.HTTP.Transport, l}
	who, err := c.GetSession(ctx)
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	if err := l.kept.Locked(func() error { return l.kept.Keep(l.session) }); err != nil {
		return a.failf("Cannot keep the login", "%s.", err)
	}
	fmt.Fprintf(a.Out, "Logged in to %s as %s.\n", l.address, who.Subject)
	if session.Refresh == "" {
		a.Show(diag.Warningf("The login ends soon", "It is good until %s: %s.", session.Expires.Local().Format(time.DateTime), identities.ErrNoRefresh))
	}
	if os.Getenv(project.TokenVariable) != "" {
		a.Show(diag.Warningf("Commands use another token", "As long as %s is set, they come with the token in it, and not with the login.", project.TokenVariable))
	}
	return exitOK
}

// logoutServer ends the login to the server that commands run against, on this
// computer only.
func (a *App) logoutServer() int {
	l, _, diags := serverToLogInTo()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	var removed bool
	err := l.kept.Locked(func() (err error) {
		removed, err = l.kept.Forget()
		return err
	})
	if err != nil {
		return a.failf("Cannot log out", "%s.", err)
	}
	if !removed {
		fmt.Fprintf(a.Out, "Nobody is logged in to %s.\n", l.address)
		return exitOK
	}
	fmt.Fprintf(a.Out, "Logged out of %s. The issuer still has the session of your browser.\n", l.address)
	return exitOK
}

// serverToLogInTo is the server that commands run against, and a client of it that says
// of nobody who asks.
func serverToLogInTo() (*serverLogin, *client.Client, diag.List) {
	c, diags := newClient(serverAddress(), "", os.Getenv(authoritiesVariable))
	if diags.HasErrors() {
		return nil, nil, diags
	}
	if diags := clearText(c.URL, "a login"); diags.HasErrors() {
		return nil, nil, diags
	}
	l, err := loginTo(c.URL)
	return l, c, diag.FromError(err)
}

// offered asks the server which identities people log in with.
func (l *serverLogin) offered(ctx context.Context, h *http.Client) ([]loginIdentity, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(l.address, "/")+"/logins", nil)
	if err != nil {
		return nil, err
	}
	resp, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &client.Problem{Status: resp.StatusCode, Title: resp.Status}
	}
	var answer struct {
		Logins []loginIdentity `json:"logins"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	return answer.Logins, nil
}

// over says why the login lets nobody in.
func (l *serverLogin) over(err error) diag.List {
	const again = "Log in again with \"tutti login\", or end the login with \"tutti logout\"."
	var lost errLogin
	switch {
	case !errors.As(err, &lost):
		return diag.Errorf("Login refused", "The server %s does not accept the login with the identity %q (%s). The server may not know that issuer any more, or ask for something else of its tokens. %s", l.address, l.session.Identity, l.session.Issuer, again)
	case errors.As(lost.error, new(*identities.UnreachableError)):
		return diag.Errorf("Issuer cannot be asked", "The login to %s has to be renewed, and cannot be: %s.", l.address, lost)
	}
	return diag.Errorf("Login is over", "The login to %s cannot be renewed: %s. %s", l.address, strings.TrimSuffix(lost.Error(), "."), again)
}
