package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
)

// EnterPools implements runs.StepStore.
func (s *Store) EnterPools(ctx context.Context, lease runs.Lease, tickets []runs.Ticket) error {
	return s.write(ctx, func(tx *transaction) error {
		var token int64
		var ended bool
		found, err := tx.row("SELECT token, status IN "+endedStatuses+" FROM runs WHERE id = ?", []any{lease.Run}, &token, &ended)
		switch {
		case err != nil:
			return err
		case !found:
			return runs.ErrNotFound
		case token != lease.Token || ended:
			return runs.ErrFenced
		}
		q := inserting{into: "tickets(run, pool, step, name, priority, places, rate, per, asked)", others: 8, then: " ON CONFLICT(run, step) DO NOTHING"}
		return tx.insert(q, lease.Run, len(tickets), func(i int, args []any) ([]any, error) {
			t := &tickets[i]
			return append(args, t.Pool, t.Step, t.Name, t.Priority, t.Limit, t.Rate, int64(t.Per), nanoseconds(t.Asked)), nil
		})
	})
}

// leavePools takes the places of a run away.
func (tx *transaction) leavePools(run string) error {
	_, err := tx.exec("DELETE FROM tickets WHERE run = ?", run)
	return err
}

// GrantPools implements runs.StepStore. It looks first, without keeping anybody
// from writing, and goes through the same again for writing only where something
// is to be changed.
func (s *Store) GrantPools(ctx context.Context, run string, now time.Time) (granted runs.Grant, err error) {
	changes := false
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		g := &granting{store: s, now: nanoseconds(now), row: func(query string, args []any, into ...any) (bool, error) {
			err := tx.QueryRowContext(ctx, query, args...).Scan(into...)
			if errors.Is(err, sql.ErrNoRows) {
				return false, nil
			}
			return err == nil, err
		}}
		if granted, err = g.all(run); err == nil {
			changes = g.changes
		}
		return err
	})
	if err != nil {
		return runs.Grant{}, fmt.Errorf("cannot read the pools: %w", err)
	}
	if !changes {
		return granted, nil
	}
	err = s.write(ctx, func(tx *transaction) error {
		g := &granting{store: s, now: nanoseconds(now), row: tx.row, exec: tx.exec}
		granted, err = g.all(run)
		return err
	})
	return granted, err
}

// granting goes through the pools of a run. Every question is answered by an
// index and reads as many rows as it returns, or as a limit or rate allows:
// queues may be long.
type granting struct {
	store *Store
	now   int64
	row   func(query string, args []any, into ...any) (bool, error)
	// exec is nil where nothing may be written: then changes tells that
	// something would be.
	exec    func(query string, args ...any) (int64, error)
	changes bool
	next    int64 // when a rate lets somebody in; 0 for never
	others  map[string]bool
}

func (g *granting) all(run string) (out runs.Grant, err error) {
	pool := ""
	for first := true; ; first = false {
		found, err := g.following("SELECT pool FROM tickets WHERE pool %s ? ORDER BY pool LIMIT 1", first, &pool)
		if err != nil {
			return out, err
		}
		if !found {
			break
		}
		var some int
		if found, err = g.row("SELECT 1 FROM tickets WHERE pool = ? AND run = ? LIMIT 1", []any{pool, run}, &some); err != nil {
			return out, err
		}
		if !found {
			continue
		}
		if err := g.pool(pool); err != nil {
			return out, err
		}
		if g.changes && g.exec == nil {
			return out, nil // it is all done again
		}
	}
	for step := -1; ; {
		found, err := g.row("SELECT step FROM tickets WHERE run = ? AND step > ? AND granted IS NOT NULL ORDER BY step LIMIT 1", []any{run, step}, &step)
		if err != nil || !found {
			delete(g.others, run)
			out.Next, out.Others = instant(g.next), slices.Sorted(maps.Keys(g.others))
			return out, err
		}
		out.Steps = append(out.Steps, step)
	}
}

