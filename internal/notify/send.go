package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

const (
	// patience is how long one request may take.
	patience = 30 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 4 << 20
	// ownEvents begin the types of events about deliveries.
	ownEvents = "delivery."
)

// block is a notify block at work.
type block struct {
	*Notifier
	*projects.Notify
	client *client
	poke   chan struct{}
	upTo   int64 // the event that was looked at last
}

func (b *block) wake() {
	select {
	case b.poke <- struct{}{}:
	default:
	}
}

// send delivers what is pending, in order, until ctx ends.
func (b *block) send(ctx context.Context) {
	for ctx.Err() == nil {
		var d runs.Delivery
		pending := false
		b.persist(ctx, func() (err error) {
			d, pending, err = b.Store.NextDelivery(ctx, b.Name)
			return err
		})
		if !pending {
			pause(ctx, lookAgain, b.poke)
			continue
		}
		// No attempt is put off for longer: the clock was ahead.
		if wait := d.Next.Sub(b.now()); wait > 0 && wait <= b.Schedule.furthest() {
			// Somebody may have it sent at once meanwhile, or another one before it.
			pause(ctx, min(wait, lookAgain), nil)
			continue
		}
		b.attempt(ctx, d)
	}
}

// failure is why an attempt failed.
type failure struct {
	problem string
	final   bool          // another attempt would not help
	after   time.Duration // the recipient wants to be left alone for so long
}

func (f *failure) Error() string { return f.problem }

// attempt makes one attempt at a delivery and keeps what came of it.
func (b *block) attempt(ctx context.Context, d runs.Delivery) {
	err := b.deliver(ctx, &d)
	if ctx.Err() != nil {
		return // it is cut off, and made again by whoever comes next
	}
	now := b.now()
	d.Attempts++
	d.Next, d.Problem = time.Time{}, ""
	var told []events.Event
	if err == nil {
		d.Status, d.Ended = runs.DeliveryDelivered, now
	} else {
		var why *failure
		if !errors.As(err, &why) {
			why = &failure{problem: err.Error()}
		}
		d.Problem = why.problem
		var again bool
		if d.Next, again = b.Schedule.next(d.Attempts, d.Queued, now, why.after, jitter()); why.final || !again {
			d.Status, d.Ended, d.Next = runs.DeliveryDead, now, time.Time{}
			if !strings.HasPrefix(d.Type, ownEvents) { // or two that refuse everything would go on for ever
				told = append(told, runs.DeadDelivery(d))
			}
		}
	}
	b.persist(ctx, func() error { return b.Store.RecordAttempt(ctx, d, told...) })
}

// deliver sends an event once.
func (b *block) deliver(ctx context.Context, d *runs.Delivery) error {
	var link *events.Link
	_, err := b.Store.Feed(ctx, d.Sequence-1, func(l *events.Link) error {
		if l.Sequence == d.Sequence {
			link = l
		}
		return errEnough
	})
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return fmt.Errorf("the event cannot be read: %w", err)
	case link == nil:
		return &failure{problem: "the event is not in the feed any more", final: true}
	}
	secrets := &secretsOf{b: b}
	if b.Forge() {
		err = b.tellForge(ctx, secrets, &link.Event)
	} else {
		err = b.post(ctx, secrets, link)
	}
	return secrets.hide(err)
}

// secretsOf reads secrets for one attempt, and hides what it read in errors.
type secretsOf struct {
	b     *block
	known []string
}

func (s *secretsOf) read(ctx context.Context, r projects.Reference) (string, error) {
	text, err := s.b.Secret(ctx, s.b.Notify, r.Name)
	if err != nil {
		return "", fmt.Errorf("the secret %q cannot be read: %w", r.Name, err)
	}
	s.known = append(s.known, text)
	return text, nil
}

func (s *secretsOf) hide(err error) error {
	if err == nil {
		return nil
	}
	out := &failure{}
	var why *failure
	if errors.As(err, &why) {
		*out = *why
	}
	out.problem = actions.NewMask(s.known).Text(err.Error())
	return out
}

