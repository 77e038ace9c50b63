package windows_test

import (
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events/windows"
)

// TestClockThatWasAhead: what came while the clock was a year ahead is as long ago, once
// it is right again, as it was then; otherwise the window would stand still for a year.
func TestClockThatWasAhead(t *testing.T) {
	begin := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	ahead := begin.AddDate(1, 0, 0)
	type step struct {
		at    time.Time
		id    string // of an event; empty for nothing but time
		fires bool
	}
	for name, c := range map[string]struct {
		rule  windows.Rule
		steps []step
	}{
		"count": {windows.Rule{Kind: windows.Count, Count: 3, Within: 10 * time.Minute}, []step{
			{ahead, "a", false},
			{begin, "b", false}, // nine minutes after it
			{begin.Add(20 * time.Minute), "c", false},
			{begin.Add(40 * time.Minute), "d", false},
			{begin.Add(42 * time.Minute), "e", false},
			{begin.Add(44 * time.Minute), "f", true},
		}},
		"count across": {windows.Rule{Kind: windows.Count, Count: 3, Within: 10 * time.Minute}, []step{
			{ahead, "a", false}, {ahead.Add(time.Minute), "b", false}, {begin, "c", true},
		}},
		"absent": {windows.Rule{Kind: windows.Absent, Within: 5 * time.Minute}, []step{
			{ahead, "a", false},
			{ahead.Add(2 * time.Minute), "", false},
			{begin, "", false}, // two minutes are over
			{begin.Add(2 * time.Minute), "", false},
			{begin.Add(3 * time.Minute), "", true},
		}},
		"throttle": {windows.Rule{Kind: windows.Each, Throttle: windows.Rate{Limit: 1, Per: time.Hour}}, []step{
			{ahead, "a", true}, {begin, "b", false}, {begin.Add(59 * time.Minute), "c", false}, {begin.Add(time.Hour), "d", true},
		}},
		"dedup": {windows.Rule{Kind: windows.Each, Dedup: time.Hour}, []step{
			{ahead, "a", true}, {begin, "a", false}, {begin.Add(59 * time.Minute), "a", false}, {begin.Add(time.Hour), "a", true},
		}},
		"a little": {windows.Rule{Kind: windows.Absent, Within: 5 * time.Minute}, []step{ // is no mistake, but what servers differ by
			{begin.Add(time.Minute), "a", false}, {begin, "", false}, {begin.Add(5 * time.Minute), "", false}, {begin.Add(6 * time.Minute), "", true},
		}},
	} {
		for _, again := range []bool{false, true} {
			w, err := windows.New(c.rule, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range c.steps {
				if again { // written down and read
					saved, err := w.Save()
					if err == nil {
						w, err = windows.New(c.rule, saved)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				var r windows.Result
				if s.id != "" {
					r = w.Take(windows.Event{ID: s.id, Parts: []int{0}}, s.at)
				} else {
					r = w.Advance(s.at)
				}
				if fired := len(r.Firings) > 0; fired != s.fires {
					t.Errorf("%s, step %d: it fires: %t (%+v)", name, i, fired, r)
				}
				if next := w.Next(); next.After(s.at.Add(2 * time.Hour)) {
					t.Errorf("%s, step %d: it looks again at %s", name, i, next)
				}
			}
		}
	}
}
