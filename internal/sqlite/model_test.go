package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
	"pgregory.net/rapid"
)

// modelNames are the objects the model plays with: few, so that they collide.
var modelNames = []string{"a", "b", "c"}

// model is what a store should hold, as simply as it can be said. The value of
// a row is a number never given twice, so it tells rows apart that versions
// must tell apart.
type model struct {
	store   *Store
	dir     string
	rows    map[string]int // name → value; absent: no row
	seen    map[string]*states.Instance
	seenAs  map[string]int
	serial  uint64
	values  int
	history []string // "name before>after", oldest first
	runs    []*modelRun
	events  int
}

type modelRun struct {
	id      string
	claimed []string
	status  runs.Status
	lease   runs.Lease
	held    bool
	old     []runs.Lease // of former owners
	journal []string     // rows of each entry
}

func (m *model) key() states.Key { return states.Key{Stack: "s", Environment: "e"} }

func (m *model) open(t *rapid.T) {
	s, err := Open(context.Background(), m.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.store = s
}

func TestStoreBehavesLikeItsModel(t *testing.T) {
	t.Parallel() // it mostly waits for the disk
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "store")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{dir: dir, rows: map[string]int{}, seen: map[string]*states.Instance{}, seenAs: map[string]int{}}
		m.open(t)
		defer func() {
			for _, r := range m.runs {
				if r.held {
					r.lease.Release()
				}
			}
			_ = m.store.Close()
		}()
		t.Repeat(map[string]func(*rapid.T){
			"look": m.look, "write": m.write, "start": m.start, "commit": m.commit, "finish": m.finish,
			"leave": m.leave, "arrive": m.arrive,
			"die": m.die, "acquire": m.acquire, "abandon": m.abandon, "delete": m.deleteEnvironment,
			"reopen": func(t *rapid.T) { _ = m.store.Close(); m.open(t) },
			"":       m.check,
		})
		m.checkPast(t)
		m.checkRuns(t)
	})
}

// instance makes a row with a value never used before.
func (m *model) instance(name string) *states.Instance {
	m.values++
	inst := instance(name, "")
	inst.Attributes = json.RawMessage(fmt.Sprintf(`{"n":%d}`, m.values))
	return inst
}

func valueOf(inst *states.Instance) int {
	var v struct{ N int }
	if inst != nil && json.Unmarshal(inst.Attributes, &v) != nil {
		return -1
	}
	return v.N
}

// put changes a row of the model.
func (m *model) put(name string, value int) string {
	line := fmt.Sprintf("%s %d>%d", name, m.rows[name], value)
	m.history = append(m.history, line)
	if value == 0 {
		delete(m.rows, name)
	} else {
		m.rows[name] = value
	}
	return line
}

// holder is the run that has claimed one of the names.
func (m *model) holder(names ...string) *modelRun {
	for _, r := range m.runs {
		if !r.status.Ended() && slices.ContainsFunc(names, func(n string) bool { return slices.Contains(r.claimed, n) }) {
			return r
		}
	}
	return nil
}

// stale lists the names that are not as they were last looked at.
func (m *model) stale(names []string) (out []addrs.Object) {
	for _, n := range names {
		if m.rows[n] != m.seenAs[n] {
			out = append(out, object(n))
		}
	}
	return out
}

func drawNames(t *rapid.T) []string {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom(modelNames), 1, len(modelNames), rapid.ID[string]).Draw(t, "names")
	slices.Sort(names)
	return names
}

func (m *model) look(t *rapid.T) {
	st, err := m.store.State(context.Background(), m.key())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range modelNames {
		m.seen[n], m.seenAs[n] = st.Instances[object(n)], m.rows[n]
	}
	m.checkPast(t)
	m.checkRuns(t)
}

// refused checks an error against what the model expects; true where there is
// reason to refuse.
func (m *model) refused(t *rapid.T, err error, names []string) bool {
	stale := m.stale(names)
	var staleError *states.StaleError
	var claimError *states.ClaimError
	switch {
	case stale != nil:
		if !errors.As(err, &staleError) || !cmp.Equal(staleError.Objects, stale) {
			t.Fatalf("want stale %v, got %v", stale, err)
		}
	case m.holder(names...) != nil:
		if !errors.As(err, &claimError) || m.holder(claimError.Objects[0].Instance.Resource.Name) == nil {
			t.Fatalf("want claimed, got %v", err)
		}
	case err != nil:
		t.Fatal(err)
	default:
		return false
	}
	return true
}

