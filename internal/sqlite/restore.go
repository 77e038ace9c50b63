package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"golang.org/x/sys/unix"
)

// RestoreOptions say how to restore a backup.
type RestoreOptions struct {
	By    string // who does it
	Force bool   // replace what is newer, and take a backup whose chain does not hold
	// KeepRuns leaves runs that had not ended to be gone on with. Otherwise they end as
	// cancelled: what they did after the backup was made is not in it, and they would do
	// it again.
	KeepRuns bool
	Now      func() time.Time // nil: time.Now
}

// Restored is what came of restoring a backup.
type Restored struct {
	Contents          // of the backup
	Ended    []string // runs that were ended
	Former   string   // where the store is that was replaced; empty where it had nothing newer
}

// ErrNewer says that a store has what a backup has not.
var ErrNewer = errors.New("the store is newer than the backup")

// ErrTampered says that the chain of events in a backup does not hold.
var ErrTampered = errors.New("the events in the backup were tampered with")

const (
	restoringFolder = "restoring"     // where a backup is prepared, beside the store
	formerName      = "store.former-" // begins the name of what was replaced
)

// Restore puts a backup in the place of the store in a folder, which is made where
// there is none. The backup is copied, checked and prepared beside the store, and then
// takes its place at once: whatever cuts it off, the folder has the one or the other.
//
// [ErrInUse] says that somebody has the store open, [ErrNewer] that it has what the
// backup has not, [ErrTampered] that the backup is not what was written, [ErrNoStore]
// that it is none. An error of the backup's file itself, an [fs.PathError] that names
// it, comes before anything was made.
func Restore(ctx context.Context, dir, backup string, o RestoreOptions) (Restored, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	fail := func(err error) (Restored, error) { return Restored{}, fmt.Errorf("cannot restore the backup: %w", err) }
	if err := looksLikeStore(backup); err != nil {
		return fail(err)
	}
	if err := makeFolder(dir); err != nil {
		return fail(err)
	}
	using, err := use(dir, true)
	if err != nil {
		return fail(err)
	}
	defer unlock(using)
	beside := filepath.Join(dir, restoringFolder)
	if err := os.RemoveAll(beside); err != nil { // of one that was cut off
		return fail(err)
	}
	defer func() { _ = os.RemoveAll(beside) }()
	if err := os.Mkdir(beside, 0o700); err != nil {
		return fail(err)
	}
	copied := filepath.Join(beside, fileName)
	if err := copyFile(ctx, backup, copied); err != nil {
		return fail(err)
	}
	present := &Store{dir: dir}
	keep := false // the present store: it has something that is nowhere else
	out, err := prepareBackup(ctx, beside, o, func(head feedPlace) (events.Event, error) {
		newer, was, err := present.newerThan(ctx, copied, head)
		switch {
		case err != nil && !o.Force:
			return events.Event{}, fmt.Errorf("%w, or damaged: %w", ErrNewer, err)
		case newer && !o.Force:
			return events.Event{}, ErrNewer
		}
		keep = newer
		about := restoredData{Backup: headOf(head)}
		if newer && err == nil {
			replaced := headOf(was)
			about.Replaced = &replaced
		}
		return storeEvent("store.restored", filepath.Base(backup), o.By, about), nil
	})
	if err != nil {
		return fail(err)
	}
	if out.Former, err = present.replaceBy(copied, keep, o.Now()); err != nil {
		return fail(err)
	}
	return out, nil
}

// feedPlace is a place in a feed: the last number and its hash.
type feedPlace struct {
	last int64
	hash events.Hash
}

// headData is the end of a feed in an event.
type headData struct {
	Events int64  `json:"events"`
	Head   string `json:"head"`
}

func headOf(p feedPlace) headData { return headData{p.last, p.hash.String()} }

// restoredData is what is told of restoring: where the feed of the backup ended, and
// that of the store which had more.
type restoredData struct {
	Backup   headData  `json:"backup"`
	Replaced *headData `json:"replaced,omitempty"`
}

// storeEvent is an event about the store itself.
func storeEvent(kind, subject, by string, data any) events.Event {
	text, _ := json.Marshal(data) // numbers and texts
	return events.Event{Source: "/store", Type: kind, Subject: subject, Actor: access.Subject(by), Data: text}
}

// prepareBackup makes a copy of a backup ready to be the store: checked, in the layout
// of this program, with what is to be told. told is asked for that once the copy is
// known to be good.
func prepareBackup(ctx context.Context, dir string, o RestoreOptions, told func(feedPlace) (events.Event, error)) (out Restored, err error) {
	path := filepath.Join(dir, fileName)
	if err := checkFile(ctx, path); err != nil {
		return out, err
	}
	s, err := Open(ctx, dir, Options{Now: o.Now}) // brings it to the layout of this program
	if err != nil {
		return out, err
	}
	defer func() {
		if closed := s.Close(); err == nil {
			err = closed
		}
	}()
	if out.Contents, err = inspect(ctx, s.reader, path); err != nil {
		return out, err
	}
	if out.Events.Problem != "" && !o.Force {
		return out, fmt.Errorf("%w: %s", ErrTampered, out.Events.Problem)
	}
	about, err := told(feedPlace{out.Events.Events, out.Events.Head})
	if err != nil {
		return out, err
	}
	if !o.KeepRuns {
		if out.Ended, err = s.endRuns(ctx, o.By); err != nil {
			return out, err
		}
	}
	if err := s.Record(ctx, about); err != nil {
		return out, err
	}
	s.checkpoint(ctx)
	return out, nil
}

