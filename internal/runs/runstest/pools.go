package runstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"pgregory.net/rapid"
)

func (s suite) enter(lease runs.Lease, tickets ...runs.Ticket) {
	s.t.Helper()
	s.must(s.EnterPools(context.Background(), lease, tickets))
}

func (s suite) leave(lease runs.Lease, pool string, step int) {
	s.t.Helper()
	s.must(s.Commit(context.Background(), []runs.Commit{{Lease: lease, Leaves: []runs.Leaving{{Pool: pool, Step: step}}}}))
}

// grants checks which steps of a run are in, and when to ask again.
func (s suite) grants(run string, now, next time.Time, want ...int) {
	s.t.Helper()
	got, err := s.GrantPools(context.Background(), run, now)
	s.must(err)
	if !slices.Equal(got.Steps, want) || !got.Next.Equal(next) {
		s.t.Errorf("steps of %s in pools: %v, next at %v; want %v, %v", run, got.Steps, got.Next, want, next)
	}
}

// queue checks what Pools says: "pool:run/step", with a star where it is in.
func (s suite) queue(want ...string) {
	s.t.Helper()
	list, err := s.Pools(context.Background())
	s.must(err)
	var got []string
	for _, t := range list {
		got = append(got, ticketText(t))
	}
	s.equal("pools", want, got)
}

func ticketText(t runs.Ticket) string {
	star := ""
	if !t.Granted.IsZero() {
		star = "*"
	}
	return fmt.Sprintf("%s:%s/%d%s", t.Pool, t.Run, t.Step, star)
}

func testPoolLimit(t *testing.T, s suite) {
	a, b := s.start("a"), s.start("b")
	ticket := func(step int) runs.Ticket {
		return runs.Ticket{Pool: "db", Run: "x", Step: step, Name: "migrate", Priority: 3, Limit: 2, Rate: 9, Per: time.Second, Asked: epoch, Granted: epoch}
	}
	s.grants("a", epoch, time.Time{})
	s.enter(a, ticket(1), ticket(2))
	s.enter(b, ticket(1))
	s.enter(a, ticket(1), ticket(3))
	s.queue("db:a/1", "db:a/2", "db:b/1", "db:a/3")
	s.grants("b", epoch, time.Time{})
	s.grants("a", epoch, time.Time{}, 1, 2)
	list, err := s.Pools(context.Background())
	s.must(err)
	want := ticket(1)
	want.Run = "a"
	s.equal("ticket", want, list[0])
	s.leave(a, "other", 2) // of another pool: nothing
	s.grants("a", epoch, time.Time{}, 1, 2)
	s.leave(a, "db", 2)
	s.grants("a", epoch, time.Time{}, 1)
	s.grants("b", epoch, time.Time{}, 1)
	s.leave(a, "db", 3) // who waits can go as well
	s.leave(a, "db", 1)
	s.queue("db:b/1*")
	s.enter(a, ticket(2)) // comes again
	s.grants("a", epoch, time.Time{}, 2)
	s.queue("db:b/1*", "db:a/2*")
	if err := s.EnterPools(context.Background(), runs.Lease{Run: "nobody"}, []runs.Ticket{ticket(1)}); !errors.Is(err, runs.ErrNotFound) {
		t.Errorf("an unknown run entered a pool: %v", err)
	}
}

func testPoolRate(_ *testing.T, s suite) {
	a, b := s.start("a"), s.start("b")
	for step := range 5 {
		s.enter(a, runs.Ticket{Pool: "api", Step: step, Rate: 2, Per: time.Minute})
	}
	minute := func(m float64) time.Time { return epoch.Add(time.Duration(m * float64(time.Minute))) }
	s.grants("a", minute(0), minute(1), 0, 1)
	s.leave(a, "api", 0) // does not help
	s.grants("a", minute(0.5), minute(1), 1)
	s.grants("a", minute(1).Add(-1), minute(1), 1)
	s.grants("a", minute(1), minute(2), 1, 2, 3)
	// Who has gone counts all the same.
	s.end(a)
	s.enter(b, runs.Ticket{Pool: "api", Step: 1, Rate: 2, Per: time.Minute})
	s.grants("b", minute(1.5), minute(2))
	s.grants("b", minute(2), time.Time{}, 1)
	// Where both hold, a rate tells nothing about when a place is free.
	s.enter(b, runs.Ticket{Pool: "both", Step: 2, Limit: 1, Rate: 1, Per: time.Minute}, runs.Ticket{Pool: "both", Step: 3, Limit: 1, Rate: 1, Per: time.Minute})
	s.grants("b", minute(3), time.Time{}, 1, 2)
	s.leave(b, "both", 2)
	s.grants("b", minute(3), minute(4), 1)
	// The earliest of several pools counts.
	s.enter(b, runs.Ticket{Pool: "slow", Step: 4, Rate: 1, Per: time.Hour}, runs.Ticket{Pool: "slow", Step: 5, Rate: 1, Per: time.Hour})
	s.grants("b", minute(3), minute(4), 1, 4)
	s.grants("b", minute(4), minute(63), 1, 3, 4)
}

