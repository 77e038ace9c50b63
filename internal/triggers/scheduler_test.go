package triggers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
)

// TestMissed has nobody there from 02:30 to 07:15.
func TestMissed(t *testing.T) {
	for policy, want := range map[string]string{
		"skip":   "01:00@01:00 02:00@02:00 08:00@08:00 09:00@09:00",
		"latest": "01:00@01:00 02:00@02:00 07:00@07:15 08:00@08:00 09:00@09:00",
		"all(2)": "01:00@01:00 02:00@02:00 06:00@07:15 07:00@07:15 08:00@08:00 09:00@09:00",
		"all":    "01:00@01:00 02:00@02:00 03:00@07:15 04:00@07:15 05:00@07:15 06:00@07:15 07:00@07:15 08:00@08:00 09:00@09:00",
	} {
		t.Run(policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("2026-05-01T00:30:00Z")
				list := triggerOf(t, "0 * * * *", "missed = \""+policy+"\"", "overlap = \"queue\"")
				p := w.boot(0, false, list)
				pass(2 * time.Hour)
				p.kill()
				pass(4*time.Hour + 45*time.Minute)
				p = w.boot(0, false, list)
				pass(2 * time.Hour)
				p.kill()
				var got []string
				for _, line := range w.log {
					at, id, _ := strings.Cut(line, " begin s-20260501T")
					got = append(got, id[:2]+":"+id[2:4]+"@"+at[:5])
				}
				if d := cmp.Diff(strings.Fields(want), got); d != "" {
					t.Error(d)
				}
				w.once(t, "s")
			})
		})
	}
}

// TestSleepOfTheMachine has the clock jump while timers stand still.
func TestSleepOfTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T00:30:00Z")
		p := w.boot(0, false, triggerOf(t, "0 3 * * *"))
		pass(time.Minute)
		w.mu.Lock()
		w.leap = 5 * time.Hour
		w.mu.Unlock()
		pass(2 * time.Minute)
		p.kill()
		w.story(t, "05:32:00 begin s-20260501T030000Z")
	})
}

// TestClockThatWasAhead: where the clock was three days ahead and is put right, in the
// same process or before the next one, schedules go on at once, and no instant comes
// twice.
func TestClockThatWasAhead(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("2026-05-01T00:30:00Z")
			list := triggerOf(t, "@hourly")
			p := w.boot(0, false, list)
			set := func(ahead time.Duration) {
				w.mu.Lock()
				w.leap = ahead
				w.mu.Unlock()
			}
			pass(time.Hour)
			set(72 * time.Hour)
			pass(time.Hour)
			if again {
				p.kill()
			}
			set(0)
			if again {
				p = w.boot(0, false, list)
			}
			pass(time.Hour)
			p.kill()
			w.story(t, `
				01:00:00 begin s-20260501T010000Z
				01:31:00 begin s-20260504T010000Z
				02:00:00 begin s-20260504T020000Z
				03:00:00 begin s-20260501T030000Z`)
		})
	}
}

// TestFirstSight starts in the very moment of an instant, and when one has just
// passed: neither is due.
func TestFirstSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T01:00:00Z")
		p := w.boot(0, false, triggerOf(t, "@hourly", "missed = \"all\""))
		pass(30 * time.Minute)
		p.kill()
		pass(time.Hour)
		// What was seen first is known after a restart as well.
		p = w.boot(0, false, triggerOf(t, "@hourly", "missed = \"all\""))
		pass(time.Minute)
		p.kill()
		w.story(t, "02:30:00 begin s-20260501T020000Z")
	})
}

// TestClockChanges runs through the nights in which the clock in Berlin changes.
func TestClockChanges(t *testing.T) {
	list := project(t, `
		trigger "daily" {
		  run      = workflow.w
		  schedule = "30 2 * * *"
		  timezone = "Europe/Berlin"
		}
		trigger "hourly" {
		  run      = workflow.w
		  schedule = "@hourly"
		  timezone = "Europe/Berlin"
		}`)
	for start, want := range map[string]string{
		"2026-03-28T22:30:00Z": `
			23:00:00 begin hourly-20260328T230000Z
			00:00:00 begin hourly-20260329T000000Z
			01:00:00 begin daily-20260329T010000Z
			01:00:00 begin hourly-20260329T010000Z
			02:00:00 begin hourly-20260329T020000Z`,
		"2026-10-24T22:15:00Z": `
			23:00:00 begin hourly-20261024T230000Z
			00:00:00 begin hourly-20261025T000000Z
			00:30:00 begin daily-20261025T003000Z
			01:00:00 begin hourly-20261025T010000Z
			02:00:00 begin hourly-20261025T020000Z`,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(start)
			p := w.boot(0, false, list)
			pass(4 * time.Hour)
			p.kill()
			slices.SortFunc(w.log, func(a, b string) int { return strings.Compare(instantOf(a)+a, instantOf(b)+b) })
			w.story(t, want)
		})
	}
}

// instantOf is the instant in a line: what happens in one moment has no order.
func instantOf(line string) string { return line[strings.LastIndexByte(line, '-'):] }