// endRuns ends the runs of a store that nobody uses.
func (s *Store) endRuns(ctx context.Context, by string) (ended []string, err error) {
	list, err := s.Unended(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		told := runs.AuditEvent(r.Key, "run.cancel_requested", r.ID, by, map[string]bool{"abandoned": true, "restored": true})
		if err := s.Abandon(ctx, r.ID, told); err != nil {
			return nil, err
		}
		ended = append(ended, r.ID)
	}
	return ended, nil
}

// newerThan reports whether the store has anything that a copy has not: events, rows of
// the history, logs. was is where its feed ends. It leaves nothing beside the file: a
// log that was not worked in must not meet another file.
func (s *Store) newerThan(ctx context.Context, copied string, head feedPlace) (newer bool, was feedPlace, err error) {
	if _, err := os.Stat(s.path()); errors.Is(err, fs.ErrNotExist) {
		return false, was, nil
	}
	db, err := sql.Open("sqlite", dataSource(s.path(), false))
	if err != nil {
		return true, was, err
	}
	defer func() {
		if closed := db.Close(); err == nil && closed != nil {
			newer, err = true, closed
		}
	}()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return true, was, err
	}
	var layout int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&layout); err != nil {
		return true, was, err
	}
	if layout == 0 {
		return false, was, nil // nothing was ever written
	}
	if _, err := db.ExecContext(ctx, "ATTACH DATABASE ? AS backup", copied); err != nil {
		return true, was, err
	}
	const longer = `SELECT EXISTS(SELECT 1 FROM main.sqlite_sequence AS mine WHERE name IN ('events', 'history', 'logs')
  AND seq > coalesce((SELECT max(seq) FROM backup.sqlite_sequence AS theirs WHERE theirs.name = mine.name), 0))`
	if err := db.QueryRowContext(ctx, longer).Scan(&newer); err != nil {
		return true, was, err
	}
	var hash, same []byte
	err = db.QueryRowContext(ctx, "SELECT sequence, hash FROM main.events ORDER BY sequence DESC LIMIT 1").Scan(&was.last, &hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return newer, was, nil
	case err != nil:
		return true, was, err
	}
	copy(was.hash[:], hash)
	// As long as the backup or shorter, it may still be another one.
	err = db.QueryRowContext(ctx, "SELECT hash FROM backup.events WHERE sequence = ?", was.last).Scan(&same)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return true, was, err
	}
	return newer || was.last > head.last || !bytes.Equal(hash, same), was, nil
}

// replaceBy puts a file in the place of the store, which is kept beside it where that
// is asked for; former says where.
func (s *Store) replaceBy(path string, keep bool, now time.Time) (former string, err error) {
	if keep {
		former = filepath.Join(s.dir, formerName+now.UTC().Format("20060102T150405.000000000Z")+".db")
		switch err := os.Link(s.path(), former); {
		case errors.Is(err, fs.ErrNotExist):
			former = ""
		case err != nil:
			return "", err
		}
	}
	// A log is only here still where the store could not be read: it goes with it, for
	// SQLite would work it into the other file.
	for _, suffix := range []string{"-wal", "-shm"} {
		var err error
		if former != "" {
			err = os.Rename(s.path()+suffix, former+suffix)
		} else {
			err = os.Remove(s.path() + suffix)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if err := os.Rename(path, s.path()); err != nil {
		return "", err
	}
	return former, syncFolder(s.dir)
}

// checkFile refuses what is no store of this program, or damaged.
func checkFile(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dataSource(path, true))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return plainly(err)
	}
	have, err := layoutOf(ctx, conn)
	_ = conn.Close()
	if err != nil {
		return err
	}
	if have == 0 {
		return ErrNoStore
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return checkPages(ctx, tx)
}

// looksLikeStore looks at the beginning of a file, so that nothing is made for one that
// is something else.
func looksLikeStore(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return &fs.PathError{Op: "read", Path: path, Err: unix.EISDIR}
	case !info.Mode().IsRegular():
		return ErrNoStore
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	const magic = "SQLite format 3\x00" // https://www.sqlite.org/fileformat.html
	begin := make([]byte, len(magic))
	_, err = io.ReadFull(f, begin)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && string(begin) != magic:
		return ErrNoStore
	}
	return err
}

// copyFile copies to a new file that only its owner may read, to the disk.
func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is not a file", from))
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, contextReader{ctx, in})
	return errors.Join(err, out.Sync(), out.Close())
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}
