package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tutti-dev/tutti/internal/events"
	driver "modernc.org/sqlite"
)

// writer is the one connection that writes. Whoever writes joins a queue; who
// gets the turn writes for all who are in it by then, in one transaction with one
// sync. While that is going on the next ones gather.
type writer struct {
	// turn holds one token; who has it may use the connection. Waiting for it
	// can be given up, unlike for a mutex.
	turn       chan struct{}
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	committed  func() // called after every commit

	mu    sync.Mutex
	queue []*request
}

// request is something to be written, all or nothing.
type request struct {
	f    func(tx *transaction) error
	done chan struct{} // closed when err is final
	err  error
}

func (r *request) finish(err error) {
	r.err = err
	close(r.done)
}

// openWriter opens the file, making it where there is none, in this program's
// layout. committed is called after every commit.
func openWriter(ctx context.Context, path string, committed func()) (*writer, error) {
	db, err := sql.Open("sqlite", dataSource(path, false))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	w := &writer{turn: make(chan struct{}, 1), db: db, committed: committed, statements: map[string]*sql.Stmt{}}
	if w.conn, err = db.Conn(ctx); err != nil {
		_ = db.Close()
		return nil, plainly(err)
	}
	have, err := layoutOf(ctx, w.conn)
	if err == nil && have < len(migrations) {
		err = w.transaction(ctx, func(*transaction) error { return migrate(context.WithoutCancel(ctx), w.conn) })
	}
	if err != nil {
		_ = w.close()
		return nil, err
	}
	return w, nil
}

func (w *writer) close() error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	for _, stmt := range w.statements {
		_ = stmt.Close()
	}
	_ = w.conn.Close()
	return w.db.Close()
}

// transaction runs f, all or nothing: it sees what those before it have written
// and fails alone. It may run in another goroutine, and more than once, but only
// what it did last is kept: it must use only what it is given, and set what it
// leaves behind from the start. ctx ends the wait for others, here and in other
// processes; once begun, a transaction is not interrupted: half a batch helps
// nobody.
func (w *writer) transaction(ctx context.Context, f func(tx *transaction) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("cannot write to the store: %w", context.Cause(ctx))
	}
	r := &request{f: f, done: make(chan struct{})}
	w.mu.Lock()
	w.queue = append(w.queue, r)
	w.mu.Unlock()
	select {
	case <-r.done:
	case w.turn <- struct{}{}:
		func() {
			defer func() { <-w.turn }()
			w.writeQueue(ctx, r)
		}()
	case <-ctx.Done():
		if w.withdraw(r) {
			return fmt.Errorf("cannot write to the store: %w", context.Cause(ctx))
		}
		<-r.done // somebody is writing it
	}
	return r.err
}

// withdraw takes a request out of the queue; false where it is not there any
// more.
func (w *writer) withdraw(r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.queue, r)
	if i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
	}
	return i >= 0
}

// writeQueue writes what is in the queue once the file is free, own among it
// unless somebody has written it meanwhile. Where the file does not become free,
// only own is given up; the others find out for themselves. The caller has the
// turn.
func (w *writer) writeQueue(ctx context.Context, own *request) {
	select {
	case <-own.done:
		return
	default:
	}
	if err := w.begin(ctx); err != nil {
		w.withdraw(own)
		own.finish(err)
		return
	}
	w.mu.Lock()
	batch := w.queue
	w.queue = nil
	w.mu.Unlock()
	defer func() {
		// Where a bug ends this early, nobody waits for ever because of another.
		for _, r := range batch {
			r.finish(errors.New("cannot write to the store: what was written with it went wrong"))
		}
	}()
	refused, err := w.attempt(batch)
	for refused >= 0 {
		// The others are written without it, all again: this is rare.
		batch[refused].finish(err)
		if batch = slices.Delete(batch, refused, refused+1); len(batch) == 0 {
			return
		}
		refused = -1
		if err = w.begin(context.Background()); err == nil {
			refused, err = w.attempt(batch)
		}
	}
	for _, r := range batch {
		r.finish(err)
	}
	batch = nil
}

