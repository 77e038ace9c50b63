package runstest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// TestStacks holds a store to what projects with several stacks rely on: states
// of their own, and objects that move between them. open returns an empty store.
func TestStacks(t *testing.T, open func(t *testing.T) runs.Store) {
	for name, test := range map[string]func(*stackSuite){
		"states are kept apart":       (*stackSuite).apart,
		"objects move":                (*stackSuite).move,
		"all or nothing":              (*stackSuite).allOrNothing,
		"claims keep objects":         (*stackSuite).claimed,
		"objects change places":       (*stackSuite).swap,
		"plans made before transfers": (*stackSuite).plannedBefore,
		"there and back":              (*stackSuite).thereAndBack,
	} {
		t.Run(name, func(t *testing.T) { test(&stackSuite{t, open(t)}) })
	}
}

type stackSuite struct {
	*testing.T
	store runs.Store
}

var (
	network = states.Key{Stack: "network", Environment: "prod"}
	shop    = states.Key{Stack: "shop", Environment: "prod"}
	staging = states.Key{Stack: "shop", Environment: "staging"}
)

// ok fails the test where there is an error.
func (s *stackSuite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stackSuite) state(key states.Key) *states.State {
	s.Helper()
	st, err := s.store.State(s.Context(), key)
	s.ok(err)
	return st
}

// put stores the objects of some steps.
func (s *stackSuite) put(key states.Key, steps ...int) {
	s.Helper()
	w := states.Write{Cause: "push"}
	for _, step := range steps {
		w.Changes = append(w.Changes, states.Change{Object: Object(step), Before: s.state(key).Instances[Object(step)], After: instance(step, fmt.Sprint(key.Stack, step))})
	}
	s.ok(s.store.Write(s.Context(), key, w))
}

