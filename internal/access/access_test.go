package access_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
)

const rules = `
role "operator" {
  allow = ["plan:*", "apply:staging/*", "approve:staging/*"]
  deny  = ["apply:*/vault"]
}
role "root" { allow = ["*:*"] }
role "careful" { deny = ["destroy:prod*/?hop"] }
grant {
  role = role.operator
  to   = ["group:sre", "user:ann"]
}
grant {
  role = role.root
  to   = ["user:zoe"]
}
grant {
  role = role.careful
  to   = ["user:zoe", "service:nightly"]
}
`

func policy(t testing.TB, src string) *access.Policy {
	t.Helper()
	p, diags := projects.Parse(".", map[string][]byte{"roles.tutti.hcl": []byte(src)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return access.NewPolicy(p)
}

// TestDecide asks for decisions and why they are so.
func TestDecide(t *testing.T) {
	p := policy(t, rules)
	ann := access.Identity{Subject: "user:ann", Groups: []string{"group:sre"}}
	bob := access.Identity{Subject: "user:bob", Groups: []string{"group:sre", "group:dev"}}
	zoe := access.Identity{Subject: "user:zoe"}
	for _, c := range []struct {
		who                   access.Identity
		verb                  access.Verb
		environment, resource string
		allowed               bool
		because               string
	}{
		{ann, access.Plan, "prod", "shop", true, `role "operator", which user:ann has as one of group:sre, allows "plan:*"`},
		{bob, access.Apply, "staging", "shop", true, `role "operator", which user:bob has as one of group:sre, allows "apply:staging/*"`},
		{bob, access.Plan, "staging", "vault", true, `role "operator", which user:bob has as one of group:sre, allows "plan:*"`},
		{bob, access.Apply, "prod", "shop", false, `no role of user:bob allows apply:prod/shop: it has operator`},
		{bob, access.Apply, "staging", "vault", false, `role "operator", which user:bob has as one of group:sre, denies "apply:*/vault"`},
		{bob, access.Apply, "Staging", "shop", false, `no role of user:bob allows apply:Staging/shop: it has operator`},
		{bob, access.Apply, "staging2", "shop", false, `no role of user:bob allows apply:staging2/shop: it has operator`},
		{bob, access.Apply, "staging", "", true, `role "operator", which user:bob has as one of group:sre, allows "apply:staging/*"`},
		{zoe, access.Destroy, "staging", "shop", true, `role "root", which user:zoe has by itself, allows "*:*"`},
		{zoe, access.Destroy, "prod-eu", "shop", false, `role "careful", which user:zoe has by itself, denies "destroy:prod*/?hop"`},
		{zoe, access.Admin, "", "", true, `role "root", which user:zoe has by itself, allows "*:*"`},
		{zoe, "fly", "prod", "shop", false, `there is nothing like fly:prod/shop that could be allowed`},
		{zoe, "*", "prod", "shop", false, `there is nothing like *:prod/shop that could be allowed`},
		{access.Identity{Subject: "user:zoe", Scoped: true, Roles: []string{"operator"}}, access.Plan, "prod", "shop", false, `the token of user:zoe is for none of the roles it has`},
		{access.Identity{Subject: "user:zoe", Scoped: true, Roles: []string{"root"}}, access.Destroy, "prod", "shop", false, `role "careful", which user:zoe has by itself, denies "destroy:prod*/?hop"`},
		{access.Identity{Subject: "user:eve"}, access.Plan, "staging", "shop", false, `user:eve has no role in this project`},
		{access.Identity{}, access.Plan, "staging", "shop", false, `nobody has no role in this project`},
		// Who calls itself a group is in none by that.
		{access.Identity{Subject: "group:sre"}, access.Plan, "staging", "shop", false, `group:sre has no role in this project`},
		{access.Identity{Subject: "user:eve", Groups: []string{"user:zoe"}}, access.Plan, "staging", "shop", false, `user:eve has no role in this project`},
		{access.Identity{Subject: "service:nightly"}, access.Run, "staging", "patch", false, `no role of service:nightly allows run:staging/patch: it has careful`},
	} {
		d := p.Decide(c.who, c.verb, c.environment, c.resource)
		if d.Allowed != c.allowed || d.Because != c.because {
			t.Errorf("%v %s %s/%s: %v, %s", c.who, c.verb, c.environment, c.resource, d.Allowed, d.Because)
		}
	}
	if got := p.RolesOf(zoe); !slices.Equal(got, []string{"careful", "root"}) {
		t.Errorf("roles of zoe: %v", got)
	}
	var none *access.Policy
	if d := none.Decide(access.Identity{Subject: "user:eve"}, access.Apply, "prod", "shop"); !d.Allowed {
		t.Error("without roles everything is allowed")
	}
	// A grant or a role alone is the end of that.
	if d := policy(t, `role "nothing" {}`).Decide(zoe, access.Plan, "prod", "shop"); d.Allowed {
		t.Error("with a role nothing is allowed by itself")
	}
}

// TestTokens shows a token and what is done to it.
func TestTokens(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	shown, kept, err := access.NewToken(bytes.NewReader(bytes.Repeat([]byte{7}, 100)), access.Token{Subject: "service:ci", Roles: []string{"operator"}, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprintf("%+v", kept), shown[len(shown)-20:]) {
		t.Error("the secret is kept")
	}
	verify := func(shown string, change func(*access.Token), at time.Time) (access.Identity, error) {
		k := kept
		if change != nil {
			change(&k)
		}
		return access.Verify(shown, func(id string) (access.Token, bool) { return k, id == kept.ID }, at)
	}
	who, err := verify(shown, nil, now)
	if err != nil || who.Subject != "service:ci" || !who.Scoped || !slices.Equal(who.Roles, []string{"operator"}) {
		t.Error(who, err)
	}
	for name, c := range map[string]struct {
		shown  string
		change func(*access.Token)
		at     time.Time
		want   error
	}{
		"expired":        {shown, nil, now.Add(time.Hour), access.ErrExpired},
		"without an end": {shown, func(k *access.Token) { k.Expires = time.Time{} }, now, access.ErrExpired},
		"revoked":        {shown, func(k *access.Token) { k.Revoked = now }, now, access.ErrRevoked},
		"no hash":        {shown, func(k *access.Token) { k.Hash = "" }, now, access.ErrUnknown},
		"other hash":     {shown, func(k *access.Token) { k.Hash = strings.Repeat("0", 64) }, now, access.ErrUnknown},
		"of nobody":      {shown, func(k *access.Token) { k.Subject = "" }, now, access.ErrUnknown},
		"of another":     {shown, func(k *access.Token) { k.ID = "" }, now, access.ErrUnknown},
		"nothing":        {"", nil, now, access.ErrMalformed},
		"its hash":       {kept.Hash, nil, now, access.ErrMalformed},
		"space behind":   {shown + " ", nil, now, access.ErrMalformed},
		"newline inside": {shown[:len(shown)-2] + "\n" + shown[len(shown)-1:], nil, now, access.ErrMalformed},
		"other case":     {strings.ToUpper(shown), nil, now, access.ErrMalformed},
		"unknown":        {strings.Replace(shown, "07", "08", 1), nil, now, access.ErrUnknown},
	} {
		if who, err := verify(c.shown, c.change, c.at); !errors.Is(err, c.want) || who.Subject != "" {
			t.Errorf("%s: %v, %v", name, who, err)
		}
	}
	if _, _, err := access.NewToken(io.LimitReader(bytes.NewReader(make([]byte, 40)), 40), access.Token{}); err == nil {
		t.Error("a token was made of too little randomness")
	}
}

// mutate makes something else of a text.
func mutate(r *rand.Rand, text string) string {
	b := []byte(text)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b) + 1)
		switch r.IntN(5) {
		case 0:
			b = append(b[:at:at], append([]byte{byte(r.IntN(256))}, b[at:]...)...)
		case 1:
			if at < len(b) {
				b = append(b[:at:at], b[at+1:]...)
			}
		case 2:
			if at < len(b) {
				b[at] ^= 1 << r.IntN(8)
			}
		case 3:
			b = append(b[:at:at], append([]byte([]string{"*", "?", "/", ":", "\x00", "\n", "group:sre", "\u202e", "..", "%2f"}[r.IntN(10)]), b[at:]...)...)
		case 4:
			b = append(b, b[:at]...)
		}
	}
	return string(b)
}

