package identities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// Credential is somebody, and how they are known.
type Credential struct {
	access.Identity
	// Source is "token" for one of Tutti's own, or "identity.NAME".
	Source string
	// ID names the token that was shown, and cannot be used in its place: see
	// [TokenID].
	ID      string
	Expires time.Time
	// Issued are the names that the issuer gave the token (jti) and whom it stands
	// for (sub), to find it in the issuer's log; empty for a token of Tutti's.
	Issued struct{ ID, Subject string }
}

// Verifier says whom bearer tokens stand for: those of the issuers that a project
// declares, and Tutti's own. It is safe for concurrent use.
type Verifier struct {
	issuers map[string]*Issuer // by name
	find    func(ctx context.Context, id string) (access.Token, bool, error)
	now     func() time.Time
}

// NewVerifier makes the verifier of a project. The project must have been read
// without errors. Find returns what is kept of one of Tutti's own tokens, as
// sqlite.Store.Token does; nil where there are none.
func NewVerifier(p *projects.Project, find func(ctx context.Context, id string) (access.Token, bool, error), o Options) *Verifier {
	v := &Verifier{issuers: map[string]*Issuer{}, find: find, now: o.Now}
	if v.now == nil {
		v.now = time.Now
	}
	if p != nil {
		for name, declared := range p.Identities {
			v.issuers[name] = NewIssuer(declared, o)
		}
	}
	return v
}

// Issuer is that of a declared identity; nil where there is no such.
func (v *Verifier) Issuer(name string) *Issuer { return v.issuers[name] }

// Verify says whom a bearer token stands for. The error is a [*RefusedError], wraps
// an error of package access, is an [*UnreachableError], or is that of what looks
// tokens up. Except for the last two, whoever is not trusted should learn no more
// than that the token is refused. Where it is, the credential has the source, if it
// is known, and the ID, and nobody in it.
func (v *Verifier) Verify(ctx context.Context, bearer string) (Credential, error) {
	c := Credential{ID: TokenID(bearer)}
	if Own(bearer) {
		c.Source = "token"
		return v.verifyOwn(ctx, c, bearer)
	}
	_, members, err := parseHeader(bearer)
	if err != nil {
		return c, refused("%s", err)
	}
	var issuer string
	if text(members, "iss", &issuer) != nil || issuer == "" {
		return c, refused("it does not say who issued it")
	}
	// Several identities may have one issuer: for people and for services, say. Each
	// takes what is made for it.
	var failed error
	for _, name := range v.names() {
		i := v.issuers[name]
		if i.Declared.Issuer != issuer {
			continue
		}
		found, err := i.Verify(ctx, bearer)
		if err == nil {
			return found, nil
		}
		if failed == nil || errors.As(failed, new(*RefusedError)) && !errors.As(err, new(*RefusedError)) {
			failed, c.Source = err, found.Source
		}
	}
	if failed == nil {
		return c, refused("no identity of this project has its issuer %.200q", issuer)
	}
	return c, failed
}

func (v *Verifier) names() []string {
	var out []string
	for name := range v.issuers {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Verify says whom a token of this issuer stands for; see [Verifier.Verify].
func (i *Issuer) Verify(ctx context.Context, bearer string) (Credential, error) {
	c := Credential{ID: TokenID(bearer), Source: "identity." + i.Declared.Name}
	found, err := i.verify(ctx, bearer)
	if err != nil {
		return c, err
	}
	who, err := i.who(found)
	if err != nil {
		return c, err
	}
	c.Identity, c.Expires = who, found.expires
	c.Issued.ID, c.Issued.Subject = found.id, found.subject
	return c, nil
}

func (v *Verifier) verifyOwn(ctx context.Context, c Credential, bearer string) (Credential, error) {
	id, _, err := access.ParseToken(bearer)
	if err != nil {
		return c, err
	}
	if v.find == nil {
		return c, access.ErrUnknown
	}
	kept, ok, err := v.find(ctx, id)
	if err != nil {
		return c, fmt.Errorf("the tokens cannot be looked up: %w", err)
	}
	who, err := access.Verify(bearer, func(string) (access.Token, bool) { return kept, ok }, v.now())
	if err != nil {
		return c, err
	}
	c.Identity, c.Expires = who, kept.Expires
	return c, nil
}

// Own reports whether a bearer token is meant to be one of Tutti's own.
func Own(bearer string) bool { return strings.HasPrefix(bearer, "tutti_") }

// TokenID names a token without telling it: the ID of one of Tutti's own, the
// beginning of the SHA-256 of any other.
func TokenID(bearer string) string {
	if id, _, err := access.ParseToken(bearer); err == nil {
		return id
	}
	sum := sha256.Sum256([]byte(bearer))
	return "sha256:" + hex.EncodeToString(sum[:8])
}
