package observer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// story tells what becomes of a stack with one look after the other, an hour apart.
type story struct {
	t        *testing.T
	r        Record
	settings Settings
	now      time.Time
	looks    int
}

func newStory(t *testing.T) *story {
	return &story{t: t, now: start, settings: Settings{Every: time.Hour, Flapping: 3, Within: 24 * time.Hour}}
}

// changed is an object with an attribute that was found with a value.
func changed(address, path, value string) Change {
	return Change{Address: address, Action: Updated, Target: address, Attributes: []Attribute{{Path: path, Before: json.RawMessage(`"as left"`), After: json.RawMessage(fmt.Sprintf("%q", value))}}}
}

// look looks an hour later and expects notices, each as KIND ADDRESS... xTIMES.
func (s *story) look(want string, found ...Change) []Notice {
	s.t.Helper()
	s.now = s.now.Add(time.Hour)
	s.looks++
	s.settings.Run = fmt.Sprintf("run%d", s.looks)
	r, notices := s.r.After(Look{Began: s.now, Ended: s.now, Files: "files", Changes: found}, s.settings)
	var got []string
	for _, n := range notices {
		text := strings.TrimPrefix(n.Kind, "drift.")
		for _, c := range n.Changes {
			text += " " + c.Address
		}
		got = append(got, fmt.Sprintf("%s x%d", text, n.Times))
	}
	if text := strings.Join(got, ", "); text != want {
		s.t.Errorf("look %d says %q, not %q", s.looks, text, want)
	}
	s.r = r
	return notices
}

// repaired says which run of a repair was decided, and has it end.
func (s *story) repaired(want string) {
	s.t.Helper()
	got := ""
	if s.r.Repair != nil && s.r.Repair.Run == s.settings.Run {
		got = s.r.Repair.Run + " " + strings.Join(s.r.Repair.Targets, " ")
	}
	if got != want {
		s.t.Errorf("after look %d the repair is %q, not %q", s.looks, got, want)
	}
}

func TestDriftIsToldOnce(t *testing.T) {
	s := newStory(t)
	s.look("")
	s.look("found a x1", changed("a", "x", "1"))
	s.look("", changed("a", "x", "1"))
	s.look("found b x1", changed("a", "x", "1"), changed("b", "x", "1"))
	s.look("found a x2", changed("a", "x", "2"), changed("b", "x", "1")) // another value is another drift
	n := s.look("resolved a b x2")
	if since := n[0].Since; since != start.Add(2*time.Hour) {
		t.Errorf("it is resolved that was there since %s", since)
	}
	s.look("")
	if len(s.r.Drift) != 0 || s.r.Looked != s.now {
		t.Errorf("known is %+v", s.r)
	}
}

func TestDeletedIsOtherThanChanged(t *testing.T) {
	s := newStory(t)
	s.look("found a x1", changed("a", "x", "1"))
	s.look("found a x1", Change{Address: "a", Action: Deleted})
	s.look("", Change{Address: "a", Action: Deleted})
	s.look("resolved a x1")
}

func TestFlapping(t *testing.T) {
	s := newStory(t)
	s.settings.Repair = true
	for i := 1; i <= 2; i++ {
		s.look(fmt.Sprintf("found a x%d", i), changed("a", "size", "7"))
		s.repaired(fmt.Sprintf("run%d a", s.looks))
		n := s.look(fmt.Sprintf("resolved a x%d", i))
		if n[0].Repair != fmt.Sprintf("run%d", s.looks-1) {
			t.Errorf("what was resolved was put back by %q", n[0].Repair)
		}
	}
	n := s.look("flapping a x3", changed("a", "size", "7"))
	s.repaired("")
	for _, want := range []string{"size of a was found changed 3 times since 2026-03-01T13:00:00Z, last as \"7\".", "Repairs put it back 2 times.", "ignore_changes = [size]"} {
		if !strings.Contains(n[0].Because, want) {
			t.Errorf("it is explained as %q, without %q", n[0].Because, want)
		}
	}
	if n[0].Since != start.Add(time.Hour) {
		t.Errorf("it flaps since %s", n[0].Since)
	}
	// It is left alone, and nothing is said of it any more, but others are not.
	s.look("")
	s.look("found b x1", changed("a", "size", "8"), changed("b", "size", "8"))
	s.repaired(fmt.Sprintf("run%d b", s.looks))
	s.look("resolved b x1", changed("a", "size", "8"))
	for range 100 {
		s.look("", changed("a", "size", "8"))
		s.repaired("")
	}
	// Another field of the same object is told of, and not put back: the object is
	// one thing.
	both := changed("a", "size", "8")
	both.Attributes = append(both.Attributes, changed("a", "name", "n").Attributes...)
	s.look("found a x1", both)
	s.repaired("")
}

