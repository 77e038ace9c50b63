package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// loginPatience is how long people have to finish logging in.
const loginPatience = 10 * time.Minute

// browserToken obtains a token by the OAuth 2.0 authorization code grant with
// PKCE: the browser is sent to the host, which sends it back to a server on
// this machine with a code, which is exchanged for the token.
func (l *login) browserToken(ctx context.Context, host string, s *loginService) (string, error) {
	listener, err := listenForLogin(ctx, s.Ports)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	redirect := fmt.Sprintf("http://localhost:%d/login", listener.Addr().(*net.TCPAddr).Port)
	verifier, state := randomText(32), randomText(16)
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {s.Client}, "redirect_uri": {redirect}, "state": {state},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if len(s.Scopes) > 0 {
		query.Set("scope", strings.Join(s.Scopes, " "))
	}
	sep := "?"
	if strings.Contains(s.Authz, "?") {
		sep = "&"
	}
	fmt.Fprintf(l.app.Out, "Open this page in your browser to log in to %s:\n  %s\n\nWaiting for you there…\n", host, s.Authz+sep+query.Encode())

	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	code, err := waitForCode(ctx, listener, state)
	if err != nil {
		return "", err
	}
	return l.exchange(ctx, s, url.Values{
		"grant_type": {"authorization_code"}, "client_id": {s.Client},
		"code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirect},
	})
}

// listenForLogin opens the first free port of the range the host allows.
func listenForLogin(ctx context.Context, ports []int) (net.Listener, error) {
	low, high := 10000, 10010
	if len(ports) == 2 {
		low, high = ports[0], ports[1]
	}
	var lc net.ListenConfig
	var err error
	for port := low; port <= high && port <= 65535; port++ {
		var listener net.Listener
		if listener, err = lc.Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("no port from %d to %d is free for the browser to come back to: %w", low, high, err)
}

// waitForCode serves until the browser comes back with the state we gave it.
func waitForCode(ctx context.Context, listener net.Listener, state string) (string, error) {
	type answer struct {
		code string
		err  error
	}
	got := make(chan answer, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/login" || q.Get("state") != state {
			http.NotFound(w, r)
			return
		}
		a := answer{code: q.Get("code")}
		if a.code == "" {
			a.err = fmt.Errorf("the host refused: %s %s", q.Get("error"), q.Get("error_description"))
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "Tutti has what it needs. You can close this page.")
		select {
		case got <- a:
		default:
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	select {
	case <-ctx.Done():
		return "", errors.New("the login was not finished")
	case a := <-got:
		return a.code, a.err
	}
}

// exchange trades the code for a token.
func (l *login) exchange(ctx context.Context, s *loginService, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var doc struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&doc); err != nil {
		return "", fmt.Errorf("the host's answer about the token cannot be read (%s): %w", resp.Status, err)
	}
	if doc.AccessToken == "" {
		return "", fmt.Errorf("the host gave no token: %s %s", resp.Status, doc.Error)
	}
	return doc.AccessToken, nil
}

func randomText(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // never fails, by its contract
	return base64.RawURLEncoding.EncodeToString(raw)
}
