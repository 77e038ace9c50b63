package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/zclconf/go-cty/cty"
)

// rotated is a project whose secret two stacks are given, one through the other.
const rotated = `
secret "db" {
	store {}
	rotation {
		grace = "1h"
		create {
			exec {
				command    = ["make"]
				idempotent = IDEMPOTENT
			}
		}
		verify {
			exec {
				command     = ["verify"]
				environment = { NEW = rotation.new }
				idempotent  = IDEMPOTENT
			}
		}
		revoke {
			exec {
				command     = ["revoke"]
				environment = { OLD = rotation.old, NEW = rotation.new }
				idempotent  = IDEMPOTENT
			}
		}
		discard {
			exec {
				command     = ["discard"]
				environment = { NEW = rotation.new }
				idempotent  = IDEMPOTENT
			}
		}
	}
}
stack "app" {
	source = "./app"
	inputs = { password = secret.db }
}
stack "report" {
	source = "./report"
	inputs = { password = stack.app.password }
}
`

// service is what a secret opens, with the stacks that have it: the values that
// it takes, and the one that each stack has.
type service struct {
	t           *testing.T
	store       *Store
	environment string
	what        string // for messages

	mu    sync.Mutex
	takes map[string]bool
	has   map[string]string // by stack
	made  map[string]string // by idempotency key
	fails string            // the commands and stacks that fail, separated by spaces
	began time.Time

	cancels string // the command, or stack, during which the run is cancelled
	cancel  func()
}

// told reports whether a command or stack was told to fail. Where the run is to
// be cancelled it waits for that first.
func (s *service) told(what string, asked <-chan struct{}) bool {
	if what == s.cancels {
		s.cancels = ""
		s.cancel()
		<-asked
		return true
	}
	return slices.Contains(strings.Fields(s.fails), what)
}

func (s *service) current(ctx context.Context) string {
	value, _, err := s.store.Secret(ctx, s.environment, "db")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Errorf("%s: %v", s.what, err)
	}
	return string(value)
}

// Read and the others implement [runs.Secrets].
func (s *service) Read(ctx context.Context, d *projects.Secret, run string) (string, string, error) {
	text, err := s.ReadVersion(ctx, d, run, 0)
	return text, "", err
}

func (s *service) ReadVersion(ctx context.Context, d *projects.Secret, _ string, version int) (string, error) {
	value, _, err := s.store.SecretAt(ctx, s.environment, d.Name, version)
	return string(value), err
}

func (s *service) Rotate(ctx context.Context, name string, c runs.SecretChange) (runs.SecretStanding, error) {
	out, err := s.store.RotateSecret(ctx, s.environment, name, c)
	if err == nil && strings.Contains(s.fails, string(c.Kind)) {
		err = errors.New("told that it failed")
	}
	return out, err
}

