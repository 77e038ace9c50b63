package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	driver "modernc.org/sqlite"
)

var _ runs.SourceStore = (*Store)(nil)

// layoutSources has what sources have told of.
const layoutSources = `
CREATE TABLE sources(name TEXT PRIMARY KEY, memory BLOB NOT NULL) WITHOUT ROWID;
`

// layoutInbox has events from outside by what they are known by, what triggers
// know, up to where they have looked at the feed, and each time that one fired: the
// primary key lets it be acted on once.
const layoutInbox = `
CREATE TABLE inbox(
  sequence INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL, extra BLOB,
  UNIQUE(source, id));
CREATE INDEX inbox_digest ON inbox(digest) WHERE digest <> '';
CREATE TABLE firings(
  trigger TEXT NOT NULL, event INTEGER NOT NULL, status TEXT NOT NULL, document BLOB NOT NULL,
  PRIMARY KEY(trigger, event)) WITHOUT ROWID;
CREATE INDEX firings_status ON firings(status, event);
CREATE INDEX firings_event ON firings(event);
CREATE TABLE windows(trigger TEXT PRIMARY KEY, rule TEXT NOT NULL, since INTEGER NOT NULL, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE position(one INTEGER PRIMARY KEY CHECK(one = 1), sequence INTEGER NOT NULL, version INTEGER NOT NULL);
`

// layoutMarks keeps what events from outside are known by as marks. They are kept for
// ever, so that an event is accepted once however late it comes again, and take less
// than a third of the room of the texts. Deliveries are found by notify block and by status.
const layoutMarks = `
CREATE TABLE marks(mark BLOB PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO marks SELECT ` + markFunction + `(source, id), sequence FROM inbox ORDER BY sequence;
INSERT OR IGNORE INTO marks SELECT ` + markFunction + `(digest), sequence FROM inbox WHERE digest <> '' ORDER BY sequence;
CREATE TABLE accepted(sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, extra BLOB);
INSERT INTO accepted SELECT sequence, at, extra FROM inbox;
DROP TABLE inbox;
CREATE INDEX deliveries_notify ON deliveries(notify, id);
CREATE INDEX deliveries_status ON deliveries(status, id);
`

// markFunction is markOf in SQL.
const markFunction = "tutti_mark"

// errMarks says why files have no markFunction; connections have it that are opened
// later.
var errMarks = driver.RegisterDeterministicScalarFunction(markFunction, -1, func(_ *driver.FunctionContext, args []sqldriver.Value) (sqldriver.Value, error) {
	texts := make([]string, len(args))
	for i, a := range args {
		text, ok := a.(string)
		if !ok {
			return nil, fmt.Errorf("%s is for texts", markFunction)
		}
		texts[i] = text
	}
	return markOf(texts...), nil
})

// markOf is what tells an event by its source and id, or a request by its digest, from
// all others.
func markOf(texts ...string) []byte {
	h := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(h, "%d %s", len(text), text)
	}
	return h.Sum(nil)[:16]
}

