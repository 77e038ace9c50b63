package workflowtests

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/tests"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// drawn is a workflow made at random, its test, and what its steps do.
type drawn struct {
	random  *rand.Rand
	project strings.Builder
	test    strings.Builder
	takes   map[string]time.Duration // by key
	fails   map[string]int           // how often, by key
	approve map[string]time.Duration // when, by key
	cancel  time.Duration            // 0 for never
}

// time draws some seconds, to the nanosecond, so that no sums are equal by
// chance: what happens at one instant may happen in any order for real.
func (d *drawn) time(most int) time.Duration {
	return time.Duration(1 + d.random.Int64N(int64(most)*int64(time.Second)))
}

func (d *drawn) maybe(percent int) bool { return d.random.IntN(100) < percent }

// play says what becomes of a key, in the test and for real.
func (d *drawn) play(key string) {
	d.takes[key] = d.time(100)
	if d.maybe(35) {
		d.fails[key] = 1 + d.random.IntN(3)
		fmt.Fprintf(&d.test, "mock %q {\n error {\n name = \"Oops\"\n cause = \"told to fail\"\n }\n times = %d\n duration = \"%s\"\n}\n", key, d.fails[key], d.takes[key])
	}
	fmt.Fprintf(&d.test, "mock %q {\n duration = \"%s\"\n}\n", key, d.takes[key])
}

func draw(seed uint64) *drawn {
	d := &drawn{random: rand.New(rand.NewPCG(seed, 1)), takes: map[string]time.Duration{}, fails: map[string]int{}, approve: map[string]time.Duration{}}
	d.test.WriteString("workflow = workflow.w\nstart = \"2000-01-01T00:00:00Z\"\ntest \"t\" {\n")
	fmt.Fprintf(&d.project, "pool \"p\" {\n limit = %d\n}\nworkflow \"w\" {\n parallelism = %d\n", 1+d.random.IntN(2), 1+d.random.IntN(4))
	n := 1 + d.random.IntN(8)
	for i := range n {
		d.step(i)
	}
	d.project.WriteString("on_failure {\n step \"page\" {\n exec { command = [\"x\"] }\n }\n}\nfinally {\n step \"clean\" {\n exec { command = [\"x\"] }\n }\n}\n}\n")
	d.play("page")
	d.play("clean")
	if d.maybe(20) {
		d.cancel = d.time(200)
		fmt.Fprintf(&d.test, "cancel { at = \"%s\" }\n", d.cancel)
	}
	d.test.WriteString("assert {\n condition = true\n error_message = \"\"\n}\n}\n")
	return d
}

func (d *drawn) step(i int) {
	name := fmt.Sprintf("s%d", i)
	p := &d.project
	fmt.Fprintf(p, "step %q {\n", name)
	var needs []string
	for j := range i {
		if d.maybe(30) {
			needs = append(needs, fmt.Sprintf("step.s%d", j))
		}
	}
	fmt.Fprintf(p, " needs = [%s]\n", strings.Join(needs, ", "))
	if d.maybe(30) {
		p.WriteString(" catch {}\n")
	}
	switch d.random.IntN(8) {
	case 0:
		fmt.Fprintf(p, " wait { duration = \"%s\" }\n}\n", d.time(300))
		return
	case 1:
		d.approve[name] = d.time(300)
		fmt.Fprintf(p, " approval { expires = \"%s\" }\n}\n", d.time(200))
		fmt.Fprintf(&d.test, "approve {\n step = %q\n at = \"%s\"\n}\n", name, d.approve[name])
		return
	}
	keys := []string{name}
	if d.maybe(30) {
		keys = nil
		p.WriteString(" for_each = [\"a\", \"b\", \"c\"]\n")
		if d.maybe(50) {
			fmt.Fprintf(p, " concurrency = %d\n tolerated_failures = 1\n", 1+d.random.IntN(2))
		}
		for j := range 3 {
			keys = append(keys, fmt.Sprintf("%s[%d]", name, j))
		}
	}
	p.WriteString(" exec { command = [\"x\"] }\n")
	if d.maybe(50) {
		fmt.Fprintf(p, " retry {\n attempts = %d\n backoff = \"%s\"\n jitter = %t\n }\n", 1+d.random.IntN(4), d.time(50), d.maybe(50))
	}
	if len(keys) == 1 && d.maybe(30) { // items would be late together
		fmt.Fprintf(p, " timeout = \"%s\"\n", d.time(150))
	}
	if d.maybe(30) {
		p.WriteString(" pool = pool.p\n")
	}
	undo := d.maybe(50)
	if undo {
		p.WriteString(" undo {\n exec { command = [\"x\"] }\n }\n")
	}
	p.WriteString("}\n")
	for _, key := range keys {
		d.play(key)
		if undo {
			d.play(key + ".undo")
		}
	}
}