func TestOverlap(t *testing.T) {
	for policy, want := range map[string]string{
		"skip": `
			00:01:00 begin s-20260501T000100Z
			00:04:00 begin s-20260501T000400Z
			00:07:00 begin s-20260501T000700Z`,
		"queue": `
			00:01:00 begin s-20260501T000100Z
			00:03:30 begin s-20260501T000200Z
			00:06:00 begin s-20260501T000300Z
			00:08:30 begin s-20260501T000400Z`,
		"replace": `
			00:01:00 begin s-20260501T000100Z
			00:02:10 cancelled s-20260501T000100Z
			00:02:10 begin s-20260501T000200Z
			00:03:10 cancelled s-20260501T000200Z
			00:03:10 begin s-20260501T000300Z
			00:04:10 cancelled s-20260501T000300Z
			00:04:10 begin s-20260501T000400Z`,
	} {
		t.Run(policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("2026-05-01T00:00:30Z")
				w.takes, w.ending = 150*time.Second, 10*time.Second
				schedule := map[string]string{"skip": "* * * * *", "queue": "1-4 * * * *", "replace": "1-4 * * * *"}[policy]
				p := w.boot(0, false, triggerOf(t, schedule, "overlap = \""+policy+"\""))
				pass(8*time.Minute + 29*time.Second)
				if policy == "queue" {
					pass(time.Minute)
				}
				if policy == "skip" {
					pass(31 * time.Second)
				}
				p.kill()
				if policy == "queue" {
					w.log = w.log[:4]
				}
				w.story(t, want)
				if w.most != 1 {
					t.Errorf("%d runs were at work at once", w.most)
				}
			})
		})
	}
}

// TestReplaceEndlessly replaces runs that take longer to end than the next
// instant needs to come: only the newest is worth starting then.
func TestReplaceEndlessly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T00:00:30Z")
		w.takes, w.ending = time.Hour, 150*time.Second
		p := w.boot(0, false, triggerOf(t, "1-4 * * * *", "overlap = \"replace\""))
		pass(40 * time.Minute)
		p.kill()
		w.log = w.log[:3]
		w.story(t, `
			00:01:00 begin s-20260501T000100Z
			00:04:30 cancelled s-20260501T000100Z
			00:04:30 begin s-20260501T000400Z`)
	})
}

// TestTwoSchedulers has two look at the same schedules, each dying now and then.
func TestTwoSchedulers(t *testing.T) {
	for _, policy := range []string{"queue", "replace", "skip"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("2026-05-01T00:00:30Z")
			w.takes, w.ending = 40*time.Second, time.Second
			list := triggerOf(t, "*/2 * * * *", "overlap = \""+policy+"\"", "missed = \"all\"")
			a, b := w.boot(0, false, list), w.boot(0, false, list)
			for range 10 {
				pass(7*time.Minute + 45*time.Second)
				a.kill()
				a = w.boot(0, false, list)
				pass(3*time.Minute + 50*time.Second)
				b.kill()
				b = w.boot(0, false, list)
			}
			pass(70 * time.Second)
			a.kill()
			b.kill()
			if got := w.once(t, "s"); len(got) < 58 || w.most != 1 {
				t.Errorf("%s: %d instants were started, %d at once", policy, len(got), w.most)
			}
		})
	}
}

// TestCrashes has a scheduler die at every call of the store, the call having
// taken effect or not, and another one go on.
func TestCrashes(t *testing.T) {
	for _, overlap := range []string{"skip", "queue", "replace"} {
		for calls := 1; ; calls++ {
			died := false
			for _, written := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld("2026-05-01T00:00:30Z")
					w.takes, w.ending = 70*time.Second, time.Second
					list := triggerOf(t, "1-6 0 * * *", "overlap = \""+overlap+"\"", "missed = \"all\"")
					p := w.boot(calls, written, list)
					pass(6*time.Minute + 40*time.Second)
					select {
					case <-p.gone:
						died = true
					default:
					}
					p.kill()
					pass(20 * time.Second)
					p = w.boot(0, false, list)
					pass(10 * time.Minute)
					p.kill()
					fires, err := w.store.Fires(context.Background(), "s", 0)
					if err != nil || len(fires) != 6 && calls > 1 {
						t.Errorf("%s, call %d, %v: %d instants (%v)", overlap, calls, written, len(fires), err)
					}
					w.once(t, "s")
					if w.most > 1 {
						t.Errorf("%s, call %d, %v: %d runs at once", overlap, calls, written, w.most)
					}
					if overlap == "queue" && len(w.begun) != len(fires) {
						t.Errorf("call %d, %v: %d runs of %d instants", calls, written, len(w.begun), len(fires))
					}
				})
			}
			if !died {
				t.Logf("%s: %d calls", overlap, calls)
				break
			}
		}
	}
}

