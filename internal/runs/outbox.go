package runs

import (
	"context"
	"errors"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
)

// DeliveryStatus says how a delivery stands.
type DeliveryStatus string

// How a delivery may stand.
const (
	DeliveryPending   DeliveryStatus = "pending"   // it is sent, or sent again, in its turn
	DeliveryDelivered DeliveryStatus = "delivered" // whoever it is for has taken it
	DeliveryDead      DeliveryStatus = "dead"      // it is not sent any more, unless somebody asks for it
)

// Delivery is an event on its way to what a notify block names.
type Delivery struct {
	ID       int64 // grows with the order of the events
	Notify   string
	Sequence int64  // of the event in the feed
	Event    string // its id
	Type     string // its type
	Status   DeliveryStatus
	Attempts int       // made so far
	Queued   time.Time // when it was matched, or asked for again
	Next     time.Time // not before then; zero for at once
	Ended    time.Time // zero while it is pending
	Problem  string    // of the last attempt; never anything secret
}

// DeliveriesKept is how many deliveries that have ended are remembered for each
// notify block.
const DeliveriesKept = 10_000

// ErrNoDelivery says that there is no such delivery.
var ErrNoDelivery = errors.New("there is no such delivery")

// ErrNotDead says that a delivery need not be asked for again.
var ErrNotDead = errors.New("only a delivery that is dead can be sent again")

// DeliveryQuery says which deliveries are asked for; zero fields ask for all.
type DeliveryQuery struct {
	Notify string
	Status DeliveryStatus
	Before int64 // only those whose id is smaller
	Limit  int
}

// OutboxStore remembers how far the feed was followed for each notify block, and
// what was found for it and is to be sent: an event is delivered however often
// processes die between.
type OutboxStore interface {
	// HoldOutbox makes the caller the one who follows the feed and sends, among all
	// processes, until release is called or the process ends; [ErrHeld] where it is
	// somebody else.
	HoldOutbox(ctx context.Context) (release func(), err error)
	// SetRecipients makes exactly these notify blocks known. One that was not known
	// begins behind the last event there is. One that is not listed is forgotten, and
	// what was pending for it is dead.
	SetRecipients(ctx context.Context, names []string, now time.Time) error
	// Recipients are the notify blocks that are known, with the number of the last
	// event that was looked at for each.
	Recipients(ctx context.Context) (map[string]int64, error)
	// AdvanceOutbox says that events up to a number were looked at for the notify blocks, and
	// queues the deliveries found, in one transaction. Only those of events behind what
	// was looked at before are new; the others are there already.
	AdvanceOutbox(ctx context.Context, names []string, upTo int64, found []Delivery) error
	// NextDelivery is the one whose turn it is: the oldest that is pending.
	NextDelivery(ctx context.Context, notify string) (d Delivery, ok bool, err error)
	// RecordAttempt keeps what came of an attempt: status, attempts, next, ended and
	// problem. The events are written with it.
	RecordAttempt(ctx context.Context, d Delivery, told ...events.Event) error
	// Deliveries lists deliveries, newest first.
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, error)
	// RetryDelivery has a dead delivery sent again, with all its attempts; the error is
	// [ErrNoDelivery] or [ErrNotDead] where that is not possible.
	RetryDelivery(ctx context.Context, id int64, now time.Time, told ...events.Event) (Delivery, error)
}

// deliveryData is what is told of a delivery.
type deliveryData struct {
	Delivery int64  `json:"delivery"`
	Event    string `json:"event"`
	Type     string `json:"type"`
	Attempts int    `json:"attempts"`
	Problem  string `json:"problem,omitempty"`
}

// DeadDelivery is the event that an event could not be delivered.
func DeadDelivery(d Delivery) events.Event { return deliveryEvent("delivery.dead", d) }

// RetriedDelivery is the event that somebody has a dead delivery sent again.
func RetriedDelivery(d Delivery, by string) events.Event {
	e := deliveryEvent("delivery.retried", d)
	e.Actor = access.Subject(by)
	return e
}

func deliveryEvent(kind string, d Delivery) events.Event {
	return events.Event{Source: "/deliveries", Type: kind, Subject: d.Notify, Data: encode(deliveryData{d.ID, d.Event, d.Type, d.Attempts, d.Problem})}
}
