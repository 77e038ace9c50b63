package runs

import (
	"context"
	"errors"
	"time"
)

// FireStatus says what became of an instant of a schedule.
type FireStatus string

// What may become of an instant.
const (
	FireStarted FireStatus = "started" // its run was started
	FireSkipped FireStatus = "skipped" // an earlier run had not ended
	FireQueued  FireStatus = "queued"  // its run starts when earlier ones have ended
)

// Fire is one instant of a schedule that was seen to. There is one at most for
// each schedule and instant.
type Fire struct {
	Schedule string
	At       time.Time // when it was due, not when it was seen to
	Run      string    // the run it started, or is to start; empty where skipped
	Status   FireStatus
}

// ErrNoFire says that an instant of a schedule was not seen to yet.
var ErrNoFire = errors.New("nobody has seen to this instant")

// ScheduleStore remembers which instants of schedules were seen to, so that each
// is started once, whoever else looks at the same time, and whoever died. Instants
// are equal where they are the same nanosecond, in whatever time zone.
type ScheduleStore interface {
	// LastFire returns the latest instant of a schedule that was seen to, whatever
	// became of it; false where there is none.
	LastFire(ctx context.Context, schedule string) (time.Time, bool, error)
	// Fire takes an instant for a run, as started. It is fresh for the first who
	// asks, among all processes; for others nothing changes. It is on disk when
	// it returns: the caller then starts the run by that id, and whoever finds
	// an instant started without its run, after a crash, starts it by that id too.
	Fire(ctx context.Context, schedule string, at time.Time, run string) (fresh bool, err error)
	// Fires lists the instants of a schedule, newest first; limit 0 means all.
	Fires(ctx context.Context, schedule string, limit int) ([]Fire, error)
	// RecordFire sets run and status of an instant that was taken before;
	// ErrNoFire where it was not.
	RecordFire(ctx context.Context, fire Fire) error
}
