package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
)

var _ runs.ScheduleStore = (*Store)(nil)

// openFires are the statuses of instants that somebody has to see to.
const openFires = "('" + string(runs.FireStarted) + "', '" + string(runs.FireQueued) + "')"

// Sightings implements runs.ScheduleStore.
func (s *Store) Sightings(ctx context.Context) ([]runs.Sighting, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT name, expression, upto FROM schedules ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("cannot read the schedules: %w", err)
	}
	defer rows.Close()
	var out []runs.Sighting
	for rows.Next() {
		var one runs.Sighting
		var upTo int64
		if err := rows.Scan(&one.Schedule, &one.Expression, &upTo); err != nil {
			return nil, fmt.Errorf("cannot read the schedules: %w", err)
		}
		one.UpTo = fired(upTo)
		out = append(out, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the schedules: %w", err)
	}
	return out, nil
}

// See implements runs.ScheduleStore.
func (s *Store) See(ctx context.Context, sightings []runs.Sighting) error {
	return s.write(ctx, func(tx *transaction) error {
		for _, one := range sightings {
			_, err := tx.exec("INSERT INTO schedules(name, expression, upto) VALUES(?1, ?2, ?3) ON CONFLICT(name) DO UPDATE SET expression = ?2, upto = ?3 WHERE expression <> ?2",
				one.Schedule, one.Expression, one.UpTo.UnixNano())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Pass implements runs.ScheduleStore.
func (s *Store) Pass(ctx context.Context, sightings []runs.Sighting) error {
	return s.write(ctx, func(tx *transaction) error {
		for _, one := range sightings {
			_, err := tx.exec("UPDATE schedules SET upto = ?3 WHERE name = ?1 AND expression = ?2 AND upto < ?3", one.Schedule, one.Expression, one.UpTo.UnixNano())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget implements runs.ScheduleStore.
func (s *Store) Forget(ctx context.Context, schedules []string) error {
	return s.write(ctx, func(tx *transaction) error {
		for _, name := range schedules {
			if _, err := tx.exec("DELETE FROM schedules WHERE name = ?", name); err != nil {
				return err
			}
		}
		return nil
	})
}

// Take implements runs.ScheduleStore.
func (s *Store) Take(ctx context.Context, fires []runs.Fire) ([]runs.Fire, error) {
	var taken []runs.Fire
	err := s.write(ctx, func(tx *transaction) error {
		for _, f := range fires {
			fresh, err := tx.take(&f)
			if err != nil {
				return err
			}
			if fresh {
				taken = append(taken, f)
				if err := s.dropFires(tx, f.Schedule); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// take takes one instant and says in it what it is kept as.
func (tx *transaction) take(f *runs.Fire) (fresh bool, err error) {
	if !f.Backfill {
		if _, err := tx.exec("UPDATE schedules SET upto = ?2 WHERE name = ?1 AND upto < ?2", f.Schedule, f.At.UnixNano()); err != nil {
			return false, err
		}
	}
	var one int
	busy := false
	if !f.Backfill {
		if busy, err = tx.row("SELECT 1 FROM fires WHERE schedule = ? AND backfill = 0 AND status IN "+openFires+" LIMIT 1", []any{f.Schedule}, &one); err != nil {
			return false, err
		}
	}
	if !busy {
		f.Status = runs.FireStarted
	}
	if f.Status == runs.FireSkipped {
		f.Run = ""
	}
	f.At = f.At.UTC().Round(0)
	count, err := tx.exec("INSERT INTO fires(schedule, at, run, status, backfill) VALUES(?, ?, ?, ?, ?) ON CONFLICT(schedule, at) DO NOTHING",
		f.Schedule, f.At.UnixNano(), f.Run, string(f.Status), f.Backfill)
	return count == 1, err
}

// dropEvery is after how many instants of a schedule old ones are looked for:
// finding the oldest that is kept means walking over all.
const dropEvery = 100

// dropFires forgets instants beyond those kept. It runs inside a transaction, so
// nobody else is at the counters.
func (s *Store) dropFires(tx *transaction, schedule string) error {
	if s.fires == nil {
		s.fires = map[string]int{}
	}
	s.fires[schedule]++
	if s.fires[schedule]%dropEvery != 1 {
		return nil
	}
	_, err := tx.exec(`DELETE FROM fires WHERE schedule = ?1 AND status NOT IN `+openFires+` AND at < max(
		coalesce((SELECT at FROM fires WHERE schedule = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2), -9223372036854775807),
		(SELECT max(at) FROM fires WHERE schedule = ?1) - ?3)`, schedule, runs.FiresKept-1, int64(runs.FireAge))
	return err
}

// Fires implements runs.ScheduleStore.
func (s *Store) Fires(ctx context.Context, schedule string, limit int) ([]runs.Fire, error) {
	if limit <= 0 {
		limit = -1
	}
	return s.listFires(ctx, "WHERE schedule = ? ORDER BY at DESC LIMIT ?", schedule, limit)
}

// OpenFires implements runs.ScheduleStore.
func (s *Store) OpenFires(ctx context.Context, schedule string) ([]runs.Fire, error) {
	const open = "WHERE status IN " + openFires
	if schedule == "" {
		return s.listFires(ctx, open+" ORDER BY schedule, at")
	}
	return s.listFires(ctx, open+" AND schedule = ? ORDER BY at", schedule)
}

func (s *Store) listFires(ctx context.Context, where string, args ...any) ([]runs.Fire, error) {
	fail := func(err error) ([]runs.Fire, error) {
		return nil, fmt.Errorf("cannot read the instants of schedules: %w", err)
	}
	db, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT schedule, at, run, status, backfill FROM fires "+where, args...)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	var out []runs.Fire
	for rows.Next() {
		var fire runs.Fire
		var at int64
		if err := rows.Scan(&fire.Schedule, &at, &fire.Run, (*string)(&fire.Status), &fire.Backfill); err != nil {
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
func (s *Store) RecordFire(ctx context.Context, fire runs.Fire, was runs.FireStatus) (recorded bool, err error) {
	err = s.write(ctx, func(tx *transaction) error {
		var have string
		there, err := tx.row("SELECT status FROM fires WHERE schedule = ? AND at = ?", []any{fire.Schedule, fire.At.UnixNano()}, &have)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("cannot record what became of schedule %s at %s: %w", fire.Schedule, fire.At.UTC().Format(time.RFC3339), runs.ErrNoFire)
		}
		if recorded = have == string(was); !recorded {
			return nil
		}
		_, err = tx.exec("UPDATE fires SET run = ?, status = ?, backfill = ? WHERE schedule = ? AND at = ?",
			fire.Run, string(fire.Status), fire.Backfill, fire.Schedule, fire.At.UnixNano())
		return err
	})
	return recorded && err == nil, err
}

// BeginBackfill implements runs.ScheduleStore.
func (s *Store) BeginBackfill(ctx context.Context, schedule string, from, to time.Time) (number int, err error) {
	err = s.write(ctx, func(tx *transaction) error {
		there, err := tx.row("SELECT number FROM backfills WHERE schedule = ? AND since = ? AND until = ? AND ended = 0", []any{schedule, from.UnixNano(), to.UnixNano()}, &number)
		if there || err != nil {
			return err
		}
		if _, err := tx.row("SELECT coalesce(max(number), 0) + 1 FROM backfills WHERE schedule = ?", []any{schedule}, &number); err != nil {
			return err
		}
		_, err = tx.exec("INSERT INTO backfills(schedule, number, since, until, ended) VALUES(?, ?, ?, ?, 0)", schedule, number, from.UnixNano(), to.UnixNano())
		return err
	})
	return number, err
}

// EndBackfill implements runs.ScheduleStore.
func (s *Store) EndBackfill(ctx context.Context, schedule string, number int) error {
	return s.write(ctx, func(tx *transaction) error {
		_, err := tx.exec("UPDATE backfills SET ended = 1 WHERE schedule = ? AND number = ?", schedule, number)
		return err
	})
}

// fired reads an instant: unlike elsewhere, 0 is one too, the epoch.
func fired(at int64) time.Time { return time.Unix(0, at).UTC() }
