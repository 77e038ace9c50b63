package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/builtin"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// onlyBuiltIn is a factory that has the provider inside the program.
type onlyBuiltIn struct{ provider providers.Provider }

func newFactory() providers.Factory {
	var mu sync.Mutex
	next := 0
	return onlyBuiltIn{builtin.New(builtin.Options{NewID: func() string {
		mu.Lock()
		defer mu.Unlock()
		next++
		return fmt.Sprintf("id-%d", next)
	}})}
}

func (f onlyBuiltIn) Acquire(_ context.Context, p addrs.Provider, _ bool) (providers.Provider, error) {
	if !p.IsBuiltIn() {
		return nil, fmt.Errorf("no provider %s here", p)
	}
	return f.provider, nil
}

func (f onlyBuiltIn) Schemas(ctx context.Context, p addrs.Provider) (*providers.Schemas, diag.List) {
	if !p.IsBuiltIn() {
		return nil, diag.Errorf("No such provider", "%s", p)
	}
	return f.provider.Schemas(ctx)
}

func (f onlyBuiltIn) Close() error { return nil }

// world is a directory, its state and its providers.
type world struct {
	t       testing.TB
	dir     string
	state   *states.State
	factory providers.Factory
}

func newWorld(t testing.TB, archive string) *world {
	w := &world{t: t, dir: t.TempDir(), state: states.New(), factory: newFactory()}
	w.write(archive)
	return w
}

