package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Token stands for somebody, with some of their roles, for a while. What is kept
// of it does not let anybody use it.
type Token struct {
	ID      string    `json:"id"`      // public: names the token
	Hash    string    `json:"-"`       // SHA-256 of the secret, hexadecimal
	Subject string    `json:"subject"` // whom it stands for
	Roles   []string  `json:"roles"`   // of the subject's roles, those it is for
	Comment string    `json:"comment,omitempty"`
	By      string    `json:"by"` // who made it
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// tokenPrefix begins every token, so that people and scanners know one where it
// should not be.
const tokenPrefix = "tutti_"

const (
	idBytes     = 9  // 12 characters
	secretBytes = 32 // 43 characters
)

// tokenEncoding has no character that a shell or a URL minds, and reads one
// text for each secret only.
var tokenEncoding = base64.RawURLEncoding.Strict()

// The reasons for which a token is refused. Whoever shows it is not told which.
var (
	ErrMalformed = errors.New("it is not a token")
	ErrUnknown   = errors.New("there is no such token")
	ErrExpired   = errors.New("the token has expired")
	ErrRevoked   = errors.New("the token was revoked")
)

// NewToken makes the secret of a token: what its owner is shown, once. Random is
// where randomness comes from.
func NewToken(random io.Reader, t Token) (shown string, kept Token, err error) {
	raw := make([]byte, idBytes+secretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", Token{}, fmt.Errorf("cannot make a token: %w", err)
	}
	// The id has only letters and digits, so that what stands where is plain, and
	// it is no option where it is typed.
	t.ID = hex.EncodeToString(raw[:idBytes])
	secret := tokenEncoding.EncodeToString(raw[idBytes:])
	t.Hash = hashOf(raw[idBytes:])
	return tokenPrefix + t.ID + "_" + secret, t, nil
}

func hashOf(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// ParseToken takes a token apart that somebody shows.
func ParseToken(shown string) (id string, secret []byte, err error) {
	const length = len(tokenPrefix) + 2*idBytes + 1 + 43
	rest, ok := strings.CutPrefix(shown, tokenPrefix)
	if !ok || len(shown) != length || rest[2*idBytes] != '_' {
		return "", nil, ErrMalformed
	}
	id = rest[:2*idBytes]
	if strings.Trim(id, "0123456789abcdef") != "" {
		return "", nil, ErrMalformed
	}
	text := rest[2*idBytes+1:]
	if strings.ContainsAny(text, "\r\n") { // which decoding would skip
		return "", nil, ErrMalformed
	}
	secret, err = tokenEncoding.DecodeString(text)
	if err != nil || len(secret) != secretBytes {
		return "", nil, ErrMalformed
	}
	return id, secret, nil
}

// Verify says whom a token stands for that somebody shows. Find returns what is
// kept under an id, false where nothing is. The error is for the log: whoever
// shows the token should not learn which part of it was right. Comparing takes
// the same time whatever differs, and is done whether there is such a token or
// not.
func Verify(shown string, find func(id string) (Token, bool), now time.Time) (Identity, error) {
	id, secret, err := ParseToken(shown)
	if err != nil {
		return Identity{}, err
	}
	kept, found := find(id)
	equal := subtle.ConstantTimeCompare([]byte(hashOf(secret)), []byte(kept.Hash)) == 1
	switch {
	case !found || !equal || kept.ID != id || kept.Subject == "":
		return Identity{}, ErrUnknown
	case !kept.Revoked.IsZero():
		return Identity{}, ErrRevoked
	case !now.Before(kept.Expires): // one without an end is at its end
		return Identity{}, ErrExpired
	}
	return Identity{Subject: kept.Subject, Scoped: true, Roles: kept.Roles, Token: kept.ID}, nil
}
