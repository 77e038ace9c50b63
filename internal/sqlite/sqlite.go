// Package sqlite is the embedded store: states, runs, journals and events of a
// project in one SQLite file, .tutti/store.db.
//
// Several processes may use it at once. Writing goes through one connection per
// process, whole batches of commits in one transaction, synced to disk before
// anybody is told that they happened; reading goes through others and never
// waits for writers. Sensitive values are sealed before they reach the file.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"
	_ "modernc.org/sqlite" // the driver
)

// Sealer keeps sensitive values from the disk; secrets.Keyring is one.
type Sealer interface {
	Hide(attributes json.RawMessage, paths []cty.Path) (open json.RawMessage, sealed []byte, err error)
	Reveal(open json.RawMessage, sealed []byte) (json.RawMessage, error)
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Options are what a store needs besides its folder.
type Options struct {
	Hider Sealer           // nil: nothing is sealed
	Now   func() time.Time // nil: time.Now
}

// Store is an open store. It implements runs.Store.
type Store struct {
	dir    string
	hider  Sealer
	now    func() time.Time
	reader *sql.DB
	writer *writer
}

// busyTimeout is how long a writer waits for another process.
const busyTimeout = 60 * time.Second

// Open opens the store in a folder, which is made where it does not exist.
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if err := prepareFolder(dir); err != nil {
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	path := filepath.Join(dir, "store.db")
	s := &Store{dir: dir, hider: opts.Hider, now: opts.Now}
	writing, err := sql.Open("sqlite", dataSource(path, false))
	if err != nil {
		return nil, fmt.Errorf("cannot open the store %s: %w", path, err)
	}
	writing.SetMaxOpenConns(1)
	s.writer = &writer{db: writing, statements: map[string]*sql.Stmt{}}
	if err := s.writer.open(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("cannot open the store %s: %w", path, err)
	}
	if s.reader, err = sql.Open("sqlite", dataSource(path, true)); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("cannot open the store %s: %w", path, err)
	}
	s.reader.SetMaxOpenConns(4)
	return s, nil
}

// prepareFolder makes the folder, and keeps it out of version control.
func prepareFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(dir, locksFolder), 0o700); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

func dataSource(path string, readOnly bool) string {
	q := url.Values{}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "foreign_keys(ON)")
	q.Add("_pragma", "cache_size(-65536)")
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// Close closes the store. Leases still held are given back by the operating
// system when the process ends.
func (s *Store) Close() error {
	var err error
	if s.reader != nil {
		err = s.reader.Close()
	}
	if s.writer != nil {
		if closeErr := s.writer.close(); err == nil {
			err = closeErr
		}
	}
	return err
}

// writer is the one connection that writes.
type writer struct {
	mu         sync.Mutex
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func (w *writer) open(ctx context.Context) error {
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	w.conn = conn
	return w.migrate(ctx)
}

func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stmt := range w.statements {
		_ = stmt.Close()
	}
	if w.conn != nil {
		_ = w.conn.Close()
	}
	return w.db.Close()
}

