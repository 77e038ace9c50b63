package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// testIssuer is an issuer of tokens on loopback.
type testIssuer struct {
	t      *testing.T
	url    string
	signer jose.Signer
}

func newIssuer(t *testing.T) *testIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &testIssuer{t: t}
	mux := http.NewServeMux()
	answer := func(path string, doc func() any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(doc())
		})
	}
	answer("/.well-known/openid-configuration", func() any { return map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys"} })
	answer("/keys", func() any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	i.url = s.URL
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// token is one for a subject, with more claims.
func (i *testIssuer) token(subject string, more map[string]any) string {
	i.t.Helper()
	claims := map[string]any{"iss": i.url, "sub": subject, "aud": "tutti", "exp": time.Now().Add(time.Hour).Unix()}
	for name, v := range more {
		claims[name] = v
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := i.signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// TestServerTakesTokensOfIssuers: a server takes the tokens that commands take, and
// a run keeps the groups that its token had.
func TestServerTakesTokensOfIssuers(t *testing.T) {
	issuer := newIssuer(t)
	p := newServed(t)
	p.write("access.tutti.hcl", `
identity "corp" {
  issuer         = "`+issuer.url+`"
  audience       = ["tutti"]
  username_claim = "sub"
  groups_claim   = "groups"
  service "deploy" {
    claims = { repository = "org/shop" }
  }
}
role "deployer" { allow = ["apply:*", "run:*"] }
grant {
  role = role.deployer
  to   = ["group:sre"]
}
grant {
  role = role.deployer
  to   = ["service:deploy"]
}
`)
	s := p.server("-require-token")
	greet := map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "x"}}
	good := issuer.token("ann", map[string]any{"groups": []string{"sre"}})
	for name, token := range map[string]string{
		"forged":            newIssuer(t).token("ann", map[string]any{"iss": issuer.url, "groups": []string{"sre"}}),
		"of another issuer": newIssuer(t).token("ann", nil),
		"expired":           issuer.token("ann", map[string]any{"exp": time.Now().Add(-time.Second).Unix()}),
		"for another":       issuer.token("ann", map[string]any{"aud": "other"}),
		"not yet":           issuer.token("ann", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
		"changed":           good[:len(good)-4] + "AAAA",
		"without signature": good[:strings.LastIndexByte(good, '.')+1],
	} {
		s.token = token
		if code, body, _ := s.do("POST", "/api/v1/runs", greet); code != 401 || strings.Contains(string(body), "sign") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	for token, want := range map[string]string{
		good: "user:ann",
		issuer.token("repo:org/shop", map[string]any{"repository": "org/shop"}): "service:deploy",
	} {
		s.token = token
		var run servedRun
		s.get(&run, 201, "POST", "/environments/default/stacks/site/changes", map[string]any{"kind": "apply"})
		if run.Actor != want {
			t.Errorf("the run of %s is by %s", want, run.Actor)
		}
		// Driven by the server, as whom the token stands for.
		if status, text := s.follow(run.ID, func(string, []byte) {}); status != "succeeded" {
			t.Errorf("the run of %s %s: %s", want, status, text)
		}
	}
	s.token = issuer.token("bob", map[string]any{"groups": []string{"dev"}})
	s.get(nil, 403, "POST", "/runs", greet)
	feed := p.mustRun("audit", "list", "-json", "-type=token.used")
	if strings.Count(feed, `"token.used"`) != 3 || strings.Contains(feed, "eyJ") || !strings.Contains(feed, `"sub": "repo:org/shop"`) {
		t.Errorf("the feed tells:\n%s", feed)
	}
}