func (m *model) write(t *rapid.T) {
	names := drawNames(t)
	w := states.Write{Cause: "push"}
	for _, n := range names {
		c := states.Change{Object: object(n), Before: m.seen[n]}
		if m.seen[n] == nil || rapid.Bool().Draw(t, "keep") {
			c.After = m.instance(n)
		}
		w.Changes = append(w.Changes, c)
	}
	if m.refused(t, m.store.Write(context.Background(), m.key(), w), names) {
		return
	}
	for i, n := range names {
		m.put(n, valueOf(w.Changes[i].After))
	}
	m.serial++
}

func (m *model) start(t *rapid.T) {
	names := drawNames(t)
	claim := runs.Claim{Expect: map[addrs.Object]int64{}}
	for _, n := range names {
		claim.Objects = append(claim.Objects, object(n))
		claim.Expect[object(n)] = 0
		if m.seen[n] != nil {
			claim.Expect[object(n)] = m.seen[n].Version
		}
	}
	r := &modelRun{id: fmt.Sprintf("run%02d", len(m.runs)), claimed: names, status: runs.Running, held: true}
	run := runs.Run{ID: r.id, Key: m.key(), Status: runs.Running, Created: time.Unix(int64(len(m.runs)), 0)}
	lease, err := m.store.Start(context.Background(), run, []byte("plan"), claim, nil)
	if m.refused(t, err, names) {
		return
	}
	r.lease = lease
	m.runs = append(m.runs, r)
}

// elsewhere is where rows go to and come from. No row comes back.
var elsewhere = states.Key{Stack: "elsewhere", Environment: "e"}

// leave moves a row to another state.
func (m *model) leave(t *rapid.T) {
	n := rapid.SampledFrom(modelNames).Draw(t, "name")
	if m.seen[n] == nil {
		t.Skip("it was not seen")
	}
	move := states.Transfer{From: m.key(), Object: object(n), To: elsewhere, As: object(fmt.Sprint("left", len(m.history))), Version: m.seen[n].Version}
	if m.refused(t, m.store.Transfer(context.Background(), []states.Transfer{move}), []string{n}) {
		return
	}
	m.put(n, 0)
	m.serial++
}