// TestFlappingEnds with a reset, and with another configuration.
func TestFlappingEnds(t *testing.T) {
	for _, by := range []string{"reset", "files"} {
		s := newStory(t)
		s.settings.Repair = true
		for i, value := range []string{"1", "2"} {
			s.look(fmt.Sprintf("found a x%d", i+1), changed("a", "x", value))
			s.repaired(fmt.Sprintf("run%d a", s.looks))
		}
		s.look("flapping a x3", changed("a", "x", "3"))
		s.repaired("")
		if by == "reset" {
			s.r = s.r.Reset()
		} else {
			s.r.Files = "other files"
		}
		s.look("", changed("a", "x", "3")) // it was told
		s.repaired("run4 a")
		s.look("resolved a x1")
	}
}

func TestFlappingCountsWithinATime(t *testing.T) {
	s := newStory(t)
	for range 10 {
		s.look("found a x1", changed("a", "x", "1"))
		s.look("resolved a x1")
		for range 24 {
			s.look("")
		}
	}
	if len(s.r.Fields) != 0 {
		t.Errorf("what lies far back is kept: %v", s.r.Fields)
	}
}

func TestFlappingMayTakeLong(t *testing.T) {
	s := newStory(t)
	s.settings.Flapping, s.settings.Within = mostFound+10, 1000*time.Hour
	for i := 1; i < s.settings.Flapping; i++ {
		s.look(fmt.Sprintf("found a x%d", i), changed("a", "x", fmt.Sprint(i)))
	}
	s.look(fmt.Sprintf("flapping a x%d", s.settings.Flapping), changed("a", "x", "last"))
}

func TestRepairs(t *testing.T) {
	s := newStory(t)
	s.look("found a x1", changed("a", "x", "1"))
	s.repaired("")
	s.settings.Repair = true
	s.look("", changed("a", "x", "1"))
	s.repaired("run2 a") // what was there when repairs were turned on is put back too
	s.settings.Open = true
	s.look("found b x1", changed("a", "x", "1"), changed("b", "x", "1"))
	s.repaired("") // one at a time
	if s.r.Repair.Seen {
		t.Error("a repair that has not ended is looked after")
	}
	s.settings.Open = false
	s.look("", changed("a", "x", "1"), changed("b", "x", "1"))
	s.repaired("run4 a b")
	for range 23 { // it does not help: not again for a day
		s.look("", changed("a", "x", "1"), changed("b", "x", "1"))
		s.repaired("")
	}
	s.look("", changed("a", "x", "1"), changed("b", "x", "1"))
	s.repaired("run28 a b")
	// One that could not be made is tried with each look.
	s.r = s.r.refused(nil, "not allowed")
	for range 2 {
		s.look("", changed("a", "x", "1"), changed("b", "x", "1"))
		s.repaired(fmt.Sprintf("run%d a b", s.looks))
		s.r = s.r.refused(nil, "not allowed")
	}
	if n := s.r.Fields[keyOf("a", "x")].Repairs; n != 2 {
		t.Errorf("it was put back %d times", n)
	}
	// What the files do not have is not put back: that would destroy it.
	orphan := changed("c", "x", "1")
	orphan.Target = ""
	s.look("found c x1, resolved a b x1", orphan)
	s.repaired("")
}

