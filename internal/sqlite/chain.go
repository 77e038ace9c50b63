package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// layoutChain makes the feed a chain of hashes; what is there already is chained
// by chainPending.
const layoutChain = `
ALTER TABLE events ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN previous BLOB;
ALTER TABLE events ADD COLUMN hash BLOB;
`

// layoutFound finds events by what they are and what they are about.
const layoutFound = `
CREATE INDEX events_type ON events(type);
CREATE INDEX events_subject ON events(subject);
`

const (
	// The last number ever given is not that of the last row if somebody has
	// removed it: its place stays empty.
	feedHead = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0), sequence, hash FROM events ORDER BY sequence DESC LIMIT 1"
	linkRow  = "sequence, id, source, type, subject, actor, time, data, previous, hash"
)

// feedRows inserts events of one source.
var feedRows = inserting{into: "events(source, sequence, id, type, subject, actor, time, data, previous, hash)", others: 9}

// appendEvents adds events to the feed. That nobody else writes meanwhile is what
// keeps the chain from forking.
func (s *Store) appendEvents(tx *transaction, list []events.Event) error {
	if len(list) == 0 {
		return nil
	}
	chain, err := tx.feedChain()
	if err != nil {
		return err
	}
	links := make([]events.Link, len(list))
	for i, e := range list {
		if e.ID == "" {
			e.ID = uuid.NewString()
		}
		if e.Time.IsZero() {
			e.Time = s.now()
		}
		links[i] = chain.Append(e)
	}
	for len(links) > 0 {
		same := 1 // events of one source, as those of a run are
		for same < len(links) && links[same].Source == links[0].Source {
			same++
		}
		err := tx.insert(feedRows, links[0].Source, same, func(i int, args []any) ([]any, error) {
			l := &links[i]
			return append(args, l.Sequence, l.ID, l.Type, l.Subject, l.Actor, nanoseconds(l.Time), nonEmpty(l.Data), l.Previous[:], l.Hash[:]), nil
		})
		if err != nil {
			return err
		}
		links = links[same:]
	}
	return nil
}

// feedChain reads where the feed ends, once in a transaction.
func (tx *transaction) feedChain() (*events.Chain, error) {
	if tx.feed != nil {
		return tx.feed, nil
	}
	var made, last int64
	var hash []byte
	found, err := tx.row(feedHead, nil, &made, &last, &hash)
	if err != nil {
		return nil, err
	}
	if found && hash == nil {
		// A process of an older version was still at work after this file was
		// brought up to date.
		if err := chainPending(context.Background(), tx.w.conn); err != nil {
			return nil, err
		}
		if _, err := tx.row(feedHead, nil, &made, &last, &hash); err != nil {
			return nil, err
		}
	}
	if !found {
		if _, err := tx.row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", nil, &made); err != nil {
			return nil, err
		}
	}
	tx.feed = &events.Chain{Last: max(made, last)}
	copy(tx.feed.Head[:], hash)
	return tx.feed, nil
}

// chainPending chains the events at the end of the feed that have no hash: those
// that programs wrote which knew of no chain. It is called in a transaction.
func chainPending(ctx context.Context, conn *sql.Conn) error {
	var chain events.Chain
	var hash []byte
	err := conn.QueryRowContext(ctx, "SELECT sequence, hash FROM events WHERE hash IS NOT NULL ORDER BY sequence DESC LIMIT 1").Scan(&chain.Last, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("cannot read the events: %w", err)
	}
	copy(chain.Head[:], hash)
	for {
		// A few at a time: they are not read while they are written.
		links, err := pendingEvents(ctx, conn, chain.Last)
		if err != nil {
			return fmt.Errorf("cannot read the events: %w", err)
		}
		if len(links) == 0 {
			return nil
		}
		for _, l := range links {
			l.Previous = chain.Head
			l.Hash = l.Sum()
			if _, err := conn.ExecContext(ctx, "UPDATE events SET previous = ?, hash = ? WHERE sequence = ?", l.Previous[:], l.Hash[:], l.Sequence); err != nil {
				return fmt.Errorf("cannot chain the events: %w", err)
			}
			chain = events.Chain{Last: l.Sequence, Head: l.Hash}
		}
	}
}

