package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"golang.org/x/sys/unix"
)

// Contents say what is in a file of a store that was looked through.
type Contents struct {
	Bytes  int64 // of the file
	Runs   int
	Events events.Verification
	Last   time.Time // of the last event; zero for none
}

// partly ends the name of a backup that is being written.
const partly = ".partial"

// Backup writes everything that is committed at this moment into a new file that
// only its owner may read, and looks whether it is all there: the pages of the file
// and the chain of events. Others read and write meanwhile as always; what they
// commit is not in it. It appears under its name only when it is complete. The key
// that seals sensitive values is not in it.
//
// [fs.ErrExist] says that there is something under that name. A chain that does not
// hold is no error: Contents say so.
func (s *Store) Backup(ctx context.Context, path string) (Contents, error) {
	fail := func(err error) (Contents, error) { return Contents{}, fmt.Errorf("cannot back up the store: %w", err) }
	if _, err := os.Stat(s.path()); err != nil {
		return fail(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &os.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
		return fail(err)
	}
	// A fixed name, locked while it is being written: what was cut off is written
	// over by the next one.
	f, err := os.OpenFile(path+partly, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fail(err)
	}
	defer unlock(f)
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another backup is being written to %s", path)
		}
		return fail(err)
	}
	found, err := s.backUp(ctx, f)
	if err == nil {
		err = giveName(f.Name(), path)
	}
	_ = os.Remove(f.Name())
	_ = os.Remove(f.Name() + "-journal")
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fail(err)
	}
	return found, nil
}

// backUp writes into a file that is locked.
func (s *Store) backUp(ctx context.Context, f *os.File) (Contents, error) {
	// The journal of one that was killed would be taken for that of this one.
	if err := os.Remove(f.Name() + "-journal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Contents{}, err
	}
	if err := errors.Join(f.Truncate(0), f.Chmod(0o600)); err != nil {
		return Contents{}, err
	}
	// A connection of its own, which holds up nobody: the log beside the store is only
	// not begun anew while it reads.
	db, err := sql.Open("sqlite", dataSource(s.path(), false))
	if err != nil {
		return Contents{}, err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", f.Name())
	if err := errors.Join(plainly(err), db.Close()); err != nil {
		return Contents{}, err
	}
	if err := f.Sync(); err != nil {
		return Contents{}, err
	}
	q := url.Values{"mode": {"ro"}, "immutable": {"1"}} // nothing is made beside it
	made, err := sql.Open("sqlite", fileURL(f.Name(), q))
	if err != nil {
		return Contents{}, err
	}
	defer func() { _ = made.Close() }()
	return inspect(ctx, made, f.Name())
}

// giveName gives a file a name that nothing has. Linking replaces nothing, unlike
// renaming, which is for file systems that know no links.
func giveName(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return os.Rename(from, to)
	}
	return err
}

// syncFolder has the names in a folder survive a loss of power.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// inspect looks through a file that nobody writes to: whether its pages hold
// together, and the chain of its events. The error says that it is damaged.
func inspect(ctx context.Context, db *sql.DB, path string) (Contents, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Contents{}, err
	}
	c := Contents{Bytes: info.Size()}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return c, err
	}
	defer func() { _ = tx.Rollback() }()
	if err := checkPages(ctx, tx); err != nil {
		return c, err
	}
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM runs").Scan(&c.Runs); err != nil {
		return c, err
	}
	c.Events, err = events.Verify(func(each func(*events.Link) error) (int64, error) {
		return readFeed(ctx, tx, 0, func(l *events.Link) error {
			c.Last = l.Time
			return each(l)
		})
	}, "")
	return c, err
}

// checkPages looks whether the pages of a file hold together.
func checkPages(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, "PRAGMA integrity_check(10)")
	if err != nil {
		return err
	}
	defer rows.Close()
	var problems []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if text != "ok" {
			problems = append(problems, text)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("the file is damaged: %s", strings.Join(problems, "; "))
	}
	return nil
}
