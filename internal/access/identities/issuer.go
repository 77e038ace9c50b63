package identities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// skew is how far clocks may differ where a token is not valid yet.
const skew = time.Minute

// maxGroups bounds in how many groups somebody is.
const maxGroups = 2000

// Options are what an issuer is reached with. The zero value is that of a program.
type Options struct {
	// Transport reaches the issuer; nil for http.DefaultTransport.
	Transport http.RoundTripper
	// Cache keeps what issuers say of themselves; nil for this process only.
	Cache Cache
	Now   func() time.Time // nil for time.Now
}

// Issuer is a declared identity, ready to say whom tokens stand for. It is safe for
// concurrent use.
type Issuer struct {
	Declared *projects.Identity

	client *http.Client
	cache  Cache
	now    func() time.Time

	known  atomic.Pointer[Facts]
	asking chan struct{} // held while the issuer is asked; guards what follows
	tried  time.Time
	// failure is how asking ended at tried; nil where there was an answer.
	failure error
}

// NewIssuer asks nothing yet.
func NewIssuer(declared *projects.Identity, o Options) *Issuer {
	i := &Issuer{Declared: declared, cache: o.Cache, now: o.Now, asking: make(chan struct{}, 1)}
	if i.now == nil {
		i.now = time.Now
	}
	transport := o.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	i.client = &http.Client{
		Transport: limited{transport}, Timeout: patience,
		// Where an issuer is, it says itself: nobody else sends us elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it sends elsewhere") },
	}
	return i
}

// context has what the libraries reach the issuer with.
func (i *Issuer) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, i.client)
}

// limited bounds the length of answers.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// withoutQuery is an address without what may follow a question mark.
func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.RawQuery, u.ForceQuery = "", false
	return u.String()
}

// RefusedError says why a token does not let in. It wraps [access.ErrExpired] where
// that is all that is wrong.
type RefusedError struct {
	Reason string // a sentence about the token, without its end
	err    error
}

// Error is the reason.
func (e *RefusedError) Error() string { return e.Reason }

// Unwrap returns the kind of error, if it is one.
func (e *RefusedError) Unwrap() error { return e.err }

func refused(format string, args ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, args...)}
}

// claims are those of a token that was verified.
type claims struct {
	members map[string]json.RawMessage
	subject string
	nonce   string
	id      string // jti; empty where it has none
	expires time.Time
}

// verify checks everything about a token of this issuer but whom it stands for:
// signature, issuer, audience, and the times.
func (i *Issuer) verify(ctx context.Context, raw string) (claims, error) {
	h, _, err := parseHeader(raw)
	if err != nil {
		return claims{}, refused("%s", err)
	}
	facts, err := i.facts(ctx, h.keyID)
	if err != nil {
		return claims{}, err
	}
	now := i.now()
	verifier := oidc.NewVerifier(i.Declared.Issuer, keySet{facts, h}, &oidc.Config{
		SkipClientIDCheck:    true, // one of several audiences is looked for below
		SkipExpiryCheck:      true, // so that what is expired and wrong otherwise is not only expired
		SupportedSigningAlgs: algorithms, Now: i.now,
	})
	if _, err := verifier.Verify(ctx, raw); err != nil {
		return claims{}, refused("it is not a token of %s: %s", i.Declared.Issuer, strings.TrimPrefix(err.Error(), "oidc: "))
	}
	_, members, err := parseHeader(raw)
	if err != nil {
		return claims{}, refused("%s", err)
	}
	c := claims{members: members}
	var issuer string
	for name, into := range map[string]*string{"iss": &issuer, "sub": &c.subject, "nonce": &c.nonce, "jti": &c.id} {
		if err := text(members, name, into); err != nil {
			return claims{}, refused("its claims cannot be read: %s", err)
		}
	}
	audience, err := texts(members, "aud")
	if err != nil {
		return claims{}, refused("its claims cannot be read: %s", err)
	}
	var from, made time.Time
	for name, into := range map[string]*time.Time{"exp": &c.expires, "nbf": &from, "iat": &made} {
		if *into, err = instant(members, name); err != nil {
			return claims{}, refused("its claims cannot be read: %s", err)
		}
	}
	switch {
	case issuer != i.Declared.Issuer:
		return claims{}, refused("it is a token of another issuer")
	case c.subject == "":
		return claims{}, refused("it does not say whom it stands for")
	case !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(i.Declared.Audience, a) }):
		return claims{}, refused("it was made for %.200q, and not for %s", strings.Join(audience, ", "), strings.Join(i.Declared.Audience, " or "))
	case from.After(now.Add(skew)):
		return claims{}, refused("it is not valid before %s", from.UTC().Format(time.RFC3339))
	case made.After(now.Add(skew)):
		return claims{}, refused("it was made in the future, at %s", made.UTC().Format(time.RFC3339))
	case !now.Before(c.expires): // one without an end is at its end
		return claims{}, &RefusedError{Reason: "it expired at " + c.expires.UTC().Format(time.RFC3339), err: access.ErrExpired}
	}
	return c, nil
}