// TestChanges drives a schedule whose expression changes, and one that goes and
// comes back.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T00:30:00Z")
		w.takes = 100 * time.Minute
		hourly := triggerOf(t, "@hourly", "missed = \"all\"", "overlap = \"queue\"")
		p := w.boot(0, false, hourly)
		pass(2 * time.Hour) // one at work, one queued
		p.triggers <- nil
		pass(2 * time.Hour) // 01:00 ends by itself
		p.triggers <- triggerOf(t, "*/20 * * * *", "missed = \"all\"")
		pass(15 * time.Minute)
		p.kill()
		p = w.boot(0, false, triggerOf(t, "50 * * * *", "missed = \"all\""))
		pass(11 * time.Minute)
		p.kill()
		w.story(t, `
			01:00:00 begin s-20260501T010000Z
			04:40:00 begin s-20260501T044000Z
			04:45:00 interrupted s-20260501T044000Z
			04:45:00 resume s-20260501T044000Z
			04:56:00 interrupted s-20260501T044000Z`)
		fires, _ := w.store.Fires(context.Background(), "s", 0)
		var got []string
		for _, f := range fires {
			got = append(got, f.At.Format("15:04 ")+string(f.Status))
		}
		// At 04:50 the run that was resumed had not ended.
		if d := cmp.Diff([]string{"04:50 skipped", "04:40 started", "02:00 skipped", "01:00 ended"}, got); d != "" {
			t.Error(d)
		}
	})
}

// TestTrouble has the store fail for a while: what was due is done afterwards.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T00:59:30Z")
		var broken atomic.Bool
		broken.Store(true)
		w.store.OnCall = func() (bool, error) {
			if broken.Load() {
				return false, fmt.Errorf("disk full")
			}
			return false, nil
		}
		p := w.boot(0, false, triggerOf(t, "@hourly"))
		pass(10 * time.Second)
		broken.Store(false) // now the schedule becomes known
		pass(10 * time.Second)
		broken.Store(true)
		pass(35 * time.Second)
		broken.Store(false)
		pass(time.Minute)
		p.kill()
		w.once(t, "s")
		problems := 0
		for _, e := range p.events {
			if e.Kind == Problem {
				problems++
			}
		}
		if problems < 3 || problems > 12 || len(w.begun) != 1 {
			t.Errorf("%d problems were told, begun are %v", problems, w.begun)
		}
	})
}

// refusing cannot start anything.
type refusing struct{ *process }

func (refusing) Do(context.Context, Start) (runs.Run, error) {
	return runs.Run{}, &InvalidError{fmt.Errorf("no value")}
}

func TestInvalidRunsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("2026-05-01T00:59:30Z")
		ctx, cancel := context.WithCancel(context.Background())
		lists := make(chan []*Trigger, 1)
		lists <- triggerOf(t, "* * * * *")
		s := &Scheduler{Store: &w.store, Runs: refusing{&process{w: w}}, Now: w.now}
		ended := make(chan struct{})
		go func() {
			s.Run(ctx, lists)
			close(ended)
		}()
		pass(2 * time.Minute)
		cancel()
		<-ended
		fires, _ := w.store.Fires(context.Background(), "s", 0)
		if len(fires) != 2 || fires[0].Status != runs.FireFailed || fires[1].Status != runs.FireFailed {
			t.Errorf("%+v", fires)
		}
	})
}

func TestRunIDs(t *testing.T) {
	at := time.Date(2026, 3, 29, 3, 0, 0, 0, time.FixedZone("", 7200))
	for got, want := range map[string]string{
		RunID("nightly", at, 0): "nightly-20260329T010000Z",
		RunID("nightly", at, 2): "nightly-20260329T010000Z-2",
	} {
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	long := strings.Repeat("ä", 200)
	if a, b := RunID(long+"a", at, 0), RunID(long+"b", at, 0); a == b || len(a) > 130 || !strings.HasPrefix(a, "ää") {
		t.Errorf("%s, %s", a, b)
	}
}

// BenchmarkScheduler measures what 10,000 schedules cost that share 60 minutes:
// an op is an instant, seen to and done with.
func BenchmarkScheduler(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "trigger \"s%d\" {\n  run = workflow.w\n  schedule = \"%d * * * *\"\n}\n", i, i%60)
	}
	t := &testing.T{}
	list := project(t, text.String())
	w := newWorld("2026-05-01T00:59:30Z")
	ctx := context.Background()
	clock := w.start
	s := &Scheduler{Store: &w.store, Runs: instantly{}, Now: func() time.Time { return clock }}
	s.entries, s.working, s.done, s.slots = map[string]*entry{}, map[string]*work{}, make(chan result), make(chan struct{}, 1000)
	if err := s.set(ctx, list); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; n < b.N; {
		clock = clock.Add(time.Minute)
		due := s.popDue()
		s.attend(ctx, due)
		n += len(due)
		for len(s.working) > 0 {
			s.ended(ctx, <-s.done)
		}
		s.attend(ctx, s.popDue())
	}
}

// instantly carries out runs in no time.
type instantly struct{}

func (instantly) Do(_ context.Context, s Start) (runs.Run, error) {
	return runs.Run{ID: s.Run, Status: runs.Succeeded}, nil
}
func (instantly) Run(context.Context, string) (runs.Run, error) {
	return runs.Run{}, runs.ErrNotFound
}
func (instantly) Cancel(context.Context, string) error { return nil }
