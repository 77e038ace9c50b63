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
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers/install"
	"golang.org/x/net/idna"
)

// defaultLoginHost is the host login and logout mean when none is given.
const defaultLoginHost = "app.terraform.io"

func loginCommand() *command {
	return &command{
		name: "login", args: "[HOST]", summary: "Obtain and save a token for a host, or log in to the project", maxArgs: 1,
		about: `Asks the host how to log in, sends you to your browser where it offers that, or asks for a token made in its settings, and saves the token for later commands (module and provider downloads, state import).

Without a host, app.terraform.io. Tokens are kept in ~/.terraform.d/credentials.tfrc.json, where other tools look as well.

With -identity, logs in with an identity that the project's files declare (docs/access.md): from then on commands in this project act as whom the issuer says you are. The login is kept, sealed, in your configuration folder. "tutti whoami" shows it, "tutti logout -identity=NAME" ends it.

Where commands run against a server (` + addressVariable + `), and no host is given, logs in to that server, with one of its identities. That login is for the address in ` + addressVariable + `, and sent to no other; "tutti logout" ends it.`,
		example: "tutti login -identity=corp",
		setup: func(f *flagSet) action {
			var identity, flow string
			f.text(&identity, "identity", "NAME", "Log in with this identity, of the project or of the server.")
			f.text(&flow, "flow", "FLOW", "With -identity: \"device\" to enter a code on any device, \"browser\" for the browser of this computer. \"device\" where the issuer has it, unless given.")
			return func(ctx context.Context, app *App, args []string) int {
				if identity != "" && len(args) > 0 {
					return app.failf("Host or identity", "A login is to a host or with an identity of the project: give one of them.")
				}
				if serverAddress() != "" && len(args) == 0 {
					return app.loginServer(ctx, identity, flow)
				}
				if identity != "" {
					return app.loginIdentity(ctx, identity, flow)
				}
				l := &login{app: app, client: &http.Client{Timeout: 30 * time.Second}, prompt: app.prompter()}
				return l.run(ctx, args)
			}
		},
	}
}

func logoutCommand() *command {
	return &command{
		name: "logout", args: "[HOST]", summary: "Remove a saved token, or end a login to the project", maxArgs: 1,
		about: "The token is removed from this computer only. The host keeps accepting it until it is revoked there.",
		setup: func(f *flagSet) action {
			var identity string
			f.text(&identity, "identity", "NAME", "End the login with this identity of the project. That to a server needs no name.")
			return func(ctx context.Context, app *App, args []string) int {
				if identity != "" && len(args) > 0 {
					return app.failf("Host or identity", "A login is to a host or with an identity of the project: give one of them.")
				}
				if serverAddress() != "" && len(args) == 0 {
					return app.logoutServer()
				}
				if identity != "" {
					return app.logoutIdentity(ctx, identity)
				}
				host, err := loginHost(args)
				if err != nil {
					return app.failf("Invalid host name", "%s.", err)
				}
				config, home, diags := credentialsPlace()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				removed, err := config.ForgetToken(ctx, home, host)
				if err != nil {
					return app.failf("Cannot change the saved credentials", "%s.", err)
				}
				if !removed {
					fmt.Fprintf(app.Out, "No credentials for %s are saved.\n", host)
					return exitOK
				}
				fmt.Fprintf(app.Out, "Removed the saved credentials for %s.\n", host)
				return exitOK
			}
		},
	}
}

func loginHost(args []string) (string, error) {
	host := defaultLoginHost
	if len(args) == 1 {
		host = args[0]
	}
	if strings.ContainsAny(host, "/ ") {
		return "", fmt.Errorf("%q must be a host name, without https:// and path", host)
	}
	name, port, hasPort := strings.Cut(host, ":")
	name, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("%q is not a host name: %w", host, err)
	}
	if hasPort {
		return name + ":" + port, nil
	}
	return name, nil
}

