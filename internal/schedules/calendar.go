package schedules

import (
	"math/bits"
	"time"
)

// fields are the times that match: a bit for each value allowed. They know the
// calendar, and nothing of time zones.
type fields struct {
	minutes, hours, days, months, weekdays uint64

	// either says that one of day of month and day of week is enough: both are
	// restricted.
	either bool
	// passing says that the hour has a *: see the package comment.
	passing bool
}

// longest is how many months may lie between two dates that match, both counted:
// 29 February 1896 and 1904, as 1900 was no leap year.
const longest = 8*12 + 1

// next returns the first wall time, not before another, that matches; false
// where there is none.
func (f *fields) next(wall int64) (int64, bool) {
	if f.minutes == 0 || f.hours == 0 {
		return 0, false
	}
	wall = multiple(wall, 60)
	t := time.Unix(wall, 0).UTC()
	year, month, day := t.Date()
	if f.matching(year, month)&(1<<day) != 0 {
		if minute, ok := f.timeOfDay(t.Hour(), t.Minute()); ok {
			return time.Date(year, month, day, 0, minute, 0, 0, time.UTC).Unix(), true
		}
	}
	for range longest {
		if later := f.matching(year, month) &^ (1<<(day+1) - 1); later != 0 {
			minute, _ := f.timeOfDay(0, 0)
			return time.Date(year, month, bits.TrailingZeros64(later), 0, minute, 0, 0, time.UTC).Unix(), true
		}
		if month++; month > time.December {
			year, month = year+1, time.January
		}
		day = 0
	}
	return 0, false
}

// timeOfDay returns the first time of day that matches, not before another, in
// minutes.
func (f *fields) timeOfDay(hour, minute int) (int, bool) {
	if f.hours&(1<<hour) != 0 {
		if rest := f.minutes >> minute; rest != 0 {
			return hour*60 + minute + bits.TrailingZeros64(rest), true
		}
	}
	later := f.hours &^ (1<<(hour+1) - 1)
	if later == 0 {
		return 0, false
	}
	return bits.TrailingZeros64(later)*60 + bits.TrailingZeros64(f.minutes), true
}

// matching returns the days of a month that match, as bits 1 to 31.
func (f *fields) matching(year int, month time.Month) uint64 {
	if f.months&(1<<month) == 0 {
		return 0
	}
	end := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC)
	all := uint64(1)<<(end.Day()+1) - 2
	// Weekdays repeat: their seven bits, turned so that bit 1 is the first day.
	first := (int(end.Weekday()) - end.Day() + 1 + 5*7) % 7
	week := (f.weekdays>>first | f.weekdays<<(7-first)) & (1<<7 - 1)
	var weekdays uint64
	for shift := 1; shift < 32; shift += 7 {
		weekdays |= week << shift
	}
	if f.either {
		return (f.days | weekdays) & all
	}
	return f.days & weekdays & all
}