// TestHostileTokens shows ten thousand tokens that are none: not one lets in.
func TestHostileTokens(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	shown, kept, err := access.NewToken(bytes.NewReader([]byte("012345678901234567890123456789012345678901")), access.Token{Subject: "user:ann", Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		bad := mutate(r, shown)
		if bad == shown {
			continue
		}
		if who, err := access.Verify(bad, func(string) (access.Token, bool) { return kept, true }, now); err == nil || who.Subject != "" {
			t.Fatalf("%q lets in %v", bad, who)
		}
	}
}

// TestHostileIdentities: nobody gets more by what they are called.
func TestHostileIdentities(t *testing.T) {
	p := policy(t, rules+`
role "viewer" { allow = ["read:*", "audit:*"] }
grant {
  role = role.viewer
  to   = ["user:vic"]
}
`)
	r := rand.New(rand.NewPCG(3, 4))
	known := []string{"user:ann", "user:zoe", "group:sre", "service:nightly"}
	for range 10_000 {
		name := mutate(r, known[r.IntN(len(known))])
		if slices.Contains(known, name) {
			continue
		}
		who := access.Identity{Subject: name, Groups: []string{mutate(r, "group:sre") + "!"}}
		for _, verb := range projects.Verbs {
			if d := p.Decide(who, access.Verb(verb), "staging", "shop"); d.Allowed {
				t.Fatalf("%q may %s: %s", name, verb, d.Because)
			}
		}
	}
}

// TestReading: all may read until a role allows it by name, but for what is denied.
func TestReading(t *testing.T) {
	open := `
role "operator" {
  allow = ["apply:staging/*", "secret:prod/*"]
  deny  = ["*:*/vault"]
}
grant {
  role = role.operator
  to   = ["user:ann"]
}
`
	guarded := open + `
role "viewer" { allow = ["read:prod/*"] }
role "auditor" { allow = ["audit:*"] }
grant {
  role = role.viewer
  to   = ["user:vic"]
}
grant {
  role = role.auditor
  to   = ["user:aud"]
}
`
	for _, c := range []struct {
		rules, who            string
		verb                  access.Verb
		environment, resource string
		want                  bool
	}{
		{open, "user:bob", access.Read, "prod", "shop", true},
		{open, "user:bob", access.Audit, "", "", true},
		{open, "user:ann", access.Read, "prod", "shop", true},
		{open, "user:ann", access.Read, "staging", "vault", false},
		{open, "user:ann", access.Audit, "", "", false}, // the feed tells of the vault, too
		{guarded, "user:bob", access.Read, "prod", "shop", false},
		{guarded, "user:bob", access.Audit, "", "", false},
		{guarded, "user:ann", access.Read, "staging", "shop", true}, // who may apply it
		{guarded, "user:ann", access.Read, "prod", "shop", false},   // knowing secrets is not looking
		{guarded, "user:ann", access.Read, "staging", "vault", false},
		{guarded, "user:vic", access.Read, "prod", "shop", true},
		{guarded, "user:vic", access.Read, "staging", "shop", false},
		{guarded, "user:vic", access.Plan, "prod", "shop", false},
		{guarded, "user:vic", access.Audit, "", "", false},
		{guarded, "user:aud", access.Audit, "", "", true},
		{guarded, "user:aud", access.Read, "prod", "shop", false},
	} {
		d := policy(t, c.rules).Decide(access.Identity{Subject: c.who}, c.verb, c.environment, c.resource)
		if d.Allowed != c.want {
			t.Errorf("%s %s %s/%s: %v, %s", c.who, c.verb, c.environment, c.resource, d.Allowed, d.Because)
		}
	}
}

// TestReadingEverything: who is said to read everything may read each thing by itself.
func TestReadingEverything(t *testing.T) {
	const who = "user:ann"
	grant := "grant {\n  role = role.%s\n  to   = [\"" + who + "\"]\n}\n"
	for _, c := range []struct {
		role string
		want bool
	}{
		{`allow = ["plan:prod/*"]`, true}, // reading need not be allowed
		{`allow = ["plan:prod/*"], deny = ["apply:*"]`, true},
		{`allow = ["plan:prod/*"], deny = ["read:prod/vault"]`, false},
		{`allow = ["*:*"], deny = ["*:prod/vault"]`, false},
		{`allow = ["read:*"]`, true},
		{`allow = ["read:*"], deny = ["read:?"]`, false},
		{`allow = ["read:prod/*"]`, false},
		{`allow = ["read:*/shop"]`, false},
		{`allow = ["read:prod/*", "apply:*"]`, true}, // who may apply it, may read it
		{`allow = ["read:prod/*", "secret:*"]`, false},
		{`allow = ["audit:*"]`, false},
		{`allow = ["read:prod/*", "*:*"]`, true},
	} {
		text := "role \"r\" {\n" + strings.Replace(c.role, "], deny", "]\ndeny", 1) + "\n}\n" + fmt.Sprintf(grant, "r")
		p := policy(t, text)
		if got := p.ReadsEverything(access.Identity{Subject: who}); got != c.want {
			t.Errorf("%s: %t", c.role, got)
		}
		if p.ReadsEverything(access.Identity{Subject: who, Scoped: true}) && strings.Contains(c.role, "read:") && strings.Contains(c.role, "allow") {
			t.Errorf("%s: a token for no role reads everything", c.role)
		}
		for _, place := range [][2]string{{"prod", "shop"}, {"prod", "vault"}, {"staging", "shop"}, {"x", ""}} {
			if c.want && !p.Decide(access.Identity{Subject: who}, access.Read, place[0], place[1]).Allowed {
				t.Errorf("%s: %v may not be read", c.role, place)
			}
		}
	}
	if !policy(t, "").ReadsEverything(access.Identity{}) {
		t.Error("without roles nobody reads everything")
	}
}

// TestHostilePlaces: what is called like nothing known is not staging.
func TestHostilePlaces(t *testing.T) {
	p := policy(t, rules)
	bob := access.Identity{Subject: "user:bob", Groups: []string{"group:sre"}}
	r := rand.New(rand.NewPCG(5, 6))
	for range 10_000 {
		environment, verb := mutate(r, "staging"), mutate(r, "apply")
		if environment != "staging" && p.Decide(bob, access.Apply, environment, "shop").Allowed {
			t.Fatalf("environment %q", environment)
		}
		if verb != "apply" && verb != "plan" && verb != "approve" && p.Decide(bob, access.Verb(verb), "staging", "shop").Allowed {
			t.Fatalf("verb %q", verb)
		}
		if resource := mutate(r, "vault"); resource == "vault" && p.Decide(bob, access.Apply, "staging", resource).Allowed {
			t.Fatalf("resource %q", resource)
		}
	}
}

// TestHostileRoles reads ten thousand damaged role files: none crashes, and one
// that has errors never counts as a project without roles.
func TestHostileRoles(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	eve := access.Identity{Subject: "user:eve", Groups: []string{"group:dev"}}
	for range 10_000 {
		src := mutate(r, rules)
		p, diags := projects.Parse(".", map[string][]byte{"roles.tutti.hcl": []byte(src)})
		if diags.HasErrors() {
			if !p.Guarded {
				t.Fatalf("not guarded:\n%s", src)
			}
			continue
		}
		if d := access.NewPolicy(p).Decide(eve, access.Destroy, "prod", "shop"); d.Allowed && !strings.Contains(src, "eve") && !strings.Contains(src, "dev") {
			t.Fatalf("eve is let in: %s\n%s", d.Because, src)
		}
	}
}

// FuzzPermission compares patterns with regular expressions that say the same.
func FuzzPermission(f *testing.F) {
	for _, s := range []string{"apply:staging/*", "plan:*", "*:*/*", "run:a?c*b/**x", "apply:", ":", "apply:a/b/c", "apply:ü*/?"} {
		f.Add(s, "staging", "shop")
	}
	f.Fuzz(func(t *testing.T, text, environment, resource string) {
		rule, err := projects.ParsePermission(text)
		if err != nil {
			return
		}
		p := access.NewPolicy(&projects.Project{
			Roles:  map[string]*projects.Role{"r": {Name: "r", Allow: []projects.Permission{rule}}},
			Grants: []*projects.Grant{{Role: projects.Reference{Kind: "role", Name: "r"}, To: []string{"user:ann"}}},
		})
		verb := access.Verb(rule.Verb)
		if rule.Verb == "*" {
			verb = access.Run
		}
		like := func(pattern, name string) bool {
			quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
			return regexp.MustCompile(`(?s)\A` + quoted + `\z`).MatchString(name)
		}
		want := like(rule.Environment, environment) && like(rule.Resource, resource)
		if got := p.Decide(access.Identity{Subject: "user:ann"}, verb, environment, resource).Allowed; got != want {
			t.Errorf("%q on %q/%q: %v, want %v", text, environment, resource, got, want)
		}
		if p.Decide(access.Identity{Subject: "user:eve"}, verb, environment, resource).Allowed {
			t.Error("eve is let in")
		}
	})
}

// FuzzToken lets nobody in who shows anything.
func FuzzToken(f *testing.F) {
	f.Add("tutti_")
	f.Add("tutti_303132333435363738_" + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, shown string) {
		_, err := access.Verify(shown, func(id string) (access.Token, bool) {
			return access.Token{ID: id, Subject: "user:ann", Hash: strings.Repeat("a", 64), Expires: time.Now().Add(time.Hour)}, true
		}, time.Now())
		if err == nil {
			t.Errorf("%q lets in", shown)
		}
	})
}

// TestLongPatternsAreQuick: no pattern takes long to compare.
func TestLongPatternsAreQuick(t *testing.T) {
	rule, err := projects.ParsePermission("run:" + strings.Repeat("*a", 200) + "/*")
	if err != nil {
		t.Fatal(err)
	}
	p := access.NewPolicy(&projects.Project{
		Roles:  map[string]*projects.Role{"r": {Name: "r", Allow: []projects.Permission{rule}}},
		Grants: []*projects.Grant{{Role: projects.Reference{Kind: "role", Name: "r"}, To: []string{"user:ann"}}},
	})
	began := time.Now()
	if p.Decide(access.Identity{Subject: "user:ann"}, access.Run, strings.Repeat("a", 10_000)+"b", "x").Allowed {
		t.Error("it is not like that")
	}
	// Going through all the ways to match would take for ever.
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}
