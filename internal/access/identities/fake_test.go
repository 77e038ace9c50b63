package identities_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

const issuerURL = "https://id.example.com"

// fakeIssuer is an issuer without a network, for what a real one never does.
type fakeIssuer struct {
	mu       sync.Mutex
	keys     []signingKey // published
	requests int
	down     bool
	slow     bool                        // answers when the one who asks has gone
	document func(map[string]any)        // changes what it says of itself
	token    func(map[string]string) any // answers requests for tokens
	replace  http.HandlerFunc            // answers everything instead
}

type signingKey struct {
	id        string
	algorithm jose.SignatureAlgorithm
	private   crypto.Signer
}

var (
	rsaKey   = must(rsa.GenerateKey(rand.Reader, 2048))
	otherRSA = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey    = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))

	keyA     = signingKey{"a", jose.RS256, rsaKey}
	keyB     = signingKey{"b", jose.ES256, ecKey}
	attacker = signingKey{"a", jose.RS256, otherRSA} // calls its key as the issuer does
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (f *fakeIssuer) set(change func(*fakeIssuer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeIssuer) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// RoundTrip implements http.RoundTripper.
func (f *fakeIssuer) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	switch {
	case f.down:
		return nil, errors.New("connection refused")
	case f.slow:
		f.mu.Unlock()
		<-req.Context().Done()
		f.mu.Lock()
		return nil, req.Context().Err()
	}
	w := httptest.NewRecorder()
	if f.replace != nil {
		f.replace(w, req)
		return w.Result(), nil
	}
	w.Header().Set("Content-Type", "application/json")
	switch strings.TrimPrefix(req.URL.String(), issuerURL) {
	case "/.well-known/openid-configuration":
		doc := map[string]any{
			"issuer": issuerURL, "jwks_uri": issuerURL + "/keys", "token_endpoint": issuerURL + "/token",
			"authorization_endpoint": issuerURL + "/auth", "device_authorization_endpoint": issuerURL + "/device",
			// An issuer that says so is not believed.
			"id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256"},
		}
		if f.document != nil {
			f.document(doc)
		}
		_ = json.NewEncoder(w).Encode(doc)
	case "/keys":
		set := jose.JSONWebKeySet{}
		for _, k := range f.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(k.algorithm), Use: "sig"})
		}
		raw, _ := json.Marshal(set)
		// Keys of other kinds, and secrets, are in some sets.
		_, _ = w.WriteString(strings.Replace(string(raw), `"keys":[`, `"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"},{"kty":"new","kid":"n"},`, 1))
	case "/device":
		_ = json.NewEncoder(w).Encode(map[string]any{"device_code": "d", "user_code": "WXYZ", "verification_uri": issuerURL + "/go", "expires_in": 60, "interval": 5})
	case "/token":
		_ = req.ParseForm()
		form := map[string]string{}
		for name := range req.Form {
			form[name] = req.Form.Get(name)
		}
		answer := f.token(form)
		if _, failed := answer.(oauthError); failed {
			w.WriteHeader(http.StatusBadRequest)
		}
		_ = json.NewEncoder(w).Encode(answer)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// sign makes a token. Members of the header come on top of alg, kid and typ.
func sign(k signingKey, claims any, members map[string]any) string {
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"typ": "JWT"}}
	for name, v := range members {
		options.ExtraHeaders[jose.HeaderKey(name)] = v
	}
	key := any(k.private)
	if k.id != "" {
		key = jose.JSONWebKey{Key: k.private, KeyID: k.id}
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: key}, options))
	payload, ok := claims.(string)
	if !ok {
		payload = string(must(json.Marshal(claims)))
	}
	return must(must(signer.Sign([]byte(payload))).CompactSerialize())
}

// now is when the tests happen.
var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

type claimSet = map[string]any

// claimsOf are those of ann, changed.
func claimsOf(change func(claimSet)) claimSet {
	c := claimSet{
		"iss": issuerURL, "sub": "1234", "aud": "tutti", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(), "jti": "j-1",
		"email": "ann@example.com", "email_verified": true, "groups": []string{"sre", "dev"},
	}
	if change != nil {
		change(c)
	}
	return c
}

const corp = `
identity "corp" {
  issuer         = "https://id.example.com"
  client_id      = "tutti"
  username_claim = "email"
  groups_claim   = "groups"
  group_prefix   = "corp-"
}
`

func project(t testing.TB, src string) *projects.Project {
	t.Helper()
	p, diags := projects.Parse(".", map[string][]byte{"identity.tutti.hcl": []byte(src)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return p
}