// instant reads seconds since 1970; the zero time where there are none.
func instant(members map[string]json.RawMessage, name string) (time.Time, error) {
	raw, ok := members[name]
	if !ok {
		return time.Time{}, nil
	}
	var seconds float64
	if raw[0] == 'n' || json.Unmarshal(raw, &seconds) != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, fmt.Errorf("%q is not a time", name)
	}
	return time.Unix(int64(seconds), 0), nil
}

// texts reads a member that is one text or several.
func texts(members map[string]json.RawMessage, name string) ([]string, error) {
	raw, ok := members[name]
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var several []*string
	if err := json.Unmarshal(raw, &several); err != nil || slices.Contains(several, nil) {
		return nil, fmt.Errorf("%q is neither text nor a list of texts", name)
	}
	out := make([]string, len(several))
	for i, s := range several {
		out[i] = *s
	}
	return out, nil
}

// who says whom the claims stand for: the first service that they are like, or a
// user with their groups.
func (i *Issuer) who(c claims) (access.Identity, error) {
	for _, rule := range i.Declared.Services {
		if like(rule, c.members) {
			return access.Identity{Subject: access.ServiceKind + ":" + rule.Name}, nil
		}
	}
	d := i.Declared
	if d.UsernameClaim == "" {
		return access.Identity{}, refused("its claims are like those of no service of identity %q", d.Name)
	}
	var name string
	if err := text(c.members, d.UsernameClaim, &name); err != nil || name == "" {
		return access.Identity{}, refused("it has no claim %q that names a user", d.UsernameClaim)
	}
	if d.UsernameClaim == "email" {
		// An address that anybody can claim to have names nobody.
		if verified, ok := c.members["email_verified"]; ok && string(verified) != "true" {
			return access.Identity{}, refused("the issuer has not verified the address %.100q", name)
		}
	}
	who := access.Identity{Subject: access.UserKind + ":" + d.UsernamePrefix + name}
	if err := projects.ParseSubject(who.Subject); err != nil {
		return access.Identity{}, refused("its claim %q is not the name of a user: %s", d.UsernameClaim, err)
	}
	if d.GroupsClaim == "" {
		return who, nil
	}
	groups, err := texts(c.members, d.GroupsClaim)
	if err != nil || len(groups) > maxGroups {
		return access.Identity{}, refused("its claim %q is not a list of at most %d groups", d.GroupsClaim, maxGroups)
	}
	for _, g := range groups {
		g = access.GroupKind + ":" + d.GroupPrefix + g
		// What cannot be the name of a group can be granted nothing either.
		if projects.ParseSubject(g) == nil && !slices.Contains(who.Groups, g) {
			who.Groups = append(who.Groups, g)
		}
	}
	return who, nil
}

// like reports whether claims are as a rule has them. A claim that is a list must
// have something in it that is.
func like(rule *projects.ServiceRule, members map[string]json.RawMessage) bool {
	for name, pattern := range rule.Claims {
		raw, ok := members[name]
		if !ok {
			return false
		}
		values, err := texts(members, name)
		if err != nil {
			// Numbers and truth values are as they are written.
			if raw[0] == '{' || raw[0] == '[' {
				return false
			}
			values = []string{string(raw)}
		}
		if !slices.ContainsFunc(values, func(v string) bool { return access.Like(pattern, v) }) {
			return false
		}
	}
	return len(rule.Claims) > 0
}
