package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

var _ runs.Store = (*Store)(nil)

// endedStatuses are the statuses of runs that hold nothing any more.
const endedStatuses = "('" + string(runs.Succeeded) + "', '" + string(runs.Failed) + "', '" + string(runs.Cancelled) + "')"

// Start implements runs.Store. states.ErrExists says that there is a run of this
// name already.
func (s *Store) Start(ctx context.Context, run runs.Run, plan []byte, claim runs.Claim, adjust []states.Change) (runs.Lease, error) {
	release, err := s.lock(run.ID)
	if err != nil {
		return runs.Lease{}, err
	}
	var exists bool
	err = s.write(ctx, func(tx *transaction) error {
		var some int
		var err error
		if exists, err = tx.row("SELECT 1 FROM runs WHERE id = ?", []any{run.ID}, &some); err != nil {
			return err
		}
		if exists {
			return fmt.Errorf("cannot start run %s: %w", run.ID, states.ErrExists)
		}
		state, err := tx.ensureState(run.Key)
		if err != nil {
			return err
		}
		if err := tx.checkVersions(state, claim.Expect); err != nil {
			return err
		}
		if err := tx.checkWritable(state, "", writtenBy(claim, adjust)); err != nil {
			return err
		}
		if err := tx.insertRun(run, state, claim.Objects); err != nil {
			return err
		}
		if plan != nil {
			// Definitions hold whatever people write into their files. Plans come sealed.
			data, isSealed, err := s.sealData(plan, strings.HasPrefix(run.Blob, "definition/"))
			if err != nil {
				return err
			}
			if _, err := tx.exec("INSERT OR IGNORE INTO blobs(name, data, sealed) VALUES(?, ?, ?)", run.Blob, data, isSealed); err != nil {
				return err
			}
		}
		return s.writeRows(tx, state, origin{run: run.ID, cause: "refresh"}, adjust)
	})
	if err != nil {
		if !exists {
			s.dropLock(run.ID)
		}
		release()
		return runs.Lease{}, err
	}
	return runs.Lease{Run: run.ID, Token: 1, Release: release}, nil
}

// writtenBy lists what a run writes: what it claims and what it adjusts.
func writtenBy(claim runs.Claim, adjust []states.Change) []addrs.Object {
	set := make(map[addrs.Object]bool, len(claim.Objects)+len(adjust))
	for _, o := range claim.Objects {
		set[o] = true
	}
	for _, c := range adjust {
		set[c.Object] = true
	}
	return slices.Collect(maps.Keys(set))
}

// insertRun makes a run with its claim.
func (tx *transaction) insertRun(run runs.Run, state int64, claimed []addrs.Object) error {
	document, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("cannot store run %s: %w", run.ID, err)
	}
	_, err = tx.exec("INSERT INTO runs(id, stack, environment, status, created, ended, token, cancelling, document) VALUES(?, ?, ?, ?, ?, ?, 1, 0, ?)",
		run.ID, run.Key.Stack, run.Key.Environment, string(run.Status), run.Created.UnixNano(), endOf(run), document)
	if err != nil {
		return err
	}
	for _, obj := range claimed {
		if _, err := tx.exec("INSERT OR IGNORE INTO claims(state, address, deposed, run) VALUES(?, ?, ?, ?)", state, obj.Instance.String(), string(obj.Deposed), run.ID); err != nil {
			return err
		}
	}
	return nil
}

// Acquire implements runs.Store. It fails where the run has ended.
func (s *Store) Acquire(ctx context.Context, id string) (runs.Lease, error) {
	release, token, err := s.takeOver(ctx, id, func(*transaction) error { return nil })
	if err != nil {
		return runs.Lease{}, err
	}
	return runs.Lease{Run: id, Token: token, Release: release}, nil
}

