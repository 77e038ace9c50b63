package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
)

// The environment variables that have commands run against a server: where it is,
// and whose word about who it is counts besides that of the system's authorities.
const (
	addressVariable     = "TUTTI_ADDR"
	authoritiesVariable = "TUTTI_CACERT"
)

// remote is the server that commands run against.
type remote struct {
	*client.Client
	session *client.Session
	login   *serverLogin // that the client comes with; nil for none
}

// planningThere are the options of commands that plan.
var planningThere = []string{
	"cancel-on-interrupt", "compact-warnings", "env", "exclude", "input", "json", "lock", "refresh", "refresh-only", "replace", "stack", "target", "var", "var-file",
	"commit", "pull-request", "repository",
}

// remoteOptions are, by command, the options that mean something against a server.
// A command that is not listed works on files here only.
var remoteOptions = map[string][]string{
	"apply":            slices.Concat(planningThere, []string{"auto-approve", "destroy", "override"}),
	"approve":          {"comment", "digest"},
	"audit export":     {"after"},
	"audit list":       {"json", "limit", "since", "subject", "type"},
	"audit verify":     {"head", "json"},
	"cancel":           {"env"},
	"deliveries":       {"json", "limit", "notify", "status"},
	"deliveries list":  {"json", "limit", "notify", "status"},
	"deliveries retry": {},
	"drift":            {"detailed-exitcode", "env", "json", "now", "reset", "stack"},
	"destroy":          slices.Concat(planningThere, []string{"auto-approve", "override"}),
	"logs":             {"f", "follow", "json"},
	"output":           {"env", "json", "raw", "stack"},
	"plan":             slices.Concat(planningThere, []string{"destroy", "detailed-exitcode", "upload"}),
	"refresh":          planningThere,
	"policy check":     {"destroy", "env", "exclude", "format", "input", "plan", "refresh", "replace", "stack", "target", "upload", "var", "var-file"},
	"reject":           {"comment", "digest"},
	"resume":           {"auto-approve", "cancel-on-interrupt", "env", "json"},
	"rollback":         {"auto-approve", "cancel-on-interrupt", "env", "json", "override", "refresh"},
	"run":              {"cancel-on-interrupt", "commit", "detach", "env", "input", "json", "override", "pull-request", "repository", "var"},
	"runs":             {"env", "json", "limit"},
	"runs cancel":      {"env"},
	"runs list":        {"env", "json", "limit"},
	"runs resume":      {"auto-approve", "cancel-on-interrupt", "env", "json"},
	"runs retry":       {"cancel-on-interrupt", "env", "from", "json"},
	"runs show":        {"env", "json"},
	"runs watch":       {"cancel-on-interrupt", "env"},
	"schedules":        {"json", "limit"},
	"schedules list":   {"json", "limit"},
	"signal":           {"data"},
	"state list":       {"env", "stack"},
	"whoami":           {"json"},
	"workflow list":    {"json"},
}

// serverAddress is where the server is that commands run against; empty for none.
func serverAddress() string { return strings.TrimSpace(os.Getenv(addressVariable)) }

// isRemote reports whether a command is to run against a server.
func isRemote(name string) bool {
	_, able := remoteOptions[name]
	return serverAddress() != "" && (able || !anyone[strings.Fields(name)[0]])
}

