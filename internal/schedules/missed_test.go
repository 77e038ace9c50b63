package schedules

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func missed(t testing.TB, text string) Missed {
	t.Helper()
	m, err := ParseMissed(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseMissed(t *testing.T) {
	for _, text := range []string{"skip", "latest", "all", "all(1)", "all(999)"} {
		if m := missed(t, text); m.String() != text {
			t.Errorf("%s is read as %s", text, m)
		}
	}
	if m := missed(t, "all(1000)"); m != missed(t, "all") {
		t.Errorf("all(1000) is %v", m)
	}
	for _, text := range []string{"", "Skip", "none", "all(0)", "all(1001)", "all()", "all(-1)", "all(5", "all(5))", "all 5", "all( 5)"} {
		if m, err := ParseMissed(text); err == nil {
			t.Errorf("%q is read as %s", text, m)
		}
	}
}

func TestParseOverlap(t *testing.T) {
	for _, o := range []Overlap{OverlapSkip, OverlapQueue, OverlapReplace} {
		if got, err := ParseOverlap(string(o)); got != o || err != nil {
			t.Errorf("%s is read as %s, %v", o, got, err)
		}
	}
	if o, err := ParseOverlap("forbid"); err == nil {
		t.Errorf("forbid is read as %s", o)
	}
}

// TestDue tells what is run after a time in which nobody was there, of a schedule
// every ten minutes.
func TestDue(t *testing.T) {
	s := parsed(t, "*/10 * * * *", "")
	for _, row := range []struct {
		missed, last, now string
		grace             time.Duration
		want              []string
	}{
		// Nothing was missed.
		{"skip", "12:00:00", "12:00:00", time.Minute, nil},
		{"all", "12:00:00", "12:09:59", time.Minute, nil},
		{"latest", "12:30:00", "12:00:00", time.Minute, nil}, // the clock was put back
		// One instant, on time: seen at once or within the grace.
		{"skip", "12:00:00", "12:10:00", 0, []string{"12:10"}},
		{"skip", "12:00:00", "12:11:00", time.Minute, []string{"12:10"}},
		{"latest", "12:00:00", "12:11:00", time.Minute, []string{"12:10"}},
		{"all", "12:00:00", "12:11:00", time.Minute, []string{"12:10"}},
		// Late.
		{"skip", "12:00:00", "12:11:01", time.Minute, nil},
		{"skip", "12:00:00", "12:10:01", -time.Hour, nil}, // a negative grace is none
		{"latest", "12:00:00", "12:11:01", time.Minute, []string{"12:10"}},
		{"all", "12:00:00", "12:11:01", time.Minute, []string{"12:10"}},
		// Several, all late.
		{"skip", "12:00:00", "12:45:00", time.Minute, nil},
		{"latest", "12:00:00", "12:45:00", time.Minute, []string{"12:40"}},
		{"all", "12:00:00", "12:45:00", time.Minute, []string{"12:10", "12:20", "12:30", "12:40"}},
		{"all(2)", "12:00:00", "12:45:00", time.Minute, []string{"12:30", "12:40"}},
		// Several, the last of which are on time.
		{"skip", "12:00:00", "12:45:00", 15 * time.Minute, []string{"12:30", "12:40"}},
		{"latest", "12:00:00", "12:45:00", 15 * time.Minute, []string{"12:30", "12:40"}},
		{"all(3)", "12:00:00", "12:45:00", 15 * time.Minute, []string{"12:20", "12:30", "12:40"}},
		{"all(1)", "12:00:00", "12:45:00", 15 * time.Minute, []string{"12:40"}},
		// The grace reaches back behind what was seen to.
		{"skip", "12:20:00", "12:45:00", 10 * time.Hour, []string{"12:30", "12:40"}},
		{"latest", "12:40:00", "12:45:00", 10 * time.Hour, nil},
	} {
		day := func(text string) time.Time { return instant(t, "2026-01-01 "+text+" Z") }
		var got []string
		for _, at := range missed(t, row.missed).Due(s, day(row.last), day(row.now), row.grace) {
			got = append(got, at.Format("15:04"))
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s from %s to %s with %v: %v, want %v", row.missed, row.last, row.now, row.grace, got, row.want)
		}
	}
}

// TestDueIsBounded comes back after ten years, and after a thousand.
func TestDueIsBounded(t *testing.T) {
	now := instant(t, "2036-01-01 00:00:30 Z")
	begun := time.Now()
	for _, last := range []time.Time{now.AddDate(-10, 0, 0), now.AddDate(-1000, 0, 0), {}} {
		for _, expression := range []string{"* * * * *", "@every 1s", "* * 1 1 *", "* * * 2 *", "0 0 29 2 *", "@yearly", "0 0 30 2 *"} {
			s := parsed(t, expression, "Europe/Berlin")
			for _, policy := range []string{"skip", "latest", "all(7)", "all"} {
				for _, grace := range []time.Duration{0, time.Minute, 20 * 366 * 24 * time.Hour, 1<<63 - 1} {
					if due := missed(t, policy).Due(s, last, now, grace); len(due) > Most {
						t.Errorf("%s, %s: %d instants", expression, policy, len(due))
					}
				}
			}
		}
	}
	// 336 calls; walking over everything would take minutes for each of many.
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	due := missed(t, "all(3)").Due(parsed(t, "* * * * *", ""), now.AddDate(-10, 0, 0), now, 0)
	if len(due) != 3 || !due[2].Equal(now.Truncate(time.Minute)) || due[2].Sub(due[0]) != 2*time.Minute {
		t.Errorf("the newest three are %v", due)
	}
}

// TestDueByDefinition compares with what the policies say about all instants.
func TestDueByDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, err := Parse(drawRule(rt).text, rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "Africa/Cairo"}).Draw(rt, "zone"))
		if err != nil {
			rt.Fatal(err)
		}
		last := time.Unix(rapid.Int64Range(1_700_000_000, 1_800_000_000).Draw(rt, "last"), 0)
		now := last.Add(time.Duration(rapid.Int64Range(0, 100*24*3600).Draw(rt, "down")) * time.Second)
		grace := time.Duration(rapid.Int64Range(0, 48*3600).Draw(rt, "grace")) * time.Second
		all := s.Between(last, now, 1<<30)
		var onTime []time.Time
		for _, at := range all {
			if now.Sub(at) <= grace {
				onTime = append(onTime, at)
			}
		}
		tail := func(list []time.Time, n int) []time.Time { return list[max(0, len(list)-n):] }
		n := rapid.IntRange(1, 50).Draw(rt, "n")
		latest := onTime
		if len(latest) == 0 {
			latest = tail(all, 1)
		}
		for _, row := range []struct {
			m    Missed
			want []time.Time
		}{
			{Missed{}, tail(onTime, Most)},
			{Missed{policy: missedLatest}, tail(latest, Most)},
			{Missed{missedAll, n}, tail(all, n)},
			{Missed{missedAll, Most}, tail(all, Most)},
		} {
			if got := row.m.Due(s, last, now, grace); !slices.EqualFunc(got, row.want, time.Time.Equal) {
				rt.Fatalf("%s of %q from %v to %v with %v: %d instants, want %d\n%v\n%v", row.m, s, last, now, grace, len(got), len(row.want), got, row.want)
			}
		}
	})
}

func TestBetween(t *testing.T) {
	s := parsed(t, "0 * * * *", "")
	noon := instant(t, "2026-01-01 12:00 Z")
	for _, row := range []struct{ hours, limit, want int }{{0, 9, 0}, {3, 9, 3}, {3, 2, 2}, {3, 0, 0}, {3, -1, 0}, {-3, 9, 0}} {
		list := s.Between(noon, noon.Add(time.Duration(row.hours)*time.Hour), row.limit)
		if len(list) != row.want {
			t.Errorf("%+v: %v", row, list)
		}
		for i, at := range list {
			if !at.Equal(noon.Add(time.Duration(i+1) * time.Hour)) {
				t.Errorf("%+v: %v", row, list)
			}
		}
	}
}