// takeOver locks a run that has not ended, fences off whoever still believes to
// own it, takes its places in pools away, and does something more in the same
// transaction.
func (s *Store) takeOver(ctx context.Context, id string, more func(tx *transaction) error) (release func(), token int64, err error) {
	if _, err := s.Run(ctx, id); err != nil {
		return nil, 0, err
	}
	if release, err = s.lock(id); err != nil {
		return nil, 0, err
	}
	var ended bool
	err = s.write(ctx, func(tx *transaction) error {
		// Only now nobody else changes it any more.
		if _, err := tx.row("SELECT status IN "+endedStatuses+" FROM runs WHERE id = ?", []any{id}, &ended); err != nil {
			return err
		}
		if ended {
			return fmt.Errorf("cannot take over run %s: %w", id, runs.ErrEnded)
		}
		if _, err := tx.exec("UPDATE runs SET token = token + 1, cancelling = 0 WHERE id = ?", id); err != nil {
			return err
		}
		if _, err := tx.row("SELECT token FROM runs WHERE id = ?", []any{id}, &token); err != nil {
			return err
		}
		if err := tx.leavePools(id); err != nil {
			return err
		}
		return more(tx)
	})
	if err != nil {
		if ended {
			s.dropLock(id)
		}
		release()
		return nil, 0, err
	}
	return release, token, nil
}

// Abandon implements runs.Store. It fails where the run has ended.
func (s *Store) Abandon(ctx context.Context, id string, told ...events.Event) error {
	release, _, err := s.takeOver(ctx, id, func(tx *transaction) error {
		var document []byte
		if _, err := tx.row("SELECT document FROM runs WHERE id = ?", []any{id}, &document); err != nil {
			return err
		}
		var run runs.Run
		if err := json.Unmarshal(document, &run); err != nil {
			return fmt.Errorf("cannot read run %s: %w", id, err)
		}
		run.Status, run.Ended, run.Waits = runs.Cancelled, s.now(), ""
		if err := tx.updateRun(run); err != nil {
			return err
		}
		return s.appendEvents(tx, told)
	})
	if err != nil {
		return err
	}
	s.dropLock(id)
	release()
	return nil
}

// updateRun replaces what is stored about a run; one that has ended loses its
// claim and its places in pools.
func (tx *transaction) updateRun(run runs.Run) error {
	document, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("cannot store run %s: %w", run.ID, err)
	}
	if _, err := tx.exec("UPDATE runs SET status = ?, ended = ?, document = ? WHERE id = ?", string(run.Status), endOf(run), document, run.ID); err != nil {
		return err
	}
	if !run.Status.Ended() {
		return nil
	}
	if _, err = tx.exec("DELETE FROM claims WHERE run = ?", run.ID); err != nil {
		return err
	}
	return tx.leavePools(run.ID)
}

// endOf is when a run ended as it is stored; nil where it has not.
func endOf(run runs.Run) any {
	if run.Ended.IsZero() {
		return nil
	}
	return run.Ended.UnixNano()
}

// Run implements runs.Store.
func (s *Store) Run(ctx context.Context, id string) (runs.Run, error) {
	list, err := s.listRuns(ctx, "WHERE id = ?", id)
	if err != nil {
		return runs.Run{}, err
	}
	if len(list) == 0 {
		return runs.Run{}, runs.ErrNotFound
	}
	return list[0], nil
}

// Runs implements runs.Store.
func (s *Store) Runs(ctx context.Context, q runs.RunQuery) ([]runs.Run, error) {
	selection, args := runSelection(q)
	list, err := s.listRuns(ctx, selection, args...)
	if err != nil || q.Status == "" {
		return list, err
	}
	// What was chosen may have gone on meanwhile.
	list = slices.DeleteFunc(list, func(r runs.Run) bool { return r.Status != q.Status })
	if q.Limit > 0 && len(list) > q.Limit {
		list = list[:q.Limit]
	}
	return list, nil
}

// CountRuns implements runs.Store.
func (s *Store) CountRuns(ctx context.Context, q runs.RunQuery) (count int, err error) {
	if q.Limit = 0; drivenOrNot(q) {
		list, err := s.Runs(ctx, q)
		return len(list), err
	}
	where, args := runConditions(q)
	db, err := s.reading(ctx)
	if err != nil {
		return 0, err
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM runs "+where, args...).Scan(&count); err != nil {
		return 0, fmt.Errorf("cannot count the runs: %w", err)
	}
	return count, nil
}

// drivenOrNot reports whether runs are asked for because somebody drives them or nobody
// does: which of both is not stored.
func drivenOrNot(q runs.RunQuery) bool {
	return q.Status == runs.Running || q.Status == runs.Interrupted
}