// reach finds the server that a command is to run against and asks it for whom the
// command acts, so that what is wrong with the address, the connection or the token
// is known before anything is asked for.
func (a *App) reach(ctx context.Context, name string, f *flagSet) diag.List {
	able, ok := remoteOptions[name]
	if !ok {
		return diag.Errorf("Works on files here", "\"tutti %s\" works on files here, and %s says that commands run against the server %s. To run it here, unset %[2]s.", name, addressVariable, serverAddress())
	}
	var without []string
	f.set.Visit(func(given *flag.Flag) {
		if given.Name != "no-color" && !slices.Contains(able, given.Name) {
			without = append(without, "-"+given.Name)
		}
	})
	if len(without) > 0 {
		return diag.Errorf("Option works on files here", "%s of \"tutti %s\" cannot be given where commands run against a server (%s=%s).", strings.Join(without, ", "), name, addressVariable, serverAddress())
	}
	c, diags := newClient(serverAddress(), strings.TrimSpace(os.Getenv(project.TokenVariable)), os.Getenv(authoritiesVariable))
	if diags.HasErrors() {
		return diags
	}
	a.remote = &remote{Client: c}
	if c.Token == "" {
		if diags := a.remote.useLogin(); diags.HasErrors() {
			return diags
		}
	}
	session, err := c.GetSession(ctx)
	if err != nil {
		return a.remote.diagnose(err)
	}
	if session.Subject == "" || session.Version == "" {
		return notTutti(c.URL)
	}
	a.remote.session = session
	return nil
}

