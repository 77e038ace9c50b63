package identities

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Login is what a browser's login is remembered by, from when it is sent to the
// issuer until it comes back. It is secret: whoever has it and sees the browser
// come back is logged in.
type Login struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of the code challenge (PKCE)
	Redirect string `json:"redirect"` // where the browser comes back to
}

// Session is somebody who logged in. It is secret.
type Session struct {
	Identity string    `json:"identity"` // name, as the project had it
	Issuer   string    `json:"issuer"`
	Client   string    `json:"client_id"`
	IDToken  string    `json:"id_token"`
	Refresh  string    `json:"refresh_token,omitempty"`
	Subject  string    `json:"subject"` // sub of the ID token
	Began    time.Time `json:"began"`
	Expires  time.Time `json:"expires,omitzero"` // of the ID token
}

// DevicePrompt is what somebody is told who logs in on another device.
type DevicePrompt struct {
	Page string // where to go
	Code string // what to type there
	// Complete is the page with the code in it; empty where the issuer has none.
	Complete string
	Expires  time.Time
}

// HasDeviceFlow reports whether the issuer lets people log in on another device.
func (i *Issuer) HasDeviceFlow(ctx context.Context) (bool, error) {
	f, err := i.facts(ctx, "")
	return f.Device != "", err
}

// BeginLogin returns the page that the browser is sent to, and what
// [Issuer.FinishLogin] needs when it comes back to the redirect URL.
func (i *Issuer) BeginLogin(ctx context.Context, redirect string) (page string, l Login, err error) {
	config, f, err := i.config(ctx)
	if err != nil {
		return "", Login{}, err
	}
	if f.Authorization == "" || f.Token == "" {
		return "", Login{}, fmt.Errorf("the issuer %s lets nobody log in with a browser", i.Declared.Issuer)
	}
	l = Login{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect}
	config.RedirectURL = redirect
	return config.AuthCodeURL(l.State, oidc.Nonce(l.Nonce), oauth2.S256ChallengeOption(l.Verifier)), l, nil
}

// FinishLogin exchanges the code that the browser came back with. State is what
// came back beside it.
func (i *Issuer) FinishLogin(ctx context.Context, l Login, state, code string) (Session, Credential, error) {
	if subtle.ConstantTimeCompare([]byte(state), []byte(l.State)) != 1 || l.State == "" {
		return Session{}, Credential{}, refused("the browser came back from another login")
	}
	config, _, err := i.config(ctx)
	if err != nil {
		return Session{}, Credential{}, err
	}
	config.RedirectURL = l.Redirect
	token, err := config.Exchange(i.context(ctx), code, oauth2.VerifierOption(l.Verifier))
	if err != nil {
		return Session{}, Credential{}, i.explain(err)
	}
	return i.session(ctx, token, l.Nonce)
}

// DeviceLogin lets somebody log in on another device: show tells them how. It
// waits until they have.
func (i *Issuer) DeviceLogin(ctx context.Context, show func(DevicePrompt)) (Session, Credential, error) {
	config, f, err := i.config(ctx)
	if err != nil {
		return Session{}, Credential{}, err
	}
	if f.Device == "" {
		return Session{}, Credential{}, fmt.Errorf("the issuer %s lets nobody log in on another device", i.Declared.Issuer)
	}
	// What is exchanged in the end is bound to who asked, as with a browser.
	verifier := oauth2.GenerateVerifier()
	asked, err := config.DeviceAuth(i.context(ctx), oauth2.S256ChallengeOption(verifier))
	if err != nil {
		return Session{}, Credential{}, i.explain(err)
	}
	show(DevicePrompt{Page: asked.VerificationURI, Code: asked.UserCode, Complete: asked.VerificationURIComplete, Expires: asked.Expiry})
	token, err := config.DeviceAccessToken(i.context(ctx), asked, oauth2.VerifierOption(verifier))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return Session{}, Credential{}, refused("nobody entered the code in time")
	}
	if err != nil {
		return Session{}, Credential{}, i.explain(err)
	}
	return i.session(ctx, token, "")
}