// Accept implements runs.EventStore. What comes at the same time is written together.
func (s *Store) Accept(ctx context.Context, list []runs.Inbound) ([]runs.Accepted, error) {
	var out []runs.Accepted
	err := s.write(ctx, func(tx *transaction) (err error) {
		out, err = s.accept(tx, list)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Store) accept(tx *transaction, list []runs.Inbound) ([]runs.Accepted, error) {
	out := make([]runs.Accepted, len(list))
	// The events of one request have one digest: what was there before counts.
	known := map[string]int64{}
	for _, e := range list {
		if _, asked := known[e.Digest]; e.Digest == "" || asked {
			continue
		}
		first, err := tx.marked(markOf(e.Digest))
		if err != nil {
			return nil, err
		}
		known[e.Digest] = first
	}
	for i, e := range list {
		mark, first := markOf(e.Source, e.ID), known[e.Digest]
		if first == 0 {
			var err error
			if first, err = tx.marked(mark); err != nil {
				return nil, err
			}
		}
		if first != 0 {
			out[i] = runs.Accepted{Sequence: first, Duplicate: true}
			continue
		}
		if err := s.appendEvents(tx, []events.Event{e.Event}); err != nil {
			return nil, err
		}
		out[i].Sequence = tx.feed.Last
		marks := [][]byte{mark}
		if e.Digest != "" {
			marks = append(marks, markOf(e.Digest))
		}
		for _, mark := range marks {
			if _, err := tx.exec("INSERT OR IGNORE INTO marks(mark, sequence) VALUES(?, ?)", mark, tx.feed.Last); err != nil {
				return nil, err
			}
		}
		if _, err := tx.exec("INSERT INTO accepted(sequence, at, extra) VALUES(?, ?, ?)", tx.feed.Last, nanoseconds(s.now()), nonEmpty(e.Extra)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// marked is the number of the event that has left a mark; 0 where none has.
func (tx *transaction) marked(mark []byte) (sequence int64, err error) {
	_, err = tx.row("SELECT sequence FROM marks WHERE mark = ?", []any{mark}, &sequence)
	return sequence, err
}

// Remember implements runs.SourceStore.
func (s *Store) Remember(ctx context.Context, source string, list []runs.Inbound, before, after []byte) error {
	return s.write(ctx, func(tx *transaction) error {
		var now []byte
		if _, err := tx.row("SELECT memory FROM sources WHERE name = ?", []any{source}, &now); err != nil {
			return err
		}
		if !bytes.Equal(now, before) {
			return runs.ErrRemembered
		}
		if _, err := s.accept(tx, list); err != nil {
			return err
		}
		_, err := tx.exec("INSERT INTO sources(name, memory) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET memory = excluded.memory", source, after)
		return err
	})
}

// Memory implements runs.SourceStore.
func (s *Store) Memory(ctx context.Context, source string) ([]byte, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	var memory []byte
	err = db.QueryRowContext(ctx, "SELECT memory FROM sources WHERE name = ?", source).Scan(&memory)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return memory, err
}

// fedRows are the events behind a number, with what is known of those from outside.
const fedRows = `SELECT e.sequence, e.id, e.source, e.type, e.subject, e.actor, e.time, e.data, i.extra, coalesce(i.at, e.time), i.at IS NOT NULL
	FROM events e LEFT JOIN accepted i ON i.sequence = e.sequence WHERE e.sequence > ? ORDER BY e.sequence LIMIT ?`

// Fed implements runs.EventStore.
func (s *Store) Fed(ctx context.Context, after int64, limit int) ([]runs.Fed, error) {
	var out []runs.Fed
	err := s.list(ctx, fedRows, []any{after, limitOf(limit)}, func(rows *sql.Rows) error {
		var e runs.Fed
		var happened, at int64
		err := rows.Scan(&e.Sequence, &e.ID, &e.Source, &e.Type, &e.Subject, &e.Actor, &happened, (*[]byte)(&e.Data), (*[]byte)(&e.Extra), &at, &e.Outside)
		e.Time, e.At = instant(happened), instant(at)
		out = append(out, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the events: %w", err)
	}
	return out, nil
}

// limitOf is a limit as SQL takes it: 0 is none.
func limitOf(limit int) int {
	if limit <= 0 {
		return -1
	}
	return limit
}

// Follow implements runs.EventStore.
func (s *Store) Follow(ctx context.Context, triggers []runs.WindowState) (runs.Position, []runs.WindowState, error) {
	var at runs.Position
	var out []runs.WindowState
	err := s.write(ctx, func(tx *transaction) error {
		at, out = runs.Position{}, nil
		chain, err := tx.feedChain()
		if err != nil {
			return err
		}
		found, err := tx.row("SELECT sequence, version FROM position", nil, &at.Sequence, &at.Version)
		if err != nil {
			return err
		}
		if !found {
			at = runs.Position{Sequence: chain.Last, Version: 1}
			if _, err = tx.exec("INSERT INTO position(one, sequence, version) VALUES(1, ?, 1)", at.Sequence); err != nil {
				return err
			}
		}
		names := make([]string, len(triggers))
		for i, w := range triggers {
			names[i] = w.Trigger
			if _, err := tx.exec("INSERT INTO windows(trigger, rule, since, state) VALUES(?, ?, ?, x'') ON CONFLICT(trigger) DO UPDATE SET rule = excluded.rule, state = x'' WHERE rule <> excluded.rule",
				w.Trigger, w.Rule, chain.Last); err != nil {
				return err
			}
			if _, err := tx.row("SELECT since, state FROM windows WHERE trigger = ?", []any{w.Trigger}, &w.Since, &w.State); err != nil {
				return err
			}
			out = append(out, w)
		}
		known, err := json.Marshal(names)
		if err != nil {
			return err
		}
		_, err = tx.exec("DELETE FROM windows WHERE trigger NOT IN (SELECT value FROM json_each(?))", string(known))
		return err
	})
	if err != nil {
		return runs.Position{}, nil, err
	}
	return at, out, nil
}

// Advance implements runs.EventStore.
func (s *Store) Advance(ctx context.Context, step runs.Progress) (runs.Position, bool, error) {
	var written bool
	err := s.write(ctx, func(tx *transaction) error {
		moved, err := tx.exec("UPDATE position SET sequence = ?, version = version + 1 WHERE sequence = ? AND version = ?", step.To, step.From.Sequence, step.From.Version)
		if written = moved == 1; err != nil || !written {
			return err
		}
		for _, w := range step.Windows {
			if _, err := tx.exec("UPDATE windows SET state = ? WHERE trigger = ? AND rule = ?", nonNil(w.State), w.Trigger, w.Rule); err != nil {
				return err
			}
		}
		for _, f := range step.Firings {
			document, err := json.Marshal(f)
			if err != nil {
				return err
			}
			if _, err := tx.exec("INSERT OR IGNORE INTO firings(trigger, event, status, document) VALUES(?, ?, ?, ?)", f.Trigger, f.Event, string(f.Status), document); err != nil {
				return err
			}
		}
		return s.appendEvents(tx, step.Events)
	})
	if err != nil || !written {
		return runs.Position{}, false, err
	}
	return runs.Position{Sequence: step.To, Version: step.From.Version + 1}, true, nil
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// condition is one of rows that may be asked for.
type condition struct {
	text  string
	value any
	asked bool
}

// given is the WHERE of the conditions that are asked for, with its parameters. Those
// that are not are left out: with them no index would be used.
func given(list ...condition) (where string, args []any) {
	for _, c := range list {
		if c.asked {
			where += " AND " + c.text
			args = append(args, c.value)
		}
	}
	return "WHERE TRUE" + where + " ", args
}

// firingSelection is which firings are read, in which order.
func firingSelection(q runs.FiringQuery) (text string, args []any) {
	where, args := given(
		condition{"trigger = ?", q.Trigger, q.Trigger != ""},
		condition{"event = ?", q.Event, q.Event != 0},
		condition{"status = ?", string(q.Status), q.Status != ""},
		condition{"event < ?", q.Before, q.Before != 0},
	)
	order := "event DESC, trigger"
	if q.Status == runs.FiringDue {
		order = "event, trigger"
	}
	return where + "ORDER BY " + order + " LIMIT ?", append(args, limitOf(q.Limit))
}

// Firings implements runs.EventStore.
func (s *Store) Firings(ctx context.Context, q runs.FiringQuery) ([]runs.Firing, error) {
	text, args := firingSelection(q)
	var out []runs.Firing
	err := s.list(ctx, "SELECT document, status FROM firings "+text, args, func(rows *sql.Rows) error {
		var document []byte
		var f runs.Firing
		var status string
		err := rows.Scan(&document, &status)
		if err == nil {
			err = json.Unmarshal(document, &f)
		}
		f.Status = runs.FiringStatus(status)
		out = append(out, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read what triggers did: %w", err)
	}
	return out, nil
}

// RecordFiring implements runs.EventStore.
func (s *Store) RecordFiring(ctx context.Context, f runs.Firing, was runs.FiringStatus, told ...events.Event) (bool, error) {
	document, err := json.Marshal(f)
	if err != nil {
		return false, err
	}
	var recorded bool
	err = s.write(ctx, func(tx *transaction) error {
		changed, err := tx.exec("UPDATE firings SET status = ?, document = ? WHERE trigger = ? AND event = ? AND status = ?", string(f.Status), document, f.Trigger, f.Event, string(was))
		if recorded = changed == 1; err != nil || !recorded {
			return err
		}
		return s.appendEvents(tx, told)
	})
	return recorded && err == nil, err
}

// Enqueue implements runs.Store.
func (s *Store) Enqueue(ctx context.Context, n runs.NewRun) error {
	return s.write(ctx, func(tx *transaction) error { return s.enqueue(tx, n) })
}

func (s *Store) enqueue(tx *transaction, n runs.NewRun) error {
	exists := fmt.Errorf("cannot start run %s: %w", n.Run.ID, states.ErrExists)
	var some int
	if there, err := tx.row("SELECT 1 FROM runs WHERE id = ?", []any{n.Run.ID}, &some); err != nil || there {
		return either(err, exists)
	}
	if c := n.Run.Cause; c != nil {
		started, err := tx.exec("UPDATE firings SET status = ? WHERE trigger = ? AND event = ? AND status = ?",
			string(runs.FiringStarted), c.Trigger, c.Event, string(runs.FiringDue))
		if err != nil || started == 0 {
			return either(err, exists)
		}
	}
	state, err := tx.ensureState(n.Run.Key)
	if err != nil {
		return err
	}
	if err := tx.insertRun(n.Run, state, nil); err != nil {
		return err
	}
	if err := s.keepDefinition(tx, n.Run.Blob, n.Definition); err != nil {
		return err
	}
	if err := s.appendEntries(tx, n.Run.ID, 0, n.Entries); err != nil {
		return err
	}
	return s.appendEvents(tx, n.Events)
}

// Begin implements runs.Store. The lock comes first: nobody finds a run that nobody
// drives.
func (s *Store) Begin(ctx context.Context, n runs.NewRun) (runs.Lease, error) {
	release, err := s.lock(n.Run.ID)
	if err != nil {
		return runs.Lease{}, err
	}
	if err := s.Enqueue(ctx, n); err != nil {
		if !errors.Is(err, states.ErrExists) {
			s.dropLock(n.Run.ID)
		}
		release()
		return runs.Lease{}, err
	}
	return runs.Lease{Run: n.Run.ID, Token: 1, Release: release}, nil
}

func either(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// keepDefinition stores what a machine is made from, sealed: it holds whatever people
// write into their files. Many runs have the same one.
func (s *Store) keepDefinition(tx *transaction, name string, source []byte) error {
	var some int
	if there, err := tx.row("SELECT 1 FROM blobs WHERE name = ?", []any{name}, &some); err != nil || there {
		return err
	}
	data, isSealed, err := s.sealData(source, true)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO blobs(name, data, sealed) VALUES(?, ?, ?)", name, data, isSealed)
	return err
}