// transaction runs f alone, all or nothing. f must use only what it is given.
// Once begun it is not interrupted: half a batch helps nobody.
func (w *writer) transaction(ctx context.Context, f func(tx *transaction) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	tx := &transaction{w: w}
	if _, err := w.conn.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("cannot write to the store: %w", err)
	}
	defer func() {
		if err != nil {
			_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK")
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	if _, err := w.conn.ExecContext(context.Background(), "COMMIT"); err != nil {
		return fmt.Errorf("cannot write to the store: %w", err)
	}
	return nil
}

// transaction gives access to the writing connection with its prepared
// statements.
type transaction struct {
	w *writer
	// serials are the states whose serial this transaction has raised.
	serials map[int64]int64
}

func (tx *transaction) statement(query string) (*sql.Stmt, error) {
	if stmt := tx.w.statements[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := tx.w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("cannot use the store: %w", err)
	}
	tx.w.statements[query] = stmt
	return stmt, nil
}

func (tx *transaction) exec(query string, args ...any) (sql.Result, error) {
	stmt, err := tx.statement(query)
	if err != nil {
		return nil, err
	}
	result, err := stmt.Exec(args...)
	if err != nil {
		return nil, fmt.Errorf("cannot write to the store: %w", err)
	}
	return result, nil
}

func (tx *transaction) row(query string, args []any, into ...any) error {
	stmt, err := tx.statement(query)
	if err != nil {
		return err
	}
	return stmt.QueryRow(args...).Scan(into...)
}

// schemaVersion is the layout this program knows.
const schemaVersion = 1

const schema = `
CREATE TABLE states(
  id INTEGER PRIMARY KEY, stack TEXT NOT NULL, environment TEXT NOT NULL,
  lineage TEXT NOT NULL, serial INTEGER NOT NULL, terraform_version TEXT NOT NULL, check_results BLOB,
  UNIQUE(stack, environment));
CREATE TABLE instances(
  state INTEGER NOT NULL, address TEXT NOT NULL, deposed TEXT NOT NULL, version INTEGER NOT NULL,
  provider TEXT NOT NULL, schema_version INTEGER NOT NULL, attributes BLOB, sealed BLOB, flatmap BLOB, sensitive BLOB,
  private BLOB, private_sealed INTEGER NOT NULL, identity BLOB, identity_version INTEGER NOT NULL,
  status TEXT NOT NULL, dependencies TEXT, create_before_destroy INTEGER NOT NULL,
  PRIMARY KEY(state, address, deposed));
CREATE TABLE history(
  id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, address TEXT NOT NULL, deposed TEXT NOT NULL,
  run TEXT NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL, cause TEXT NOT NULL, after INTEGER NOT NULL, version INTEGER,
  provider TEXT, schema_version INTEGER, attributes BLOB, sealed BLOB, flatmap BLOB, sensitive BLOB,
  private BLOB, private_sealed INTEGER, identity BLOB, identity_version INTEGER,
  status TEXT, dependencies TEXT, create_before_destroy INTEGER);
CREATE INDEX history_object ON history(state, address, deposed);
CREATE INDEX history_run ON history(run, sequence) WHERE run <> '';
CREATE TABLE outputs(
  state INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, type BLOB NOT NULL, sensitive INTEGER NOT NULL, sealed INTEGER NOT NULL,
  PRIMARY KEY(state, name)) WITHOUT ROWID;
CREATE TABLE runs(
  id TEXT PRIMARY KEY, stack TEXT NOT NULL, environment TEXT NOT NULL, status TEXT NOT NULL, created INTEGER NOT NULL,
  token INTEGER NOT NULL, cancelling INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE journal(
  run TEXT NOT NULL, sequence INTEGER NOT NULL, time INTEGER NOT NULL, kind TEXT NOT NULL, step INTEGER NOT NULL, data BLOB,
  PRIMARY KEY(run, sequence)) WITHOUT ROWID;
CREATE TABLE claims(
  state INTEGER NOT NULL, address TEXT NOT NULL, deposed TEXT NOT NULL, run TEXT NOT NULL,
  PRIMARY KEY(state, address, deposed)) WITHOUT ROWID;
CREATE INDEX claims_run ON claims(run);
CREATE TABLE events(
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL,
  subject TEXT NOT NULL, time INTEGER NOT NULL, data BLOB);
CREATE TABLE blobs(name TEXT PRIMARY KEY, data BLOB NOT NULL);
`

// migrate brings the file to this program's layout.
func (w *writer) migrate(ctx context.Context) error {
	var have int
	if err := w.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	switch {
	case have == schemaVersion:
		return nil
	case have > schemaVersion:
		return fmt.Errorf("it was written by a newer version of this program (layout %d, this program knows %d)", have, schemaVersion)
	}
	return w.transaction(ctx, func(tx *transaction) error {
		// Another process may have been faster.
		if err := w.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil || have == schemaVersion {
			return err
		}
		if _, err := w.conn.ExecContext(ctx, schema); err != nil {
			return err
		}
		_, err := w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}
