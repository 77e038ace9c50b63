package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

var defaultKey = states.Key{Environment: "default"}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	key := func(name string) (string, bool) {
		if name == "TUTTI_STATE_KEY" {
			return "a passphrase for tests, long enough", true
		}
		return "", false
	}
	s, err := Open(context.Background(), dir, Options{Hider: secrets.NewKeyring(secrets.Options{LookupEnv: key})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func object(name string) addrs.Object {
	addr, err := addrs.ParseResourceInstance("terraform_data." + name)
	if err != nil {
		panic(err)
	}
	return addrs.Object{Instance: addr}
}

func instance(name, value string) *states.Instance {
	return &states.Instance{
		Object: object(name), Provider: addrs.ProviderConfig{Provider: addrs.BuiltInProvider("terraform")},
		Attributes: json.RawMessage(fmt.Sprintf(`{"id":%q,"n":12345678901234567890.1}`, value)), Status: states.Ready,
	}
}

func start(t testing.TB, s *Store, id string, names ...string) runs.Lease {
	t.Helper()
	claim := runs.Claim{Expect: map[addrs.Object]int64{}}
	for _, name := range names {
		claim.Objects = append(claim.Objects, object(name))
	}
	run := runs.Run{ID: id, Kind: "apply", Key: defaultKey, Status: runs.Running, Created: time.Now(), Blob: "plan/" + id}
	lease, err := s.Start(context.Background(), run, []byte("plan"), claim, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lease.Release)
	return lease
}

func commit(lease runs.Lease, sequence int64, rows ...states.Change) runs.Commit {
	return runs.Commit{
		Lease: lease, Cause: "create", Rows: rows,
		Entries: []workflow.Entry{{Sequence: sequence, Time: time.Unix(0, sequence), Kind: workflow.StepSucceeded, Step: int(sequence)}},
		Events:  []events.Event{{ID: fmt.Sprint(lease.Run, "-", sequence), Source: "/", Type: "resource.created", Time: time.Unix(0, sequence)}},
	}
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	full := instance("full", "x")
	full.Object.Deposed = "abcd1234"
	full.SchemaVersion, full.Private, full.Identity, full.IdentitySchemaVersion = 3, []byte{0, 1}, json.RawMessage(`{"a":1}`), 2
	full.Status, full.CreateBeforeDestroy = states.Tainted, true
	full.SensitivePaths = []cty.Path{cty.GetAttrPath("id"), cty.GetAttrPath("l").IndexInt(2).GetAttr("x"), cty.GetAttrPath("m").IndexString("k")}
	full.Dependencies = []addrs.ConfigResource{{Module: addrs.Module("").Child("m"), Resource: addrs.Resource{Mode: addrs.Data, Type: "a", Name: "b"}}}
	old := instance("old", "y")
	old.Attributes, old.Flatmap = nil, map[string]string{"a.#": "1"}
	want := map[addrs.Object]*states.Instance{full.Object: full, old.Object: old}
	err := s.Write(ctx, defaultKey, states.Write{
		Cause: "push", Changes: []states.Change{{Object: full.Object, After: full}, {Object: old.Object, After: old}},
		Outputs: map[string]*states.Output{"o": {Value: json.RawMessage(`"s"`), Type: json.RawMessage(`"string"`), Sensitive: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.State(ctx, defaultKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, inst := range want {
		inst.Version = int64(st.Serial)
	}
	if d := cmp.Diff(want, st.Instances, cmp.Comparer(func(a, b cty.Path) bool { return a.Equals(b) })); d != "" {
		t.Errorf("instances differ (-want +got):\n%s", d)
	}
	if string(st.Outputs["o"].Value) != `"s"` || !st.Outputs["o"].Sensitive {
		t.Errorf("output is %+v", st.Outputs["o"])
	}
}

func TestSensitiveValuesAreNotOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	secret := instance("secret", "hunter2-in-an-attribute")
	secret.SensitivePaths = []cty.Path{cty.GetAttrPath("id")}
	secret.Private = []byte("hunter2-in-private-data")
	err := s.Write(context.Background(), defaultKey, states.Write{
		Cause: "push", Changes: []states.Change{{Object: secret.Object, After: secret}},
		Outputs: map[string]*states.Output{"o": {Value: json.RawMessage(`"hunter2-in-an-output"`), Type: json.RawMessage(`"string"`), Sensitive: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "store.db*"))
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("hunter2")) {
			t.Errorf("%s holds a sensitive value in clear", filepath.Base(name))
		}
	}
	// Without the key the rest of the object is still there.
	_ = s.Close()
	keyless, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer keyless.Close()
	st, err := keyless.State(context.Background(), defaultKey)
	if err != nil || len(st.Problems) == 0 || st.Instances[secret.Object] == nil {
		t.Errorf("state without key: %+v, %v", st, err)
	}
}

func TestClaimsKeepOthersAway(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	lease := start(t, s, "one", "a", "b")
	start(t, s, "two", "c") // disjoint: at the same time
	_, err := s.Start(ctx, runs.Run{ID: "three", Key: defaultKey}, nil, runs.Claim{Objects: []addrs.Object{object("b"), object("d")}}, nil)
	var claimed *states.ClaimError
	if !errors.As(err, &claimed) || claimed.Run != "one" || len(claimed.Objects) != 1 || claimed.Objects[0] != object("b") {
		t.Fatalf("third run: %v", err)
	}
	if err := s.Write(ctx, defaultKey, states.Write{Changes: []states.Change{{Object: object("a"), After: instance("a", "1")}}}); !errors.As(err, &claimed) {
		t.Errorf("a state command wrote a claimed row: %v", err)
	}
	end := runs.Run{ID: "one", Key: defaultKey, Status: runs.Succeeded}
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Run: &end}}); err != nil {
		t.Fatal(err)
	}
	start(t, s, "four", "b")
}

func TestStalePlansAreRefused(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	write := func(before *states.Instance) error {
		return s.Write(ctx, defaultKey, states.Write{Cause: "push", Changes: []states.Change{{Object: object("a"), Before: before, After: instance("a", "1")}}})
	}
	if err := write(nil); err != nil {
		t.Fatal(err)
	}
	seen, _ := s.State(ctx, defaultKey)
	first := seen.Instances[object("a")]
	if err := write(first); err != nil {
		t.Fatal(err)
	}
	var stale *states.StaleError
	if err := write(first); !errors.As(err, &stale) || stale.Objects[0] != object("a") {
		t.Errorf("second write from the same row: %v", err)
	}
	claim := runs.Claim{Objects: []addrs.Object{object("b")}, Expect: map[addrs.Object]int64{object("a"): first.Version, object("b"): 0}}
	if _, err := s.Start(ctx, runs.Run{ID: "r", Key: defaultKey}, nil, claim, nil); !errors.As(err, &stale) {
		t.Errorf("stale start: %v", err)
	}
	if _, err := s.Run(ctx, "r"); !errors.Is(err, runs.ErrNotFound) {
		t.Errorf("the refused run exists: %v", err)
	}
}

func TestHistoryKnowsEveryForm(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	lease := start(t, s, "run", "a")
	a1, a2 := instance("a", "1"), instance("a", "2")
	for i, row := range []states.Change{{Object: object("a"), After: a1}, {Object: object("a"), Before: a1, After: a2}, {Object: object("a"), Before: a2}} {
		if err := s.Commit(ctx, []runs.Commit{commit(lease, int64(i+1), row)}); err != nil {
			t.Fatal(err)
		}
	}
	obj := object("a")
	list, err := s.History(ctx, defaultKey, &obj)
	if err != nil {
		t.Fatal(err)
	}
	text := func(inst *states.Instance) string {
		if inst == nil {
			return "nothing"
		}
		return string(inst.Attributes)
	}
	var got []string
	for _, r := range list {
		got = append(got, text(r.Before)+" → "+text(r.After))
	}
	want := []string{string(a2.Attributes) + " → nothing", string(a1.Attributes) + " → " + string(a2.Attributes), "nothing → " + string(a1.Attributes)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("history differs (-want +got):\n%s", d)
	}
	recorded, err := s.Recorded(ctx, "run")
	if err != nil || len(recorded) != 3 || len(recorded[1].Rows) != 1 || text(recorded[1].Rows[0].After) != string(a2.Attributes) {
		t.Errorf("recorded: %+v, %v", recorded, err)
	}
}

// BenchmarkCommit writes 10,000 outcomes with a row and an event each, 500 at a
// time, as a busy run does.
func BenchmarkCommit(b *testing.B) {
	for range b.N {
		s := open(b, b.TempDir())
		lease := start(b, s, "run")
		for batch := range 20 {
			commits := make([]runs.Commit, 500)
			for i := range commits {
				n := batch*500 + i + 1
				name := fmt.Sprint("x", n)
				commits[i] = commit(lease, int64(n), states.Change{Object: object(name), After: instance(name, "v")})
			}
			if err := s.Commit(context.Background(), commits); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkState reads a state of 10,000 objects.
func BenchmarkState(b *testing.B) {
	s := open(b, b.TempDir())
	var w states.Write
	for n := range 10000 {
		name := fmt.Sprint("x", n)
		w.Changes = append(w.Changes, states.Change{Object: object(name), After: instance(name, "v")})
	}
	if err := s.Write(context.Background(), defaultKey, w); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.State(context.Background(), defaultKey); err != nil {
			b.Fatal(err)
		}
	}
}