func testPoolOrder(_ *testing.T, s suite) {
	a, b := s.start("a"), s.start("b")
	s.enter(a, runs.Ticket{Pool: "p", Step: 1, Limit: 1}, runs.Ticket{Pool: "p", Step: 2, Limit: 1})
	s.enter(b, runs.Ticket{Pool: "p", Step: 1, Limit: 5}, runs.Ticket{Pool: "p", Step: 2, Limit: 1, Priority: 7})
	s.enter(a, runs.Ticket{Pool: "p", Step: 3, Limit: 1, Priority: 7}, runs.Ticket{Pool: "q", Step: 4})
	s.queue("p:b/2", "p:a/3", "p:a/1", "p:a/2", "p:b/1", "q:a/4")
	s.grants("b", epoch, time.Time{}, 2) // q is no pool of b
	s.queue("p:b/2*", "p:a/3", "p:a/1", "p:a/2", "p:b/1", "q:a/4")
	s.grants("a", epoch, time.Time{}, 4)
	// b/1 would fit its own limit, but is not first.
	s.queue("p:b/2*", "p:a/3", "p:a/1", "p:a/2", "p:b/1", "q:a/4*")
	var told []string // who else was let in
	for _, run := range []string{"b/2", "a/3", "a/1"} {
		lease := a
		if strings.HasPrefix(run, "b") {
			lease = b
		}
		s.leave(lease, "p", int(run[2]-'0'))
		got, err := s.GrantPools(context.Background(), "a", epoch)
		s.must(err)
		told = append(told, got.Others...)
	}
	s.queue("p:a/2*", "p:b/1*", "q:a/4*")
	if !slices.Equal(told, []string{"b"}) {
		s.t.Errorf("told to %v that they were let in", told)
	}
}

func testPoolOwners(t *testing.T, s suite) {
	ctx := context.Background()
	one := func(step int) runs.Ticket { return runs.Ticket{Pool: "p", Step: step, Limit: 1} }
	// Who has ended leaves.
	a, b := s.start("a"), s.start("b")
	s.enter(a, one(1), one(2))
	s.enter(b, one(1))
	s.grants("a", epoch, time.Time{}, 1)
	s.end(a)
	if err := s.EnterPools(ctx, a, []runs.Ticket{one(3)}); !errors.Is(err, runs.ErrFenced) {
		t.Errorf("a run that has ended entered a pool: %v", err)
	}
	s.queue("p:b/1")
	s.grants("b", epoch, time.Time{}, 1)
	// Who dies loses its places, and whoever takes over begins anew.
	c := s.start("c")
	s.enter(c, one(1))
	s.enter(b, one(2))
	s.grants("c", epoch, time.Time{})
	b.Release()
	s.queue("p:c/1")
	again, err := s.Acquire(ctx, "b")
	s.must(err)
	t.Cleanup(again.Release)
	s.queue("p:c/1")
	if err := s.EnterPools(ctx, b, []runs.Ticket{one(3)}); !errors.Is(err, runs.ErrFenced) {
		t.Errorf("the former owner entered a pool: %v", err)
	}
	s.enter(again, one(2))
	s.grants("b", epoch, time.Time{})
	s.grants("c", epoch, time.Time{}, 1)
	again.Release()
	s.must(s.Abandon(ctx, "b"))
	s.queue("p:c/1*")
	// The dead are dropped even while nobody has taken over.
	d := s.start("d")
	s.enter(d, one(1))
	c.Release()
	s.grants("d", epoch, time.Time{}, 1)
	s.queue("p:d/1*")
}

// poolModel is what the pools of a store should do, as simply as it can be said.
type poolModel struct {
	suite
	now     time.Time
	next    time.Time     // when a rate lets somebody in, as was said last
	tickets []runs.Ticket // in the order they came
	entered map[string][]time.Time
	runs    []*poolRun
	steps   int
}

