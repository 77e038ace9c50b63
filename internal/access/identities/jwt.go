package identities

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
)

// maxToken bounds the length of a token. Issuers that list hundreds of groups make
// tokens of some ten thousand characters.
const maxToken = 64 << 10

// algorithms are those by which a token may be signed: with a key that only the
// issuer has. Those with a shared secret, and "none", are not among them.
var algorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func joseAlgorithms() []jose.SignatureAlgorithm {
	out := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		out[i] = jose.SignatureAlgorithm(a)
	}
	return out
}

// tokenTypes are what the header may call a token. Others, such as the tokens that
// end sessions, are signed by the same keys and mean something else.
var tokenTypes = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// part decodes a part of a token. There is one text only for each content.
func part(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // which decoding would skip
		return nil, errors.New("it has line ends")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

// header is what the header of a token says that counts.
type header struct{ algorithm, keyID string }

// parseHeader reads a token as far as it can be without its key. Nothing in it is
// believed by that.
func parseHeader(raw string) (header, map[string]json.RawMessage, error) {
	if len(raw) > maxToken {
		return header{}, nil, fmt.Errorf("it is longer than %d characters", maxToken)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return header{}, nil, errors.New("it is not a signed token (JWT)")
	}
	var decoded [3][]byte
	for i, text := range parts {
		var err error
		if decoded[i], err = part(text); err != nil || len(decoded[i]) == 0 {
			return header{}, nil, errors.New("it is not a signed token (JWT)")
		}
	}
	fields, err := object(decoded[0])
	if err != nil {
		return header{}, nil, fmt.Errorf("its header cannot be read: %w", err)
	}
	var h header
	var kind string
	for name, into := range map[string]*string{"alg": &h.algorithm, "kid": &h.keyID, "typ": &kind} {
		if err := text(fields, name, into); err != nil {
			return header{}, nil, fmt.Errorf("its header cannot be read: %w", err)
		}
	}
	switch {
	case !contains(algorithms, h.algorithm):
		return header{}, nil, fmt.Errorf("it is signed by %.20q, which is not accepted", h.algorithm)
	case !contains(tokenTypes, strings.ToLower(kind)):
		return header{}, nil, fmt.Errorf("it is a token of another kind (%.20q)", kind)
	case fields["crit"] != nil:
		return header{}, nil, errors.New("its header demands what is not known here")
	}
	claims, err := object(decoded[1])
	if err != nil {
		return header{}, nil, fmt.Errorf("its claims cannot be read: %w", err)
	}
	return h, claims, nil
}

func contains(list []string, one string) bool {
	for _, s := range list {
		if s == one {
			return true
		}
	}
	return false
}

// text reads a member that is text where it is there.
func text(members map[string]json.RawMessage, name string, into *string) error {
	raw, ok := members[name]
	if !ok {
		return nil
	}
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, into) != nil {
		return fmt.Errorf("%q is not text", name)
	}
	return nil
}

// object reads a JSON object by the exact names of its members. One that has a name
// twice is refused: readers would differ about what it says.
func object(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	out := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errors.New("it is not JSON")
		}
		key, ok := name.(string)
		if _, twice := out[key]; twice || !ok {
			return nil, fmt.Errorf("it says %.40q twice", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errors.New("it is not JSON")
		}
		out[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("it is not JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return out, nil
}
