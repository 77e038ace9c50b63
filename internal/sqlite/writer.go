package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// writer is the one connection that writes.
type writer struct {
	// turn holds one token; who has it may use the connection. Waiting for it
	// can be given up, unlike for a mutex.
	turn       chan struct{}
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

// openWriter opens the file, making it where there is none, in this program's
// layout.
func openWriter(ctx context.Context, path string) (*writer, error) {
	db, err := sql.Open("sqlite", dataSource(path, false))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	w := &writer{turn: make(chan struct{}, 1), db: db, statements: map[string]*sql.Stmt{}}
	if w.conn, err = db.Conn(ctx); err != nil {
		_ = db.Close()
		return nil, err
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

// transaction runs f alone, all or nothing. f must use only what it is given.
// ctx ends the wait for others, here and in other processes; once begun, a
// transaction is not interrupted: half a batch helps nobody.
func (w *writer) transaction(ctx context.Context, f func(tx *transaction) error) error {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("cannot write to the store: %w", context.Cause(ctx))
	}
	defer func() { <-w.turn }()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cannot write to the store: %w", context.Cause(ctx))
	}
	done := false
	defer func() {
		// Also where BEGIN failed: it may have succeeded just when ctx ended.
		if !done {
			_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK")
		}
	}()
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("cannot write to the store: %w", err)
	}
	if err := f(&transaction{w: w}); err != nil {
		return err
	}
	if _, err := w.conn.ExecContext(context.Background(), "COMMIT"); err != nil {
		return fmt.Errorf("cannot write to the store: %w", err)
	}
	done = true
	return nil
}

// transaction gives access to the writing connection with its prepared
// statements. Its errors say what could not be done.
type transaction struct {
	w *writer
	// versions are what the rows written to each state get, once there is one.
	versions map[int64]int64
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
		return 0, fmt.Errorf("cannot write to the store: %w", err)
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

// insert adds rows of so many columns. values appends those of one row; head is
// what stands before VALUES and tail what stands behind.
func (tx *transaction) insert(head string, columns int, tail string, count int, values func(i int, args []any) ([]any, error)) error {
	var args []any
	for done := 0; done < count; {
		size := insertSizes[0]
		for _, size = range insertSizes {
			if size <= count-done {
				break
			}
		}
		args = args[:0]
		for i := range size {
			var err error
			if args, err = values(done+i, args); err != nil {
				return err
			}
		}
		if _, err := tx.exec(insertQuery{head, columns, tail, size}.text(), args...); err != nil {
			return err
		}
		done += size
	}
	return nil
}

// insertQuery is the text of an insert.
type insertQuery struct {
	head    string
	columns int
	tail    string
	rows    int
}

func (q insertQuery) text() string {
	row := "(?" + strings.Repeat(", ?", q.columns-1) + ")"
	return q.head + " VALUES" + row + strings.Repeat(", "+row, q.rows-1) + q.tail
}