// seen is what is compared: every call with its instant, and the end.
func seen(calls []string, status flow.Status, end time.Duration, failure *flow.Error) string {
	slices.Sort(calls)
	why := ""
	if failure != nil {
		why = " " + failure.Name
	}
	return strings.Join(calls, "\n") + fmt.Sprintf("\n%s after %s%s", status, end, why)
}

// forReal carries the workflow out with the runner, by the clock of a bubble.
func (d *drawn) forReal(t *testing.T) string {
	p, diags := projects.Parse(".", map[string][]byte{"w.tutti.hcl": []byte(d.project.String())})
	if diags.HasErrors() {
		t.Fatal(diags.Err(), d.project.String())
	}
	began := time.Now()
	var mu sync.Mutex
	var calls []string
	fails := map[string]int{}
	for key, n := range d.fails {
		fails[key] = n
	}
	exec := func(ctx context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
		key := c.Effect.Key
		mu.Lock()
		calls = append(calls, fmt.Sprintf("%s %s %d", time.Since(began), key, c.Effect.Attempt))
		bad := fails[key] > 0
		fails[key]--
		mu.Unlock()
		select {
		case <-time.After(d.takes[key]):
		case <-ctx.Done():
			return runs.WorkflowResult{}, ctx.Err()
		case <-c.Asked:
			return runs.WorkflowResult{}, errors.New("asked to end")
		}
		if bad {
			return runs.WorkflowResult{}, actions.Errorf("Oops", "told to fail")
		}
		return runs.WorkflowResult{Outputs: madeUp("exec")}, nil
	}
	runner := &runs.Runner{Store: runstest.NewStore(), Poll: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if d.cancel > 0 {
		time.AfterFunc(d.cancel, cancel)
	}
	for key, at := range d.approve {
		time.AfterFunc(at, func() {
			runner.Signal(context.Background(), runID, workflow.Signal{Kind: workflow.SignalApprove, Name: key, By: "approver"})
		})
	}
	_, machine, diags := runner.StartWorkflow(ctx, flow.Compile(p, p.Workflows["w"]), runs.WorkflowOptions{
		Run:     runs.Run{ID: runID, Kind: runs.WorkflowKind, Key: runstest.Key, Actor: "tester"},
		Actions: map[string]runs.WorkflowAction{"exec": exec},
	})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	result := machine.Result()
	return seen(calls, result.Status, time.Since(began), result.Error)
}

// virtually carries it out as a test.
func (d *drawn) virtually(t *testing.T) string {
	p, _ := projects.Parse(".", map[string][]byte{"w.tutti.hcl": []byte(d.project.String())})
	f, diags := projects.ParseTestFile("w.tuttitest.hcl", []byte(d.test.String()))
	if diags.HasErrors() {
		t.Fatal(diags.Err(), d.test.String())
	}
	tr := &trial{
		options: Options{Project: p, Check: func(string) diag.List { return nil }}, file: f, test: f.Tests[0],
		result: &tests.RunResult{}, shared: &sharedMocks{used: map[*projects.TestMock]bool{}},
	}
	tr.run(t.Context())
	if tr.result.Diags.HasErrors() {
		t.Fatal(tr.result.Diags.Err())
	}
	var calls []string
	for _, l := range tr.w.seen.lines {
		if l.call {
			calls = append(calls, fmt.Sprintf("%s %s %d", l.at.Sub(tr.test.Start), l.key, l.attempt))
		}
	}
	result := tr.flows[0].machine.Result()
	return seen(calls, result.Status, tr.flows[0].r.ended.Sub(tr.test.Start), result.Error)
}

// TestWhatIsPlayedIsWhatHappens compares tests with runs: the same calls at the
// same instants, and the same end.
func TestWhatIsPlayedIsWhatHappens(t *testing.T) {
	for seed := range uint64(300) {
		d := draw(seed)
		played := d.virtually(t)
		real := ""
		synctest.Test(t, func(t *testing.T) { real = d.forReal(t) })
		if played != real {
			t.Fatalf("seed %d\n%s\n%s\nplayed:\n%s\n\nfor real:\n%s", seed, d.project.String(), d.test.String(), played, real)
		}
	}
}
