package states

import (
	"errors"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
)

func testObject(t *testing.T, address string) addrs.Object {
	t.Helper()
	addr, err := addrs.ParseResourceInstance(address)
	if err != nil {
		t.Fatal(err)
	}
	return addrs.Object{Instance: addr}
}

func TestPlanTransfers(t *testing.T) {
	a, b := Key{Stack: "a", Environment: "e"}, Key{Stack: "b", Environment: "e"}
	x, y, z := testObject(t, "thing.x"), testObject(t, `module.m["k"].thing.y`), testObject(t, "other.z")
	prior := func(objects ...addrs.Object) *State {
		st := New()
		for i, o := range objects {
			st.Instances[o] = &Instance{Object: o, Version: int64(i + 1)}
		}
		return st
	}
	move := func(from Key, o addrs.Object, to Key, as addrs.Object) Transfer {
		return Transfer{From: from, Object: o, To: to, As: as}
	}
	for name, c := range map[string]struct {
		moves []Transfer
		want  string
	}{
		"absent":         {[]Transfer{move(a, z, b, z)}, "cannot move other.z of stack \"a\" in environment \"e\" to other.z of stack \"b\" in environment \"e\": there is no such object"},
		"taken":          {[]Transfer{move(a, x, b, y)}, "there is such an object already"},
		"twice":          {[]Transfer{move(a, x, b, z), move(a, x, b, x)}, "its type would be another"},
		"really twice":   {[]Transfer{move(a, x, b, x), move(a, x, Key{Stack: "c"}, x)}, "it is moved twice"},
		"two onto one":   {[]Transfer{move(a, x, b, x), move(a, y, b, x)}, "something else is moved there as well"},
		"within a state": {[]Transfer{move(a, x, a, testObject(t, "thing.w"))}, "it stays in the same state"},
		"onward":         {[]Transfer{move(a, x, b, x), move(b, x, Key{Stack: "c"}, x)}, "there is no such object"},
	} {
		t.Run(name, func(t *testing.T) {
			priors := map[Key]*State{a: prior(x, y), b: prior(y)}
			_, _, err := PlanTransfers(priors, c.moves)
			var refused *TransferError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if len(priors[a].Instances) != 2 || len(priors[b].Instances) != 1 {
				t.Error("the priors were changed")
			}
		})
	}

	// Into a state that does not exist yet, onto a place that is left.
	fresh := Key{Stack: "new", Environment: "e"}
	priors := map[Key]*State{a: prior(x, y), b: prior(y), {Stack: "idle"}: prior(x)}
	out, moves, err := PlanTransfers(priors, []Transfer{move(a, y, b, y), move(b, y, fresh, x)})
	if err != nil {
		t.Fatal(err)
	}
	if out[Key{Stack: "idle"}] != priors[Key{Stack: "idle"}] {
		t.Error("a state that nothing concerns was copied")
	}
	if len(out[a].Instances) != 1 || len(out[b].Instances) != 1 || len(out[fresh].Instances) != 1 {
		t.Errorf("got %v", out)
	}
	if moves[0].Version != 2 || moves[1].Version != 1 || out[b].Instances[y].Version != moves[0].ArrivalVersion() || out[fresh].Instances[x].Object != x {
		t.Errorf("versions: %+v", moves)
	}
	if moves[0].ArrivalVersion() == moves[1].ArrivalVersion() || moves[0].ArrivalVersion() < 1<<62 {
		t.Error("versions of arrivals are not apart")
	}
}