// Apply gives a stack a value. The other methods of [runs.Stacks] are not used.
func (s *service) Apply(ctx context.Context, req runs.StackRequest) (cty.Value, error) {
	value, err := s.ReadVersion(ctx, &projects.Secret{Name: "db"}, "", req.Secrets["db"])
	if err != nil {
		return cty.NilVal, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[req.Stack] = value
	s.look(ctx)
	if req.Secrets["db"] != 0 && s.told(req.Stack, req.Asked) {
		return cty.NilVal, actions.Errorf("Tutti.ApplyFailed", "told to fail halfway")
	}
	return cty.EmptyObjectVal, nil
}

func (s *service) Outputs(context.Context, string) (cty.Value, error) { return cty.EmptyObjectVal, nil }
func (s *service) Plan(context.Context, runs.StackRequest) (runs.StackPlan, error) {
	return runs.StackPlan{}, errors.New("not planned")
}
func (s *service) Rollback(context.Context, runs.StackRequest, string) error { return nil }
func (s *service) Invoke(context.Context, runs.StackRequest, string, cty.Value) error {
	return nil
}

// look checks what must be so at every instant: the service takes what everybody
// has.
func (s *service) look(ctx context.Context) {
	if value := s.current(ctx); !s.takes[value] {
		s.t.Errorf("%s: the current value %q is not taken", s.what, value)
	}
	for stack, value := range s.has {
		if !s.takes[value] {
			s.t.Errorf("%s: stack %s has %q, which is not taken", s.what, stack, value)
		}
	}
}

func (s *service) exec(ctx context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
	args := c.Arguments.AsValueMap()
	command := args["command"].AsValueSlice()[0].AsString()
	given := map[string]string{}
	if !args["environment"].IsNull() {
		for name, v := range args["environment"].AsValueMap() {
			given[name] = v.AsString()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stdout := ""
	switch command {
	case "make":
		if s.made[c.Key] == "" {
			s.made[c.Key] = fmt.Sprintf("made-%d", len(s.made)+1)
		}
		stdout = s.made[c.Key]
		s.takes[stdout] = true
	case "verify":
		if s.has["app"] != given["NEW"] || s.has["report"] != given["NEW"] || s.current(ctx) != "first" {
			s.t.Errorf("%s: verified is %v, current %q, given %q", s.what, s.has, s.current(ctx), given["NEW"])
		}
	case "revoke":
		if given["OLD"] == given["NEW"] || given["OLD"] == s.current(ctx) || time.Since(s.began) < time.Hour {
			s.t.Errorf("%s: revoked is %q after %s", s.what, given["OLD"], time.Since(s.began))
		}
		delete(s.takes, given["OLD"])
	case "discard":
		delete(s.takes, given["NEW"])
	}
	s.look(ctx)
	if s.told(command, c.Asked) {
		return runs.WorkflowResult{}, actions.Errorf("Oops", "told to fail")
	}
	return runs.WorkflowResult{Outputs: cty.ObjectVal(map[string]cty.Value{
		"exit_code": cty.Zero, "stdout": cty.StringVal(stdout + "\n"), "stderr": cty.StringVal(""), "result": cty.NullVal(cty.DynamicPseudoType),
	})}, nil
}

// rotation is a run of the workflow against the service.
type rotation struct {
	*service
	d       *flow.Definition
	journal *runstest.Store
	runner  *runs.Runner
}

func newRotation(t *testing.T, store *Store, environment, fails string, idempotent bool) *rotation {
	source := strings.ReplaceAll(rotated, "IDEMPOTENT", fmt.Sprint(idempotent))
	p, diags := projects.Parse(".", map[string][]byte{"p.tutti.hcl": []byte(source)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	d, diags := flow.New(p, projects.RotationName("db"), nil)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if _, err := store.SetSecret(t.Context(), environment, "db", []byte("first"), "ann"); err != nil {
		t.Fatal(err)
	}
	journal := runstest.NewStore()
	out := &rotation{
		service: &service{
			t: t, store: store, environment: environment, what: environment, fails: fails, began: time.Now(),
			takes: map[string]bool{"first": true}, has: map[string]string{"app": "first", "report": "first"}, made: map[string]string{},
		},
		d: d, journal: journal, runner: &runs.Runner{Store: journal, Poll: time.Minute},
	}
	out.cancel = func() {
		if _, diags := out.runner.Cancel(t.Context(), out.options().Run.ID); diags.HasErrors() {
			t.Errorf("%s: %v", out.what, diags.Err())
		}
	}
	return out
}

func (r *rotation) options() runs.WorkflowOptions {
	return runs.WorkflowOptions{
		Run:         runs.Run{ID: "run-" + r.environment, Kind: runs.WorkflowKind, Key: runstest.Key, Actor: "ann"},
		Environment: r.environment, Stacks: r.service, Secrets: r.service, Actions: map[string]runs.WorkflowAction{"exec": r.exec},
	}
}

// crashAt lets the process die at the n-th commit, which is written or not.
func (r *rotation) crashAt(n int, written bool) {
	r.journal.OnCommit = func(i int) (bool, error) {
		if i < n {
			return true, nil
		}
		return written && i == n, runs.ErrFenced
	}
}

// end goes on until the run has ended, dying again and again where asked to.
func (r *rotation) end(again bool) (runs.Run, *flow.Machine) {
	for k := 1; ; k++ {
		r.journal.OnCommit = nil
		if again {
			r.crashAt(r.journal.Commits()+k, k%2 == 0)
		}
		run, m, diags := r.runner.ContinueWorkflow(r.t.Context(), r.d, r.options())
		r.runner.Wait()
		if strings.Contains(fmt.Sprint(diags.Err()), "Run has ended") || run.Status.Ended() {
			run, err := r.journal.Run(r.t.Context(), r.options().Run.ID)
			if err != nil {
				r.t.Fatal(err)
			}
			return run, m
		}
		if k > 200 || !again {
			r.t.Fatalf("%s: never ends: %s %v", r.what, run.Status, diags.Err())
		}
	}
}

// check holds the end against what may come of a rotation.
func (r *rotation) check(run runs.Run) {
	ctx := r.t.Context()
	r.look(ctx)
	current := r.current(ctx)
	for stack, value := range r.has {
		if value != current {
			r.t.Errorf("%s: stack %s has %q, current is %q", r.what, stack, value, current)
		}
	}
	states := map[int]string{}
	list, err := r.store.SecretVersions(ctx, r.environment, "db")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, v := range list {
		states[v.Version] = v.State
	}
	ok := false
	switch {
	case run.Status == runs.Succeeded:
		ok = states[1] == "revoked" && states[2] == "current" && !r.takes["first"] && len(states) == 2
	case current == "first": // gone back
		ok = states[1] == "current" && slices.Contains([]string{"", "dropped", "pending"}, states[2])
		// What could not be taken back is not forgotten.
		for made := range r.takes {
			ok = ok && (made == "first" || states[2] == "pending" || states[2] == "" || strings.Contains(r.fails, "discard"))
		}
	default: // it was not revoked, or nobody can tell
		ok = states[2] == "current" && (states[1] == "revoking" || states[1] == "revoked" && r.fails == "promote")
	}
	if !ok {
		r.t.Errorf("%s: the run has %s (%s), current is %q, the versions are %v, taken are %v", r.what, run.Status, run.Problem, current, states, r.takes)
	}
}

// TestEveryCrashOfARotation lets the process die at every commit of a rotation,
// before and after it is on disk, once or again and again, with every step that
// can fail failing: in the end everybody has the same value, which opens what it
// should, and no value was taken back that somebody had.
func TestEveryCrashOfARotation(t *testing.T) {
	synctest.Test(t, everyCrashOfARotation)
}

func everyCrashOfARotation(t *testing.T) {
	store := open(t, t.TempDir())
	number, crashes := 0, 0
	outcomes := map[runs.Status]int{}
	// try makes one rotation and reports whether it ended before the commit.
	try := func(fails string, idempotent bool, n int, written, again bool) bool {
		number++
		cancels, cancelled := strings.CutPrefix(fails, "cancel ")
		if cancelled {
			fails = ""
		}
		r := newRotation(t, store, fmt.Sprintf("e%d", number), fails, idempotent)
		r.cancels = map[bool]string{true: cancels}[cancelled]
		r.what = fmt.Sprintf("%q fails, idempotent %t, commit %d, written %t, again %t", fails+r.cancels, idempotent, n, written, again)
		r.crashAt(n, written)
		run, _, diags := r.runner.StartWorkflow(t.Context(), r.d, r.options())
		r.runner.Wait()
		ended := run.Status.Ended()
		if !ended {
			if run.Status != runs.Interrupted {
				t.Fatalf("%s: %s %v", r.what, run.Status, diags.Err())
			}
			crashes++
			run, _ = r.end(again)
		}
		if fails == "" && !cancelled && idempotent && run.Status != runs.Succeeded {
			t.Errorf("%s: %s %s", r.what, run.Status, run.Problem)
		}
		outcomes[run.Status]++
		r.check(run)
		return ended
	}
	for _, fails := range []string{"", "make", "app", "report", "verify", "revoke", "verify discard", "promote", "cancel make", "cancel app", "cancel verify"} {
		for _, idempotent := range []bool{true, false} {
			for _, again := range []bool{false, true} {
				for n, ended := 2, false; !ended && !t.Failed(); n++ {
					for _, written := range []bool{false, true} {
						ended = try(fails, idempotent, n, written, again) || ended
					}
				}
			}
		}
	}
	t.Logf("%d crashes, %v", crashes, outcomes)
	if crashes < 500 || outcomes[runs.Succeeded] < 50 || outcomes[runs.Failed] < 50 || outcomes[runs.Cancelled] < 20 {
		t.Errorf("%d crashes with %v are not enough to tell", crashes, outcomes)
	}
}

// TestRotationAfterOneThatWasGivenUp gives up a rotation that died: what it had
// given to stacks stays in the store, and the next one puts things right.
func TestRotationAfterOneThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := open(t, t.TempDir())
		given := 0
		for n, ended := 2, false; !ended; n++ {
			r := newRotation(t, store, fmt.Sprintf("e%d", n), "", true)
			r.crashAt(n, false)
			run, _, _ := r.runner.StartWorkflow(t.Context(), r.d, r.options())
			r.runner.Wait()
			if ended = run.Status.Ended(); ended {
				break
			}
			r.journal.OnCommit = nil
			r.cancel()
			for _, has := range r.has {
				if has != r.current(t.Context()) {
					given++
				}
			}
			before := r.current(t.Context())
			o := r.options()
			o.Run.ID += "-next"
			r.fails = map[bool]string{true: "verify"}[n%2 == 0]
			if before == "first" {
				run, _, _ = r.runner.StartWorkflow(t.Context(), r.d, o)
				if wanted := map[bool]runs.Status{true: runs.Failed, false: runs.Succeeded}[n%2 == 0]; run.Status != wanted {
					t.Errorf("commit %d: %s %s", n, run.Status, run.Problem)
				}
			}
			r.look(t.Context())
			for stack, has := range r.has {
				if has != r.current(t.Context()) {
					t.Errorf("commit %d: stack %s has %s, current is %s", n, stack, has, r.current(t.Context()))
				}
			}
		}
		if given == 0 {
			t.Error("none died while a stack had the new value")
		}
	})
}

// TestSecretStates makes changes that do not go together.
func TestSecretStates(t *testing.T) {
	store, ctx := open(t, t.TempDir()), t.Context()
	do := func(kind runs.SecretChangeKind, run string, version, old int) (runs.SecretStanding, error) {
		return store.RotateSecret(ctx, "prod", "db", runs.SecretChange{Kind: kind, Run: run, Actor: "ann", Value: []byte("value of " + run), Version: version, Old: old})
	}
	good := func(kind runs.SecretChangeKind, run string, version, old int) runs.SecretStanding {
		t.Helper()
		s, err := do(kind, run, version, old)
		if err != nil {
			t.Errorf("%s %d by %s: %v", kind, version, run, err)
		}
		return s
	}
	bad := func(kind runs.SecretChangeKind, run string, version, old int, want string) {
		t.Helper()
		if _, err := do(kind, run, version, old); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %d by %s: %v, not %q", kind, version, run, err, want)
		}
	}
	stand := func(want string) {
		t.Helper()
		list, err := store.SecretVersions(ctx, "prod", "db")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range list {
			got = append(got, fmt.Sprintf("%d %s", v.Version, v.State))
		}
		slices.Reverse(got)
		if strings.Join(got, ", ") != want {
			t.Errorf("%v, not %s", got, want)
		}
	}
	// The first value of all is made by a rotation as well.
	good(runs.StageSecret, "one", 0, 0)
	if _, _, err := store.Secret(ctx, "prod", "db"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is pending is read: %v", err)
	}
	good(runs.StageSecret, "one", 0, 0)
	if s := good(runs.TakeSecret, "one", 0, 0); s.Version != 1 || s.Old != 0 || !s.Made {
		t.Errorf("%+v", s)
	}
	good(runs.PromoteSecret, "one", 1, 0)
	good(runs.PromoteSecret, "one", 1, 0)
	stand("1 current")
	// Somebody sets another value meanwhile.
	good(runs.StageSecret, "two", 0, 0)
	if _, err := store.SetSecret(ctx, "prod", "db", []byte("by hand"), "ann"); err != nil {
		t.Fatal(err)
	}
	bad(runs.PromoteSecret, "two", 2, 1, "version 3 became current while it was being rotated")
	good(runs.DropSecret, "two", 2, 0)
	good(runs.DropSecret, "two", 2, 0)
	bad(runs.PromoteSecret, "two", 2, 3, "it is dropped")
	stand("1 former, 2 dropped, 3 current")
	// Back to the one before, in vain: it is kept all the same.
	good(runs.TakeSecret, "three", 1, 0)
	if s := good(runs.SettleSecret, "three", 0, 0); s.Version != 1 || s.Made || s.Promoted {
		t.Errorf("%+v", s)
	}
	good(runs.DropSecret, "three", 1, 0)
	stand("1 previous, 2 dropped, 3 current")
	// What is gone back to is not revoked by the run that replaced it.
	good(runs.TakeSecret, "four", 1, 0)
	if s := good(runs.RetireSecret, "one", 1, 0); s.Retired {
		t.Errorf("%+v", s)
	}
	good(runs.PromoteSecret, "four", 1, 3)
	if s := good(runs.RetireSecret, "four", 1, 0); s.Retired {
		t.Errorf("the current one is being revoked: %+v", s)
	}
	bad(runs.ForgetSecret, "four", 1, 0, "it is current")
	// What is being revoked is not gone back to.
	if s := good(runs.RetireSecret, "four", 3, 0); !s.Retired {
		t.Errorf("%+v", s)
	}
	bad(runs.TakeSecret, "five", 3, 0, "it is revoking")
	good(runs.ForgetSecret, "four", 3, 0)
	good(runs.ForgetSecret, "four", 3, 0)
	stand("1 current, 2 dropped, 3 revoked")
	bad(runs.TakeSecret, "five", 9, 0, "there is none")
	bad(runs.TakeSecret, "five", 0, 0, "this run has no version")
	// One rotation at a time.
	lease := start(t, store, "six")
	good(runs.StageSecret, "six", 0, 0)
	bad(runs.StageSecret, "seven", 0, 0, "the run six is rotating it")
	lease.Release()
	// A version that is removed takes none with it.
	if _, err := store.RemoveSecret(ctx, "prod", "db", 1, "ann"); err != nil {
		t.Fatal(err)
	}
	stand("1 removed, 2 dropped, 3 revoked, 4 pending")
}

// TestSecretsOfOlderStores opens a store whose versions had no states.
func TestSecretsOfOlderStores(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, fileName), false))
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Index(migrations[:], layoutSecretStates)
	if _, err := db.ExecContext(ctx, strings.Join(migrations[:before], "")+fmt.Sprintf("PRAGMA user_version = %d;", before)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		environment string
		version     int
		data        any
	}{{"prod", 1, "x"}, {"prod", 2, "x"}, {"prod", 3, nil}, {"dev", 1, nil}} {
		if _, err := db.ExecContext(ctx, "INSERT INTO secrets(environment, name, version, data, author, time, removed) VALUES(?, 'db', ?, ?, 'ann', 5, 7)", row.environment, row.version, row.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	for environment, want := range map[string]string{"prod": "[3 removed 2 current 1 former]", "dev": "[1 removed]"} {
		list, err := s.SecretVersions(ctx, environment, "db")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range list {
			got = append(got, fmt.Sprint(v.Version, " ", v.State))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, not %s", environment, got, want)
		}
	}
}
