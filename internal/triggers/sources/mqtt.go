package sources

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"
	"github.com/eclipse/paho.golang/paho/session/state"
)

// MQTT makes events of the messages of topics, spoken to in version 5: with the quality
// "at least once", in a session that the server keeps while nobody is there. A message is
// acknowledged when it is in the inbox. MQTT gives messages no id, so that one which is
// no CloudEvent and is sent again is another event.
type MQTT struct {
	Name   string
	Server string   // an address: mqtt://, mqtts://, ws:// or wss://
	Topics []string // with the wildcards + and #
	// Client is the name of the session; "tutti-NAME" for "".
	Client string
	// Keep is how long the server keeps the session; a day for 0.
	Keep           time.Duration
	User, Password string
}

// Check says what is wrong with the settings; nil if nothing is.
func (m *MQTT) Check() error {
	at, err := url.Parse(m.Server)
	switch {
	case err != nil || at.Host == "":
		return errors.New("there must be the address of a server")
	case at.User != nil:
		return errors.New("the address of the server must hold no password: there are arguments for that")
	case len(m.Topics) == 0:
		return errors.New("there is no topic")
	case m.Keep < 0 || m.Keep > 30*24*time.Hour:
		return errors.New("a session is kept for 30 days at most")
	}
	switch at.Scheme {
	case "mqtt", "tcp", "mqtts", "ssl", "tls", "ws", "wss":
	default:
		return fmt.Errorf("%q is no way to reach a server: mqtt, mqtts, ws and wss are", at.Scheme)
	}
	for _, topic := range m.Topics {
		if topic == "" || strings.ContainsRune(topic, 0) {
			return errors.New("a topic must have a name")
		}
	}
	return nil
}

// Run listens until ctx is cancelled.
func (m *MQTT) Run(ctx context.Context, inbox Inbox, trouble func(error)) {
	persist(ctx, trouble, func(ctx context.Context, h *health) error {
		return m.listen(ctx, inbox, h)
	})
}

func (m *MQTT) listen(ctx context.Context, inbox Inbox, h *health) error {
	r, err := newReader("/mqtt/" + m.Name)
	if err != nil {
		return err
	}
	at, err := url.Parse(m.Server)
	if err != nil {
		return err
	}
	keep := m.Keep
	if keep == 0 {
		keep = 24 * time.Hour
	}
	name := m.Client
	if name == "" {
		name = "tutti-" + m.Name
	}
	// A message that does not get into the inbox ends the connection: what was not
	// acknowledged comes again with the next one.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var topics []paho.SubscribeOptions
	for _, topic := range m.Topics {
		topics = append(topics, paho.SubscribeOptions{Topic: topic, QoS: 1})
	}
	kept := &keptSession{SessionManager: state.NewInMemory()}
	config := autopaho.ClientConfig{
		ServerUrls: []*url.URL{at}, TlsCfg: &tls.Config{MinVersion: tls.VersionTLS12}, KeepAlive: 30,
		ConnectUsername: m.User, ConnectPassword: []byte(m.Password), ConnectTimeout: 10 * time.Second,
		SessionExpiryInterval: uint32(keep / time.Second),
		ReconnectBackoff: func(attempt int) time.Duration {
			return min(firstPause<<min(attempt, 10), lastPause)
		},
		OnConnectionUp: func(manager *autopaho.ConnectionManager, _ *paho.Connack) {
			answer, err := manager.Subscribe(ctx, &paho.Subscribe{Subscriptions: topics})
			if err != nil {
				reason := ""
				if answer != nil && answer.Properties != nil {
					reason = answer.Properties.ReasonString
				}
				fail(fmt.Errorf("the topics cannot be subscribed to: %w %s", err, reason))
				return
			}
			h.well()
		},
		OnConnectError: h.failed,
		ClientConfig: paho.ClientConfig{
			ClientID: name, Session: kept,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
				if kept.failed.Load() {
					return true, nil // it comes again, after the one that failed
				}
				if err := r.keep(ctx, inbox, readPublish(p.Packet), h.trouble); err != nil {
					kept.failed.Store(true)
					fail(err)
				}
				return true, nil
			}},
		},
	}
	manager, err := autopaho.NewConnection(ctx, config)
	if err != nil {
		return err
	}
	<-manager.Done()
	return context.Cause(ctx)
}

// keptSession acknowledges messages only as long as each of them got into the inbox. The
// client asks it to after each message, when the handler has returned. (Its own manual way
// forgets acknowledgements of messages that come before it has ended connecting, as those of
// a session that went on do: the server waits for them, and sends nothing more.)
type keptSession struct {
	session.SessionManager
	failed atomic.Bool
}

// Ack implements [session.SessionManager].
func (s *keptSession) Ack(p *packets.Publish) error {
	if s.failed.Load() {
		return nil
	}
	return s.SessionManager.Ack(p)
}

// attributeName is how CloudEvents names attributes; other properties are something else.
var attributeName = regexp.MustCompile(`^[a-z0-9]+$`)

// readPublish reads a message: its user properties are the attributes of CloudEvents in
// the binary mode, which in headers are percent-encoded.
func readPublish(p *paho.Publish) message {
	header := http.Header{}
	if p.Properties != nil {
		for _, property := range p.Properties.User {
			if attributeName.MatchString(property.Key) {
				header.Add("Ce-"+property.Key, url.PathEscape(property.Value))
			}
		}
		if p.Properties.ContentType != "" {
			header.Set("Content-Type", p.Properties.ContentType)
		}
	}
	return message{"", p.Topic, header, p.Payload}
}
