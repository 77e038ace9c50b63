package identities_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/access/identities"
)

// TestLoginFaults: a login that is not the one that was begun, or whose token is
// not good, logs nobody in.
func TestLoginFaults(t *testing.T) {
	var nonce string
	idToken := func(k signingKey, change func(claimSet)) any {
		return map[string]any{"access_token": "x", "token_type": "Bearer", "refresh_token": "r", "id_token": sign(k, claimsOf(func(c claimSet) {
			c["nonce"] = nonce
			if change != nil {
				change(c)
			}
		}), nil)}
	}
	for name, c := range map[string]struct {
		answer func() any
		state  string
		want   string // empty for a login
	}{
		"good":              {answer: func() any { return idToken(keyA, nil) }},
		"other state":       {answer: func() any { return idToken(keyA, nil) }, state: "x", want: "another login"},
		"other nonce":       {answer: func() any { return idToken(keyA, func(c claimSet) { c["nonce"] = "x" }) }, want: "another login"},
		"no nonce":          {answer: func() any { return idToken(keyA, func(c claimSet) { delete(c, "nonce") }) }, want: "another login"},
		"other key":         {answer: func() any { return idToken(attacker, nil) }, want: "not signed by the issuer"},
		"for another":       {answer: func() any { return idToken(keyA, func(c claimSet) { c["aud"] = "x" }) }, want: "made for"},
		"expired":           {answer: func() any { return idToken(keyA, func(c claimSet) { c["exp"] = now.Unix() }) }, want: "expired"},
		"no name":           {answer: func() any { return idToken(keyA, func(c claimSet) { delete(c, "email") }) }, want: "no claim"},
		"no ID token":       {answer: func() any { return map[string]any{"access_token": "x"} }, want: "did not say who"},
		"ID token a number": {answer: func() any { return map[string]any{"access_token": "x", "id_token": 7} }, want: "did not say who"},
		"refused":           {answer: func() any { return oauthError{"invalid_grant", "the code\nis old"} }, want: `invalid_grant (the code\nis old)`},
		"no answer":         {answer: func() any { return "x" }, want: "cannot be asked"},
	} {
		f := &fakeIssuer{keys: []signingKey{keyA}}
		v, _ := verifier(t, f, corp)
		i := v.Issuer("corp")
		page, l, err := i.BeginLogin(t.Context(), "http://localhost:1/login")
		if err != nil {
			t.Fatal(err)
		}
		sent := must(url.Parse(page)).Query()
		for name, want := range map[string]string{
			"response_type": "code", "client_id": "tutti", "redirect_uri": "http://localhost:1/login", "state": l.State, "nonce": l.Nonce,
			"code_challenge_method": "S256", "scope": "openid profile email offline_access",
		} {
			if sent.Get(name) != want {
				t.Errorf("%s is %q", name, sent.Get(name))
			}
		}
		if strings.Contains(page, l.Verifier) || len(l.State) < 20 || len(l.Nonce) < 20 {
			t.Error("the page has the verifier in it, or little is random")
		}
		nonce = l.Nonce
		var form map[string]string
		f.token = func(got map[string]string) any { form = got; return c.answer() }
		state := l.State
		if c.state != "" {
			state = c.state
		}
		s, who, err := i.FinishLogin(t.Context(), l, state, "the-code")
		if c.want == "" {
			if err != nil || who.Subject != "user:ann@example.com" || s.Refresh != "r" || s.Subject != "1234" || form["code"] != "the-code" || form["code_verifier"] != l.Verifier {
				t.Errorf("%s: %+v, %v, %v", name, who, err, form)
			}
			continue
		}
		if err == nil || who.Subject != "" || s.IDToken != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
		if c.state != "" && form != nil {
			t.Error("the code of another login is shown to the issuer")
		}
	}
}

