package windows_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events/windows"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }

func newWindow(t testing.TB, r windows.Rule, saved []byte) *windows.Window {
	t.Helper()
	w, err := windows.New(r, saved)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// play plays a story: "SECOND ID KEY PARTS DEPTH" or "SECOND" for the passing of
// time, and returns what came of it.
func play(t *testing.T, w *windows.Window, story ...string) string {
	t.Helper()
	var out []string
	for _, line := range story {
		var second, depth int
		var id, key, parts string
		n, _ := fmt.Sscan(line, &second, &id, &key, &parts, &depth)
		var r windows.Result
		if n == 1 {
			r = w.Advance(at(second))
		} else {
			e := windows.Event{ID: id, Key: key, Depth: depth}
			for _, p := range parts {
				e.Parts = append(e.Parts, int(p-'0'))
			}
			r = w.Take(e, at(second))
		}
		for _, f := range r.Firings {
			text := fmt.Sprintf("%.0f:%s:%s", f.At.Sub(start).Seconds(), f.Key, strings.Join(f.Events, "+"))
			if f.Suppressed > 0 {
				text += fmt.Sprintf("(%d)", f.Suppressed)
			}
			out = append(out, text)
		}
		for _, refusal := range r.Refusals {
			out = append(out, string(refusal))
		}
	}
	return strings.Join(out, " ")
}

func TestStories(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name  string
		rule  windows.Rule
		story []string
		want  string
	}{
		{"each", windows.Rule{Kind: windows.Each}, []string{"1 a k", "1 b k", "2 a l"}, "1:k:a 1:k:b 2:l:a"},
		{"three within ten seconds", windows.Rule{Kind: windows.Count, Count: 3, Within: 10 * second},
			[]string{"0 a k", "1 b k", "10 c k", "10 d k", "11 e k", "12 f k", "13 g k"}, "10:k:b+c+d 13:k:e+f+g"},
		{"keys", windows.Rule{Kind: windows.Count, Count: 2, Within: 10 * second},
			[]string{"0 a k", "1 b l", "2 c k", "3 d l"}, "2:k:a+c 3:l:b+d"},
		{"absent", windows.Rule{Kind: windows.Absent, Within: 10 * second},
			[]string{"0 a k 0", "1 b l 0", "5 c k 1", "20", "30 d m 0", "35 e m 0", "41"}, "11:l:b 40:m:d"},
		{"too late, when it ends", windows.Rule{Kind: windows.Absent, Within: 10 * second},
			[]string{"0 a k 0", "10 b k 1", "30"}, "10:k:a"},
		{"heartbeat", windows.Rule{Kind: windows.Absent, Within: 10 * second},
			[]string{"0 a k 01", "8 b k 01", "16 c k 01", "50 d k 01", "59"}, "26:k:c"},
		{"all of three", windows.Rule{Kind: windows.All, Parts: 3, Within: 10 * second},
			[]string{"0 a k 2", "5 b k 0", "9 c k 1", "10 d k 0", "11 e k 2", "30 f k 1"}, "9:k:a+b+c"},
		{"all, the first too old", windows.Rule{Kind: windows.All, Parts: 2, Within: 10 * second},
			[]string{"0 a k 0", "10 b k 1", "12 c k 0", "20 d k 01"}, "12:k:b+c 20:k:d"},
		{"in sequence", windows.Rule{Kind: windows.Sequence, Parts: 3, Within: 10 * second},
			[]string{"0 a k 1", "1 b k 0", "2 c k 2", "3 d k 1", "4 e k 2", "5 f k 2"}, "4:k:b+d+e"},
		{"the chain that began last", windows.Rule{Kind: windows.Sequence, Parts: 3, Within: 10 * second},
			[]string{"0 a k 0", "1 b k 1", "5 c k 0", "8 d k 1", "12 e k 2"}, "12:k:c+d+e"},
		{"an event is one link", windows.Rule{Kind: windows.Sequence, Parts: 2, Within: 10 * second},
			[]string{"0 a k 01", "1 b k 01"}, "1:k:a+b"},
		{"duplicates", windows.Rule{Kind: windows.Each, Dedup: 10 * second},
			[]string{"0 a k", "9 a k", "10 a k", "11 a l"}, "0:k:a duplicate 10:k:a duplicate"},
		{"throttle", windows.Rule{Kind: windows.Each, Throttle: windows.Rate{Limit: 2, Per: 10 * second}},
			[]string{"0 a k", "1 b k", "2 c k", "3 d k", "3 e l", "10 f k", "30 g k"}, "0:k:a 1:k:b throttled throttled 3:l:e 10:k:f(2) 30:k:g"},
		{"suppressed, told much later", windows.Rule{Kind: windows.Each, Throttle: windows.Rate{Limit: 1, Per: 10 * second}},
			[]string{"0 a k", "1 b k", "50", "90 c k"}, "0:k:a throttled 90:k:c(1)"},
		{"loops end", windows.Rule{Kind: windows.Each, Depth: 2}, []string{"0 a k 0 1", "1 b k 0 2", "2 c k 0 3"}, "0:k:a 1:k:b too deep"},
		{"loops are slow", windows.Rule{Kind: windows.Each, Caused: windows.Rate{Limit: 2, Per: 10 * second}},
			[]string{"0 a k 0 1", "1 b l 0 9", "2 c k 0 1", "3 d k 0 0", "10 e k 0 1"}, "0:k:a 1:l:b too many 3:k:d 10:k:e"},
		{"no part", windows.Rule{Kind: windows.All, Parts: 2, Within: second}, []string{"0 a k 7", "0 b k"}, "no part no part"},
		{"room for two keys", windows.Rule{Kind: windows.Count, Count: 2, Within: 100 * second, Keys: 2},
			[]string{"0 a k", "1 b l", "2 c m", "3 d k", "4 e m", "5 f l"}, "4:m:c+e"},
		{"time does not go back", windows.Rule{Kind: windows.Count, Count: 2, Within: 10 * second},
			[]string{"9 a k", "3 b l", "18 c l"}, "18:l:b+c"},
	} {
		if got := play(t, newWindow(t, c.rule, nil), c.story...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, r := range []windows.Rule{
		{}, {Kind: "often"}, {Kind: windows.Count, Count: 3}, {Kind: windows.Count, Within: 1}, {Kind: windows.Count, Count: 1 << 20, Within: 1},
		{Kind: windows.All, Parts: 1, Within: 1}, {Kind: windows.Sequence, Parts: 65, Within: 1}, {Kind: windows.Absent},
		{Kind: windows.Each, Dedup: -1}, {Kind: windows.Each, Throttle: windows.Rate{Limit: 1}}, {Kind: windows.Each, Caused: windows.Rate{Per: 1}},
	} {
		if _, err := windows.New(r, nil); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	ok := windows.Rule{Kind: windows.All, Parts: 2, Within: time.Second}
	for _, saved := range []string{"x", `{"keys":{"k":null}}`, `{"keys":{"k":{"entries":[{},{},{}]}}}`} {
		if _, err := windows.New(ok, []byte(saved)); err == nil {
			t.Errorf("%s is taken for a state", saved)
		}
	}
}

func TestKey(t *testing.T) {
	event := []byte(`{"source":"a","data":{"n":1,"s":"1","list":[],"nil":null}}`)
	for _, c := range []struct {
		paths [][]string
		want  string
	}{
		{nil, `[]`},
		{[][]string{{"source"}, {"data", "n"}}, `["a",1]`},
		{[][]string{{"data", "s"}, {"data", "nil"}}, `["1",null]`},
		{[][]string{{"data", "list"}}, ""},
		{[][]string{{"data", "missing"}}, ""},
		{[][]string{{"source", "x"}}, ""},
	} {
		if got, err := windows.Key(event, c.paths); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%v: %q, %v", c.paths, got, err)
		}
	}
}

// model is a window as plain as can be: it keeps everything and looks at all of it,
// second by second.
type model struct {
	rule   windows.Rule
	now    int
	log    map[string][]logged // events since the last firing, by key
	fired  map[string][]int
	seen   map[string]int
	caused []int
}

type logged struct {
	windows.Event
	at int
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func recent(times []int, rate windows.Rate, now int) int {
	n := 0
	for _, t := range times {
		if now-t < seconds(rate.Per) {
			n++
		}
	}
	return n
}

// tick lets seconds pass up to one, and returns what fires in the meantime.
func (m *model) tick(to int) []string {
	var out []string
	for ; m.now < to; m.now++ {
		if m.rule.Kind != windows.Absent {
			continue
		}
		for _, key := range []string{"k", "l"} {
			if waits := m.log[key]; len(waits) > 0 && waits[0].at+seconds(m.rule.Within) == m.now+1 {
				m.log[key] = nil
				out = append(out, m.fire(key, m.now+1)...)
			}
		}
	}
	return out
}

func (m *model) fire(key string, now int) []string {
	m.log[key] = nil
	if m.rule.Throttle.Limit > 0 && recent(m.fired[key], m.rule.Throttle, now) >= m.rule.Throttle.Limit {
		return []string{string(windows.Throttled)}
	}
	m.fired[key] = append(m.fired[key], now)
	return []string{fmt.Sprintf("%d:%s", now, key)}
}

func (m *model) take(e windows.Event, now int) []string {
	out := m.tick(now)
	if last, was := m.seen[e.ID]; was && now-last < seconds(m.rule.Dedup) {
		return append(out, string(windows.Duplicate))
	}
	m.seen[e.ID] = now
	if m.rule.Depth > 0 && e.Depth > m.rule.Depth {
		return append(out, string(windows.TooDeep))
	}
	if m.rule.Caused.Limit > 0 && e.Depth > 0 {
		if recent(m.caused, m.rule.Caused, now) >= m.rule.Caused.Limit {
			return append(out, string(windows.TooMany))
		}
		m.caused = append(m.caused, now)
	}
	log := append(m.log[e.Key], logged{e, now})
	m.log[e.Key] = log
	var last []logged // those that are not over
	for _, l := range log {
		if now-l.at < seconds(m.rule.Within) {
			last = append(last, l)
		}
	}
	fires := false
	switch m.rule.Kind {
	case windows.Each:
		fires = true
	case windows.Count:
		fires = len(last) >= m.rule.Count
	case windows.All:
		fires = true
		for part := range m.rule.Parts {
			fires = fires && slices.ContainsFunc(last, func(l logged) bool { return slices.Contains(l.Parts, part) })
		}
	case windows.Sequence:
		fires = chain(last, m.rule.Parts-1)
	case windows.Absent:
		// Only what is waited after stays, and it is the first.
		log = log[:len(log)-1]
		if slices.Contains(e.Parts, 1) {
			log = nil
		}
		if slices.Contains(e.Parts, 0) && len(log) == 0 {
			log = []logged{{e, now}}
		}
		m.log[e.Key] = log
	}
	if fires {
		out = append(out, m.fire(e.Key, now)...)
	}
	return out
}

// chain reports whether the last of events can be of a part, with others before it
// of the parts before.
func chain(list []logged, part int) bool {
	if len(list) == 0 || !slices.Contains(list[len(list)-1].Parts, part) {
		return false
	}
	if part == 0 {
		return true
	}
	for i := range list[:len(list)-1] {
		if chain(list[:i+1], part-1) {
			return true
		}
	}
	return false
}

// TestAgainstModel: a window does what the plain model does, also when it is only
// woken at its deadlines, written down and read again.
func TestAgainstModel(t *testing.T) {
	firings := map[windows.Kind]int{}
	kinds := []windows.Kind{windows.Each, windows.Count, windows.Absent, windows.All, windows.Sequence}
	const enough, most = 20, 50 // firings of each kind, rounds to come by them
	rare := func(k windows.Kind) bool { return firings[k] < enough }
	for round := 0; round < most && (round == 0 || slices.ContainsFunc(kinds, rare)); round++ {
		checkAgainstModel(t, kinds, firings)
	}
	for _, kind := range kinds {
		if rare(kind) {
			t.Errorf("%s fired %d times: the test says little", kind, firings[kind])
		}
	}
}

func checkAgainstModel(t *testing.T, kinds []windows.Kind, firings map[windows.Kind]int) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		number := func(from, to int) int { return rapid.IntRange(from, to).Draw(rt, "n") }
		duration := func(from, to int) time.Duration { return time.Duration(number(from, to)) * time.Second }
		rule := windows.Rule{Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"), Within: duration(1, 12), Dedup: duration(0, 8)}
		parts := 1
		switch rule.Kind {
		case windows.Count:
			rule.Count = number(1, 4)
		case windows.All, windows.Sequence:
			rule.Parts = number(2, 3)
			parts = rule.Parts
		case windows.Absent:
			parts = 2
		}
		if number(0, 2) == 0 {
			rule.Throttle = windows.Rate{Limit: number(1, 3), Per: duration(1, 20)}
		}
		if number(0, 2) == 0 {
			rule.Caused = windows.Rate{Limit: number(1, 3), Per: duration(1, 20)}
		}
		rule.Depth = number(0, 2)
		w := newWindow(t, rule, nil)
		m := &model{rule: rule, log: map[string][]logged{}, fired: map[string][]int{}, seen: map[string]int{}}
		now, next := 0, time.Time{}
		var got, want []string
		note := func(r windows.Result) {
			for _, f := range r.Firings {
				got = append(got, fmt.Sprintf("%d:%s", seconds(f.At.Sub(start)), f.Key))
				firings[rule.Kind]++
				if len(f.Events) == 0 {
					rt.Errorf("a firing for nothing")
				}
			}
			for _, refusal := range r.Refusals {
				got = append(got, string(refusal))
			}
			if next = r.Next; !next.IsZero() && !next.After(at(now)) {
				rt.Fatalf("at %d the next deadline is %s", now, next)
			}
		}
		for step := range number(1, 40) {
			to := now + number(0, 6)
			if rapid.Bool().Draw(rt, "awake") {
				for !next.IsZero() && !next.After(at(to)) {
					now = seconds(next.Sub(start))
					note(w.Advance(next))
				}
			}
			now = to
			if number(0, 5) == 0 {
				saved, err := w.Save()
				if err != nil {
					rt.Fatal(err)
				}
				w = newWindow(t, rule, saved)
				again, err := w.Save()
				if err != nil || !reflect.DeepEqual(saved, again) {
					rt.Fatalf("%s is read as %s, %v", saved, again, err)
				}
			}
			e := windows.Event{ID: fmt.Sprint(step), Key: rapid.SampledFrom([]string{"k", "l"}).Draw(rt, "key"), Depth: max(0, number(-3, 3))}
			if number(0, 6) == 0 {
				e.ID = fmt.Sprint(number(0, 40))
			}
			for part := range parts {
				if parts == 1 || number(0, 1) == 0 {
					e.Parts = append(e.Parts, part)
				}
			}
			if len(e.Parts) == 0 {
				e.Parts = []int{number(0, parts-1)}
			}
			note(w.Take(e, at(now)))
			want = append(want, m.take(e, now)...)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				rt.Fatalf("%+v at %d, %+v:\n got %v\nwant %v", rule, now, e, got, want)
			}
		}
	})
}