type poolRun struct {
	id    string
	lease runs.Lease
	held  bool
	ended bool
}

// poolKinds are pools with their limits and rates.
var poolKinds = []runs.Ticket{
	{Pool: "both", Limit: 2, Rate: 3, Per: 10 * time.Second},
	{Pool: "limit", Limit: 2},
	{Pool: "none"},
	{Pool: "one", Limit: 1},
	{Pool: "rate", Rate: 2, Per: 7 * time.Second},
}

// testPoolModel plays with few runs and small pools, and compares with the model
// after every step. What must never happen is checked on its own as well, in
// case the model is wrong.
func testPoolModel(t *testing.T, s suite) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &poolModel{suite: s, now: epoch, entered: map[string][]time.Time{}}
		m.Store = s.open(t)
		defer func() {
			for _, r := range m.runs {
				if r.held {
					r.lease.Release()
				}
			}
			_ = m.Close()
		}()
		for range 3 {
			m.begin(rt)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"begin": m.begin, "enter": m.queueUp, "enter again": m.queueUp, "leave": m.goAway, "die": m.die, "acquire": m.acquire, "end": m.finish,
			"wait":  m.wait,
			"grant": m.grant, "grant again": m.grant, "and again": m.grant,
			"": m.check,
		})
	})
}

func (m *poolModel) begin(t *rapid.T) {
	open := 0
	for _, r := range m.runs {
		if !r.ended {
			open++
		}
	}
	if open >= 6 { // ended ones are replaced: something must always be possible
		t.Skip("enough")
	}
	r := &poolRun{id: fmt.Sprint("r", len(m.runs)), held: true}
	lease, err := m.Start(context.Background(), runs.Run{ID: r.id, Key: states.Key{Environment: "e"}, Status: runs.Running, Created: epoch}, nil, runs.Claim{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.lease = lease
	m.runs = append(m.runs, r)
}

// wait lets time pass, often just until a rate lets somebody in or an instant
// less: there are the mistakes.
func (m *poolModel) wait(t *rapid.T) {
	to := m.now.Add(time.Duration(rapid.IntRange(1, 6).Draw(t, "s")) * time.Second)
	if m.next.After(m.now.Add(1)) {
		to = rapid.SampledFrom([]time.Time{to, m.next, m.next.Add(-1)}).Draw(t, "to")
	}
	m.now = to
}

// pick draws a run that has not ended and is held or not.
func (m *poolModel) pick(t *rapid.T, held bool) *poolRun {
	var list []*poolRun
	for _, r := range m.runs {
		if !r.ended && r.held == held {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		t.Skip("no such run")
	}
	return rapid.SampledFrom(list).Draw(t, "run")
}

func (m *poolModel) drop(gone func(t runs.Ticket) bool) {
	m.tickets = slices.DeleteFunc(m.tickets, gone)
}

func (m *poolModel) queueUp(t *rapid.T) {
	r := m.pick(t, true)
	var tickets []runs.Ticket
	for range rapid.IntRange(1, 4).Draw(t, "count") {
		ticket := rapid.SampledFrom(poolKinds).Draw(t, "pool")
		ticket.Step, ticket.Priority, ticket.Asked = m.steps, rapid.IntRange(0, 2).Draw(t, "priority"), m.now
		m.steps++
		tickets = append(tickets, ticket)
		ticket.Run = r.id
		m.tickets = append(m.tickets, ticket)
	}
	if err := m.EnterPools(context.Background(), r.lease, tickets); err != nil {
		t.Fatal(err)
	}
}

func (m *poolModel) goAway(t *rapid.T) {
	r := m.pick(t, true)
	var own []runs.Ticket
	for _, ticket := range m.tickets {
		if ticket.Run == r.id {
			own = append(own, ticket)
		}
	}
	if len(own) == 0 {
		t.Skip("no ticket")
	}
	gone := rapid.SampledFrom(own).Draw(t, "ticket")
	if err := m.Commit(context.Background(), []runs.Commit{{Lease: r.lease, Leaves: []runs.Leaving{{Pool: gone.Pool, Step: gone.Step}}}}); err != nil {
		t.Fatal(err)
	}
	m.drop(func(other runs.Ticket) bool { return other.Step == gone.Step })
}

func (m *poolModel) die(t *rapid.T) {
	r := m.pick(t, true)
	r.lease.Release()
	r.held = false
}

func (m *poolModel) acquire(t *rapid.T) {
	r := m.pick(t, false)
	lease, err := m.Acquire(context.Background(), r.id)
	if err != nil {
		t.Fatal(err)
	}
	r.lease, r.held = lease, true
	m.drop(func(ticket runs.Ticket) bool { return ticket.Run == r.id })
}

func (m *poolModel) finish(t *rapid.T) {
	r := m.pick(t, true)
	run := runs.Run{ID: r.id, Key: states.Key{Environment: "e"}, Status: runs.Failed, Created: epoch}
	if err := m.Commit(context.Background(), []runs.Commit{{Lease: r.lease, Run: &run}}); err != nil {
		t.Fatal(err)
	}
	r.lease.Release()
	r.held, r.ended = false, true
	m.drop(func(ticket runs.Ticket) bool { return ticket.Run == r.id })
}

func (m *poolModel) alive(run string) bool {
	return slices.ContainsFunc(m.runs, func(r *poolRun) bool { return r.id == run && r.held })
}

func (m *poolModel) grant(t *rapid.T) {
	r := m.pick(t, true)
	var next time.Time
	for _, kind := range poolKinds {
		if !slices.ContainsFunc(m.tickets, func(ticket runs.Ticket) bool { return ticket.Run == r.id && ticket.Pool == kind.Pool }) {
			continue
		}
		m.drop(func(ticket runs.Ticket) bool { return ticket.Pool == kind.Pool && !m.alive(ticket.Run) })
		if at := m.fill(kind); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	var want []int
	for _, ticket := range m.tickets {
		if ticket.Run == r.id && !ticket.Granted.IsZero() {
			want = append(want, ticket.Step)
		}
	}
	slices.Sort(want)
	got, err := m.GrantPools(context.Background(), r.id, m.now)
	if err != nil || !slices.Equal(got.Steps, want) || !got.Next.Equal(next) {
		t.Fatalf("steps of %s in pools: %v, next at %v (%v); want %v, %v", r.id, got.Steps, got.Next, err, want, next)
	}
	m.next = next
}

// fill lets in whom a pool has room for.
func (m *poolModel) fill(kind runs.Ticket) time.Time {
	for {
		in, first := 0, -1
		for i, ticket := range m.tickets {
			if ticket.Pool != kind.Pool {
				continue
			}
			if !ticket.Granted.IsZero() {
				in++
			} else if first < 0 || ticket.Priority > m.tickets[first].Priority {
				first = i
			}
		}
		if first < 0 || kind.Limit > 0 && in == kind.Limit {
			return time.Time{}
		}
		past := m.entered[kind.Pool]
		if kind.Rate > 0 && len(past) >= kind.Rate {
			if free := past[len(past)-kind.Rate].Add(kind.Per); free.After(m.now) {
				return free
			}
		}
		m.tickets[first].Granted = m.now
		m.entered[kind.Pool] = append(past, m.now)
	}
}

// check compares what is there now, after every action.
func (m *poolModel) check(t *rapid.T) {
	list, err := m.Pools(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, in := map[string]bool{}, map[string]int{}
	for i, ticket := range list {
		got[ticketText(ticket)] = true
		if !ticket.Granted.IsZero() {
			in[ticket.Pool]++
		}
		if ticket.Limit > 0 && in[ticket.Pool] > ticket.Limit {
			t.Fatalf("%d are in %s", in[ticket.Pool], ticket.Pool)
		}
		if i > 0 && list[i-1].Pool == ticket.Pool && list[i-1].Granted.IsZero() {
			before := list[i-1]
			if !ticket.Granted.IsZero() || before.Priority < ticket.Priority || before.Priority == ticket.Priority && before.Step > ticket.Step {
				t.Fatalf("%s stands before %s", ticketText(before), ticketText(ticket))
			}
		}
	}
	want := 0
	for _, ticket := range m.tickets {
		if !m.alive(ticket.Run) {
			continue
		}
		want++
		if !got[ticketText(ticket)] {
			t.Fatalf("%s is missing in %v", ticketText(ticket), got)
		}
	}
	if want != len(list) {
		t.Fatalf("%d tickets, want %d", len(list), want)
	}
	for _, kind := range poolKinds {
		past := m.entered[kind.Pool]
		for i := kind.Rate; kind.Rate > 0 && i < len(past); i++ {
			if past[i].Sub(past[i-kind.Rate]) < kind.Per {
				t.Fatalf("more than %d entered %s within %s: %v", kind.Rate, kind.Pool, kind.Per, past)
			}
		}
	}
}
