package schedules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The oracle below knows the rules of the package comment and nothing of how they
// are carried out. It walks over a time minute by minute, or second by second,
// and asks the time package what the clock shows.

// stretch is a time in a zone, whose ends are far from any change of the clock.
type stretch struct {
	zone string
	from string
	days int
	step int64 // of the walk, in seconds
}

var stretches = []stretch{
	{"UTC", "2026-01-01 00:00 Z", 800, 60},
	{"Europe/Berlin", "2026-01-01 00:00 Z", 1200, 60},
	{"America/New_York", "2026-01-01 00:00 Z", 1200, 60},
	{"America/New_York", "2049-01-01 00:00 Z", 800, 60},
	{"Europe/Berlin", "2040-12-20 00:00 Z", 30, 60},     // the end of a leap year beyond the tables
	{"Australia/Sydney", "2044-06-01 00:00 Z", 400, 60}, // in summer
	{"Australia/Lord_Howe", "2026-01-01 00:00 Z", 1200, 60},
	{"Africa/Cairo", "2026-01-01 00:00 Z", 1200, 60},
	{"Europe/Dublin", "2026-01-01 00:00 Z", 400, 60},              // winter is the exception there
	{"Africa/Casablanca", "2026-01-05 00:00 Z", 400, 60},          // back in Ramadan
	{"America/Havana", "2026-01-01 00:00 Z", 400, 60},             // midnight twice
	{"America/Sao_Paulo", "2017-06-01 00:00 Z", 400, 60},          // back over midnight
	{"Antarctica/Troll", "2026-01-01 00:00 Z", 400, 60},           // two hours
	{"Pacific/Apia", "2011-06-01 00:00 Z", 400, 60},               // a day left out
	{"Pacific/Kwajalein", "1969-09-20 00:00 Z", 20, 60},           // a day twice
	{"Pacific/Kwajalein", "1993-08-10 00:00 Z", 20, 60},           // a day left out
	{"Asia/Pyongyang", "2015-08-01 00:00 Z", 30, 60},              // half an hour back
	{"Asia/Kathmandu", "1985-12-20 00:00 Z", 30, 60},              // a quarter of an hour
	{"Africa/Monrovia", "1972-01-04 00:00 Z", 6, 1},               // 44:30 left out
	{"Europe/Berlin", "1893-03-29 00:00 Z", 6, 1},                 // 6:32 left out
	{"Europe/Paris", "1911-03-08 00:00 Z", 6, 1},                  // 9:21 twice
	{"America/Juneau", "1867-10-15 00:00 Z", 7, 1},                // a day twice, with seconds
	{"Asia/Manila", "1844-12-28 00:00 Z", 7, 1},                   // a day left out, with seconds
	{"Europe/Berlin", "1944-12-01 00:00 Z", 400, 60},              // two hours ahead, midsummer time
	{"Asia/Gaza", "2026-01-20 00:00 Z", 400, 60},                  //
	{"America/Argentina/San_Luis", "2007-06-01 00:00 Z", 500, 60}, // twice back without forward
}

// walk is what the clock shows during a stretch.
type walk struct {
	stretch
	start   int64
	walls   []int64 // at start + i*step
	changes []int64 // instants at which the clock jumps
	low     int64   // the first wall minute
	first   []int64 // when the wall minute low+i came or, if it did not, was passed
}