func (s *stackSuite) expect(key states.Key, want map[addrs.Object]string) {
	s.Helper()
	got := map[addrs.Object]string{}
	for obj, inst := range s.state(key).Instances {
		if inst.Object != obj {
			s.Errorf("%s is called %s", obj, inst.Object)
		}
		got[obj] = string(inst.Attributes)
	}
	for obj, value := range want {
		want[obj] = fmt.Sprintf(`{"value":%q}`, value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("%s (-want +got):\n%s", key, diff)
	}
}

// transfer is a move of the object of a step as the state has it now.
func (s *stackSuite) transfer(from states.Key, step int, to states.Key, as int) states.Transfer {
	s.Helper()
	inst := s.state(from).Instances[Object(step)]
	if inst == nil {
		s.Fatalf("no object %d in %s", step, from)
	}
	return states.Transfer{From: from, Object: Object(step), To: to, As: Object(as), Version: inst.Version}
}

// start begins a run that claims objects of steps as they are now.
func (s *stackSuite) start(id string, key states.Key, steps ...int) (runs.Lease, error) {
	s.Helper()
	return s.startWith(id, key, claimOf(s.state(key), steps...))
}

func claimOf(st *states.State, steps ...int) runs.Claim {
	claim := runs.Claim{Expect: map[addrs.Object]int64{}}
	for _, step := range steps {
		obj := Object(step)
		claim.Objects = append(claim.Objects, obj)
		claim.Expect[obj] = 0
		if inst := st.Instances[obj]; inst != nil {
			claim.Expect[obj] = inst.Version
		}
	}
	return claim
}

func (s *stackSuite) startWith(id string, key states.Key, claim runs.Claim) (runs.Lease, error) {
	run := runs.Run{ID: id, Kind: "apply", Key: key, Status: runs.Running, Created: time.Now(), Blob: "plan/" + id}
	lease, err := s.store.Start(s.Context(), run, []byte("plan"), claim, nil)
	if err == nil {
		s.Cleanup(lease.Release)
	}
	return lease, err
}

// end ends a run, having written rows.
func (s *stackSuite) end(lease runs.Lease, key states.Key, rows ...states.Change) {
	s.Helper()
	entries := []workflow.Entry{{Sequence: 1, Time: time.Now(), Kind: workflow.StepSucceeded, Step: 0}}
	s.ok(s.store.Commit(s.Context(), []runs.Commit{{Lease: lease, Entries: entries, Cause: "update", Rows: rows,
		Run: &runs.Run{ID: lease.Run, Kind: "apply", Key: key, Status: runs.Succeeded}}}))
	lease.Release()
}

func (s *stackSuite) stale(err error, objects ...addrs.Object) {
	s.Helper()
	var stale *states.StaleError
	if !errors.As(err, &stale) || !slices.Equal(stale.Objects, objects) {
		s.Errorf("want %v to be stale, got %v", objects, err)
	}
}

func (s *stackSuite) held(err error, run string, object addrs.Object) {
	s.Helper()
	var claimed *states.ClaimError
	if !errors.As(err, &claimed) || claimed.Run != run || !slices.Equal(claimed.Objects, []addrs.Object{object}) {
		s.Errorf("want %s to be claimed by %s, got %v", object, run, err)
	}
}

// apart uses the same addresses in several stacks and environments.
func (s *stackSuite) apart() {
	s.put(network, 1)
	s.put(shop, 1, 2)
	s.put(staging, 1)
	s.expect(network, map[addrs.Object]string{Object(1): "network1"})
	s.expect(shop, map[addrs.Object]string{Object(1): "shop1", Object(2): "shop2"})
	list, err := s.store.Environments(s.Context(), "shop")
	s.ok(err)
	if !slices.Equal(list, []string{"default", "prod", "staging"}) {
		s.Errorf("environments: %v", list)
	}
	leases := map[states.Key]runs.Lease{}
	for _, key := range []states.Key{network, shop, staging} {
		lease, err := s.start("run-"+key.Stack+"-"+key.Environment, key, 1)
		s.ok(err)
		leases[key] = lease
	}
	_, err = s.start("second", shop, 1)
	s.held(err, "run-shop-prod", Object(1))
	s.end(leases[shop], shop, states.Change{Object: Object(1), After: instance(1, "new")})
	s.expect(shop, map[addrs.Object]string{Object(1): "new", Object(2): "shop2"})
	s.expect(staging, map[addrs.Object]string{Object(1): "shop1"})
	s.expect(network, map[addrs.Object]string{Object(1): "network1"})
	for key := range leases {
		runsOf, err := s.store.Runs(s.Context(), runs.RunQuery{State: &key})
		s.ok(err)
		if len(runsOf) != 1 || runsOf[0].Key != key {
			s.Errorf("runs of %s: %+v", key, runsOf)
		}
		past, err := s.store.History(s.Context(), key, nil)
		s.ok(err)
		for _, r := range past {
			if r.Run != "" && (key != shop || r.Run != "run-shop-prod") {
				s.Errorf("history of %s: %+v", key, r)
			}
		}
	}
	all, err := s.store.Runs(s.Context(), runs.RunQuery{})
	s.ok(err)
	if len(all) != 3 {
		s.Errorf("%d runs in all", len(all))
	}
	recorded, err := s.store.Recorded(s.Context(), "run-shop-prod")
	s.ok(err)
	if len(recorded) != 1 || len(recorded[0].Rows) != 1 || recorded[0].Rows[0].Object != Object(1) {
		s.Errorf("recorded: %+v", recorded)
	}
}

func (s *stackSuite) move() {
	deps := func(steps ...int) (out []addrs.ConfigResource) {
		for _, step := range steps {
			out = append(out, Object(step).Instance.Config())
		}
		return out
	}
	one, two := instance(1, "one"), instance(2, "two")
	two.Dependencies = deps(1, 3)
	two.SensitivePaths = []cty.Path{cty.GetAttrPath("value")}
	two.Private, two.Status, two.CreateBeforeDestroy = []byte("private"), states.Tainted, true
	s.ok(s.store.Write(s.Context(), network, states.Write{Cause: "push", Changes: []states.Change{
		{Object: one.Object, After: one}, {Object: two.Object, After: two}, {Object: Object(3), After: instance(3, "three")},
	}}))
	s.put(shop, 9)
	serial := s.state(shop).Serial
	moves := []states.Transfer{s.transfer(network, 1, shop, 11), s.transfer(network, 2, shop, 2)}
	s.ok(s.store.Transfer(s.Context(), moves))
	s.expect(network, map[addrs.Object]string{Object(3): "three"})
	s.expect(shop, map[addrs.Object]string{Object(11): "one", Object(2): "two", Object(9): "shop9"})
	st := s.state(shop)
	got := st.Instances[Object(2)]
	if got.Version != moves[1].ArrivalVersion() || string(got.Private) != "private" || got.Status != states.Tainted || !got.CreateBeforeDestroy || len(got.SensitivePaths) != 1 {
		s.Errorf("it arrived as %+v", got)
	}
	if diff := cmp.Diff(deps(11), got.Dependencies); diff != "" {
		s.Errorf("dependencies:\n%s", diff)
	}
	if st.Serial <= serial {
		s.Errorf("serial stays %d", serial)
	}
	for key, want := range map[states.Key]string{network: "transfer to stack \"shop\" in environment \"prod\"", shop: "transfer from stack \"network\" in environment \"prod\""} {
		obj := Object(2)
		past, err := s.store.History(s.Context(), key, &obj)
		s.ok(err)
		if len(past) == 0 || past[0].Cause != want || past[0].Run != "" || (past[0].Before == nil) != (key == shop) || (past[0].After == nil) != (key == network) {
			s.Errorf("history of %s: %+v", key, past)
		}
	}
	// From now on the row is like any other.
	lease, err := s.start("run", shop, 2)
	s.ok(err)
	s.end(lease, shop, states.Change{Object: Object(2), Before: got, After: instance(2, "changed")})
	s.expect(shop, map[addrs.Object]string{Object(11): "one", Object(2): "changed", Object(9): "shop9"})
}

func (s *stackSuite) allOrNothing() {
	s.put(network, 1, 2)
	s.put(shop, 8)
	check := func() {
		s.Helper()
		s.expect(network, map[addrs.Object]string{Object(1): "network1", Object(2): "network2"})
		s.expect(shop, map[addrs.Object]string{Object(8): "shop8"})
	}
	outdated := s.transfer(network, 2, shop, 2)
	s.put(network, 2)
	s.stale(s.store.Transfer(s.Context(), []states.Transfer{s.transfer(network, 1, shop, 1), outdated}), Object(2))
	check()
	s.stale(s.store.Transfer(s.Context(), []states.Transfer{s.transfer(network, 1, shop, 1), s.transfer(network, 2, shop, 8)}), Object(8))
	check()
	gone := states.Transfer{From: network, Object: Object(5), To: shop, As: Object(5), Version: 1}
	s.stale(s.store.Transfer(s.Context(), []states.Transfer{s.transfer(network, 1, shop, 1), gone}), Object(5))
	check()
	again := s.transfer(network, 1, shop, 1)
	unseen := again
	unseen.Version = 0
	for _, bad := range [][]states.Transfer{
		{again, again}, {again, s.transfer(network, 2, shop, 1)}, {s.transfer(network, 1, network, 7)}, {unseen},
	} {
		var senseless *states.TransferError
		if err := s.store.Transfer(s.Context(), bad); !errors.As(err, &senseless) {
			s.Errorf("%v: %v", bad, err)
		}
	}
	check()
	s.ok(s.store.Transfer(s.Context(), nil))
	s.ok(s.store.Transfer(s.Context(), []states.Transfer{again}))
	s.stale(s.store.Transfer(s.Context(), []states.Transfer{again}), Object(1))
	s.expect(network, map[addrs.Object]string{Object(2): "network2"})
}

// claimed moves what runs claim, at either end: live ones and interrupted ones.
func (s *stackSuite) claimed() {
	s.put(network, 1)
	leaves, err := s.start("leaves", network, 1)
	s.ok(err)
	move := []states.Transfer{s.transfer(network, 1, shop, 1)}
	s.held(s.store.Transfer(s.Context(), move), "leaves", Object(1))
	leaves.Release()
	s.held(s.store.Transfer(s.Context(), move), "leaves", Object(1))
	s.ok(s.store.Abandon(s.Context(), "leaves"))
	creates, err := s.start("creates", shop, 1)
	s.ok(err)
	s.held(s.store.Transfer(s.Context(), move), "creates", Object(1))
	s.end(creates, shop)
	s.ok(s.store.Transfer(s.Context(), move))
	s.expect(shop, map[addrs.Object]string{Object(1): "network1"})
	s.expect(network, map[addrs.Object]string{})
}

// swap moves objects to places that others leave, across three states.
func (s *stackSuite) swap() {
	s.put(network, 1)
	s.put(shop, 1)
	s.put(staging, 1)
	s.ok(s.store.Transfer(s.Context(), []states.Transfer{
		s.transfer(network, 1, shop, 1), s.transfer(shop, 1, staging, 1), s.transfer(staging, 1, network, 1),
	}))
	s.expect(network, map[addrs.Object]string{Object(1): "shop1"})
	s.expect(shop, map[addrs.Object]string{Object(1): "network1"})
	s.expect(staging, map[addrs.Object]string{Object(1): "shop1"})
}

// plannedBefore makes plans from states as they will be, and begins them before
// and after the transfers.
func (s *stackSuite) plannedBefore() {
	s.put(network, 1, 2)
	s.put(shop, 3)
	priors := map[states.Key]*states.State{network: s.state(network), shop: s.state(shop)}
	adjusted, moves, err := states.PlanTransfers(priors, []states.Transfer{{From: network, Object: Object(1), To: shop, As: Object(4)}})
	s.ok(err)
	if len(priors[network].Instances) != 2 || len(priors[shop].Instances) != 1 {
		s.Error("the states themselves were changed")
	}
	if len(adjusted[network].Instances) != 1 || len(adjusted[shop].Instances) != 2 {
		s.Errorf("adjusted: %v", adjusted)
	}
	plan := func(key states.Key, step int, action plans.Action) runs.Claim {
		prior := adjusted[key]
		return runs.ClaimOf(&plans.Plan{Prior: prior, Changes: []*plans.Change{{Object: Object(step), Action: action}}})
	}
	update, create := plan(shop, 4, plans.Update), plan(network, 1, plans.Create)
	_, err = s.startWith("early", shop, update)
	s.stale(err, Object(4))
	_, err = s.startWith("early", network, create)
	s.stale(err, Object(1))
	s.ok(s.store.Transfer(s.Context(), moves))
	_, err = s.startWith("update", shop, update)
	s.ok(err)
	_, err = s.startWith("create", network, create)
	s.ok(err)
	for key, st := range adjusted {
		for obj, inst := range s.state(key).Instances {
			if want := st.Instances[obj]; want == nil || want.Version != inst.Version || string(want.Attributes) != string(inst.Attributes) {
				s.Errorf("%s of %s is %+v, planned %+v", obj, key, inst, want)
			}
		}
	}
}

// thereAndBack checks that a version never comes back with the row.
func (s *stackSuite) thereAndBack() {
	s.put(network, 1)
	seen := map[int64]bool{s.state(network).Instances[Object(1)].Version: true}
	for range 3 {
		s.ok(s.store.Transfer(s.Context(), []states.Transfer{s.transfer(network, 1, shop, 1)}))
		s.ok(s.store.Transfer(s.Context(), []states.Transfer{s.transfer(shop, 1, network, 1)}))
		version := s.state(network).Instances[Object(1)].Version
		if seen[version] {
			s.Errorf("version %d twice", version)
		}
		seen[version] = true
	}
}
