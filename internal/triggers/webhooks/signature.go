package webhooks

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signed reports whether a signature is that of one of the keys. It takes the same
// time for every key.
func (e *Endpoint) signed(signature []byte, message ...[]byte) bool {
	right := 0
	for _, key := range e.keys {
		h := hmac.New(sha256.New, key)
		for _, part := range message {
			h.Write(part)
		}
		right |= subtle.ConstantTimeCompare(h.Sum(nil), signature)
	}
	return right == 1
}

// knows reports whether a token is one of the secrets. Digests are compared, so that
// not even the lengths of secrets show.
func (e *Endpoint) knows(token string) bool {
	right, sum := 0, sha256.Sum256([]byte(token))
	for _, key := range e.keys {
		known := sha256.Sum256(key)
		right |= subtle.ConstantTimeCompare(sum[:], known[:])
	}
	return right == 1
}

// fresh checks the time of a signature, in seconds since 1970.
func (e *Endpoint) fresh(timestamp string, now time.Time) *Rejection {
	if timestamp == "" {
		return reject(NoSignature, "the time of the signature is missing")
	}
	if len(timestamp) > 12 || strings.Trim(timestamp, "0123456789") != "" {
		return reject(Malformed, "the time of the signature is not in seconds since 1970")
	}
	seconds, _ := strconv.ParseInt(timestamp, 10, 64)
	if age := now.Sub(time.Unix(seconds, 0)); age > e.Tolerance || age < -e.Tolerance {
		return reject(Stale, "the signature is too old, or of the future")
	}
	return nil
}

// hexSignature reads a SHA-256 in hexadecimal with a prefix.
func hexSignature(header, name, prefix string) ([]byte, *Rejection) {
	if header == "" {
		return nil, reject(NoSignature, "the header "+name+" is missing")
	}
	text, ok := strings.CutPrefix(header, prefix)
	signature, err := hex.DecodeString(text)
	if !ok || err != nil || len(signature) != sha256.Size {
		return nil, reject(WrongSignature, "the header "+name+" is not "+prefix+" and 64 hexadecimal digits")
	}
	return signature, nil
}

func authenticateGitHub(e *Endpoint, r *Request, _ time.Time) *Rejection {
	return e.authenticateBody(r, "X-Hub-Signature-256", "sha256=")
}

func authenticateGitea(e *Endpoint, r *Request, _ time.Time) *Rejection {
	return e.authenticateBody(r, "X-Gitea-Signature", "")
}

// authenticateBody is for signatures over the body alone.
func (e *Endpoint) authenticateBody(r *Request, name, prefix string) *Rejection {
	header, rejection := r.header(name)
	if rejection != nil {
		return rejection
	}
	signature, rejection := hexSignature(header, name, prefix)
	if rejection != nil {
		return rejection
	}
	if !e.signed(signature, r.Body) {
		return reject(WrongSignature, "the signature is of none of the secrets")
	}
	return nil
}

// authenticateGitLab takes a signature where there is one: the token beside it does
// not make up for a wrong one. A sender that signs is configured with a secret that
// begins with "whsec_".
func authenticateGitLab(e *Endpoint, r *Request, now time.Time) *Rejection {
	signature, rejection := r.header("webhook-signature")
	if rejection != nil {
		return rejection
	}
	if signature != "" {
		return authenticateStandard(e, r, now)
	}
	token, rejection := r.header("X-Gitlab-Token")
	switch {
	case rejection != nil:
		return rejection
	case token == "":
		return reject(NoSignature, "the header webhook-signature or X-Gitlab-Token is missing")
	case !e.knows(token):
		return reject(WrongSignature, "the token is none of the secrets")
	}
	return nil
}

// authenticateSlack: "v0=" and the HMAC of "v0:time:body".
func authenticateSlack(e *Endpoint, r *Request, now time.Time) *Rejection {
	headers, rejection := r.headers("X-Slack-Signature", "X-Slack-Request-Timestamp")
	if rejection != nil {
		return rejection
	}
	signature, rejection := hexSignature(headers[0], "X-Slack-Signature", "v0=")
	if rejection != nil {
		return rejection
	}
	if rejection := e.fresh(headers[1], now); rejection != nil {
		return rejection
	}
	if !e.signed(signature, []byte("v0:"+headers[1]+":"), r.Body) {
		return reject(WrongSignature, "the signature is of none of the secrets")
	}
	return nil
}

// authenticateBearer: a secret as a token, or as a password.
func authenticateBearer(e *Endpoint, r *Request, _ time.Time) *Rejection {
	header, rejection := r.header("Authorization")
	if rejection != nil {
		return rejection
	}
	scheme, token, _ := strings.Cut(header, " ")
	switch {
	case header == "":
		return reject(NoSignature, "the header Authorization is missing")
	case strings.EqualFold(scheme, "Bearer"):
		token = strings.TrimSpace(token)
	case strings.EqualFold(scheme, "Basic") && e.Kind == Alertmanager:
		_, password, ok := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
		if !ok {
			return reject(Malformed, "the header Authorization is malformed")
		}
		token = password
	default:
		return reject(WrongSignature, "the header Authorization is of a scheme that is not taken")
	}
	if !e.knows(token) {
		return reject(WrongSignature, "the token is none of the secrets")
	}
	return nil
}

// maxSignatures is how many signatures one request may have, for keys that change.
const maxSignatures = 16

// authenticateStandard is for Standard Webhooks: signatures over "id.time.body", "v1"
// with a shared secret, "v1a" with a pair of keys.
func authenticateStandard(e *Endpoint, r *Request, now time.Time) *Rejection {
	headers, rejection := r.headers("webhook-id", "webhook-timestamp", "webhook-signature")
	if rejection != nil {
		return rejection
	}
	id, timestamp := headers[0], headers[1]
	signatures := strings.Fields(headers[2])
	switch {
	case id == "" || len(signatures) == 0:
		return reject(NoSignature, "the header webhook-id or webhook-signature is missing")
	case len(signatures) > maxSignatures:
		return reject(Malformed, "there are too many signatures")
	}
	if rejection := e.fresh(timestamp, now); rejection != nil {
		return rejection
	}
	before := []byte(id + "." + timestamp + ".")
	right := false
	for _, one := range signatures {
		version, encoded, _ := strings.Cut(one, ",")
		signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil {
			continue
		}
		switch version {
		case "v1":
			right = e.signed(signature, before, r.Body) || right
		case "v1a":
			for _, key := range e.publicKeys {
				right = ed25519.Verify(key, append(before[:len(before):len(before)], r.Body...), signature) || right
			}
		}
	}
	if !right {
		return reject(WrongSignature, "no signature is of one of the secrets")
	}
	return nil
}

// Sign makes the headers of a webhook that is sent as Standard Webhooks says: its id,
// which stays the same when it is sent again, the time, and a signature for each of
// the secrets ("whsec_…", or as they are).
func Sign(secrets []string, id string, now time.Time, body []byte) (http.Header, error) {
	e, err := New(Config{Kind: Standard, Source: "self", Secrets: secrets})
	if err != nil {
		return nil, err
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, key := range e.keys {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + timestamp + "."))
		h.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	out := http.Header{}
	out.Set("Webhook-Id", id)
	out.Set("Webhook-Timestamp", timestamp)
	out.Set("Webhook-Signature", strings.Join(signatures, " "))
	return out, nil
}
