package schedules

import (
	"strings"
	"testing"
	"time"
)

// TestRefused says what an error tells those who wrote the expression.
func TestRefused(t *testing.T) {
	for _, row := range []struct{ expression, zone, want string }{
		{"", "", "it has no fields; five are needed: minute, hour, day of month, month, day of week"},
		{"  \t", "", "it has no fields"},
		{"0", "", "it has one field; five are needed"},
		{"0 0 * *", "", "it has 4 fields; five are needed"},
		{"0 0 0 * * *", "", "it has 6 fields; five are needed: minute, hour, day of month, month, day of week. There is none for seconds or years"},
		{"0 0 0 1 1 ? 2026", "", "it has 7 fields"},
		{"0 0 0 1 1 ? 2026 x", "", "it has 8 fields"},
		{"60 * * * *", "", `the minute "60" is out of range; allowed are 0 to 59, *, ranges, steps and lists of these`},
		{"* 24 * * *", "", `the hour "24" is out of range; allowed are 0 to 23`},
		{"* * 0 * *", "", `the day of month "0" is out of range; allowed are 1 to 31`},
		{"* * 32 * *", "", `the day of month "32" is out of range`},
		{"* * * 13 *", "", `the month "13" is out of range; allowed are 1 to 12, jan to dec`},
		{"* * * 0 *", "", `the month "0" is out of range`},
		{"* * * * 8", "", `the day of week "8" is out of range; allowed are 0 to 7, sun to sat`},
		{"* 9-24 * * *", "", `the hour "24" in "9-24" is out of range`},
		{"* 5,9-24,7 * * *", "", `(in "5,9-24,7")`},
		{"* 22-2 * * *", "", `the hour "22-2" runs backwards; write it as two ranges: 22-23,0-2`},
		{"* * * * fri-mon", "", `runs backwards`},
		{"*/0 * * * *", "", `the minute "*/0" has the step "0"; a step is a number from 1 on`},
		{"*/ * * * *", "", `has the step ""`},
		{"*/5/2 * * * *", "", `has the step "5/2"`},
		{"*/-5 * * * *", "", `has the step "-5"`},
		{"*/x * * * *", "", `has the step "x"`},
		{"*5 * * * *", "", `the minute "*5" is not known`},
		{"*-5 * * * *", "", `the minute "*" in "*-5" is not known`},
		{"1-2-3 * * * *", "", `the minute "2-3" in "1-2-3" is not known`},
		{"-1 * * * *", "", `the minute "" in "-1" is not known`},
		{"+1 * * * *", "", `the minute "+1" is not known`},
		{"1.5 * * * *", "", `the minute "1.5" is not known`},
		{"٣ * * * *", "", `is not known`}, // a digit elsewhere
		{"99999999999999999999 * * * *", "", `is not known`},
		{"1,,2 * * * *", "", `the minute has an empty element`},
		{"1, * * * *", "", `the minute has an empty element`},
		{"* * L * *", "", `the day of month "L" is not known: L, W, H and # are not supported`},
		{"* * 15W * *", "", `L, W, H and # are not supported`},
		{"* * * * 5#3", "", `L, W, H and # are not supported`},
		{"H * * * *", "", `L, W, H and # are not supported`},
		{"* * * january *", "", `the month "january" is not known; allowed are 1 to 12, jan to dec`},
		{"* * * mon *", "", `the month "mon" is not known`},
		{"@never", "", "@never is not known; allowed are @hourly"},
		{"@", "", "@ is not known"},
		{"@reboot", "", "@reboot is not a time"},
		{"@daily 5", "", `nothing may follow @daily, but "5" does`},
		{"@every", "", "@every must be followed by an interval of whole seconds"},
		{"@every 5 m", "", "@every must be followed by an interval"},
		{"@every x", "", `the interval "x" of @every cannot be read`},
		{"@every 1d", "", `the interval "1d" of @every cannot be read`},
		{"@every 0s", "", `the interval "0s" of @every is not allowed`},
		{"@every -1h", "", `the interval "-1h" of @every is not allowed`},
		{"@every 1500ms", "", `is not allowed; allowed is an interval of whole seconds`},
		{"* * * * *", "Europe/Berln", `there is no time zone "Europe/Berln"`},
		{"* * * * *", "+02:00", `there is no time zone "+02:00"`},
		{"* * * * *", "../UTC", `there is no time zone "../UTC"`},
		{"* * * * *", "Local", `the time zone "Local" means something else on every machine`},
		{"@every 1h", "Nowhere", `there is no time zone "Nowhere"`},
		{"CRON_TZ=", "", "CRON_TZ= must be followed by the name of a time zone"},
		{"TZ=", "", "TZ= must be followed by the name of a time zone"},
		{"TZ=0", "", `there is no time zone "0"`},
		{"CRON_TZ= 0 0 * * *", "", "CRON_TZ= must be followed by the name of a time zone"},
		{"CRON_TZ=UTC", "", "it has no fields"},
		{"CRON_TZ=UTC TZ=UTC * * * * *", "", "it has 6 fields"},
		{"CRON_TZ=UTC * * * * *", "Europe/Berlin", "it names the time zone UTC, and Europe/Berlin is given besides"},
		{"ZONE=UTC * * * * *", "", `"ZONE=" is not known in front of the fields`},
		{"= * * * * *", "", `"=" is not known in front of the fields`},
	} {
		_, err := Parse(row.expression, row.zone)
		if err == nil {
			t.Errorf("%q in %q is accepted", row.expression, row.zone)
		} else if text := err.Error(); !strings.Contains(text, row.want) || !strings.HasPrefix(text, "cannot read the schedule ") {
			t.Errorf("%q in %q: %s\nwant %s", row.expression, row.zone, text, row.want)
		}
	}
}