// ErrNoRefresh says that a login cannot be kept alive: the issuer gave nothing to
// do it with.
var ErrNoRefresh = errors.New("the issuer gave nothing to keep the login alive with (scope offline_access)")

// Refresh renews a session. The issuer may give a new refresh token, and refuse the
// former from then on. Whom the session is of stays the same.
func (i *Issuer) Refresh(ctx context.Context, s Session) (Session, Credential, error) {
	if s.Refresh == "" {
		return s, Credential{}, ErrNoRefresh
	}
	config, _, err := i.config(ctx)
	if err != nil {
		return s, Credential{}, err
	}
	token, err := config.TokenSource(i.context(ctx), &oauth2.Token{RefreshToken: s.Refresh}).Token()
	if err != nil {
		return s, Credential{}, i.explain(err)
	}
	renewed, who, err := i.session(ctx, token, "")
	if err != nil {
		return s, Credential{}, err
	}
	if renewed.Subject != s.Subject {
		return s, Credential{}, refused("the issuer renewed the login of somebody else")
	}
	renewed.Began = s.Began
	if renewed.Refresh == "" {
		renewed.Refresh = s.Refresh
	}
	return renewed, who, nil
}

// session verifies what the issuer answered with. An empty nonce is not looked
// for: no browser was sent with one.
func (i *Issuer) session(ctx context.Context, token *oauth2.Token, nonce string) (Session, Credential, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return Session{}, Credential{}, refused("the issuer did not say who logged in: there is no ID token in its answer")
	}
	c, err := i.verify(ctx, raw)
	if err != nil {
		return Session{}, Credential{}, err
	}
	if nonce != "" && subtle.ConstantTimeCompare([]byte(c.nonce), []byte(nonce)) != 1 {
		return Session{}, Credential{}, refused("the ID token is that of another login")
	}
	who, err := i.Verify(ctx, raw)
	if err != nil {
		return Session{}, Credential{}, err
	}
	return Session{
		Identity: i.Declared.Name, Issuer: i.Declared.Issuer, Client: i.Declared.ClientID,
		IDToken: raw, Refresh: token.RefreshToken, Subject: c.subject, Began: i.now().UTC(), Expires: c.expires,
	}, who, nil
}

// config is the client that people log in with.
func (i *Issuer) config(ctx context.Context) (*oauth2.Config, Facts, error) {
	if i.Declared.ClientID == "" {
		return nil, Facts{}, fmt.Errorf("nobody logs in with identity %q: it has no client_id", i.Declared.Name)
	}
	f, err := i.facts(ctx, "")
	if err != nil {
		return nil, Facts{}, err
	}
	return &oauth2.Config{
		ClientID: i.Declared.ClientID, Scopes: i.Declared.Scopes,
		// A program on somebody's machine has no secret: the client says its name only.
		Endpoint: oauth2.Endpoint{AuthURL: f.Authorization, TokenURL: f.Token, DeviceAuthURL: f.Device, AuthStyle: oauth2.AuthStyleInParams},
	}, f, nil
}

// explain says what an issuer answered, without the rest of its answer: nobody
// knows what is in it.
func (i *Issuer) explain(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return &UnreachableError{i.Declared.Issuer, err}
	}
	if answer.Response != nil && answer.Response.StatusCode >= 500 {
		return &UnreachableError{i.Declared.Issuer, fmt.Errorf("the answer is %s", answer.Response.Status)}
	}
	what := answer.ErrorCode
	if what == "" && answer.Response != nil {
		what = answer.Response.Status
	}
	if answer.ErrorDescription != "" {
		what += " (" + answer.ErrorDescription + ")"
	}
	return refused("the issuer refuses: %.300q", what)
}
