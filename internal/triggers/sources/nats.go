package sources

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// NATS makes events of the messages of a subject: those of a stream of JetStream, from
// where it was left, each acknowledged when it is in the inbox; or without a stream those
// that come while somebody listens, which is all that NATS promises then.
//
// The events of a stream have the number of the message in it in their id, or the id
// that the sender gave it (Nats-Msg-Id).
type NATS struct {
	Name    string
	Servers []string // addresses: nats://, tls://, ws:// or wss://
	Subject string   // with the wildcards of NATS
	// Stream is the stream of JetStream; "" for none.
	Stream string
	// Group is the queue group, or the durable consumer of the stream, of which each
	// message goes to one member only; "tutti-NAME" for "".
	Group string
	// Token, or User and Password, let in; all may be empty.
	Token, User, Password string
}

// Check says what is wrong with the settings; nil if nothing is.
func (n *NATS) Check() error {
	switch {
	case len(n.Servers) == 0:
		return errors.New("there is no server")
	case n.Subject == "" || strings.ContainsAny(n.Subject, " \t\r\n"):
		return errors.New("there must be a subject, without spaces")
	case strings.ContainsAny(n.group(), " \t\r\n.*>/\\"):
		return fmt.Errorf("the group %q must be without spaces and any of . * > / \\", n.group())
	case n.Token != "" && n.User != "":
		return errors.New("either a token lets in, or a user and a password")
	}
	for _, server := range n.Servers {
		if strings.Contains(server, "@") {
			return errors.New("the address of a server must hold no password: there are arguments for that")
		}
	}
	return nil
}

func (n *NATS) group() string {
	if n.Group != "" {
		return n.Group
	}
	return "tutti-" + strings.Map(func(r rune) rune {
		if strings.ContainsRune(".*>/\\ ", r) {
			return '-'
		}
		return r
	}, n.Name)
}

// Run listens until ctx is cancelled.
func (n *NATS) Run(ctx context.Context, inbox Inbox, trouble func(error)) {
	persist(ctx, trouble, func(ctx context.Context, h *health) error {
		r, err := newReader("/nats/" + n.Name)
		if err != nil {
			return err
		}
		closed := make(chan struct{})
		options := []nats.Option{
			nats.Name("tutti " + n.Name), nats.MaxReconnects(-1), nats.Timeout(10 * time.Second),
			nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil && ctx.Err() == nil {
					h.failed(err)
				}
			}),
			nats.ReconnectHandler(func(*nats.Conn) { h.well() }),
		}
		switch {
		case n.Token != "":
			options = append(options, nats.Token(n.Token))
		case n.User != "":
			options = append(options, nats.UserInfo(n.User, n.Password))
		}
		connection, err := nats.Connect(strings.Join(n.Servers, ","), options...)
		if err != nil {
			return err
		}
		defer func() { connection.Close(); <-closed }()
		if n.Stream != "" {
			return n.follow(ctx, connection, r, inbox, h)
		}
		return n.listen(ctx, connection, r, inbox, h)
	})
}

// listen takes the messages of the subject as they come.
func (n *NATS) listen(ctx context.Context, connection *nats.Conn, r *reader, inbox Inbox, h *health) error {
	subscription, err := connection.QueueSubscribeSync(n.Subject, n.group())
	if err != nil {
		return err
	}
	if err := connection.FlushTimeout(10 * time.Second); err != nil {
		return err
	}
	h.well()
	for {
		m, err := subscription.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		if err := r.keep(ctx, inbox, message{m.Header.Get(nats.MsgIdHdr), m.Subject, http.Header(m.Header), m.Data}, h.trouble); err != nil {
			return err
		}
	}
}

// pending is how many messages of a stream may be on their way into the inbox: those
// share its commits.
const pending = 64

// follow takes the messages of the stream that were not acknowledged yet.
func (n *NATS) follow(ctx context.Context, connection *nats.Conn, r *reader, inbox Inbox, h *health) error {
	stream, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, n.Stream, jetstream.ConsumerConfig{
		Durable: n.group(), FilterSubject: n.Subject, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: pending,
		// What is given twice for want of an answer has the same id.
		AckWait: 10 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", n.Stream, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(pending))
	if err != nil {
		return err
	}
	defer messages.Stop()
	// What is here already when it ends is given back, for others to have at once.
	stop := context.AfterFunc(ctx, messages.Drain)
	defer stop()
	h.well()
	var working sync.WaitGroup
	defer working.Wait()
	for {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			_ = m.Nak()
			continue
		}
		working.Go(func() {
			metadata, err := m.Metadata()
			if err != nil {
				h.failed(err)
				return
			}
			id := m.Headers().Get(nats.MsgIdHdr)
			if id == "" {
				id = n.Stream + "-" + strconv.FormatUint(metadata.Sequence.Stream, 10)
			}
			if err := r.keep(ctx, inbox, message{id, m.Subject(), http.Header(m.Headers()), m.Data()}, h.trouble); err != nil {
				if ctx.Err() != nil {
					_ = m.Nak()
					return
				}
				// It comes again, a while later.
				h.failed(err)
				_ = m.NakWithDelay(firstPause)
				return
			}
			if err := m.Ack(); err != nil {
				h.failed(err)
				return
			}
			h.well()
		})
	}
}
