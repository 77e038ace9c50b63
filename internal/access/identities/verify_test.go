package identities_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/access/identities"
)

// clock is a time that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func verifier(t testing.TB, f *fakeIssuer, src string) (*identities.Verifier, *clock) {
	c := &clock{now}
	return identities.NewVerifier(project(t, src), nil, identities.Options{Transport: f, Now: c.now}), c
}

func TestVerify(t *testing.T) {
	f := &fakeIssuer{keys: []signingKey{keyA, keyB}}
	v, _ := verifier(t, f, corp)
	for _, k := range []signingKey{keyA, keyB} {
		who, err := v.Verify(t.Context(), sign(k, claimsOf(nil), nil))
		if err != nil || who.Subject != "user:ann@example.com" || !slices.Equal(who.Groups, []string{"group:corp-sre", "group:corp-dev"}) ||
			who.Scoped || who.Source != "identity.corp" || !who.Expires.Equal(now.Add(time.Hour)) || who.Issued.ID != "j-1" || who.Issued.Subject != "1234" {
			t.Errorf("%s: %+v, %v", k.id, who, err)
		}
	}
	if f.asked() != 2 {
		t.Errorf("the issuer was asked %d times", f.asked())
	}
}

// TestRefused shows what is wrong with tokens that let nobody in, one thing each.
func TestRefused(t *testing.T) {
	f := &fakeIssuer{keys: []signingKey{keyA, keyB}}
	v, _ := verifier(t, f, corp)
	good := sign(keyA, claimsOf(nil), nil)
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	changed := func(change func(claimSet)) string { return sign(keyA, claimsOf(change), nil) }
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(rsaKey.Public()))})
	hs256 := func(secret []byte) string {
		text := encode([]byte(`{"alg":"HS256","kid":"a","typ":"JWT"}`)) + "." + parts[1]
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return text + "." + encode(mac.Sum(nil))
	}
	jwk := jose.JSONWebKey{Key: otherRSA.Public(), KeyID: "mine", Algorithm: "RS256"}
	for name, c := range map[string]struct{ token, want string }{
		"nothing":                {"", "not a signed token"},
		"space behind":           {good + " ", "not a signed token"},
		"line end":               {good[:50] + "\n" + good[50:], "not a signed token"},
		"padding":                {good + "==", "not a signed token"},
		"two parts":              {parts[0] + "." + parts[1], "not a signed token"},
		"five parts":             {good + ".a.b", "not a signed token"},
		"no signature":           {parts[0] + "." + parts[1] + ".", "not a signed token"},
		"JSON serialization":     {`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, "not a signed token"},
		"none":                   {encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "." + encode([]byte("x")), `signed by "none"`},
		"None":                   {encode([]byte(`{"alg":"None"}`)) + "." + parts[1] + "." + parts[2], `signed by "None"`},
		"no algorithm":           {encode([]byte(`{"kid":"a"}`)) + "." + parts[1] + "." + parts[2], `signed by ""`},
		"public key as secret":   {hs256(public), `signed by "HS256"`},
		"secret in the key set":  {hs256([]byte("secret")), `signed by "HS256"`},
		"other key, same name":   {sign(attacker, claimsOf(nil), nil), "not signed by the issuer"},
		"other key, own name":    {sign(signingKey{"mine", jose.RS256, otherRSA}, claimsOf(nil), nil), "not signed by the issuer"},
		"key along":              {sign(signingKey{"mine", jose.RS256, otherRSA}, claimsOf(nil), map[string]any{"jwk": jwk}), "not signed by the issuer"},
		"address of keys along":  {sign(attacker, claimsOf(nil), map[string]any{"jku": "https://evil.example.com/keys", "x5u": "https://evil.example.com/x"}), "not signed by the issuer"},
		"path as key":            {sign(signingKey{"../../../dev/null", jose.RS256, otherRSA}, claimsOf(nil), nil), "not signed by the issuer"},
		"no key named":           {sign(signingKey{"", jose.RS256, rsaKey}, claimsOf(nil), nil), "does not say by which key"},
		"name of another key":    {sign(signingKey{"b", jose.RS256, rsaKey}, claimsOf(nil), nil), "not signed by the issuer"},
		"other algorithm":        {sign(signingKey{"a", jose.RS512, rsaKey}, claimsOf(nil), nil), "not signed by the issuer"},
		"demands":                {sign(keyA, claimsOf(nil), map[string]any{"crit": []string{"exp"}, "exp": 1}), "demands what is not known"},
		"unencoded":              {sign(keyA, claimsOf(nil), map[string]any{"crit": []string{"b64"}, "b64": true}), "demands what is not known"},
		"of another kind":        {sign(keyA, claimsOf(nil), map[string]any{"typ": "logout+jwt"}), "token of another kind"},
		"header twice":           {encode([]byte(`{"alg":"RS256","kid":"a","alg":"none"}`)) + "." + parts[1] + "." + parts[2], `"alg" twice`},
		"header in other case":   {encode([]byte(`{"Alg":"RS256","kid":"a"}`)) + "." + parts[1] + "." + parts[2], `signed by ""`},
		"expired":                {changed(func(c claimSet) { c["exp"] = now.Unix() }), "expired"},
		"without an end":         {changed(func(c claimSet) { delete(c, "exp") }), "expired"},
		"end is text":            {changed(func(c claimSet) { c["exp"] = "tomorrow" }), ""},
		"end is nothing":         {changed(func(c claimSet) { c["exp"] = nil }), ""},
		"end is far":             {changed(func(c claimSet) { c["exp"] = 1e300 }), ""},
		"not yet":                {changed(func(c claimSet) { c["nbf"] = now.Add(2 * time.Minute).Unix() }), "not valid before"},
		"made tomorrow":          {changed(func(c claimSet) { c["iat"] = now.Add(24 * time.Hour).Unix() }), "made in the future"},
		"for another":            {changed(func(c claimSet) { c["aud"] = "other" }), `made for "other"`},
		"for others":             {changed(func(c claimSet) { c["aud"] = []string{"x", "tutti2"} }), "made for"},
		"for nobody":             {changed(func(c claimSet) { delete(c, "aud") }), "made for"},
		"for a number":           {changed(func(c claimSet) { c["aud"] = 7 }), ""},
		"of another issuer":      {changed(func(c claimSet) { c["iss"] = "https://evil.example.com" }), "no identity of this project"},
		"issuer with slash":      {changed(func(c claimSet) { c["iss"] = issuerURL + "/" }), "no identity of this project"},
		"no issuer":              {changed(func(c claimSet) { delete(c, "iss") }), "does not say who issued it"},
		"of nobody":              {changed(func(c claimSet) { delete(c, "sub") }), "whom it stands for"},
		"subject is a list":      {changed(func(c claimSet) { c["sub"] = []string{"a"} }), ""},
		"no name":                {changed(func(c claimSet) { delete(c, "email") }), "no claim"},
		"name in other case":     {changed(func(c claimSet) { delete(c, "email"); c["Email"] = "ann@example.com" }), "no claim"},
		"address not verified":   {changed(func(c claimSet) { c["email_verified"] = false }), "not verified"},
		"verified is text":       {changed(func(c claimSet) { c["email_verified"] = "true" }), "not verified"},
		"a kind in the name":     {changed(func(c claimSet) { c["email"] = "service:ci" }), "not the name of a user"},
		"everybody":              {changed(func(c claimSet) { c["email"] = "*" }), "not the name of a user"},
		"name with line end":     {changed(func(c claimSet) { c["email"] = "ann\n" }), "not the name of a user"},
		"groups are a number":    {changed(func(c claimSet) { c["groups"] = 7 }), "not a list"},
		"groups are not text":    {changed(func(c claimSet) { c["groups"] = []any{"a", 1} }), "not a list"},
		"claims twice":           {sign(keyA, `{"iss":"https://id.example.com","sub":"1","aud":"tutti","exp":1777640400,"email":"eve@x","email":"ann@example.com"}`, nil), `"email" twice`},
		"claims are a list":      {sign(keyA, `["a"]`, nil), "not a JSON object"},
		"something follows":      {sign(keyA, `{"iss":"https://id.example.com"} {}`, nil), "something follows"},
		"longer than all":        {changed(func(c claimSet) { c["x"] = strings.Repeat("x", 100_000) }), "longer than"},
		"tutti's, but there are": {"tutti_303132333435363738_" + strings.Repeat("A", 43), "no such token"},
	} {
		who, err := v.Verify(t.Context(), c.token)
		if err == nil || who.Subject != "" || len(who.Groups) > 0 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
		if name != "tutti's, but there are" && !errors.As(err, new(*identities.RefusedError)) {
			t.Errorf("%s: it is an error of another kind: %T", name, err)
		}
		if errors.Is(err, access.ErrExpired) != (c.want == "expired") {
			t.Errorf("%s: expired? %v", name, err)
		}
		if err != nil && len(c.token) > 100 && strings.Contains(err.Error(), c.token[len(c.token)-40:]) {
			t.Errorf("%s: the error has the token in it", name)
		}
	}
}

// TestUnusableGroups: what cannot be a group is none, and the others count.
func TestUnusableGroups(t *testing.T) {
	v, _ := verifier(t, &fakeIssuer{keys: []signingKey{keyA}}, corp)
	who, err := v.Verify(t.Context(), sign(keyA, claimsOf(func(c claimSet) {
		c["groups"] = []string{"a:b", "*", "", "x\n", "sre", "sre"}
	}), nil))
	if err != nil || !slices.Equal(who.Groups, []string{"group:corp-", "group:corp-sre"}) {
		t.Error(who, err)
	}
}

const workload = `
identity "github" {
  issuer   = "https://id.example.com"
  audience = ["https://tutti.example.com"]
  service "deploy" {
    claims = { repository = "org/shop", ref = "refs/heads/main" }
  }
  service "plan" {
    claims = { sub = "repo:org/*", runs = "7", private = "true" }
  }
}
` + corp

// TestServices: who a workload is follows from its claims.
func TestServices(t *testing.T) {
	v, _ := verifier(t, &fakeIssuer{keys: []signingKey{keyA}}, workload)
	for name, c := range map[string]struct {
		claims claimSet
		want   string
	}{
		"main":           {claimSet{"repository": "org/shop", "ref": "refs/heads/main", "sub": "repo:org/shop:ref:refs/heads/main"}, "service:deploy"},
		"branch":         {claimSet{"repository": "org/shop", "ref": "refs/heads/x", "sub": "repo:org/shop:x", "runs": 7, "private": true}, "service:plan"},
		"list":           {claimSet{"repository": []string{"org/x", "org/shop"}, "ref": "refs/heads/main", "sub": "a"}, "service:deploy"},
		"other case":     {claimSet{"repository": "org/Shop", "ref": "refs/heads/main", "sub": "a"}, ""},
		"more in front":  {claimSet{"repository": "evil/org/shop", "ref": "refs/heads/main", "sub": "a"}, ""},
		"one is missing": {claimSet{"repository": "org/shop", "sub": "a"}, ""},
		"an object":      {claimSet{"repository": claimSet{"a": "org/shop"}, "ref": "refs/heads/main", "sub": "a"}, ""},
		"nothing":        {claimSet{"repository": nil, "ref": nil, "sub": "a"}, ""},
		"number":         {claimSet{"sub": "repo:org/a", "runs": 70, "private": true}, ""},
		"for people":     {claimSet{"aud": "tutti", "repository": "org/shop", "ref": "refs/heads/main", "sub": "a"}, ""},
	} {
		claims := claimsOf(func(set claimSet) {
			delete(set, "email")
			set["aud"] = "https://tutti.example.com"
			for name, v := range c.claims {
				set[name] = v
			}
		})
		who, err := v.Verify(t.Context(), sign(keyA, claims, nil))
		if who.Subject != c.want || (err == nil) != (c.want != "") || len(who.Groups) > 0 {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	// People of the same issuer come by the other identity.
	if who, err := v.Verify(t.Context(), sign(keyA, claimsOf(nil), nil)); err != nil || who.Source != "identity.corp" {
		t.Error(who, err)
	}
}

// TestOwnTokens: Tutti's own tokens come by the same verifier.
func TestOwnTokens(t *testing.T) {
	shown, kept, err := access.NewToken(bytes.NewReader(make([]byte, 100)), access.Token{Subject: "service:ci", Roles: []string{"operator"}, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	broken := false
	c := &clock{now}
	v := identities.NewVerifier(nil, func(_ context.Context, id string) (access.Token, bool, error) {
		if broken {
			return access.Token{}, false, errors.New("the disk is gone")
		}
		return kept, id == kept.ID, nil
	}, identities.Options{Now: c.now})
	who, err := v.Verify(t.Context(), shown)
	if err != nil || who.Subject != "service:ci" || !who.Scoped || who.Source != "token" || who.ID != kept.ID || !who.Expires.Equal(kept.Expires) {
		t.Error(who, err)
	}
	if who, err := v.Verify(t.Context(), strings.Replace(shown, "AAAA", "AAAB", 1)); !errors.Is(err, access.ErrUnknown) || who.Subject != "" {
		t.Error(who, err)
	}
	c.at = now.Add(time.Hour)
	if who, err := v.Verify(t.Context(), shown); !errors.Is(err, access.ErrExpired) || who.Subject != "" || who.ID != kept.ID {
		t.Error(who, err)
	}
	broken = true
	if who, err := v.Verify(t.Context(), shown); err == nil || who.Subject != "" {
		t.Error("it lets in without having looked")
	}
	// Without a project no issuer counts.
	if _, err := v.Verify(t.Context(), sign(keyA, claimsOf(nil), nil)); err == nil {
		t.Error("a token of an issuer that nobody declared")
	}
}

// TestRotation: new keys are found when they are needed, old ones end, and made up
// tokens are not requests.
func TestRotation(t *testing.T) {
	f := &fakeIssuer{keys: []signingKey{keyA}}
	v, c := verifier(t, f, corp)
	check := func(k signingKey, want bool) {
		t.Helper()
		if _, err := v.Verify(t.Context(), sign(k, claimsOf(func(s claimSet) { s["exp"] = c.at.Add(time.Hour).Unix() }), nil)); (err == nil) != want {
			t.Errorf("key %s at %s: %v", k.id, c.at, err)
		}
	}
	check(keyA, true)
	f.set(func(f *fakeIssuer) { f.keys = []signingKey{keyA, keyB} })
	check(keyB, false) // asked just now
	c.at = c.at.Add(5 * time.Second)
	check(keyB, true)
	before := f.asked()
	for range 1000 {
		check(signingKey{"made-up", jose.RS256, otherRSA}, false)
	}
	if n := f.asked() - before; n > 0 {
		t.Errorf("made up tokens were %d requests", n)
	}
	// A key that is taken back is believed for a while only.
	f.set(func(f *fakeIssuer) { f.keys = []signingKey{keyB} })
	c.at = c.at.Add(14 * time.Minute)
	check(keyA, true)
	c.at = c.at.Add(2 * time.Minute)
	check(keyA, false)
	check(keyB, true)
}

// TestIssuerDown: what is known serves for a day, and nothing lets in.
func TestIssuerDown(t *testing.T) {
	f := &fakeIssuer{keys: []signingKey{keyA}, down: true}
	v, c := verifier(t, f, corp)
	verify := func(k signingKey) error {
		who, err := v.Verify(t.Context(), sign(k, claimsOf(func(s claimSet) { s["exp"] = c.at.Add(time.Hour).Unix() }), nil))
		if (err == nil) != (who.Subject != "") {
			t.Errorf("%+v, %v", who, err)
		}
		return err
	}
	unreachable := func(err error) {
		t.Helper()
		var u *identities.UnreachableError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "the issuer https://id.example.com cannot be asked: ") {
			t.Error(err)
		}
	}
	unreachable(verify(keyA))
	asked := f.asked()
	unreachable(verify(keyA)) // and is not asked at once again
	if f.asked() != asked {
		t.Error("an issuer that does not answer is asked all the time")
	}
	f.set(func(f *fakeIssuer) { f.down = false })
	c.at = c.at.Add(5 * time.Second)
	if err := verify(keyA); err != nil {
		t.Error(err)
	}
	f.set(func(f *fakeIssuer) { f.down = true })
	c.at = c.at.Add(23 * time.Hour)
	if err := verify(keyA); err != nil {
		t.Error(err)
	}
	unreachable(verify(keyB)) // it may be a new key: nobody knows
	c.at = c.at.Add(time.Hour + time.Minute)
	unreachable(verify(keyA))
}

// TestSlowIssuer: nobody waits for ever, and those who wait together wait once.
func TestSlowIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{keys: []signingKey{keyA}, slow: true}
		v := identities.NewVerifier(project(t, corp), nil, identities.Options{Transport: f})
		token := sign(keyA, claimSet{"iss": issuerURL, "sub": "1", "aud": "tutti", "email": "ann@example.com", "exp": time.Now().Add(time.Hour).Unix()}, nil)
		began := time.Now()
		errs := make(chan error)
		for range 10 {
			go func() {
				_, err := v.Verify(t.Context(), token)
				errs <- err
			}()
		}
		for range 10 {
			if err := <-errs; !errors.As(err, new(*identities.UnreachableError)) {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > 15*time.Second || f.asked() != 1 {
			t.Errorf("it took %s and %d requests", took, f.asked())
		}
		// Who gives up does not take the issuer for broken.
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Verify(ctx, token); err == nil {
			t.Error("it lets in")
		}
		f.set(func(f *fakeIssuer) { f.slow = false })
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
	})
}

// TestStrangeIssuers: what an issuer says of itself is not believed blindly.
func TestStrangeIssuers(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "https://evil.example.com/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, c := range map[string]struct {
		change func(*fakeIssuer)
		want   string
	}{
		"of another name": {func(f *fakeIssuer) { f.document = func(d map[string]any) { d["issuer"] = "https://evil.example.com" } }, "another issuer"},
		"keys without TLS": {func(f *fakeIssuer) {
			f.document = func(d map[string]any) { d["jwks_uri"] = "http://id.example.com/keys" }
		}, "not one that is reached safely"},
		"keys of a file":    {func(f *fakeIssuer) { f.document = func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" } }, "not one that is reached safely"},
		"no keys":           {func(f *fakeIssuer) { f.keys = nil }, "none that signs"},
		"no place for keys": {func(f *fakeIssuer) { f.document = func(d map[string]any) { delete(d, "jwks_uri") } }, "not one that is reached safely"},
		"tokens without TLS": {func(f *fakeIssuer) {
			f.document = func(d map[string]any) { d["token_endpoint"] = "http://evil.example.com/" }
		}, "token endpoint"},
		"sends elsewhere":     {func(f *fakeIssuer) { f.replace = answer(302, "") }, "sends elsewhere"},
		"is not there":        {func(f *fakeIssuer) { f.replace = answer(404, "no") }, "404"},
		"is broken":           {func(f *fakeIssuer) { f.replace = answer(500, strings.Repeat("x", 10_000)) }, "500"},
		"says nothing":        {func(f *fakeIssuer) { f.replace = answer(200, "") }, ""},
		"says half":           {func(f *fakeIssuer) { f.replace = answer(200, `{"issuer": "https://id.exam`) }, ""},
		"never comes to end":  {func(f *fakeIssuer) { f.replace = answer(200, `{"issuer": "`+strings.Repeat("x", 2<<20)) }, ""},
		"keys are no key set": {func(f *fakeIssuer) { f.document = func(d map[string]any) { d["jwks_uri"] = issuerURL + "/device" } }, "keys cannot be read"},
	} {
		f := &fakeIssuer{keys: []signingKey{keyA}}
		c.change(f)
		v, _ := verifier(t, f, corp)
		who, err := v.Verify(t.Context(), sign(keyA, claimsOf(nil), nil))
		if !errors.As(err, new(*identities.UnreachableError)) || who.Subject != "" || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s: %+v, %.300v", name, who, err)
		}
	}
}
