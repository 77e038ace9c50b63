// Package schedules says at which instants something is to happen, from an
// expression of cron and a time zone, and what becomes of instants at which
// nobody was there. It has no clock: who asks brings the time along, and the same
// question has the same answer after every restart.
//
// An expression is read as Vixie cron and Kubernetes do: see [Parse]. Where a
// clock is put forward or back, two kinds of schedules differ, as they do in Vixie
// cron:
//
//   - Schedules that name hours ("30 2 * * *", "@daily", "*/5 2 * * *") mean times
//     of day, each once a day. One that does not exist on a day happens at the first
//     instant after the gap; several in one gap happen there once, together. One
//     that exists twice happens the first time only. In other words: they follow
//     the furthest that the clock has been, and happen when it reaches or passes
//     their time.
//   - Schedules with a * in the field of the hour ("30 * * * *", "0 */2 * * *",
//     "@hourly") mean time that passes. They happen whenever the clock shows a
//     time that matches, so that "@hourly" happens 23 or 25 times on such a day,
//     and never for a time that the clock left out.
//
// "@every" intervals know neither time of day nor time zone: their instants are the
// multiples of the interval since the Unix epoch.
package schedules

import (
	"math"
	"time"
	// The time zones, where the machine has none: the same names are known everywhere.
	_ "time/tzdata"
)

// Schedule is a set of instants. The zero Schedule has none.
type Schedule struct {
	text     string
	location *time.Location
	every    int64 // the interval in seconds of @every; 0 for all others
	fields   fields
}

// String returns the expression as it was given, without its time zone.
func (s Schedule) String() string { return s.text }

// Location returns the time zone; nil for the zero Schedule.
func (s Schedule) Location() *time.Location { return s.location }

// Instants lie in the years that can be written down.
var (
	firstInstant = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastInstant  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Next returns the first instant strictly after another, in the schedule's time
// zone; false where there is none, as for the 30th of February. It takes
// microseconds, however far away the instant is.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	if s.location == nil || !after.Before(lastInstant) {
		return time.Time{}, false
	}
	// Instants are whole seconds; the first that comes into question:
	from := after.Unix() + 1
	if after.Before(firstInstant) {
		from = firstInstant.Unix() // Unix may have overflowed
	}
	var at int64
	var ok bool
	switch {
	case s.every > 0:
		at, ok = multiple(from, s.every), true
	case s.fields.passing:
		at, ok = s.nextPassing(from)
	default:
		at, ok = s.nextOfDay(from)
	}
	if !ok || at > lastInstant.Unix() {
		return time.Time{}, false
	}
	return time.Unix(at, 0).In(s.location), true
}

// Between returns the first instants after one and not after another, in order;
// at most limit of them.
func (s Schedule) Between(after, until time.Time, limit int) []time.Time {
	var out []time.Time
	for len(out) < limit {
		at, ok := s.Next(after)
		if !ok || at.After(until) {
			break
		}
		out = append(out, at)
		after = at
	}
	return out
}

// multiple returns the first multiple of step that is not before from.
func multiple(from, step int64) int64 {
	rest := from % step
	switch {
	case rest == 0:
		return from
	case rest < 0:
		return from - rest
	default:
		return from + step - rest // both are years at most: no overflow
	}
}

// Below, a wall time is what a clock in the time zone shows, counted in seconds
// as if it were UTC: wall = instant + offset.

const (
	hour = 3600
	// widest is more than any offset from UTC is, ever was, or may be written in
	// the time zone database.
	widest = 26 * hour
	// patience is how long the search goes on for a time that exists in the
	// calendar, yet not on the clock: every time it comes, a gap has it.
	patience = 50 * 366 * 24 * hour
)

// period is a time during which the clock has one offset from UTC. Its
// neighbours may have the same.
type period struct {
	start, end int64 // [start, end)
	offset     int64
}

func (s Schedule) period(at int64) period {
	t := time.Unix(at, 0).In(s.location)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	p := period{math.MinInt64, math.MaxInt64, int64(offset)}
	if !start.IsZero() {
		p.start = start.Unix()
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	if p.end <= at {
		// Beyond its tables the time package counts 365 days in every year: on 31
		// December of a leap year it says that the period has ended. From the next
		// midnight on it is right again.
		const day = 24 * hour
		p.end = multiple(at+1, day)
	}
	return p
}

// nextPassing returns the first instant, not before from, at which the clock
// shows a time that matches.
func (s Schedule) nextPassing(from int64) (int64, bool) {
	for at := from; at < from+patience; {
		p := s.period(at)
		wall, ok := s.fields.next(at + p.offset)
		if !ok {
			return 0, false
		}
		if at = wall - p.offset; at < p.end {
			return at, true
		}
		at = p.end
	}
	return 0, false
}

// nextOfDay returns the first instant, not before from, at which the clock
// reaches or passes a time that matches for the first time.
func (s Schedule) nextOfDay(from int64) (int64, bool) {
	wall, ok := s.fields.next(s.furthest(from-1) + 1)
	if !ok {
		return 0, false
	}
	for at := max(from, wall-widest); ; {
		p := s.period(at)
		if at+p.offset >= wall {
			return at, true // the wall time is in the gap that ends here, or it is at
		}
		if at = wall - p.offset; at < p.end {
			return at, true
		}
		at = p.end
	}
}

// furthest returns the latest whole second that the clock has shown up to an
// instant.
func (s Schedule) furthest(at int64) int64 {
	p := s.period(at)
	wall := at + p.offset
	// What was shown before offsets changed more than twice the widest ago is
	// overtaken by now.
	for oldest := at - 2*widest; p.start > oldest; {
		p = s.period(p.start - 1)
		wall = max(wall, p.end-1+p.offset)
	}
	return wall
}