func TestNothingIsNever(t *testing.T) {
	if at, ok := (Schedule{}).Next(time.Now()); ok {
		t.Errorf("the zero schedule happens at %v", at)
	}
	s := parsed(t, "* * * * *", "")
	for _, after := range []time.Time{time.Unix(1<<62, 0), time.Date(100000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if at, ok := s.Next(after); ok {
			t.Errorf("after %v comes %v", after, at)
		}
	}
	if at, ok := s.Next(time.Unix(-1<<62, 0)); !ok || !at.Equal(firstInstant) {
		t.Errorf("first of all comes %v, %v", at, ok)
	}
}

func parsed(t testing.TB, expression, zone string) Schedule {
	t.Helper()
	s, err := Parse(expression, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzParse reads anything: what can be read is written so that it is read as the
// same again, and its instants come one after another.
func FuzzParse(f *testing.F) {
	for _, row := range golden {
		f.Add(row.expression, row.zone, instant(f, row.after).Unix())
	}
	for _, text := range []string{"TZ=", "CRON_TZ=UTC", "TZ=0 ", "0-0/0 1 1 1 1", "@every 2562047h47m16s", "0 */24 1 4 *", "\xff * * * *", "*/999999 * * * *"} {
		f.Add(text, "Asia/Baghdad", int64(0))
	}
	f.Fuzz(func(t *testing.T, text, zone string, after int64) {
		s, err := Parse(text, zone)
		if err != nil {
			return
		}
		again, err := Parse(s.String(), s.Location().String())
		if err != nil || s.every != again.every || s.fields != again.fields {
			t.Fatalf("%q is read as %+v, and %q as %+v (%v)", text, s, s.String(), again, err)
		}
		at := time.Unix(after, 0)
		for range 20 {
			next, ok := s.Next(at)
			if !ok {
				break
			}
			if !next.After(at) {
				t.Fatalf("%q in %q: after %v comes %v", text, zone, at, next)
			}
			if before, ok := s.Next(next.Add(-1)); !ok || !before.Equal(next) {
				t.Fatalf("%q in %q: %v is no instant just before it, but %v", text, zone, next, before)
			}
			at = next
		}
	})
}

// BenchmarkNext looks for what is near, far and nowhere.
func BenchmarkNext(b *testing.B) {
	after := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, expression := range []string{"* * * * *", "30 2 * * *", "0 0 29 2 *", "* * 29 2 *", "0 0 30 2 *", "@every 90s"} {
		s := parsed(b, expression, "Europe/Berlin")
		b.Run(strings.ReplaceAll(expression, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				s.Next(after)
			}
		})
	}
}