func TestFailedLooks(t *testing.T) {
	s := newStory(t)
	s.look("found a x1", changed("a", "x", "1"))
	looked := s.r.Looked
	var waits []time.Duration
	for range 12 {
		s.now = s.now.Add(time.Hour)
		s.r, _ = s.r.After(Look{Began: s.now, Ended: s.now, Problem: "no network"}, s.settings)
		waits = append(waits, s.r.Next.Sub(s.now))
	}
	if s.r.Problem != "no network" || s.r.Failures != 12 || s.r.Looked != looked || len(s.r.Drift) != 1 {
		t.Errorf("known is %+v", s.r)
	}
	m := time.Minute
	if want := []time.Duration{m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, 64 * m, 128 * m, 256 * m, 480 * m, 480 * m, 480 * m}; !slices.Equal(waits, want) {
		t.Errorf("the waits are %v", waits)
	}
	s.look("", changed("a", "x", "1"))
	if s.r.Problem != "" || s.r.Failures != 0 || s.r.Next != s.now.Add(time.Hour) {
		t.Errorf("after a look that went well known is %+v", s.r)
	}
}

func TestManyChangesAreCounted(t *testing.T) {
	s := newStory(t)
	var list []Change
	for i := range 250 {
		list = append(list, changed(fmt.Sprintf("a%03d", i), "x", "1"))
	}
	s.now = s.now.Add(time.Hour)
	r, notices := s.r.After(Look{Began: s.now, Ended: s.now, Changes: list}, s.settings)
	if n := notices[0]; len(notices) != 1 || len(n.Changes) != 100 || n.Left != 150 || len(r.Drift) != 250 {
		t.Errorf("told are %d changes, %d left, of %d", len(n.Changes), n.Left, len(r.Drift))
	}
}

// TestRecordsHold draws what is found look after look, and holds what is known and
// told against what was drawn.
func TestRecordsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := Settings{Every: time.Hour, Flapping: rapid.IntRange(2, 4).Draw(t, "k"), Within: 10 * time.Hour, Repair: true}
		var r Record
		now := start
		anew := map[string][]time.Time{} // naively: when each object was found with another value
		left := map[string]bool{}        // what was found so often
		was := map[string]string{}
		for i := range rapid.IntRange(1, 40).Draw(t, "looks") {
			now = now.Add(time.Hour)
			settings.Run = fmt.Sprint("run", i)
			var found []Change
			is := map[string]string{}
			for _, address := range []string{"a", "b", "c"} {
				if v := rapid.IntRange(0, 2).Draw(t, address); v > 0 {
					is[address] = fmt.Sprint(v)
					found = append(found, changed(address, "x", is[address]))
				}
			}
			next, notices := r.After(Look{Began: now, Ended: now, Changes: found}, settings)
			told := map[string]string{}
			for _, n := range notices {
				for _, c := range n.Changes {
					told[c.Address] += n.Kind
				}
			}
			for _, address := range []string{"a", "b", "c"} {
				want := ""
				switch value := is[address]; {
				case value == was[address] || left[address]:
				case value == "":
					want = Resolved
				default:
					anew[address] = slices.DeleteFunc(append(anew[address], now), func(at time.Time) bool { return at.Before(now.Add(-settings.Within)) })
					want = Found
					if len(anew[address]) >= settings.Flapping {
						want, left[address] = Flapping, true
					}
				}
				if told[address] != want {
					t.Fatalf("look %d: of %s is told %q, not %q", i, address, told[address], want)
				}
			}
			if p := next.Repair; p != nil && p.Run == settings.Run {
				for _, address := range []string{"a", "b", "c"} {
					if wanted := is[address] != "" && !left[address]; slices.Contains(p.Targets, address) != wanted {
						t.Fatalf("look %d: the repair is of %v", i, p.Targets)
					}
				}
			}
			if len(next.Drift) != len(found) {
				t.Fatalf("look %d: known is %v", i, next.Drift)
			}
			document, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			if r, err = Read(document); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(r); !reflect.DeepEqual(again, document) {
				t.Fatalf("look %d: a record is read as another: %s, %s", i, document, again)
			}
			was = is
		}
	})
}
