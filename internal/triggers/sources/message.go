package sources

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// MessageReceived is the type of the events of messages that are no CloudEvents.
const MessageReceived = "message.received"

// message is one of NATS or MQTT.
type message struct {
	id      string // "" where the protocol gives it none that stays
	subject string
	header  http.Header // of CloudEvents: attributes, and Content-Type
	body    []byte
}

// reader makes events of the messages of one source: those they are, in the structured
// or the binary mode of the CloudEvents bindings of NATS and MQTT, or one that has the
// message as its data.
type reader struct {
	source   string
	endpoint *webhooks.Endpoint
}

func newReader(source string) (*reader, error) {
	// Who may send was decided by the server of the messages.
	endpoint, err := webhooks.New(webhooks.Config{Kind: webhooks.CloudEvents, Source: source, Open: true, Body: webhooks.MaxBody})
	if err != nil {
		return nil, err
	}
	return &reader{source, endpoint}, nil
}

func (r *reader) read(m message, now time.Time) ([]webhooks.Received, error) {
	header := http.Header{}
	isEvent := strings.HasPrefix(m.header.Get("Content-Type"), "application/cloudevents")
	for name, values := range m.header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "ce-") || lower == "content-type" {
			header[http.CanonicalHeaderKey(name)] = values
			isEvent = isEvent || lower == "ce-specversion"
		}
	}
	if !isEvent {
		if m.id == "" {
			m.id = rand.Text()
		}
		header = http.Header{
			"Ce-Specversion": {"1.0"}, "Ce-Id": {url.PathEscape(m.id)}, "Ce-Type": {MessageReceived},
			"Ce-Source": {r.source}, "Ce-Subject": {url.PathEscape(m.subject)},
		}
	}
	request := webhooks.Request{Method: http.MethodPost, Header: header, Body: m.body}
	if header.Get("Content-Type") != "" || len(m.body) == 0 {
		return r.receive(m, request, now)
	}
	// Nothing says what the body is: JSON if it can be, else text, else bytes.
	header.Set("Content-Type", "application/json")
	if list, err := r.receive(m, request, now); err == nil {
		return list, nil
	}
	header.Set("Content-Type", "application/octet-stream")
	if utf8.Valid(m.body) {
		header.Set("Content-Type", "text/plain")
	}
	return r.receive(m, request, now)
}

func (r *reader) receive(m message, request webhooks.Request, now time.Time) ([]webhooks.Received, error) {
	delivery, rejection := r.endpoint.Receive(request, now)
	if rejection != nil {
		return nil, fmt.Errorf("a message of %s was passed over, %w", m.subject, rejection)
	}
	return delivery.Events, nil
}

// keep takes a message into the inbox. It reports whether the message is done with: one
// that is no event is, and told as trouble, since it will not become one.
func (r *reader) keep(ctx context.Context, inbox Inbox, m message, trouble func(error)) error {
	list, err := r.read(m, time.Now())
	if err != nil {
		trouble(err)
		return nil
	}
	return inbox.Take(ctx, list, nil)
}
