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
	FireStarted FireStatus = "started" // its run was started and has not ended
	FireQueued  FireStatus = "queued"  // its run starts when earlier ones have ended
	FireSkipped FireStatus = "skipped" // there is no run, because of another one
	FireFailed  FireStatus = "failed"  // its run could not be started
	FireEnded   FireStatus = "ended"   // its run has ended, however
)

// Open reports whether somebody has to see to the instant yet.
func (s FireStatus) Open() bool { return s == FireStarted || s == FireQueued }

// Fire is one instant of a schedule that was seen to. There is one at most for
// each schedule and instant.
type Fire struct {
	Schedule string
	At       time.Time // when it was due, not when it was seen to
	Run      string    // the run it started, or is to start; empty where skipped
	Status   FireStatus
	// Backfill says that the run was asked for by hand, for an instant of the
	// past: it does not overlap with others.
	Backfill bool
}

// Sighting is what is known of a schedule itself.
type Sighting struct {
	Schedule   string
	Expression string    // with its time zone: an instant belongs to one expression
	UpTo       time.Time // instants up to this one are done with
}

// FiresKept and FireAge bound how many instants of a schedule are remembered and
// how far back they lie behind the newest one.
const (
	FiresKept = 10_000
	FireAge   = 400 * 24 * time.Hour
)

// ErrNoFire says that an instant of a schedule was not seen to yet.
var ErrNoFire = errors.New("nobody has seen to this instant")

// ScheduleStore remembers which instants of schedules were seen to, so that each
// is started once, whoever else looks at the same time, and whoever died. Instants
// are equal where they are the same nanosecond, in whatever time zone.
type ScheduleStore interface {
	// Sightings lists the schedules that are known, by name.
	Sightings(ctx context.Context) ([]Sighting, error)
	// See makes schedules known, all or none. One that is known with the same
	// expression stays as it is; another expression begins anew, at UpTo.
	See(ctx context.Context, sightings []Sighting) error
	// Pass says of schedules with this expression that instants up to UpTo are
	// done with. It never goes back.
	Pass(ctx context.Context, sightings []Sighting) error
	// Forget makes schedules unknown. What became of their instants stays.
	Forget(ctx context.Context, schedules []string) error

	// Take takes instants, all or none, in order, and returns those that nobody
	// had taken before among all processes, as they are kept. An instant is
	// started; where an earlier one of the schedule is open, it is what Status
	// says, queued or skipped. Backfills are started always and hold nobody up.
	// The schedules have passed the instants then, except those of backfills. It
	// is on disk when it returns: the caller then starts the runs by their ids,
	// and whoever finds an instant started without its run, after a crash, starts
	// it by that id too. Instants beyond what is kept ([FiresKept], [FireAge]) are
	// dropped now and then, never open ones.
	Take(ctx context.Context, fires []Fire) ([]Fire, error)
	// Fires lists the instants of a schedule, newest first; limit 0 means all.
	Fires(ctx context.Context, schedule string, limit int) ([]Fire, error)
	// OpenFires lists the instants that are open, by schedule and instant; of all
	// schedules where the name is empty.
	OpenFires(ctx context.Context, schedule string) ([]Fire, error)
	// RecordFire sets what became of an instant, where its status is still what
	// the caller thinks it was; false where it is not. ErrNoFire where nobody has
	// taken it.
	RecordFire(ctx context.Context, fire Fire, was FireStatus) (bool, error)

	// BeginBackfill returns the number of the backfill of a window, from 1 up for
	// each schedule: of the one that was not finished, or of a new one.
	BeginBackfill(ctx context.Context, schedule string, from, to time.Time) (int, error)
	// EndBackfill says that it is finished.
	EndBackfill(ctx context.Context, schedule string, number int) error
}