func walkOver(t testing.TB, s stretch) *walk {
	location, err := time.LoadLocation(s.zone)
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{stretch: s, start: instant(t, s.from).Unix()}
	for i := range int64(s.days) * 24 * 3600 / s.step {
		at := time.Unix(w.start+i*s.step, 0).In(location)
		year, month, day := at.Date()
		wall := time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), 0, time.UTC).Unix()
		if i > 0 && wall != w.walls[i-1]+s.step {
			w.changes = append(w.changes, at.Unix())
		}
		w.walls = append(w.walls, wall)
	}
	low, high := slices.Min(w.walls), slices.Max(w.walls)
	w.low = floor(low-1, 60) + 1
	w.first = make([]int64, floor(high, 60)-w.low+1)
	const unset = -1 << 62
	for i := range w.first {
		w.first[i] = unset
	}
	for i, wall := range w.walls {
		if wall%60 == 0 && w.first[wall/60-w.low] == unset {
			w.first[wall/60-w.low] = w.start + int64(i)*s.step
		}
	}
	// What never came is in a gap, which ends where the clock jumps over it.
	for _, change := range w.changes {
		i := (change - w.start) / s.step
		for minute := floor(w.walls[i-1], 60); minute*60 < w.walls[i]; minute++ {
			if minute*60 > w.walls[i-1] && minute >= w.low && w.first[minute-w.low] == unset {
				w.first[minute-w.low] = change
			}
		}
	}
	return w
}

func floor(n, by int64) int64 {
	q := n / by
	if q*by > n {
		q--
	}
	return q
}

// rule is a schedule as the oracle understands it.
type rule struct {
	text                              string
	minute, hour, day, month, weekday [64]bool
	dayBare, weekdayBare              bool // a bare *
	hourStar                          bool
}

