package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
)

var _ runs.ScheduleStore = (*Store)(nil)

// LastFire implements runs.ScheduleStore.
func (s *Store) LastFire(ctx context.Context, schedule string) (time.Time, bool, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return time.Time{}, false, err
	}
	var at int64
	err = db.QueryRowContext(ctx, "SELECT at FROM fires WHERE schedule = ? ORDER BY at DESC LIMIT 1", schedule).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("cannot read the instants of schedule %s: %w", schedule, err)
	}
	return fired(at), true, nil
}

// Fire implements runs.ScheduleStore.
func (s *Store) Fire(ctx context.Context, schedule string, at time.Time, run string) (fresh bool, err error) {
	err = s.write(ctx, func(tx *transaction) error {
		count, err := tx.exec("INSERT INTO fires(schedule, at, run, status) VALUES(?, ?, ?, ?) ON CONFLICT(schedule, at) DO NOTHING",
			schedule, at.UnixNano(), run, string(runs.FireStarted))
		fresh = count == 1
		return err
	})
	if err != nil {
		return false, err
	}
	return fresh, nil
}

// Fires implements runs.ScheduleStore.
func (s *Store) Fires(ctx context.Context, schedule string, limit int) ([]runs.Fire, error) {
	fail := func(err error) ([]runs.Fire, error) {
		return nil, fmt.Errorf("cannot read the instants of schedule %s: %w", schedule, err)
	}
	if limit <= 0 {
		limit = -1
	}
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT at, run, status FROM fires WHERE schedule = ? ORDER BY at DESC LIMIT ?", schedule, limit)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	var out []runs.Fire
	for rows.Next() {
		fire := runs.Fire{Schedule: schedule}
		var at int64
		if err := rows.Scan(&at, &fire.Run, (*string)(&fire.Status)); err != nil {
			return fail(err)
		}
		fire.At = fired(at)
		out = append(out, fire)
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return out, nil
}

// RecordFire implements runs.ScheduleStore.
func (s *Store) RecordFire(ctx context.Context, fire runs.Fire) error {
	return s.write(ctx, func(tx *transaction) error {
		count, err := tx.exec("UPDATE fires SET run = ?, status = ? WHERE schedule = ? AND at = ?", fire.Run, string(fire.Status), fire.Schedule, fire.At.UnixNano())
		if err != nil {
			return err
		}
		if count == 0 {
			return fmt.Errorf("cannot record what became of schedule %s at %s: %w", fire.Schedule, fire.At.UTC().Format(time.RFC3339), runs.ErrNoFire)
		}
		return nil
	})
}

// fired reads an instant: unlike elsewhere, 0 is one too, the epoch.
func fired(at int64) time.Time { return time.Unix(0, at).UTC() }
