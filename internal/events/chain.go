package events

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Hash is the SHA-256 of an event in its place in the feed.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what [Hash.String] writes.
func ParseHash(text string) (Hash, error) {
	var h Hash
	if len(text) != hex.EncodedLen(len(h)) {
		return h, fmt.Errorf("%q is not a hash: it must have %d hexadecimal digits", text, hex.EncodedLen(len(h)))
	}
	if _, err := hex.Decode(h[:], []byte(text)); err != nil {
		return h, fmt.Errorf("%q is not a hash: it has something else than hexadecimal digits", text)
	}
	return h, nil
}

// Link is an event in its place in the feed, which is a chain: each link holds
// the hash of the one before, so that none of the past can be altered, removed
// or put in without all that follow showing it. The first one holds the zero
// hash.
type Link struct {
	Sequence int64 // from 1, without gaps
	Event
	Previous Hash
	Hash     Hash
}

// chainFormat begins what is hashed: another encoding would begin otherwise.
const chainFormat = "tutti.event.1"

// Sum computes the hash of a link: of its number, the fields of the event, each
// with its length in front so that nothing can move from one to the next, and
// the hash before.
func (l *Link) Sum() Hash {
	b := make([]byte, 0, 512)
	b = append(b, chainFormat...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Sequence))
	for _, field := range [...]string{l.ID, l.Source, l.Type, l.Subject, l.Actor} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(field)))
		b = append(b, field...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(Nanoseconds(l.Time)))
	b = binary.BigEndian.AppendUint64(b, uint64(len(l.Data)))
	b = append(b, l.Data...)
	b = append(b, l.Previous[:]...)
	return sha256.Sum256(b)
}

// Nanoseconds is the time of an event as it is hashed and stored; 0 for none.
func Nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Chain makes links, or follows those that were made. The zero Chain is before
// the first one.
type Chain struct {
	Last int64 // number of the last link
	Head Hash  // its hash
}

// Append makes the link of an event.
func (c *Chain) Append(e Event) Link {
	l := Link{Sequence: c.Last + 1, Event: e, Previous: c.Head}
	l.Hash = l.Sum()
	c.Last, c.Head = l.Sequence, l.Hash
	return l
}

// Break is where a chain is not as it was made.
type Break struct {
	Sequence int64  // of the first event concerned
	Problem  string // what is wrong with it
}

// Error says what is wrong with which event.
func (b *Break) Error() string { return fmt.Sprintf("event %d %s", b.Sequence, b.Problem) }

// Follow takes the next link of a chain that is verified. The error is a
// [*Break]; the chain is then of no more use.
func (c *Chain) Follow(l *Link) error {
	switch {
	case l.Sequence <= c.Last:
		return &Break{l.Sequence, "was put in: the feed has no place for it"}
	case l.Sequence > c.Last+1:
		return &Break{c.Last + 1, "is missing: it was removed, or given another number"}
	case l.Hash != l.Sum():
		return &Break{l.Sequence, "was altered or put in: it does not have the hash it was given"}
	case l.Previous != c.Head && c.Last == 0:
		return &Break{l.Sequence, "was altered: the first event follows another one"}
	case l.Previous != c.Head:
		// Its own hash is right, and holds what the one before was then.
		return &Break{c.Last, fmt.Sprintf("was altered, with a new hash: event %d was written after another one", l.Sequence)}
	}
	c.Last, c.Head = l.Sequence, l.Hash
	return nil
}

// End says that there are no more links, and how many were ever made.
func (c *Chain) End(made int64) error {
	if made > c.Last {
		return &Break{c.Last + 1, "is missing: the last ones were removed"}
	}
	return nil
}