// login is one login to a host.
type login struct {
	app    *App
	client *http.Client
	prompt *prompter
}

func (l *login) run(ctx context.Context, args []string) int {
	host, err := loginHost(args)
	if err != nil {
		return l.app.failf("Invalid host name", "%s.", err)
	}
	config, home, diags := credentialsPlace()
	if diags.HasErrors() {
		return l.app.fail(diags)
	}
	service, tokensPage, err := l.discover(ctx, host)
	if err != nil {
		return l.app.failf("Cannot log in to "+host, "%s.", diag.Sentence(err.Error()))
	}
	var token string
	if service != nil {
		token, err = l.browserToken(ctx, host, service)
	} else {
		token, err = l.pastedToken(ctx, host, tokensPage)
	}
	if err != nil {
		return l.app.failf("Cannot log in to "+host, "%s.", diag.Sentence(err.Error()))
	}
	if err := config.StoreToken(ctx, home, host, token); err != nil {
		return l.app.failf("Cannot save the token", "%s.", err)
	}
	if config.Helper != nil {
		fmt.Fprintf(l.app.Out, "\nLogged in to %s. The token is with the credentials helper.\n", host)
		return exitOK
	}
	fmt.Fprintf(l.app.Out, "\nLogged in to %s. The token is saved in\n  %s\n", host, install.CredentialsFile(home))
	return exitOK
}

// credentialsPlace is where tokens are kept: the CLI configuration may name a
// helper for them; without, they are in the home directory.
func credentialsPlace() (*install.Config, string, diag.List) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, "", diag.Errorf("Cannot find the home directory", "%s.", err)
	}
	config, diags := install.LoadConfig(os.Environ())
	return config, home, diags
}

// loginService is the login.v1 service of the discovery protocol.
type loginService struct {
	Client     string   `json:"client"`
	GrantTypes []string `json:"grant_types"`
	Authz      string   `json:"authz"`
	Token      string   `json:"token"`
	Ports      []int    `json:"ports"`
	Scopes     []string `json:"scopes"`
}

// discover asks the host which way to log in it has: a service for browsers, or
// a page where people make tokens by hand.
func (l *login) discover(ctx context.Context, host string) (*loginService, string, error) {
	base := &url.URL{Scheme: "https", Host: host, Path: "/.well-known/terraform.json"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("the host does not answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("the host offers no services for Terraform tools (%s answered %s)", base, resp.Status)
	}
	var services map[string]json.RawMessage
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&services); err != nil {
		return nil, "", fmt.Errorf("the answer of %s is not a discovery document: %w", base, err)
	}
	if raw, ok := services["login.v1"]; ok {
		var s loginService
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, "", fmt.Errorf("the host describes its login service wrongly: %w", err)
		}
		if s.offers("authz_code") {
			s.Authz, s.Token = resolveURL(base, s.Authz), resolveURL(base, s.Token)
			return &s, "", nil
		}
	}
	for name := range services {
		if strings.HasPrefix(name, "tfe.v2") {
			return nil, "https://" + host + "/app/settings/tokens?source=terraform-login", nil
		}
	}
	return nil, "", errors.New("the host does not offer to log in with a token; write the token into the CLI configuration yourself")
}

func (s *loginService) offers(grant string) bool {
	if len(s.GrantTypes) == 0 {
		return grant == "authz_code"
	}
	for _, g := range s.GrantTypes {
		if g == grant {
			return true
		}
	}
	return false
}

func resolveURL(base *url.URL, ref string) string {
	u, err := base.Parse(ref)
	if err != nil {
		return ref
	}
	return u.String()
}

func (l *login) pastedToken(ctx context.Context, host, page string) (string, error) {
	fmt.Fprintf(l.app.Out, "Make a token for Tutti on this page:\n  %s\n\n", page)
	token, err := l.prompt.ask(ctx, "Token for "+host+" (not shown): ", true)
	if err != nil {
		return "", err
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", errors.New("no token was given")
	}
	return token, nil
}
