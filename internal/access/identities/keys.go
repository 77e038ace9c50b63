package identities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	jose "github.com/go-jose/go-jose/v4"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

const (
	// freshFor is how long what an issuer said of itself is taken as it is: a key
	// that it takes back is believed no longer than this while it answers.
	freshFor = 15 * time.Minute
	// staleFor is how long it is taken while the issuer does not answer.
	staleFor = 24 * time.Hour
	// askAgain is how soon an issuer is asked once more because of a token whose key
	// is not known, or because it did not answer: tokens that anybody can make up
	// must not become requests.
	askAgain = 5 * time.Second
	// patience is how long an answer of an issuer may take.
	patience = 10 * time.Second

	maxAnswer = 1 << 20
	maxKeys   = 100
)

// Facts are what an issuer says of itself: where things are, and by which keys its
// tokens are signed.
type Facts struct {
	Issuer        string          `json:"issuer"`
	Authorization string          `json:"authorization_endpoint"`
	Token         string          `json:"token_endpoint"`
	Device        string          `json:"device_authorization_endpoint,omitempty"`
	KeysAt        string          `json:"jwks_uri"`
	Keys          json.RawMessage `json:"keys,omitempty"` // a JSON Web Key Set
	Asked         time.Time       `json:"asked"`

	keys []jose.JSONWebKey
}

// Cache keeps the facts of issuers where the next process finds them. What it
// returns is believed: it must be where only the one who acts can write.
type Cache interface {
	Facts(issuer string) (Facts, bool)
	KeepFacts(Facts)
}

// UnreachableError says that an issuer could not be asked, and that what it said
// before does not help.
type UnreachableError struct {
	Issuer string
	Err    error
}

// Error names the issuer and what is wrong with it.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the issuer %s cannot be asked: %s", e.Issuer, e.Err)
}

// Unwrap returns what is wrong with it.
func (e *UnreachableError) Unwrap() error { return e.Err }

// facts returns what the issuer says of itself. With a key's ID, it is asked again
// where that key is not known yet.
func (i *Issuer) facts(ctx context.Context, keyID string) (Facts, error) {
	now := i.now()
	if f := i.known.Load(); f != nil && now.Sub(f.Asked) < freshFor && (keyID == "" || f.has(keyID)) {
		return *f, nil
	}
	select { // one asks, the others wait for what it hears
	case i.asking <- struct{}{}:
		defer func() { <-i.asking }()
	case <-ctx.Done():
		return Facts{}, ctx.Err()
	}
	f := i.known.Load()
	if f == nil && i.cache != nil {
		if kept, ok := i.cache.Facts(i.Declared.Issuer); ok && kept.Issuer == i.Declared.Issuer && kept.parse() == nil && !kept.Asked.After(now) {
			f = &kept
			i.known.Store(f)
		}
	}
	fresh := f != nil && now.Sub(f.Asked) < freshFor && (keyID == "" || f.has(keyID))
	if fresh {
		return *f, nil
	}
	var err error
	if now.Sub(i.tried) >= askAgain {
		var heard Facts
		if heard, err = i.ask(ctx); err == nil {
			heard.Asked, i.tried = now, now
			i.known.Store(&heard)
			if i.cache != nil {
				i.cache.KeepFacts(heard)
			}
			return heard, nil
		}
		if ctx.Err() == nil { // else it is not the issuer that is at fault
			i.tried, i.failure = now, err
		}
	} else if err = i.failure; err == nil && f != nil && now.Sub(f.Asked) < freshFor {
		return *f, nil // asked just now: the key is not one of the issuer's
	}
	if f != nil && now.Sub(f.Asked) < staleFor && (keyID == "" || f.has(keyID)) {
		return *f, nil
	}
	if err == nil {
		err = errors.New("what it said before is too old")
	}
	return Facts{}, &UnreachableError{i.Declared.Issuer, err}
}

// ask asks the issuer for everything.
func (i *Issuer) ask(ctx context.Context) (Facts, error) {
	ctx, cancel := context.WithTimeout(i.context(ctx), patience)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, i.Declared.Issuer)
	if err != nil {
		var other *oidc.IssuerMismatchError
		if errors.As(err, &other) {
			return Facts{}, fmt.Errorf("what is there calls itself another issuer, %.200q", other.Provided)
		}
		return Facts{}, shortened(err)
	}
	var f Facts
	if err := provider.Claims(&f); err != nil {
		return Facts{}, fmt.Errorf("what it says of itself cannot be read: %w", shortened(err))
	}
	for name, address := range map[string]string{"keys": f.KeysAt, "authorization": f.Authorization, "token": f.Token, "device": f.Device} {
		if address == "" && name != "keys" {
			continue // a login will say so
		}
		if projects.CheckIssuer(withoutQuery(address)) != "" {
			return Facts{}, fmt.Errorf("the address that it gives for its %s endpoint is not one that is reached safely", name)
		}
	}
	if f.Keys, err = i.fetch(ctx, f.KeysAt); err != nil {
		return Facts{}, fmt.Errorf("its keys cannot be read: %w", err)
	}
	if err := f.parse(); err != nil {
		return Facts{}, fmt.Errorf("its keys cannot be read: %w", err)
	}
	return f, nil
}

// shortened is an error without most of an answer that it may quote.
func shortened(err error) error { return fmt.Errorf("%.500s", err.Error()) }

func (i *Issuer) fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// parse takes the keys out of the key set, those that can check a signature. A key
// of a kind that is not known here is none of ours.
func (f *Facts) parse() error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(f.Keys, &set); err != nil {
		return errors.New("they are not a key set")
	}
	if len(set.Keys) > maxKeys {
		return fmt.Errorf("there are more than %d", maxKeys)
	}
	f.keys = nil
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) != nil || !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
			continue
		}
		f.keys = append(f.keys, key)
	}
	if len(f.keys) == 0 {
		return errors.New("there is none that signs")
	}
	return nil
}

func (f *Facts) has(keyID string) bool {
	return slices.ContainsFunc(f.keys, func(k jose.JSONWebKey) bool { return k.KeyID == keyID })
}

// keySet checks signatures with the keys of an issuer.
type keySet struct {
	facts  Facts
	header header
}

// VerifySignature implements oidc.KeySet. A token that names no key is accepted
// only where there is no choice.
func (k keySet) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(raw, joseAlgorithms())
	if err != nil {
		return nil, err
	}
	if k.header.keyID == "" && len(k.facts.keys) != 1 {
		return nil, errors.New("the token does not say by which key it is signed")
	}
	for _, key := range k.facts.keys {
		if k.header.keyID != "" && key.KeyID != k.header.keyID || key.Algorithm != "" && key.Algorithm != k.header.algorithm {
			continue
		}
		if payload, err := signed.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("it is not signed by the issuer")
}