func (r *rule) matchesDay(day time.Time) bool {
	inMonth, inWeek := r.day[day.Day()], r.weekday[day.Weekday()] || day.Weekday() == time.Sunday && r.weekday[7]
	if !r.month[day.Month()] {
		return false
	}
	if r.dayBare || r.weekdayBare {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// instants lists when a rule matches during the walk.
func (w *walk) instants(r *rule) []int64 {
	var out []int64
	days := map[int64]bool{}
	var known int64 = 1 << 62
	var matches bool
	match := func(wall int64) bool {
		day := floor(wall, 86400)
		if day != known {
			var ok bool
			if matches, ok = days[day]; !ok {
				matches = r.matchesDay(time.Unix(day*86400, 0).UTC())
				days[day] = matches
			}
			known = day
		}
		rest := wall/60 - day*1440
		return matches && r.hour[rest/60] && r.minute[rest%60]
	}
	if r.hourStar {
		for i, wall := range w.walls {
			if wall%60 == 0 && match(wall) {
				out = append(out, w.start+int64(i)*w.step)
			}
		}
		return out
	}
	for i, at := range w.first {
		if match((w.low + int64(i)) * 60) {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// drawField makes a field and says what it allows.
func drawField(t *rapid.T, k kind, allow *[64]bool) (text string, bare, star bool) {
	var parts []string
	for range rapid.IntRange(1, 3).Draw(t, "parts") {
		from := rapid.IntRange(k.min, k.max).Draw(t, "from")
		to := rapid.IntRange(from, k.max).Draw(t, "to")
		step := rapid.IntRange(1, 12).Draw(t, "step")
		part := ""
		switch rapid.IntRange(0, 6).Draw(t, "form") {
		case 0:
			part, from, to, step, bare, star = "*", k.min, k.max, 1, true, true
		case 1:
			if k.max == 7 {
				k.max = 6 // so that no step meets Sunday as 7
			}
			part, from, to, bare, star = fmt.Sprintf("*/%d", step), k.min, k.max, bare || step == 1, true
		case 2:
			part, step = fmt.Sprintf("%d-%d", from, to), 1
		case 3:
			part = fmt.Sprintf("%d-%d/%d", from, to, step)
		default:
			part, to = fmt.Sprint(from), from
		}
		for v := from; v <= to; v += step {
			allow[v] = true
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ","), bare, star
}

func drawRule(t *rapid.T) *rule {
	r := &rule{}
	var texts [5]string
	texts[0], _, _ = drawField(t, minutes, &r.minute)
	texts[1], _, r.hourStar = drawField(t, hours, &r.hour)
	texts[2], r.dayBare, _ = drawField(t, days, &r.day)
	texts[3], _, _ = drawField(t, months, &r.month)
	texts[4], r.weekdayBare, _ = drawField(t, weekdays, &r.weekday)
	// Changes of the clock are rare: many rules should match on any day.
	if rapid.Bool().Draw(t, "daily") {
		texts[2], texts[3], texts[4] = "*", "*", "*"
		r.dayBare, r.weekdayBare = true, true
		for i := range 64 {
			r.day[i], r.month[i], r.weekday[i] = true, true, true
		}
	}
	r.text = strings.Join(texts[:], " ")
	return r
}

// TestOracle compares made-up schedules with the oracle.
func TestOracle(t *testing.T) {
	walks := map[stretch]*walk{}
	rapid.Check(t, func(rt *rapid.T) {
		st := rapid.SampledFrom(stretches).Draw(rt, "stretch")
		w := walks[st]
		if w == nil {
			w = walkOver(t, st)
			walks[st] = w
		}
		r := drawRule(rt)
		s, err := Parse(r.text, st.zone)
		if err != nil {
			rt.Fatal(err)
		}
		w.compare(rt, s, w.instants(r))
	})
}

// TestOracleOfKnown compares common schedules in every stretch.
func TestOracleOfKnown(t *testing.T) {
	all := func(allow *[64]bool, values ...int) {
		for _, v := range values {
			allow[v] = true
		}
		for v := range allow {
			allow[v] = allow[v] || len(values) == 0
		}
	}
	daily := func(text string, star bool, minute []int, hour ...int) *rule {
		r := &rule{text: text, hourStar: star, dayBare: true, weekdayBare: true}
		all(&r.minute, minute...)
		all(&r.hour, hour...)
		all(&r.day)
		all(&r.month)
		all(&r.weekday)
		return r
	}
	rules := []*rule{
		daily("* * * * *", true, nil),
		daily("@hourly", true, []int{0}),
		daily("@daily", false, []int{0}, 0),
		daily("30 2 * * *", false, []int{30}, 2),
		daily("* 0-23 * * *", false, nil),
		daily("*/30 0-3,23 * * *", false, []int{0, 30}, 0, 1, 2, 3, 23),
		daily("7 */6 * * *", true, []int{7}, 0, 6, 12, 18),
	}
	for _, st := range stretches {
		w := walkOver(t, st)
		for _, r := range rules {
			s, err := Parse(r.text, st.zone)
			if err != nil {
				t.Fatal(err)
			}
			w.compare(t, s, w.instants(r))
		}
	}
}

// compare checks Next against the instants that the oracle found: in order from
// the start and around every change of the clock, and from anywhere.
func (w *walk) compare(t interface {
	Helper()
	Fatalf(string, ...any)
}, s Schedule, want []int64) {
	t.Helper()
	check := func(after time.Time) (time.Time, bool) {
		i, _ := slices.BinarySearch(want, after.Unix()+1)
		at, ok := s.Next(after)
		if i == len(want) {
			if end := w.start + int64(len(w.walls))*w.step; ok && at.Unix() < end {
				t.Fatalf("%q in %s after %v: %v, want nothing until %v", s, w.zone, after, at, time.Unix(end, 0).UTC())
			}
			return at, false
		}
		if !ok || at.Unix() != want[i] || !at.After(after) || at.Nanosecond() != 0 {
			t.Fatalf("%q in %s after %v: %v (%v), want %v", s, w.zone, after, at, ok, time.Unix(want[i], 0).In(s.Location()))
		}
		return at, true
	}
	for _, start := range append([]int64{w.start}, w.changes...) {
		at, ok := time.Unix(max(start-36*hour, w.start), 0), true
		for n := 0; ok && n < 5000; n++ {
			at, ok = check(at)
		}
	}
	for i := range int64(200) {
		// Large steps that meet all times of day, with and without fractions.
		check(time.Unix(w.start+i*7919*31%(int64(len(w.walls))*w.step), i%2))
	}
}