// TestRefresh: a login is renewed for who it is of, and for nobody else.
func TestRefresh(t *testing.T) {
	f := &fakeIssuer{keys: []signingKey{keyA}}
	v, c := verifier(t, f, corp)
	i := v.Issuer("corp")
	session := identities.Session{Refresh: "r1", Subject: "1234", Began: now}
	answer := func(subject string, more map[string]any) func(map[string]string) any {
		return func(form map[string]string) any {
			if form["grant_type"] != "refresh_token" || form["refresh_token"] != "r1" || form["client_id"] != "tutti" {
				return oauthError{Error: "invalid_grant"}
			}
			out := map[string]any{"access_token": "x", "id_token": sign(keyA, claimsOf(func(s claimSet) { s["sub"], s["exp"] = subject, c.at.Add(time.Hour).Unix() }), nil)}
			for name, v := range more {
				out[name] = v
			}
			return out
		}
	}
	c.at = now.Add(2 * time.Hour)
	f.token = answer("1234", map[string]any{"refresh_token": "r2"})
	s, who, err := i.Refresh(t.Context(), session)
	if err != nil || who.Subject != "user:ann@example.com" || s.Refresh != "r2" || !s.Began.Equal(now) {
		t.Errorf("%+v, %v", s, err)
	}
	f.token = answer("1234", nil)
	if s, _, err = i.Refresh(t.Context(), session); err != nil || s.Refresh != "r1" {
		t.Errorf("%+v, %v", s, err)
	}
	f.token = answer("5678", nil)
	if _, who, err := i.Refresh(t.Context(), session); err == nil || who.Subject != "" || !strings.Contains(err.Error(), "somebody else") {
		t.Error(who, err)
	}
	session.Refresh = "used"
	if _, who, err := i.Refresh(t.Context(), session); !errors.As(err, new(*identities.RefusedError)) || who.Subject != "" {
		t.Error(who, err)
	}
	session.Refresh = ""
	if _, _, err := i.Refresh(t.Context(), session); !errors.Is(err, identities.ErrNoRefresh) {
		t.Error(err)
	}
	session.Refresh = "r1"
	f.set(func(f *fakeIssuer) { f.down = true })
	if _, who, err := i.Refresh(t.Context(), session); !errors.As(err, new(*identities.UnreachableError)) || who.Subject != "" {
		t.Error(who, err)
	}
}

// TestDeviceLogin waits for what happens elsewhere.
func TestDeviceLogin(t *testing.T) {
	for _, end := range []string{"", "access_denied", "expired_token"} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeIssuer{keys: []signingKey{keyA}}
			v := identities.NewVerifier(project(t, corp), nil, identities.Options{Transport: f})
			asked := 0
			f.token = func(form map[string]string) any {
				asked++
				switch {
				case form["device_code"] != "d" || form["code_verifier"] == "":
					return oauthError{Error: "invalid_request"}
				case asked < 3:
					return oauthError{Error: "authorization_pending"}
				case end != "":
					return oauthError{Error: end}
				}
				return map[string]any{"access_token": "x", "id_token": sign(keyA, claimSet{
					"iss": issuerURL, "sub": "1", "aud": "tutti", "email": "ann@example.com", "exp": time.Now().Add(time.Hour).Unix(),
				}, nil)}
			}
			var shown identities.DevicePrompt
			_, who, err := v.Issuer("corp").DeviceLogin(t.Context(), func(p identities.DevicePrompt) { shown = p })
			if shown.Code != "WXYZ" || shown.Page != issuerURL+"/go" {
				t.Errorf("shown is %+v", shown)
			}
			if end == "" && (err != nil || who.Subject != "user:ann@example.com") || end != "" && (err == nil || who.Subject != "" || !strings.Contains(err.Error(), end)) {
				t.Errorf("%q: %+v, %v", end, who, err)
			}
		})
	}
}

// TestNoLogin: not every identity is one to log in with.
func TestNoLogin(t *testing.T) {
	f := &fakeIssuer{keys: []signingKey{keyA}, document: func(d map[string]any) {
		delete(d, "device_authorization_endpoint")
		delete(d, "authorization_endpoint")
	}}
	v, _ := verifier(t, f, workload)
	if _, _, err := v.Issuer("github").BeginLogin(t.Context(), "http://localhost:1/"); err == nil {
		t.Error("there is no client")
	}
	if _, _, err := v.Issuer("corp").BeginLogin(t.Context(), "http://localhost:1/"); err == nil {
		t.Error("there is no page")
	}
	if has, err := v.Issuer("corp").HasDeviceFlow(t.Context()); has || err != nil {
		t.Error(has, err)
	}
	if _, _, err := v.Issuer("corp").DeviceLogin(t.Context(), nil); err == nil {
		t.Error("there is no device flow")
	}
}
