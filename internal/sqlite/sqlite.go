// Package sqlite is the embedded store: states, runs, journals and events of a
// project in one SQLite file, .tutti/store.db.
//
// Several processes may use it at once. Writing goes through one connection per
// process: whatever is to be written while a transaction is under way is written
// together in the next one, synced to disk before anybody is told that it
// happened. Reading goes through other connections and never waits for writers.
// Sensitive values are sealed before they reach the file.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"
	driver "modernc.org/sqlite"
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
	dir   string
	hider Sealer
	now   func() time.Time

	mu     sync.Mutex
	blank  *sql.DB // what is read while there is no file
	reader *sql.DB // nil while there is no file, as is writer
	writer *writer
	using  *os.File // locked while the file is open

	held sync.Map // runs whose locks this store has

	watching sync.Mutex
	watchers map[*Changes]bool

	fires map[string]int // instants taken by schedule, since opened; for the writer only
}

const (
	fileName = "store.db"
	// busyTimeout is how long a writer waits for another process.
	busyTimeout = 60 * time.Second
	// readers is how many may read at once.
	readers = 4
)

// Open opens the store in a folder. The folder and the file are made when
// something is first written; until then everything reads as empty. The error
// says that the file is there but cannot be used: damaged, not permitted, or
// written by a newer version of the program.
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{dir: dir, hider: opts.Hider, now: opts.Now}
	if _, err := s.reading(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

// reading returns what to read from: the file, or something empty where there
// is none yet.
func (s *Store) reading(ctx context.Context) (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reader != nil {
		return s.reader, nil
	}
	_, err := os.Stat(s.path())
	if err == nil {
		if err := s.openFile(ctx); err != nil {
			return nil, err
		}
		return s.reader, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	if s.blank == nil {
		if s.blank, err = openBlank(ctx); err != nil {
			return nil, err
		}
	}
	return s.blank, nil
}

// write runs f in a transaction of the file, which is made where there is none.
func (s *Store) write(ctx context.Context, f func(tx *transaction) error) error {
	w, err := s.writing(ctx)
	if err != nil {
		return err
	}
	return w.transaction(ctx, f)
}

func (s *Store) writing(ctx context.Context) (*writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer == nil {
		if err := s.openFile(ctx); err != nil {
			return nil, err
		}
	}
	return s.writer, nil
}

// openFile opens or makes the file. s.mu is held.
func (s *Store) openFile(ctx context.Context) error {
	opened, err := s.prepare()
	if err != nil {
		return fmt.Errorf("cannot open the store: %w", err)
	}
	defer opened()
	// What a commit waits for is then its data, not the file's times as well, of
	// which nothing depends: on journaling file systems that is most of the time.
	// The switch is the process's, and the same for all stores; where there is no
	// such call, fsync is used as before.
	_, _ = driver.Fdatasync(true)
	using, err := use(s.dir, false)
	if err != nil {
		return fmt.Errorf("cannot open the store %s: %w", s.path(), err)
	}
	w, err := openWriter(ctx, s.path(), s.changed)
	if err != nil {
		unlock(using)
		return fmt.Errorf("cannot open the store %s: %w", s.path(), plainly(err))
	}
	reader, err := sql.Open("sqlite", dataSource(s.path(), true))
	if err != nil {
		_ = w.close()
		unlock(using)
		return fmt.Errorf("cannot open the store %s: %w", s.path(), err)
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	s.reader, s.writer, s.using = reader, w, using
	return nil
}

// prepare makes the folder and an empty file that nobody else may read. Nobody else, in
// this process or another, opens the store until opened is called: to give a new file its
// write-ahead log SQLite needs it alone, and it does not wait for that in all cases.
//
// That is so for files that have their log, too. To look into one first would mean to
// close it again, and with that SQLite loses its locks on it: they are the process's, and
// closing any descriptor of a file drops them all.
func (s *Store) prepare() (opened func(), err error) {
	if err := makeFolder(s.dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, openingName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err = flock(lock, unix.LOCK_EX); err == nil {
		err = makeFile(s.path(), "")
	}
	if err != nil {
		unlock(lock)
		return nil, err
	}
	return func() { unlock(lock) }, nil
}

// openingName is locked by whoever opens the store, until it is open.
const openingName = ".making"

// makeFolder makes the folder of a store, kept out of version control.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return makeFile(filepath.Join(dir, ".gitignore"), "*\n")
}

// makeFile makes a file where there is none.
func makeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// openBlank returns an empty database in memory.
func openBlank(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	db.SetMaxOpenConns(1) // each connection has a memory of its own
	db.SetConnMaxIdleTime(0)
	conn, err := db.Conn(ctx)
	if err == nil {
		err = migrate(ctx, conn)
		_ = conn.Close()
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	return db, nil
}

func dataSource(path string, readOnly bool) string {
	q := url.Values{}
	for _, pragma := range []string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "cache_size(-65536)",
	} {
		q.Add("_pragma", pragma)
	}
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
	}
	return fileURL(path, q)
}

// fileURL names a file to the driver.
func fileURL(path string, options url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: options.Encode()}).String()
}

// Close closes the store. Leases still held stay so until they are released or
// the process ends.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []error
	if s.blank != nil {
		list = append(list, s.blank.Close())
	}
	if s.reader != nil {
		list = append(list, s.reader.Close())
	}
	if s.writer != nil {
		list = append(list, s.writer.close())
	}
	if s.using != nil {
		unlock(s.using)
	}
	s.blank, s.reader, s.writer, s.using = nil, nil, nil, nil
	if err := errors.Join(list...); err != nil {
		return fmt.Errorf("cannot close the store: %w", err)
	}
	return nil
}