// arrive makes a row in another state and moves it here.
func (m *model) arrive(t *rapid.T) {
	ctx := context.Background()
	n := rapid.SampledFrom(modelNames).Draw(t, "name")
	inst := m.instance(fmt.Sprint("new", m.values))
	if err := m.store.Write(ctx, elsewhere, states.Write{Changes: []states.Change{{Object: inst.Object, After: inst}}}); err != nil {
		t.Fatal(err)
	}
	st, err := m.store.State(ctx, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	move := states.Transfer{From: elsewhere, Object: inst.Object, To: m.key(), As: object(n), Version: st.Instances[inst.Object].Version}
	err = m.store.Transfer(ctx, []states.Transfer{move})
	var stale *states.StaleError
	var claimed *states.ClaimError
	switch {
	case m.rows[n] != 0:
		if !errors.As(err, &stale) {
			t.Fatalf("moved onto another row: %v", err)
		}
	case m.holder(n) != nil:
		if !errors.As(err, &claimed) {
			t.Fatalf("want claimed, got %v", err)
		}
	case err != nil:
		t.Fatal(err)
	default:
		m.put(n, valueOf(inst))
		m.serial++
	}
}

// pick draws a run that has not ended.
func (m *model) pick(t *rapid.T) *modelRun {
	var open []*modelRun
	for _, r := range m.runs {
		if !r.status.Ended() {
			open = append(open, r)
		}
	}
	if len(open) == 0 {
		t.Skip("no run is open")
	}
	return rapid.SampledFrom(open).Draw(t, "run")
}

func (m *model) commit(t *rapid.T) {
	r := m.pick(t)
	if !r.held {
		t.Skip("nobody drives it")
	}
	lease, fenced := r.lease, false
	if len(r.old) > 0 && rapid.Bool().Draw(t, "outdated") {
		lease, fenced = r.old[0], true
	}
	n := rapid.SampledFrom(r.claimed).Draw(t, "name")
	var after *states.Instance
	if rapid.Bool().Draw(t, "keep") {
		after = m.instance(n)
	}
	err := m.store.Commit(context.Background(), []runs.Commit{commit(lease, int64(len(r.journal)+1), states.Change{Object: object(n), After: after})})
	if fenced {
		if !errors.Is(err, runs.ErrFenced) {
			t.Fatalf("want fenced, got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r.journal = append(r.journal, m.put(n, valueOf(after)))
	m.serial++
	m.events++
}

func (m *model) finish(t *rapid.T) {
	r := m.pick(t)
	if !r.held {
		t.Skip("nobody drives it")
	}
	r.status = rapid.SampledFrom([]runs.Status{runs.Succeeded, runs.Failed}).Draw(t, "status")
	end := runs.Run{ID: r.id, Key: m.key(), Status: r.status, Created: time.Unix(int64(slices.Index(m.runs, r)), 0)}
	if err := m.store.Commit(context.Background(), []runs.Commit{{Lease: r.lease, Run: &end}}); err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "release") {
		r.lease.Release()
		r.held = false
	}
}

// die gives a lease back without an end, as the death of a process does.
func (m *model) die(t *rapid.T) {
	r := m.pick(t)
	if r.held {
		r.lease.Release()
		r.held = false
		r.old = append(r.old, r.lease)
	}
}

func (m *model) acquire(t *rapid.T) {
	r := m.pick(t)
	lease, err := m.store.Acquire(context.Background(), r.id)
	if r.held {
		if !errors.Is(err, runs.ErrHeld) {
			t.Fatalf("want held, got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r.lease, r.held = lease, true
}

func (m *model) abandon(t *rapid.T) {
	r := m.pick(t)
	err := m.store.Abandon(context.Background(), r.id)
	if r.held {
		if !errors.Is(err, runs.ErrHeld) {
			t.Fatalf("want held, got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r.status = runs.Cancelled
}

func (m *model) deleteEnvironment(t *rapid.T) {
	open := slices.ContainsFunc(m.runs, func(r *modelRun) bool { return !r.status.Ended() })
	if err := m.store.DeleteEnvironment(context.Background(), m.key()); (err != nil) != open {
		t.Fatalf("deleting the environment with open runs %v: %v", open, err)
	}
	if open {
		return
	}
	for _, n := range modelNames {
		if m.rows[n] != 0 {
			m.put(n, 0)
		}
	}
	m.serial = 0
}

// check compares what is there now, after every action.
func (m *model) check(t *rapid.T) {
	st, err := m.store.State(context.Background(), m.key())
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for o, inst := range st.Instances {
		rows[o.Instance.Resource.Name] = valueOf(inst)
	}
	if d := cmp.Diff(m.rows, rows); d != "" || st.Serial != m.serial {
		t.Fatalf("serial %d, want %d; rows (-want +got):\n%s", st.Serial, m.serial, d)
	}
}

// checkPast compares the history.
func (m *model) checkPast(t *rapid.T) {
	list, err := m.store.History(context.Background(), m.key(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// Rows of one deletion come in any order: what is compared is each object's past.
	want, got := map[string][]string{}, map[string][]string{}
	for _, line := range m.history {
		want[line[:1]] = append(want[line[:1]], line)
	}
	for _, r := range slices.Backward(list) {
		name := r.Object.Instance.Resource.Name
		got[name] = append(got[name], fmt.Sprintf("%s %d>%d", name, valueOf(r.Before), valueOf(r.After)))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("history (-want +got):\n%s", d)
	}
}

// checkRuns compares runs, their journals and the events.
func (m *model) checkRuns(t *rapid.T) {
	ctx := context.Background()
	list, err := m.store.Runs(ctx, runs.RunQuery{})
	if err != nil || len(list) != len(m.runs) {
		t.Fatalf("%d runs, want %d: %v", len(list), len(m.runs), err)
	}
	for i, r := range slices.Backward(m.runs) {
		want := r.status
		if !want.Ended() && !r.held {
			want = runs.Interrupted
		}
		if got := list[len(list)-1-i]; got.ID != r.id || got.Status != want {
			t.Fatalf("run %s is %s, want %s %s", got.ID, got.Status, r.id, want)
		}
		recorded, err := m.store.Recorded(ctx, r.id)
		if err != nil {
			t.Fatal(err)
		}
		var journal []string
		for j, rec := range recorded {
			if rec.Sequence != int64(j+1) || rec.Kind != workflow.StepSucceeded || len(rec.Rows) != 1 {
				t.Fatalf("entry %d of %s is %+v", j+1, r.id, rec)
			}
			row := rec.Rows[0]
			journal = append(journal, fmt.Sprintf("%s %d>%d", row.Object.Instance.Resource.Name, valueOf(row.Before), valueOf(row.After)))
		}
		if d := cmp.Diff(r.journal, journal); d != "" {
			t.Fatalf("journal of %s (-want +got):\n%s", r.id, d)
		}
	}
	feed, last, err := m.store.Events(ctx, 0, 0)
	if err != nil || len(feed) != m.events || int(last) != m.events {
		t.Fatalf("%d events up to %d, want %d: %v", len(feed), last, m.events, err)
	}
}