func pendingEvents(ctx context.Context, conn *sql.Conn, after int64) ([]events.Link, error) {
	rows, err := conn.QueryContext(ctx, "SELECT "+linkRow+" FROM events WHERE sequence > ? ORDER BY sequence LIMIT 1000", after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []events.Link
	for rows.Next() {
		var l events.Link
		if err := scanLink(rows, &l); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

func scanLink(rows *sql.Rows, l *events.Link) error {
	var at int64
	// Raw bytes are valid until the next row only, and cost no copy.
	var data, previous, hash sql.RawBytes
	if err := rows.Scan(&l.Sequence, &l.ID, &l.Source, &l.Type, &l.Subject, &l.Actor, &at, &data, &previous, &hash); err != nil {
		return err
	}
	l.Time, l.Data = instant(at), nil
	if len(data) > 0 {
		l.Data = append([]byte(nil), data...)
	}
	// What has not the length of a hash is none, and fits nothing.
	l.Previous, l.Hash = events.Hash{}, events.Hash{}
	if len(previous) == len(l.Previous) {
		copy(l.Previous[:], previous)
	}
	if len(hash) == len(l.Hash) {
		copy(l.Hash[:], hash)
	}
	return nil
}

// Feed implements runs.Store.
func (s *Store) Feed(ctx context.Context, after int64, each func(*events.Link) error) (made int64, err error) {
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		made, err = readFeed(ctx, tx, after, each)
		return err
	})
	return made, err
}

// readFeed goes through the feed of a file as [runs.Store.Feed] says.
func readFeed(ctx context.Context, tx *sql.Tx, after int64, each func(*events.Link) error) (made int64, err error) {
	if after <= 0 {
		after = math.MinInt64 // what somebody put in before the first one, too
	}
	fail := func(err error) (int64, error) { return made, fmt.Errorf("cannot read the events: %w", err) }
	err = tx.QueryRowContext(ctx, "SELECT seq FROM sqlite_sequence WHERE name = 'events'").Scan(&made)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fail(err)
	}
	return made, readLinks(ctx, tx, "WHERE sequence > ? ORDER BY sequence", []any{after}, each)
}

// readLinks goes through some events, as a query goes on behind the table's name.
func readLinks(ctx context.Context, tx *sql.Tx, selection string, args []any, each func(*events.Link) error) error {
	fail := func(err error) error { return fmt.Errorf("cannot read the events: %w", err) }
	rows, err := tx.QueryContext(ctx, "SELECT "+linkRow+" FROM events "+selection, args...)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		l := &events.Link{}
		if err := scanLink(rows, l); err != nil {
			return fail(err)
		}
		if err := each(l); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return nil
}

// FeedOf implements runs.Store. Events of one type, or about one thing, are found
// without looking at the others.
func (s *Store) FeedOf(ctx context.Context, q runs.EventQuery, each func(*events.Link) error) error {
	selection, args := eventSelection(q)
	return s.snapshot(ctx, func(tx *sql.Tx) error { return readLinks(ctx, tx, selection, args, each) })
}

// eventSelection is which events are read, in which order, as a query goes on behind the
// table's name.
func eventSelection(q runs.EventQuery) (text string, args []any) {
	prefix, begins := strings.CutSuffix(q.Type, "*")
	text, args = given(
		condition{"sequence > ?", q.After, q.Since.IsZero()},
		condition{"type = ?", q.Type, q.Type != "" && !begins},
		// The sign keeps the index out, by which they would have to be sorted.
		condition{"+type >= ?", prefix, begins},
		condition{"+type < ?", prefix + string(utf8.MaxRune), begins},
		condition{"subject = ?", q.Subject, q.Subject != ""},
		condition{"sequence < ?", q.Before, q.Before != 0},
	)
	if !q.Since.IsZero() {
		// Events are written about when they happen, but clocks are put back: the first since
		// then is found by their times, and what follows it looked at. It is one bound, since
		// of two one would be no more than a filter.
		text += "AND sequence > max(?, coalesce((SELECT min(+sequence) FROM events WHERE time >= ?) - 1, 9223372036854775807)) AND +time >= ? "
		args = append(args, q.After, bound(q.Since), bound(q.Since))
	}
	if text += "ORDER BY sequence"; q.Newest {
		text += " DESC"
	}
	return text, args
}

// Record implements runs.Store.
func (s *Store) Record(ctx context.Context, list ...events.Event) error {
	return s.write(ctx, func(tx *transaction) error { return s.appendEvents(tx, list) })
}