// following moves a text on to the next in an index.
func (g *granting) following(query string, first bool, text *string, before ...any) (bool, error) {
	than := ">"
	if first {
		than = ">="
	}
	return g.row(fmt.Sprintf(query, than), append(before, *text), text)
}

// pool drops who is gone and lets in who may enter.
func (g *granting) pool(pool string) error {
	run := ""
	for first := true; ; first = false {
		found, err := g.following("SELECT run FROM tickets WHERE pool = ? AND run %s ? ORDER BY run LIMIT 1", first, &run, pool)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		// Tickets seen in a writing transaction are those of the owner who is looked
		// for here: another one takes over, and drops them, only behind it.
		if g.store.alive(run) {
			continue
		}
		if g.changes = true; g.exec == nil {
			return nil
		}
		if _, err := g.exec("DELETE FROM tickets WHERE pool = ? AND run = ?", pool, run); err != nil {
			return err
		}
	}
	for {
		entered, err := g.enter(pool)
		if err != nil || !entered || g.exec == nil {
			return err
		}
	}
}

// enter lets the first of a queue in, if the pool allows.
func (g *granting) enter(pool string) (bool, error) {
	var id, places, rate, per int64
	var run string
	found, err := g.row("SELECT id, run, places, rate, per FROM tickets WHERE pool = ? AND granted IS NULL ORDER BY priority DESC, id LIMIT 1", []any{pool}, &id, &run, &places, &rate, &per)
	if err != nil || !found {
		return false, err
	}
	if places > 0 {
		var in int64
		if _, err := g.row("SELECT count(*) FROM (SELECT 1 FROM tickets WHERE pool = ? AND granted IS NOT NULL LIMIT ?)", []any{pool, places}, &in); err != nil || in >= places {
			return false, err
		}
	}
	if rate > 0 {
		var at int64
		full, err := g.row("SELECT at FROM passages WHERE pool = ? ORDER BY at DESC LIMIT 1 OFFSET ?", []any{pool, rate - 1}, &at)
		if err != nil {
			return false, err
		}
		if full && at > g.now-per {
			if g.next == 0 || at+per < g.next {
				g.next = at + per
			}
			return false, nil
		}
	}
	if g.changes = true; g.exec == nil {
		return true, nil
	}
	if _, err := g.exec("UPDATE tickets SET granted = ? WHERE id = ?", g.now, id); err != nil {
		return false, err
	}
	if g.others == nil {
		g.others = map[string]bool{}
	}
	g.others[run] = true
	if rate > 0 {
		if _, err := g.exec("DELETE FROM passages WHERE pool = ? AND expires <= ?", pool, g.now); err != nil {
			return false, err
		}
		if _, err := g.exec("INSERT INTO passages(pool, at, expires) VALUES(?, ?, ?)", pool, g.now, g.now+per); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Pools implements runs.StepStore.
func (s *Store) Pools(ctx context.Context) ([]runs.Ticket, error) {
	var list []runs.Ticket
	err := s.list(ctx, "SELECT pool, run, step, name, priority, places, rate, per, asked, granted FROM tickets ORDER BY pool, granted IS NULL, granted, priority DESC, id", nil, func(rows *sql.Rows) error {
		var t runs.Ticket
		var asked int64
		var granted sql.NullInt64
		err := rows.Scan(&t.Pool, &t.Run, &t.Step, &t.Name, &t.Priority, &t.Limit, &t.Rate, (*int64)(&t.Per), &asked, &granted)
		t.Asked, t.Granted = instant(asked), instant(granted.Int64)
		list = append(list, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the pools: %w", err)
	}
	alive := map[string]bool{}
	var out []runs.Ticket
	for _, t := range list {
		if _, asked := alive[t.Run]; !asked {
			alive[t.Run] = s.alive(t.Run)
		}
		if alive[t.Run] {
			out = append(out, t)
		}
	}
	return out, nil
}