// newClient makes the client of a server. Nothing is followed to another address
// than the one given: the token is for that server alone.
func newClient(address, token, authorities string) (*client.Client, diag.List) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, diag.Errorf("Invalid address of the server", "%s must be the URL of a server, such as https://tutti.example.com: %q is none.", addressVariable, address)
	}
	if token != "" {
		if diags := clearText(address, "a token"); diags.HasErrors() {
			return nil, diags
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = time.Minute
	if authorities != "" {
		pem, err := os.ReadFile(authorities)
		if err != nil {
			return nil, diag.Errorf("Cannot read certificates", "%s: %s.", authoritiesVariable, err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, diag.Errorf("Cannot read certificates", "%s: there is no certificate in PEM in %s.", authoritiesVariable, authorities)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client.Client{URL: address, Token: token, HTTP: &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

// useLogin has the client come with the login to the server, where there is one.
func (r *remote) useLogin() diag.List {
	login, err := loginTo(r.URL)
	switch {
	case errors.Is(err, identities.ErrNoFolder):
		return nil // so that nobody is logged in
	case err != nil:
		return diag.FromError(err)
	}
	found, diags := login.read()
	if !found || diags.HasErrors() {
		return diags
	}
	if diags := clearText(r.URL, "a login"); diags.HasErrors() {
		return diags
	}
	r.login, r.HTTP.Transport = login, withLogin{r.HTTP.Transport, login}
	return nil
}

// clearText refuses to send something secret so that others can read it on the way.
func clearText(address, what string) diag.List {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "https" || onThisMachine(u.Hostname())) {
		return nil
	}
	return diag.Errorf("Token would be sent in clear", "%s is %s, an address without encryption, and there is %s for it: others could read it on the way. Give an address that begins with https.", addressVariable, address, what)
}

func onThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

func notTutti(address string) diag.List {
	return diag.Errorf("No Tutti server there", "What answers at %s is no Tutti server. Check %s: it is the address that \"tutti server\" tells, without a path behind it unless a proxy asks for one.", address, addressVariable)
}

// diagnose is what a server said, or why it could not be asked.
func (r *remote) diagnose(err error) diag.List {
	var said *client.Problem
	if !errors.As(err, &said) {
		return r.unreachable(err)
	}
	text := strings.TrimSuffix(said.Detail, ".")
	if text == "" {
		text = said.Title
	}
	switch {
	case said.Status == http.StatusUnauthorized && r.login != nil:
		return r.login.over(err)
	case said.Status == http.StatusUnauthorized && r.Token == "":
		return diag.Errorf("Token needed", "The server %s lets nobody in without a token: log in with \"tutti login\", or give a token in %s (\"tutti token create\" makes one there).", r.URL, project.TokenVariable)
	case said.Status == http.StatusUnauthorized:
		return diag.Errorf("Token refused", "The server %s does not accept the token in %s: it has expired, was revoked, or is not for this server.", r.URL, project.TokenVariable)
	case said.Status == http.StatusMisdirectedRequest:
		return diag.Errorf("Server has another name", "The server at %s does not go by that name: use the one that it tells, or start it with -url.", r.URL)
	case said.Status >= 300 && said.Status < 400:
		return diag.Errorf("Server is elsewhere", "%s leads to another address (%s). Give that one in %s: a token is sent nowhere else by itself.", r.URL, said.Title, addressVariable)
	case r.session == nil && said.Status == http.StatusNotFound:
		return notTutti(r.URL)
	case said.Status == http.StatusForbidden && len(said.Errors) == 0:
		return diag.Errorf("Not allowed", "%s.", text)
	}
	if len(said.Errors) == 0 {
		return diag.Errorf("Server refused", "%s.", text)
	}
	var diags diag.List
	for _, one := range said.Errors {
		summary, detail, ok := strings.Cut(one.Message, ": ")
		if !ok {
			summary, detail = text, one.Message
		}
		if one.Location != "" {
			detail += " (On the server: " + one.Location + ")"
		}
		diags = append(diags, diag.Errorf(summary, "%s", detail)...)
	}
	return diags
}

// unreachable says why there was no answer.
func (r *remote) unreachable(err error) diag.List {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	var syntax interface{ Offset() int64 }
	switch {
	case errors.As(err, &authority):
		return diag.Errorf("Certificate of an unknown authority", "The certificate of %s is signed by nobody that is trusted here. If it is one of your own, give the certificates of its authority in %s.", r.URL, authoritiesVariable)
	case errors.As(err, &name), errors.As(err, &invalid):
		return diag.Errorf("Certificate does not hold", "The certificate of %s does not hold: %s.", r.URL, err)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return diag.Errorf("Server does not encrypt", "What listens at %s does not speak TLS. If that is meant, the address begins with http.", r.URL)
	case errors.As(err, &dns):
		return diag.Errorf("Server not found", "There is no host called %q. Check %s.", dns.Name, addressVariable)
	case errors.As(err, &syntax), strings.Contains(err.Error(), "cannot read the answer"):
		return notTutti(r.URL)
	case errors.Is(err, context.Canceled):
		return diag.Errorf("Interrupted", "Nothing more was asked of the server.")
	}
	return diag.Errorf("Cannot reach the server", "%s does not answer: %s.", r.URL, err)
}

// goneFor is how long a server is waited for that answered before and is gone:
// it may be starting again.
const goneFor = 2 * time.Minute

// persist asks a server that has answered before, and again while it does not. What
// writes is done once: it goes by one key.
func persist[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	ctx = client.WithKey(ctx, uuid.NewString())
	until, wait := time.Now().Add(goneFor), 200*time.Millisecond
	for {
		out, err := ask(ctx)
		var said *client.Problem
		var other *json.SyntaxError // what answers is something else
		gone := err != nil && !errors.As(err, &said) && !errors.As(err, &other)
		if said != nil {
			gone = said.Status == http.StatusBadGateway || said.Status == http.StatusServiceUnavailable || said.Status == http.StatusGatewayTimeout
		}
		if !gone || ctx.Err() != nil || time.Now().After(until) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, context.Cause(ctx)
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Second)
		}
	}
}

// environmentThere is the environment that is worked in on the server: the one
// named, or else the one that is selected there.
func (a *App) environmentThere(named string) (string, diag.List) {
	for _, name := range []string{named, os.Getenv("TF_WORKSPACE"), a.remote.session.Environment} {
		if name != "" {
			return name, nil
		}
	}
	return "", diag.Errorf("No environment selected", "The project on the server has several environments, and none is selected there: name one with -env=NAME.")
}

// aboutRun is what came of asking about a run, as an exit code.
func (a *App) aboutRun(id string, err error) int {
	if client.IsNotFound(err) {
		return a.failf("No such run", "The server knows no run %q. \"tutti runs\" lists them.", id)
	}
	return a.fail(a.remote.diagnose(err))
}

// cancelOnInterrupt registers what an interrupt does to a run on a server.
func cancelOnInterrupt(f *flagSet, p *bool) {
	f.toggle(p, "cancel-on-interrupt", fmt.Sprintf("Against a server (%s): an interrupt (Ctrl-C) cancels the run, instead of leaving it to go on there.", addressVariable))
}