// begin waits for other processes.
func (w *writer) begin(ctx context.Context) error {
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		w.rollBack() // it may have succeeded just when ctx ended
		return fmt.Errorf("cannot write to the store: %w", plainly(err))
	}
	return nil
}

// ErrFull says that there is no room left where something is to be written.
var ErrFull = errors.New("the disk is full")

// ErrNoStore says that a file is no store.
var ErrNoStore = errors.New("it is not a store of Tutti")

// plainly says what SQLite means where its own words leave that open.
func plainly(err error) error {
	// https://www.sqlite.org/rescode.html; the second is about the index of the log, which
	// is made when a store is opened.
	const full, noRoomForIndex, noDatabase = 13, 4874, 26
	var told *driver.Error
	switch {
	case !errors.As(err, &told):
	case told.Code() == full, told.Code() == noRoomForIndex:
		return ErrFull
	case told.Code() == noDatabase:
		return ErrNoStore
	}
	return err
}

func (w *writer) rollBack() { _, _ = w.conn.ExecContext(context.Background(), "ROLLBACK") }

// attempt runs requests in the transaction that was begun and ends it. It
// returns which one cannot be written, and why, or -1 and what became of all.
func (w *writer) attempt(batch []*request) (refused int, err error) {
	committed := false
	defer func() {
		if !committed {
			w.rollBack()
		}
	}()
	for i, r := range batch {
		if err := r.f(&transaction{w: w}); err != nil {
			return i, err
		}
	}
	if _, err := w.conn.ExecContext(context.Background(), "COMMIT"); err != nil {
		return -1, fmt.Errorf("cannot write to the store: %w", plainly(err))
	}
	committed = true
	w.committed()
	return -1, nil
}

// transaction gives access to the writing connection with its prepared
// statements. Its errors say what could not be done.
type transaction struct {
	w *writer
	// versions are what the rows written to each state get, once there is one.
	versions map[int64]int64
	// feed is where the feed of events ends, once there is one.
	feed *events.Chain
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

// exec returns how many rows were changed.
func (tx *transaction) exec(query string, args ...any) (int64, error) {
	stmt, err := tx.statement(query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.Exec(args...)
	if err != nil {
		return 0, fmt.Errorf("cannot write to the store: %w", plainly(err))
	}
	return result.RowsAffected()
}

// row scans the first row; false where there is none.
func (tx *transaction) row(query string, args []any, into ...any) (bool, error) {
	stmt, err := tx.statement(query)
	if err != nil {
		return false, err
	}
	switch err := stmt.QueryRow(args...).Scan(into...); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, fmt.Errorf("cannot read the store: %w", err)
	}
}

// insertSizes are how many rows one statement inserts, largest first: going
// through the driver costs more than inserting, and every size is a statement
// to keep prepared.
var insertSizes = [...]int{64, 8, 1}

// inserting is an INSERT of many rows.
type inserting struct {
	into   string // table and columns; the first one has the same value in all rows
	others int    // number of columns behind the first
	then   string // what stands behind the values
}

// text is the statement for so many rows.
func (q inserting) text(rows int) string {
	row := "(?1" + strings.Repeat(", ?", q.others) + ")"
	return "INSERT INTO " + q.into + " VALUES" + row + strings.Repeat(", "+row, rows-1) + q.then
}

// insert adds rows. values appends what stands behind the first column.
func (tx *transaction) insert(q inserting, first any, count int, values func(i int, args []any) ([]any, error)) error {
	var args []any
	for done := 0; done < count; {
		size := insertSizes[0]
		for _, size = range insertSizes {
			if size <= count-done {
				break
			}
		}
		args = append(args[:0], first)
		for i := range size {
			var err error
			if args, err = values(done+i, args); err != nil {
				return err
			}
		}
		if _, err := tx.exec(q.text(size), args...); err != nil {
			return err
		}
		done += size
	}
	return nil
}
