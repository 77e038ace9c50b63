package webhooks

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
)

// Kind says whose webhooks an endpoint takes.
type Kind string

// The kinds.
const (
	CloudEvents  Kind = "cloudevents"
	GitHub       Kind = "github"
	GitLab       Kind = "gitlab"
	Gitea        Kind = "gitea" // and Forgejo
	Standard     Kind = "standard"
	Alertmanager Kind = "alertmanager"
	Slack        Kind = "slack"
)

// receivers has for each kind how it knows the sender, and how it reads the body.
var receivers = map[Kind]struct {
	authenticate func(*Endpoint, *Request, time.Time) *Rejection
	read         func(*Endpoint, *Request, time.Time) (*Delivery, *Rejection)
}{
	CloudEvents:  {authenticateBearer, readCloudEvents},
	GitHub:       {authenticateGitHub, readGitHub},
	GitLab:       {authenticateGitLab, readGitLab},
	Gitea:        {authenticateGitea, readGitea},
	Standard:     {authenticateStandard, readStandard},
	Alertmanager: {authenticateBearer, readAlertmanager},
	Slack:        {authenticateSlack, readSlack},
}

// Kinds are the names of all kinds.
func Kinds() []Kind { return slices.Sorted(maps.Keys(receivers)) }

// Defaults and limits.
const (
	DefaultBody      = 5 << 20         // bytes
	MaxBody          = 25 << 20        // bytes; what GitHub sends at most
	DefaultTolerance = 5 * time.Minute // what Standard Webhooks and Slack ask for
	MaxEvents        = 1000            // in one request
	maxNesting       = 100             // of a body
	maxAttribute     = 4096            // bytes of an id, a source, a type and the like
	minSecret        = 8               // bytes
)

// Config is what an endpoint is told.
type Config struct {
	Kind Kind
	// Source is that of events whose requests name none.
	Source string
	// Secrets are what senders may know; one is enough, and several are for changing
	// them. Those of Standard Webhooks and GitLab's signing tokens begin with
	// "whsec_", public keys with "whpk_".
	Secrets []string
	// Open lets everybody in; without it there must be a secret.
	Open bool
	// Body is how many bytes a body may have; [DefaultBody] for 0.
	Body int
	// Tolerance is how old signatures may be, and how far ahead; [DefaultTolerance]
	// for 0.
	Tolerance time.Duration
}

// Endpoint takes the requests of one sender. It does not change.
type Endpoint struct {
	Config
	keys       [][]byte // shared secrets, as they are used
	publicKeys [][]byte
}

// New makes an endpoint. Errors never say anything about a secret but which one it is.
func New(c Config) (*Endpoint, error) {
	e := &Endpoint{Config: c}
	if _, ok := receivers[c.Kind]; !ok {
		return nil, fmt.Errorf("there is no kind %q of webhooks; there are %v", c.Kind, Kinds())
	}
	if e.Body == 0 {
		e.Body = DefaultBody
	}
	if e.Tolerance == 0 {
		e.Tolerance = DefaultTolerance
	}
	switch {
	case e.Body < 0 || e.Body > MaxBody:
		return nil, fmt.Errorf("the limit of bodies must be from 1 to %d bytes", MaxBody)
	case e.Tolerance < 0 || e.Tolerance > time.Hour:
		return nil, errors.New("the tolerance of signatures must be an hour at most")
	case e.Source == "":
		return nil, errors.New("an endpoint needs a source for its events")
	case c.Open && len(c.Secrets) > 0:
		return nil, errors.New("an endpoint either has secrets or is open")
	case !c.Open && len(c.Secrets) == 0:
		return nil, errors.New("an endpoint needs a secret, or has to be open explicitly")
	}
	for i, secret := range c.Secrets {
		if err := e.addSecret(secret); err != nil {
			return nil, fmt.Errorf("secret %d of the endpoint: %w", i+1, err)
		}
	}
	e.Secrets = nil
	return e, nil
}

// String says whose webhooks these are, and nothing about secrets.
func (e *Endpoint) String() string { return string(e.Kind) + " webhooks of " + e.Source }

func (e *Endpoint) addSecret(secret string) error {
	if encoded, public := strings.CutPrefix(secret, "whpk_"); public {
		key, err := base64.StdEncoding.DecodeString(encoded)
		if e.Kind != Standard || err != nil || len(key) != 32 {
			return errors.New("whpk_ begins a public key of Standard Webhooks: 32 bytes in base64")
		}
		e.publicKeys = append(e.publicKeys, key)
		return nil
	}
	key := []byte(secret)
	if encoded, coded := strings.CutPrefix(secret, "whsec_"); coded && (e.Kind == Standard || e.Kind == GitLab) {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return errors.New("what follows whsec_ must be base64")
		}
	}
	if len(key) < minSecret {
		return fmt.Errorf("it is shorter than %d bytes", minSecret)
	}
	e.keys = append(e.keys, key)
	return nil
}

// Request is an HTTP request as data. Body has at most one byte more than the
// endpoint's limit: whoever reads it need not read on.
type Request struct {
	Method string
	Header http.Header
	Body   []byte
}

// Delivery is what came of a request that was taken.
type Delivery struct {
	// Events may be none: some requests are only about the connection.
	Events []Received
	// Reply is the body that the sender wants to get back; nil for none.
	Reply []byte
}