// post sends an event to the URL of the block.
func (b *block) post(ctx context.Context, secrets *secretsOf, l *events.Link) error {
	address := b.URL
	if b.URLSecret.Name != "" {
		var err error
		if address, err = secrets.read(ctx, b.URLSecret); err != nil {
			return err
		}
		if problem := b.CheckURL(address); problem != "" {
			return fmt.Errorf("the secret %q is no address to send to: %s", b.URLSecret.Name, problem)
		}
	}
	body, contentType, err := b.bodyOf(ctx, l)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is none")
	}
	req.Header.Set("Content-Type", contentType)
	if len(b.Secrets) > 0 {
		var keys []string
		for _, r := range b.Secrets {
			key, err := secrets.read(ctx, r)
			if err != nil {
				return err
			}
			keys = append(keys, key)
		}
		signed, err := webhooks.Sign(keys, messageID(l), b.now(), body)
		if err != nil {
			return fmt.Errorf("it cannot be signed: %w", err)
		}
		for name, values := range signed {
			req.Header[name] = values
		}
	} else {
		req.Header.Set("Webhook-Id", messageID(l))
	}
	_, err = b.client.do(req, b.now())
	return err
}

// messageID is that of an event, by which receivers know it again; one that no header
// can have is named by its place.
func messageID(l *events.Link) string {
	for _, c := range []byte(l.ID) {
		if c <= ' ' || c > '~' {
			return fmt.Sprintf("event-%d", l.Sequence)
		}
	}
	if l.ID == "" || len(l.ID) > 256 {
		return fmt.Sprintf("event-%d", l.Sequence)
	}
	return l.ID
}

func (b *block) bodyOf(ctx context.Context, l *events.Link) (body []byte, contentType string, err error) {
	var doc any
	contentType = "application/json"
	switch b.Format {
	case projects.FormatSlack:
		doc = b.slackMessage(ctx, &l.Event)
	case projects.FormatCDEvents:
		doc, contentType = b.cdEvent(ctx, &l.Event), "application/cloudevents+json; charset=utf-8"
	default:
		doc, contentType = events.DocumentOf(l), "application/cloudevents+json; charset=utf-8"
	}
	body, err = json.Marshal(doc)
	return body, contentType, err
}

// client sends the requests of one block.
type client struct{ secure, plain *http.Client }

func newClient(n *projects.Notify) *client {
	guard := egress.New(n.AllowPrivate...)
	return &client{secure: clientBy(guard.Control), plain: clientBy(guard.ControlAllowed)}
}

func clientBy(control egress.Control) *http.Client {
	dialer := &net.Dialer{Timeout: patience, Control: control}
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: patience,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: patience,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *client) close() {
	c.secure.CloseIdleConnections()
	c.plain.CloseIdleConnections()
}

// final are answers that are about what was sent, and would be the same again.
var final = []int{http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}

// answer is what a recipient answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request. The error is a [*failure]: it quotes neither the address nor
// what was answered, which may have secrets in it.
func (c *client) do(req *http.Request, now time.Time) (*answer, error) {
	req.Header.Set("User-Agent", "tutti")
	sender := c.secure
	if req.URL.Scheme != "https" {
		sender = c.plain
	}
	resp, err := sender.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			if err = inner.Err; inner.Timeout() {
				err = fmt.Errorf("there was no answer within %s", patience)
			}
		}
		return nil, &failure{problem: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	out := &answer{resp.StatusCode, resp.Header, body}
	switch {
	case resp.StatusCode/100 == 2 && err == nil:
		return out, nil
	case resp.StatusCode/100 == 2:
		return out, &failure{problem: "the answer was cut off"}
	case resp.StatusCode/100 == 3:
		return out, &failure{problem: fmt.Sprintf("it was answered %d, a redirect, which is not followed: name the address that it leads to", resp.StatusCode)}
	}
	return out, &failure{
		problem: fmt.Sprintf("it was answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
		final:   slices.Contains(final, resp.StatusCode), after: retryAfter(resp, now),
	}
}