// runSelection is a query in SQL, as it goes on behind the table's name. Of the runs
// that are asked for because somebody drives them or nobody does, it selects all that
// have not ended.
func runSelection(q runs.RunQuery) (string, []any) {
	if drivenOrNot(q) {
		q.Limit = 0
	}
	where, args := runConditions(q)
	return where + "ORDER BY created DESC, id DESC LIMIT ?", append(args, limitOf(q.Limit))
}

// runConditions are those of [runSelection].
func runConditions(q runs.RunQuery) (string, []any) {
	open := drivenOrNot(q)
	where, args := given(
		condition{"stack = ?", q.Stack, q.Stack != ""},
		condition{"environment = ?", q.Environment, q.Environment != ""},
		condition{runKind + " = ?", q.Kind, q.Kind != ""},
		condition{runWorkflow + " = ?", q.Workflow, q.Workflow != ""},
		condition{runParent + " = ?", q.Parent, q.Parent != ""},
		condition{"status = ?", string(q.Status), q.Status != "" && !open},
		condition{"ended >= ?", bound(q.EndedSince), !q.EndedSince.IsZero()},
	)
	and := func(text string, values ...any) { where, args = where+"AND "+text+" ", append(args, values...) }
	if q.State != nil {
		and("stack = ? AND environment = ? AND "+changesState, q.State.Stack, q.State.Environment)
	}
	if q.Top {
		and(runParent + " IS NULL")
	}
	if open {
		and("status NOT IN " + endedStatuses)
	}
	if q.Waiting {
		and(runWaits + " IS NOT NULL")
	}
	if q.Before != nil {
		and("(created, id) < (?, ?)", q.Before.Created.UnixNano(), q.Before.ID)
	}
	return where, args
}

// Unended implements runs.Store.
func (s *Store) Unended(ctx context.Context) ([]runs.Run, error) {
	list, err := s.listRuns(ctx, "WHERE status NOT IN "+endedStatuses+" ORDER BY created, id")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(r runs.Run) bool { return r.Status.Ended() }), nil // meanwhile
}

func (s *Store) listRuns(ctx context.Context, where string, args ...any) ([]runs.Run, error) {
	fail := func(err error) ([]runs.Run, error) { return nil, fmt.Errorf("cannot read the runs: %w", err) }
	// Who has ended is asked for only after who is alive: somebody may end in
	// between, but was not interrupted.
	out, err := s.storedRuns(ctx, where, args...)
	if err != nil {
		return fail(err)
	}
	for i := range out {
		run := &out[i]
		if run.Status.Ended() || run.Status == runs.Pending || s.alive(run.ID) {
			continue
		}
		now, err := s.storedRuns(ctx, "WHERE id = ?", run.ID)
		if err != nil {
			return fail(err)
		}
		if len(now) > 0 {
			*run = now[0]
		}
		if !run.Status.Ended() {
			run.Status = runs.Interrupted
		}
	}
	return out, nil
}

// storedRuns returns runs as they are stored.
func (s *Store) storedRuns(ctx context.Context, where string, args ...any) ([]runs.Run, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT document, cancelling FROM runs "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []runs.Run
	for rows.Next() {
		var document []byte
		var cancelling int
		if err := rows.Scan(&document, &cancelling); err != nil {
			return nil, err
		}
		var run runs.Run
		if err := json.Unmarshal(document, &run); err != nil {
			return nil, err
		}
		run.Cancelling = cancelling
		out = append(out, run)
	}
	return out, rows.Err()
}

// RequestCancel implements runs.Store. Asking a run that has ended changes
// nothing.
func (s *Store) RequestCancel(ctx context.Context, id string, told ...events.Event) (runs.Run, error) {
	err := s.write(ctx, func(tx *transaction) error {
		asked, err := tx.exec("UPDATE runs SET cancelling = min(cancelling + 1, 2) WHERE id = ? AND status NOT IN "+endedStatuses, id)
		if err != nil || asked == 0 {
			return err
		}
		return s.appendEvents(tx, told)
	})
	if err != nil {
		return runs.Run{}, err
	}
	return s.Run(ctx, id)
}