func (w *world) write(archive string) {
	w.t.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(w.dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) config() *configs.Config {
	w.t.Helper()
	cfg, diags := configs.Load(w.dir, configs.LoadOptions{TerraformVersion: "1.15.0"})
	if diags.HasErrors() {
		w.t.Fatal(diags.Err())
	}
	return cfg
}

func (w *world) tryPlan(edit func(*engine.PlanInput)) (*plans.Plan, diag.List) {
	in := engine.PlanInput{
		Config: w.config(), Prior: w.state, Providers: w.factory, Mode: plans.Normal,
		RootDir: ".", WorkDir: w.dir, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if edit != nil {
		edit(&in)
	}
	return engine.Plan(context.Background(), in)
}

func (w *world) plan(edit func(*engine.PlanInput)) *plans.Plan {
	w.t.Helper()
	p, diags := w.tryPlan(edit)
	if diags.HasErrors() {
		w.t.Fatal(diags.Err())
	}
	return p
}

// apply carries out a plan in the order of its operations.
func (w *world) apply(p *plans.Plan) engine.Final {
	w.t.Helper()
	ctx := context.Background()
	a, diags := engine.NewApply(ctx, engine.ApplyInput{Plan: p, Config: w.config(), Providers: w.factory, WorkDir: w.dir})
	if diags.HasErrors() {
		w.t.Fatal(diags.Err())
	}
	return w.carryOut(p, a)
}

// carryOut does what is left to do once a plan has been opened.
func (w *world) carryOut(p *plans.Plan, a *engine.Apply) engine.Final {
	w.t.Helper()
	ctx := context.Background()
	w.take(p.Adjust)
	for i := range a.Operations() {
		out := a.Do(ctx, i)
		w.take(out.Rows)
		if out.Failed() {
			w.t.Fatal(out.Diags.Err())
		}
	}
	final := a.Finish(ctx)
	if final.Diags.HasErrors() {
		w.t.Fatal(final.Diags.Err())
	}
	w.state.Outputs = final.Outputs
	return final
}

func (w *world) take(rows []states.Change) {
	for _, row := range rows {
		if row.After == nil {
			delete(w.state.Instances, row.Object)
		} else {
			w.state.Instances[row.Object] = row.After
		}
	}
}

// actions lists what a plan does, no-ops left out.
func actions(p *plans.Plan) string {
	var lines []string
	for _, c := range p.Changes {
		line := fmt.Sprintf("%c %s", c.Action, c.Object)
		if c.Moved() {
			line += " from " + c.PrevAddress.String()
		}
		if c.Action == plans.NoOp && !c.Moved() {
			continue
		}
		if c.Reason != plans.ReasonNone {
			line += " " + string(c.Reason)
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func (w *world) expect(p *plans.Plan, want ...string) {
	w.t.Helper()
	sort.Strings(want)
	if got := actions(p); got != strings.Join(want, "\n") {
		w.t.Errorf("plan is\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func (w *world) output(name string) string {
	w.t.Helper()
	o := w.state.Outputs[name]
	if o == nil {
		w.t.Fatalf("no output %q", name)
	}
	return string(o.Value)
}

func TestLifeOfAConfiguration(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
variable "names" {
  type    = set(string)
  default = ["a", "b"]
}
resource "terraform_data" "one" {
  input = "hello"
}
module "each" {
  source   = "./each"
  for_each = var.names
  text     = "${terraform_data.one.output} ${each.key}"
}
resource "terraform_data" "last" {
  count            = 2
  input            = [for m in module.each : m.result]
  triggers_replace = terraform_data.one.id
}
output "results" {
  value = { for k, m in module.each : k => m.result }
}
-- each/main.tf --
variable "text" {}
resource "terraform_data" "it" {
  input = upper(var.text)
}
output "result" {
  value = terraform_data.it.output
}
`)
	p := w.plan(nil)
	w.expect(p, "+ terraform_data.one", `+ module.each["a"].terraform_data.it`, `+ module.each["b"].terraform_data.it`,
		"+ terraform_data.last[0]", "+ terraform_data.last[1]")
	w.apply(p)
	if got := w.output("results"); got != `{"a":"HELLO A","b":"HELLO B"}` {
		t.Errorf("output is %s", got)
	}
	w.expect(w.plan(nil))

	w.write(`
-- main.tf --
variable "names" {
  type    = set(string)
  default = ["b"]
}
resource "terraform_data" "one" {
  input = "bye"
}
module "each" {
  source   = "./each"
  for_each = var.names
  text     = "${terraform_data.one.output} ${each.key}"
}
resource "terraform_data" "last" {
  input            = [for m in module.each : m.result]
  triggers_replace = "new"
}
moved {
  from = terraform_data.last[1]
  to   = terraform_data.last
}
output "results" {
  value = { for k, m in module.each : k => m.result }
}
`)
	p = w.plan(nil)
	w.expect(p, "~ terraform_data.one", `- module.each["a"].terraform_data.it delete_because_no_module`, `~ module.each["b"].terraform_data.it`,
		"m terraform_data.last from terraform_data.last[1] replace_because_cannot_update",
		"- terraform_data.last[0] delete_because_wrong_repetition")
	w.apply(p)
	w.expect(w.plan(nil))
	if got := w.output("results"); got != `{"b":"BYE B"}` {
		t.Errorf("output is %s", got)
	}

	p = w.plan(func(in *engine.PlanInput) { in.Mode = plans.Destroy })
	w.apply(p)
	if len(w.state.Instances) != 0 || len(w.state.Outputs) != 0 {
		t.Errorf("left behind: %v, %v", w.state.Instances, w.state.Outputs)
	}
}

// order returns the positions of the operations of every object.
func order(p *plans.Plan, kind plans.OperationKind) map[string]int {
	out := map[string]int{}
	for i, op := range p.Operations {
		if op.Kind == kind {
			out[p.Changes[op.Change].Object.String()] = i
		}
	}
	return out
}

func TestDestroyGoesAgainstTheRecordedDependencies(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
resource "terraform_data" "a" {
  input = "a"
}
resource "terraform_data" "b" {
  input = terraform_data.a.id
}
resource "terraform_data" "c" {
  depends_on = [terraform_data.b]
}
`)
	w.apply(w.plan(nil))
	// Without its blocks, only the state knows the order.
	w.write("-- main.tf --\n")
	o := order(w.plan(nil), plans.OpDelete)
	if len(o) != 3 || o["terraform_data.c"] > o["terraform_data.b"] || o["terraform_data.b"] > o["terraform_data.a"] {
		t.Errorf("order is %v", o)
	}
}

func TestCreateBeforeDestroySpreadsToDependencies(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
variable "t" {
  default = "1"
}
resource "terraform_data" "base" {
  triggers_replace = var.t
}
resource "terraform_data" "top" {
  triggers_replace = terraform_data.base.id
  lifecycle {
    create_before_destroy = true
  }
}
`)
	w.apply(w.plan(nil))
	w.write(`
-- variables.auto.tfvars --
-- main.tf --
variable "t" {
  default = "2"
}
resource "terraform_data" "base" {
  triggers_replace = var.t
}
resource "terraform_data" "top" {
  triggers_replace = terraform_data.base.id
  lifecycle {
    create_before_destroy = true
  }
}
`)
	p := w.plan(nil)
	w.expect(p, "p terraform_data.base replace_because_cannot_update", "p terraform_data.top replace_because_cannot_update")
	created, deleted := order(p, plans.OpCreate), order(p, plans.OpDelete)
	sequence := []int{created["terraform_data.base"], created["terraform_data.top"], deleted["terraform_data.top"], deleted["terraform_data.base"]}
	if !sort.IntsAreSorted(sequence) {
		t.Errorf("order is %v", sequence)
	}
	w.apply(p)
	if len(w.state.Instances) != 2 {
		t.Errorf("objects left: %v", w.state.Instances)
	}
	w.expect(w.plan(nil))
}

func TestLifecycleArguments(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
resource "terraform_data" "kept" {
  input = "1"
  lifecycle {
    ignore_changes = [input]
  }
}
resource "terraform_data" "trigger" {
  input = "1"
}
resource "terraform_data" "triggered" {
  lifecycle {
    replace_triggered_by = [terraform_data.trigger.output]
  }
}
resource "terraform_data" "forgotten" {
}
`)
	w.apply(w.plan(nil))
	w.write(`
-- main.tf --
resource "terraform_data" "kept" {
  input = "2"
  lifecycle {
    ignore_changes = [input]
  }
}
resource "terraform_data" "trigger" {
  input = "2"
}
resource "terraform_data" "triggered" {
  lifecycle {
    replace_triggered_by = [terraform_data.trigger.output]
  }
}
removed {
  from = terraform_data.forgotten
  lifecycle {
    destroy = false
  }
}
`)
	p := w.plan(nil)
	w.expect(p, "~ terraform_data.trigger", "m terraform_data.triggered replace_by_triggers", ". terraform_data.forgotten")
	w.apply(p)
	w.expect(w.plan(nil))

	w.write(`
-- main.tf --
resource "terraform_data" "kept" {
  triggers_replace = "x"
  lifecycle {
    prevent_destroy = true
  }
}
`)
	if _, diags := w.tryPlan(nil); !strings.Contains(fmt.Sprint(diags.Err()), "Instance cannot be destroyed") {
		t.Errorf("prevent_destroy was not honoured: %v", diags)
	}
}

func TestConditionsStopWhatDependsOnThem(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
variable "n" {
  type = number
  validation {
    condition     = var.n > 0
    error_message = "must be positive, not ${var.n}"
  }
}
resource "terraform_data" "a" {
  input = var.n
  lifecycle {
    precondition {
      condition     = var.n != 13
      error_message = "thirteen"
    }
    postcondition {
      condition     = self.input != 7
      error_message = "seven"
    }
  }
}
check "health" {
  assert {
    condition     = terraform_data.a.input != 5
    error_message = "five"
  }
}
`)
	for n, want := range map[string]string{"0": "must be positive, not 0", "13": "thirteen", "7": "seven"} {
		_, diags := w.tryPlan(func(in *engine.PlanInput) { in.Variables = number(n) })
		if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), want) {
			t.Errorf("n = %s: got %v, want %q", n, diags.Err(), want)
		}
	}
	_, diags := w.tryPlan(func(in *engine.PlanInput) { in.Variables = number("5") })
	if diags.HasErrors() || len(diags) != 1 || !strings.Contains(diags[0].Detail, "five") {
		t.Errorf("a failed check must be one warning: %v", diags)
	}
}

func TestTargetsTakeTheirDependenciesAlong(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
resource "terraform_data" "a" {}
resource "terraform_data" "b" {
  input = terraform_data.a.id
}
resource "terraform_data" "c" {
  input = terraform_data.b.id
}
resource "terraform_data" "d" {}
`)
	target := func(s string) []addrs.Target {
		at, err := addrs.ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		return []addrs.Target{at}
	}
	p := w.plan(func(in *engine.PlanInput) { in.Targets = target("terraform_data.b") })
	w.expect(p, "+ terraform_data.a", "+ terraform_data.b")
	p = w.plan(func(in *engine.PlanInput) { in.Excludes = target("terraform_data.b") })
	w.expect(p, "+ terraform_data.a", "+ terraform_data.d")
}

func TestRollbackRestoresBeforeImages(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
resource "terraform_data" "changed" {
  input = { a = [1, 2] }
}
resource "terraform_data" "gone" {
  input            = "gone"
  triggers_replace = "t"
}
`)
	w.apply(w.plan(nil))
	before := w.state.Clone()
	w.write(`
-- main.tf --
resource "terraform_data" "changed" {
  input = "other"
}
resource "terraform_data" "new" {
}
`)
	w.apply(w.plan(nil))
	goals := map[addrs.Object]*states.Instance{}
	for obj := range w.state.Instances {
		goals[obj] = before.Instances[obj]
	}
	for obj, inst := range before.Instances {
		goals[obj] = inst
	}
	p, diags := engine.Rollback(context.Background(), engine.PlanInput{
		Config: w.config(), Prior: w.state, Providers: w.factory, Mode: plans.Normal, RootDir: ".", WorkDir: w.dir,
	}, goals)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	w.expect(p, "~ terraform_data.changed", "+ terraform_data.gone", "- terraform_data.new delete_because_rollback")
	if !p.Unmakes() {
		t.Error("the plan does not say that it takes away what was made")
	}
	w.apply(p)
	w.write(`
-- main.tf --
resource "terraform_data" "changed" {
  input = { a = [1, 2] }
}
resource "terraform_data" "gone" {
  input            = "gone"
  triggers_replace = "t"
}
`)
	w.expect(w.plan(nil))
}

func number(s string) map[string]configs.InputValue {
	return map[string]configs.InputValue{"n": {Value: cty.MustParseNumberVal(s), Source: configs.FromCaller}}
}

func TestImportsCanHaveTheirConfigurationWritten(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
import {
  to = terraform_data.found
  id = "abc"
}
`)
	if _, diags := w.tryPlan(nil); !strings.Contains(fmt.Sprint(diags.Err()), "Configuration for import target does not exist") {
		t.Errorf("an import without block must be refused: %v", diags)
	}
	p := w.plan(func(in *engine.PlanInput) { in.GenerateConfig = true })
	if n := p.Count(); n.Import != 1 || n.Add+n.Change+n.Destroy != 0 {
		t.Errorf("counts are %+v", n)
	}
	want := "resource \"terraform_data\" \"found\" {\n}\n"
	if got := p.Changes[0].GeneratedConfig; got != want {
		t.Errorf("configuration is\n%s\nwant\n%s", got, want)
	}
	w.apply(p)
	w.write("-- main.tf --\n" + want)
	w.expect(w.plan(nil))
}
