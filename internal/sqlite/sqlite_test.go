package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
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

func TestStacks(t *testing.T) {
	runstest.TestStacks(t, func(t *testing.T) runs.Store { return open(t, t.TempDir()) })
}

// TestTransferNeedsNoKey moves sealed values in a store that cannot read them.
func TestTransferNeedsNoKey(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	secret := instance("secret", "hunter2")
	secret.SensitivePaths, secret.Private = []cty.Path{cty.GetAttrPath("id")}, []byte("hunter2")
	if err := s.Write(ctx, defaultKey, states.Write{Changes: []states.Change{{Object: secret.Object, After: secret}}}); err != nil {
		t.Fatal(err)
	}
	keyless, err := Open(ctx, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer keyless.Close()
	st, err := keyless.State(ctx, defaultKey)
	if err != nil {
		t.Fatal(err)
	}
	to := states.Key{Stack: "other", Environment: "default"}
	move := states.Transfer{From: defaultKey, Object: secret.Object, To: to, As: object("moved"), Version: st.Instances[secret.Object].Version}
	if err := keyless.Transfer(ctx, []states.Transfer{move}); err != nil {
		t.Fatal(err)
	}
	if st, err = s.State(ctx, to); err != nil {
		t.Fatal(err)
	}
	got := st.Instances[object("moved")]
	if got == nil || string(got.Attributes) != string(secret.Attributes) || string(got.Private) != "hunter2" || len(st.Problems) > 0 {
		t.Errorf("it arrived as %+v, %v", got, st.Problems)
	}
}

func TestStoreKeepsItsContract(t *testing.T) {
	for name, open := range map[string]func(t testing.TB) runs.Store{
		"sealed": func(t testing.TB) runs.Store { return open(t, t.TempDir()) },
		"no key": func(t testing.TB) runs.Store {
			s, err := Open(context.Background(), t.TempDir(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits for the disk
			runstest.TestStore(t, open)
		})
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

// TestSensitiveValuesAreNotOnDisk puts secrets everywhere, changes and deletes
// them again, and looks for them in all files of the store.
func TestSensitiveValuesAreNotOnDisk(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	secret := instance("secret", "hunter2-in-an-attribute")
	secret.SensitivePaths = []cty.Path{cty.GetAttrPath("id")}
	secret.Private = []byte("hunter2-in-private-data")
	old := instance("old", "")
	old.Attributes, old.Flatmap = nil, map[string]string{"password": "hunter2-in-the-legacy-form"}
	old.SensitivePaths = []cty.Path{cty.GetAttrPath("password")}
	output := &states.Output{Value: json.RawMessage(`"hunter2-in-an-output"`), Type: json.RawMessage(`"string"`), Sensitive: true}
	write := func(w states.Write) *states.State {
		t.Helper()
		if err := s.Write(ctx, defaultKey, w); err != nil {
			t.Fatal(err)
		}
		st, err := s.State(ctx, defaultKey)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	gone := instance("gone", "hunter2-deleted")
	gone.SensitivePaths = secret.SensitivePaths
	st := write(states.Write{
		Changes: []states.Change{{Object: secret.Object, After: secret}, {Object: old.Object, After: old}, {Object: gone.Object, After: gone}},
		Outputs: map[string]*states.Output{"o": output},
	})
	st = write(states.Write{Changes: []states.Change{
		{Object: secret.Object, Before: st.Instances[secret.Object], After: st.Instances[secret.Object]},
		{Object: gone.Object, Before: st.Instances[gone.Object]},
	}})
	if got := st.Instances[old.Object].Flatmap; !maps.Equal(got, old.Flatmap) {
		t.Errorf("the legacy form came back as %v", got)
	}
	if got := st.Instances[secret.Object]; string(got.Attributes) != string(secret.Attributes) || string(got.Private) != string(secret.Private) {
		t.Errorf("the object came back as %+v", got)
	}
	lease := start(t, s, "run")
	told := workflow.Entry{Sequence: 1, Kind: workflow.StepSucceeded, Data: json.RawMessage(`"hunter2-in-the-journal"`), Sensitive: true}
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: []workflow.Entry{told}}}); err != nil {
		t.Fatal(err)
	}
	told.Sequence, told.Data = 2, json.RawMessage(`"hunter2-in-a-journal-appended-to"`)
	if err := s.Append(ctx, "run", 1, []workflow.Entry{told}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Signal(ctx, "run", workflow.Signal{Kind: workflow.SignalSucceed, Data: json.RawMessage(`"hunter2-in-a-signal"`)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Cache(ctx, "key", json.RawMessage(`"hunter2-in-the-cache"`), true, time.Time{}); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		found++
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("hunter2")) {
			t.Errorf("%s holds a sensitive value in clear", filepath.Base(path))
		}
		return err
	})
	if err != nil || found < 2 {
		t.Errorf("looked at %d files (%v)", found, err)
	}
}

// TestLostKeyLosesOnlyWhatWasSealed opens a store without the key it was
// written with.
func TestLostKeyLosesOnlyWhatWasSealed(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	secret := instance("secret", "hunter2")
	secret.SensitivePaths, secret.Private = []cty.Path{cty.GetAttrPath("id")}, []byte("hunter2")
	err := s.Write(ctx, defaultKey, states.Write{
		Changes: []states.Change{{Object: secret.Object, After: secret}, {Object: object("plain"), After: instance("plain", "1")}},
		Outputs: map[string]*states.Output{"o": {Value: json.RawMessage(`"hunter2"`), Type: json.RawMessage(`"string"`), Sensitive: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	lease := start(t, s, "run")
	told := []workflow.Entry{{Sequence: 1, Data: json.RawMessage(`"plain"`)}, {Sequence: 2, Data: json.RawMessage(`"hunter2"`), Sensitive: true}}
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Entries: told}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Signal(ctx, "run", workflow.Signal{Data: json.RawMessage(`"hunter2"`)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Cache(ctx, "key", json.RawMessage(`"hunter2"`), true, time.Time{}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	other := func(name string) (string, bool) { return "another passphrase, just as long", name == "TUTTI_STATE_KEY" }
	for name, opts := range map[string]Options{"no key": {}, "another key": {Hider: secrets.NewKeyring(secrets.Options{LookupEnv: other})}} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(ctx, dir, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			st, err := s.State(ctx, defaultKey)
			if err != nil || len(st.Instances) != 2 {
				t.Fatalf("state: %+v, %v", st, err)
			}
			if len(st.Problems) != 2 || !strings.Contains(st.Problems[0], "terraform_data.secret") || !strings.Contains(st.Problems[1], `output "o"`) {
				t.Errorf("problems are %q", st.Problems)
			}
			got := st.Instances[secret.Object]
			if string(got.Attributes) != `{"id":null,"n":12345678901234567890.1}` || got.Private != nil {
				t.Errorf("what is left of the object: %s, %q", got.Attributes, got.Private)
			}
			if o := st.Outputs["o"]; o == nil || string(o.Value) != "null" || !o.Sensitive {
				t.Errorf("what is left of the output: %+v", o)
			}
			if _, err := s.History(ctx, defaultKey, nil); err != nil {
				t.Errorf("history: %v", err)
			}
			// Who looks at a run sees all but the secret; who resumes it must have the
			// key.
			entries, err := s.Read(ctx, "run", 0)
			if err != nil || len(entries) != 2 || string(entries[0].Data) != `"plain"` || entries[1].Data != nil || !entries[1].Sensitive {
				t.Errorf("what is left of the journal: %+v, %v", entries, err)
			}
			err = s.Each(ctx, "run", 0, func(workflow.Entry) error { return nil })
			if err == nil || !strings.Contains(err.Error(), "entry 2 is sealed") {
				t.Errorf("going through the journal: %v", err)
			}
			if _, err := s.Recorded(ctx, "run"); err == nil || !strings.Contains(err.Error(), "entry 2 is sealed") {
				t.Errorf("resuming: %v", err)
			}
			if _, err := s.Signals(ctx, "run", 0); err == nil {
				t.Error("half a signal came back")
			}
			if _, ok, err := s.Cached(ctx, "key", time.Now()); ok || err != nil {
				t.Errorf("cached: %v, %v", ok, err)
			}
		})
	}
}

func TestNothingIsMadeByReading(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "store")
	s, other := open(t, dir), open(t, dir)
	for range 2 {
		st, err := s.State(ctx, defaultKey)
		if err != nil || !st.Empty() || st.Lineage == "" {
			t.Fatalf("state: %+v, %v", st, err)
		}
		if list, err := s.Environments(ctx, ""); err != nil || !slices.Equal(list, []string{"default"}) {
			t.Errorf("environments: %v, %v", list, err)
		}
		if list, err := s.Runs(ctx, runs.RunQuery{}); err != nil || list != nil {
			t.Errorf("runs: %v, %v", list, err)
		}
		if _, err := s.Run(ctx, "run"); !errors.Is(err, runs.ErrNotFound) {
			t.Errorf("run: %v", err)
		}
		if _, err := s.Acquire(ctx, "run"); !errors.Is(err, runs.ErrNotFound) {
			t.Errorf("acquire: %v", err)
		}
		if list, last, err := s.Events(ctx, 0, 0); err != nil || list != nil || last != 0 {
			t.Errorf("events: %v, %d, %v", list, last, err)
		}
		if list, err := s.History(ctx, defaultKey, nil); err != nil || len(list) != 0 {
			t.Errorf("history: %v, %v", list, err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made the folder: %v", err)
	}
	fill(t, other, 1)
	if st, err := s.State(ctx, defaultKey); err != nil || len(st.Instances) != 1 {
		t.Errorf("after another process made the store: %+v, %v", st, err)
	}
	if info, err := os.Stat(filepath.Join(dir, fileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the file: %v, %v", info.Mode(), err)
	}
}

func TestEndedRunsStayAsTheyAre(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	lease := start(t, s, "run", "a")
	if _, err := s.Start(ctx, runs.Run{ID: "run", Key: defaultKey}, nil, runs.Claim{}, nil); !errors.Is(err, runs.ErrHeld) {
		t.Errorf("a second run of the same name: %v", err)
	}
	if run, err := s.RequestCancel(ctx, "run"); err != nil || run.Cancelling != 1 {
		t.Errorf("cancelling: %+v, %v", run, err)
	}
	lease.Release()
	if _, err := s.Start(ctx, runs.Run{ID: "run", Key: defaultKey}, nil, runs.Claim{}, nil); !errors.Is(err, states.ErrExists) {
		t.Errorf("a second run of the same name: %v", err)
	}
	lease, err := s.Acquire(ctx, "run")
	if err != nil {
		t.Fatal(err)
	}
	if run, err := s.Run(ctx, "run"); err != nil || run.Cancelling != 0 || run.Status != runs.Running {
		t.Errorf("taken over: %+v, %v", run, err)
	}
	end := runs.Run{ID: "run", Key: defaultKey, Status: runs.Failed, Problem: "it did not work"}
	if err := s.Commit(ctx, []runs.Commit{{Lease: lease, Run: &end}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, []runs.Commit{commit(lease, 1)}); !errors.Is(err, runs.ErrFenced) {
		t.Errorf("writing after the end: %v", err)
	}
	lease.Release()
	if err := s.Abandon(ctx, "run"); err == nil {
		t.Error("a run that has ended was given up")
	}
	if _, err := s.Acquire(ctx, "run"); err == nil {
		t.Error("a run that has ended was taken over")
	}
	if run, err := s.RequestCancel(ctx, "run"); err != nil || run.Status != runs.Failed || run.Problem != end.Problem || run.Cancelling != 0 {
		t.Errorf("after its end: %+v, %v", run, err)
	}
	if locks, _ := filepath.Glob(filepath.Join(s.dir, locksFolder, "*.lock")); len(locks) != 0 {
		t.Errorf("locks were left: %v", locks)
	}
}

func TestAdjustedRowsCountAsWritten(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	start(t, s, "one", "a")
	adjust := []states.Change{{Object: object("a"), After: instance("a", "1")}}
	var claimed *states.ClaimError
	if _, err := s.Start(ctx, runs.Run{ID: "two", Key: defaultKey}, nil, runs.Claim{}, adjust); !errors.As(err, &claimed) {
		t.Errorf("adjusting a row that another run has claimed: %v", err)
	}
	adjust[0] = states.Change{Object: object("b"), After: instance("b", "1")}
	run := runs.Run{ID: "two", Key: defaultKey, Status: runs.Running, Blob: "plan/x"}
	lease, err := s.Start(ctx, run, []byte("the plan"), runs.Claim{Objects: []addrs.Object{object("b")}}, adjust)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	if blob, err := s.Blob(ctx, "plan/x"); err != nil || string(blob) != "the plan" {
		t.Errorf("the plan came back as %q, %v", blob, err)
	}
	list, err := s.History(ctx, defaultKey, nil)
	if err != nil || len(list) != 1 || list[0].Cause != "refresh" || list[0].Run != "two" {
		t.Errorf("history: %+v, %v", list, err)
	}
}

func TestPushReplacesSerialNotVersions(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	fill(t, s, 1)
	push := states.Write{Cause: "push", Lineage: "other", Serial: 42, TerraformVersion: "1.11.4", CheckResults: json.RawMessage(`[]`)}
	for _, serial := range []uint64{42, 3} {
		before, err := s.State(ctx, defaultKey)
		if err != nil {
			t.Fatal(err)
		}
		obj := object("x0")
		push.Serial, push.Changes = serial, []states.Change{{Object: obj, Before: before.Instances[obj], After: instance("x0", "again")}}
		if err := s.Write(ctx, defaultKey, push); err != nil {
			t.Fatal(err)
		}
		after, err := s.State(ctx, defaultKey)
		if err != nil || after.Serial != serial || after.Lineage != "other" || after.TerraformVersion != "1.11.4" || string(after.CheckResults) != "[]" {
			t.Fatalf("after the push: %+v, %v", after, err)
		}
		if after.Instances[obj].Version <= before.Instances[obj].Version {
			t.Errorf("the row's version went from %d to %d", before.Instances[obj].Version, after.Instances[obj].Version)
		}
	}
}

func TestEnvironments(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	key := states.Key{Stack: "web", Environment: "staging"}
	if err := s.CreateEnvironment(ctx, key); err != nil {
		t.Fatal(err)
	}
	for _, again := range []states.Key{key, {Stack: "web", Environment: "default"}} {
		if err := s.CreateEnvironment(ctx, again); !errors.Is(err, states.ErrExists) {
			t.Errorf("making %v again: %v", again, err)
		}
	}
	if list, err := s.Environments(ctx, "web"); err != nil || !slices.Equal(list, []string{"default", "staging"}) {
		t.Errorf("environments: %v, %v", list, err)
	}
	first, _ := s.State(ctx, key)
	if err := s.DeleteEnvironment(ctx, key); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Environments(ctx, "web"); err != nil || !slices.Equal(list, []string{"default"}) {
		t.Errorf("environments: %v, %v", list, err)
	}
	if err := s.CreateEnvironment(ctx, key); err != nil {
		t.Fatal(err)
	}
	if second, err := s.State(ctx, key); err != nil || second.Lineage == first.Lineage {
		t.Errorf("the new environment goes on with the old one's lineage (%v)", err)
	}
}

// TestRowOfADeletedEnvironmentIsNotTakenForItsSuccessor makes an environment
// twice, each with the same object at the same serial.
func TestRowOfADeletedEnvironmentIsNotTakenForItsSuccessor(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	key := states.Key{Environment: "staging"}
	obj := object("a")
	var seen [2]*states.State
	for i := range seen {
		err := s.Write(ctx, key, states.Write{Changes: []states.Change{{Object: obj, After: instance("a", fmt.Sprint(i))}}})
		if err != nil {
			t.Fatal(err)
		}
		if seen[i], err = s.State(ctx, key); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := s.DeleteEnvironment(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if seen[0].Serial != seen[1].Serial {
		t.Errorf("the serial goes on from %d to %d", seen[0].Serial, seen[1].Serial)
	}
	var stale *states.StaleError
	err := s.Write(ctx, key, states.Write{Changes: []states.Change{{Object: obj, Before: seen[0].Instances[obj]}}})
	if !errors.As(err, &stale) {
		t.Errorf("deleting the row that was seen before: %v", err)
	}
	list, err := s.History(ctx, key, &obj)
	if err != nil || len(list) != 3 || list[1].Cause != "environment delete" || list[1].After != nil || list[1].Before == nil {
		t.Errorf("history: %+v, %v", list, err)
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

// BenchmarkState reads a state of 100,000 objects.
func BenchmarkState(b *testing.B) {
	s := open(b, b.TempDir())
	var w states.Write
	for n := range 100000 {
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