// Received is an event from outside.
type Received struct {
	events.Event
	// ContentType is that of the data; the data of one that is not JSON is text as a
	// string, or bytes in base64 where Base64 says so.
	ContentType string
	Base64      bool
	// Extensions are further attributes of CloudEvents: strings, numbers and booleans.
	Extensions map[string]json.RawMessage
	// Digest is that of the request's body. Where the id of an event is not signed,
	// somebody may send a body again with another id: remember both.
	Digest string
}

// JSON is the event in the JSON format of CloudEvents: what patterns are for.
func (r *Received) JSON() ([]byte, error) {
	out := map[string]any{"specversion": "1.0", "id": r.ID, "source": r.Source, "type": r.Type, "time": r.Time.UTC().Format(time.RFC3339Nano)}
	for name, value := range r.Extensions {
		out[name] = value
	}
	if r.Subject != "" {
		out["subject"] = r.Subject
	}
	if r.ContentType != "" {
		out["datacontenttype"] = r.ContentType
	}
	if r.Base64 {
		out["data_base64"] = r.Data
	} else if r.Data != nil {
		out["data"] = r.Data
	}
	return json.Marshal(out)
}

// Reason is why a request was not taken.
type Reason string

// The reasons.
const (
	WrongMethod     Reason = "wrong method"
	TooLarge        Reason = "too large"
	TooManyEvents   Reason = "too many events"
	UnknownEncoding Reason = "unknown content encoding"
	UnknownType     Reason = "unknown content type"
	NoSignature     Reason = "no signature"
	WrongSignature  Reason = "wrong signature"
	Stale           Reason = "stale"
	Ambiguous       Reason = "ambiguous"
	Malformed       Reason = "malformed"
)

// statuses are the HTTP statuses of rejections.
var statuses = map[Reason]int{
	WrongMethod: http.StatusMethodNotAllowed, TooLarge: http.StatusRequestEntityTooLarge, TooManyEvents: http.StatusRequestEntityTooLarge,
	UnknownEncoding: http.StatusUnsupportedMediaType, UnknownType: http.StatusUnsupportedMediaType,
	NoSignature: http.StatusUnauthorized, WrongSignature: http.StatusUnauthorized, Stale: http.StatusUnauthorized,
	Ambiguous: http.StatusBadRequest, Malformed: http.StatusBadRequest,
}

// Rejection says why a request was not taken. It holds nothing of the request.
type Rejection struct {
	Reason Reason
	Detail string
}

func (r *Rejection) Error() string { return string(r.Reason) + ": " + r.Detail }

// Status is the HTTP status to answer with.
func (r *Rejection) Status() int { return statuses[r.Reason] }

func reject(reason Reason, detail string) *Rejection { return &Rejection{reason, detail} }

// Receive takes a request, or says why not.
func (e *Endpoint) Receive(r Request, now time.Time) (*Delivery, *Rejection) {
	if r.Method != http.MethodPost {
		return nil, reject(WrongMethod, "webhooks are sent with POST")
	}
	if len(r.Body) > e.Body {
		return nil, reject(TooLarge, fmt.Sprintf("the body has more than %d bytes", e.Body))
	}
	encoding, rejection := r.header("Content-Encoding")
	if rejection != nil {
		return nil, rejection
	}
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, reject(UnknownEncoding, "bodies are taken as they are, without a content encoding")
	}
	receiver := receivers[e.Kind]
	if !e.Open {
		if rejection := receiver.authenticate(e, &r, now); rejection != nil {
			return nil, rejection
		}
	}
	d, rejection := receiver.read(e, &r, now)
	if rejection != nil {
		return nil, rejection
	}
	sum := sha256.Sum256(r.Body)
	for i := range d.Events {
		received := &d.Events[i]
		received.Digest = hex.EncodeToString(sum[:])
		for _, attribute := range []string{received.ID, received.Source, received.Type, received.Subject} {
			if len(attribute) > maxAttribute || strings.ContainsFunc(attribute, isControl) {
				return nil, reject(Malformed, "an attribute of the event is too long or has control characters")
			}
		}
		if received.ID == "" || received.Source == "" || received.Type == "" {
			return nil, reject(Malformed, "the event has no id, source or type")
		}
	}
	return d, nil
}

func isControl(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }

// header is the value of a header that counts, and so must not be there twice.
func (r *Request) header(name string) (string, *Rejection) {
	value, found := "", 0
	for key, values := range r.Header {
		if strings.EqualFold(key, name) {
			found += len(values)
			if len(values) > 0 {
				value = values[0]
			}
		}
	}
	if found > 1 {
		return "", reject(Ambiguous, "the header "+name+" is there more than once")
	}
	if len(value) > 4*maxAttribute {
		return "", reject(Malformed, "the header "+name+" is too long")
	}
	return strings.TrimSpace(value), nil
}

// headers are the values of several headers.
func (r *Request) headers(names ...string) ([]string, *Rejection) {
	out := make([]string, len(names))
	for i, name := range names {
		var rejection *Rejection
		if out[i], rejection = r.header(name); rejection != nil {
			return nil, rejection
		}
	}
	return out, nil
}

// mediaType is the content type of the body, in lower case and without parameters.
func (r *Request) mediaType() (string, *Rejection) {
	header, rejection := r.header("Content-Type")
	if rejection != nil {
		return "", rejection
	}
	media, parameters, err := mime.ParseMediaType(header)
	if err != nil {
		return "", reject(UnknownType, "the body has no content type, or a malformed one")
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", reject(UnknownType, "bodies are taken in UTF-8")
	}
	return media, nil
}

// digestID is an id for what has none of its own: the same for the same.
func digestID(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
