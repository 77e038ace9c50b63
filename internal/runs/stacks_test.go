package runs_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/builtin"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/providertest"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// stack is a root module whose state is in a store that others share.
type stack struct {
	t     *testing.T
	dir   string
	key   states.Key
	store *runstest.Store
	next  atomic.Int64
}

func newStack(t *testing.T, store *runstest.Store, name, config string) *stack {
	s := &stack{t: t, dir: t.TempDir(), key: states.Key{Stack: name, Environment: "prod"}, store: store}
	s.write(config)
	return s
}

func (s *stack) write(config string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "main.tf"), []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) factory() providers.Factory {
	return providertest.Of(addrs.BuiltInProvider("terraform"), builtin.New(builtin.Options{NewID: func() string {
		return fmt.Sprintf("%s-%d", s.key.Stack, s.next.Add(1))
	}}))
}

func (s *stack) config() *configs.Config {
	s.t.Helper()
	cfg, diags := configs.Load(s.dir, configs.LoadOptions{TerraformVersion: "1.15.0"})
	s.noErrors(diags)
	return cfg
}

func (s *stack) noErrors(diags diag.List) {
	s.t.Helper()
	if diags.HasErrors() {
		s.t.Fatal(diags.Err())
	}
}

func (s *stack) prior() *states.State {
	s.t.Helper()
	return must(s.store.State(s.t.Context(), s.key))
}

func (s *stack) plan(mode plans.Mode, prior *states.State, inputs map[string]cty.Value) *plans.Plan {
	s.t.Helper()
	in := engine.PlanInput{
		Config: s.config(), Prior: prior, StateKey: s.key, Providers: s.factory(), Mode: mode, RootDir: ".", WorkDir: s.dir,
		Variables: map[string]configs.InputValue{},
	}
	for name, v := range inputs {
		in.Variables[name] = configs.InputValue{Value: v, Source: configs.FromCaller}
	}
	plan, diags := engine.Plan(s.t.Context(), in)
	s.noErrors(diags)
	return plan
}

func (s *stack) apply(id string, plan *plans.Plan, late map[string]cty.Value) (runs.Result, diag.List) {
	s.t.Helper()
	request := runs.Request{
		Run: runs.Run{ID: id, Kind: "apply", Key: s.key}, Plan: plan, Encoded: must(plans.Encode(plan, nil)), Late: must(plans.EncodeValues(late, nil)),
	}
	return (&runs.Runner{Store: s.store}).Apply(s.t.Context(), request, s.open(plan, late))
}

// resume has nothing but what is stored.
func (s *stack) resume(id string) (runs.Result, diag.List) {
	s.t.Helper()
	run := must(s.store.Run(s.t.Context(), id))
	plan := must(plans.Decode(must(s.store.Blob(s.t.Context(), run.Blob)), nil))
	late := must(plans.DecodeValues(must(runs.Late(s.t.Context(), s.store, id)), nil))
	return (&runs.Runner{Store: s.store}).Resume(s.t.Context(), runs.Request{Run: run, Plan: plan}, s.open(plan, late))
}

func (s *stack) open(plan *plans.Plan, late map[string]cty.Value) runs.Open {
	return func(ctx context.Context) (runs.Executor, diag.List) {
		a, diags := engine.NewApply(ctx, engine.ApplyInput{Plan: plan, Config: s.config(), Late: late, Providers: s.factory(), WorkDir: s.dir})
		if diags.HasErrors() {
			return nil, diags
		}
		return a, diags
	}
}

func (s *stack) mustApply(id string, plan *plans.Plan, late map[string]cty.Value) {
	s.t.Helper()
	result, diags := s.apply(id, plan, late)
	s.noErrors(diags)
	if result.Run.Status != runs.Succeeded {
		s.t.Fatalf("run %s has %s", id, result.Run.Status)
	}
}

func does(plan *plans.Plan) string {
	var out []string
	for _, c := range plan.Changes {
		if c.Action != plans.NoOp {
			out = append(out, fmt.Sprintf("%c%s", c.Action, c.Object))
		}
	}
	return strings.Join(out, " ")
}

func (s *stack) expect(plan *plans.Plan, want string) {
	s.t.Helper()
	if got := does(plan); got != want {
		s.t.Errorf("%s: planned %q, want %q", s.key.Stack, got, want)
	}
}

const upstreamConfig = `
resource "terraform_data" "vpc" {
  input = "vpc"
}
resource "terraform_data" "mover" {
  input = terraform_data.vpc.output
}
output "vpc" {
  value = { id = terraform_data.vpc.id, name = "main" }
}
`

const downstreamConfig = `
variable "vpc" {
  type = object({ id = string, name = string })
}
resource "terraform_data" "host" {
  count = length(var.vpc.name)
  input = "${var.vpc.id} ${count.index}"
}
output "hosts" {
  value = terraform_data.host[*].output
}
`

// TestTwoStacks plans a stack from the plan of another one, applies both in
// order, dies on the way, moves an object between them and destroys them.
func TestTwoStacks(t *testing.T) {
	store := runstest.NewStore()
	network, shop := newStack(t, store, "network", upstreamConfig), newStack(t, store, "shop", downstreamConfig)
	inputs := func(outputs map[string]cty.Value, err error) map[string]cty.Value {
		t.Helper()
		return map[string]cty.Value{"vpc": must(outputs, err)["vpc"]}
	}
	fromState := func() map[string]cty.Value { return inputs(plans.StateOutputs(network.prior())) }

	first := network.plan(plans.Normal, network.prior(), nil)
	second := shop.plan(plans.Normal, shop.prior(), inputs(first.PlannedOutputs()))
	network.expect(first, "+terraform_data.mover +terraform_data.vpc")
	shop.expect(second, "+terraform_data.host[0] +terraform_data.host[1] +terraform_data.host[2] +terraform_data.host[3]")
	if result, diags := shop.apply("early", second, nil); result.Run.Status != runs.Failed || !strings.Contains(diags.Err().Error(), "Value of variable is missing") {
		t.Errorf("applied without inputs: %s, %v", result.Run.Status, diags.Err())
	}
	network.mustApply("network", first, nil)
	last := store.Commits()
	store.OnCommit = func(n int) (bool, error) {
		if n == last+1 {
			return true, nil
		}
		return false, runs.ErrFenced // it dies once something is on disk
	}
	result, _ := shop.apply("shop", second, fromState())
	if result.Run.Status != runs.Interrupted {
		t.Fatalf("run has %s", result.Run.Status)
	}
	store.OnCommit = nil
	result, diags := shop.resume("shop")
	shop.noErrors(diags)
	if result.Run.Status != runs.Succeeded {
		t.Fatalf("run has %s", result.Run.Status)
	}
	if got := string(shop.prior().Outputs["hosts"].Value); got != `["network-2 0","network-2 1","network-2 2","network-2 3"]` && got != `["network-1 0","network-1 1","network-1 2","network-1 3"]` {
		t.Errorf("hosts are %s", got)
	}

	// An object moves, and nothing is made or destroyed.
	network.write(strings.Replace(upstreamConfig, "resource \"terraform_data\" \"mover\" {\n  input = terraform_data.vpc.output\n}\n", "", 1))
	shop.write(downstreamConfig + "resource \"terraform_data\" \"moved\" {\n  input = \"vpc\"\n}\n")
	mover := addrs.Object{Instance: addrs.ResourceInstance{Resource: addrs.Resource{Mode: addrs.Managed, Type: "terraform_data", Name: "mover"}}}
	moved := mover
	moved.Instance.Resource.Name = "moved"
	priors := map[states.Key]*states.State{network.key: network.prior(), shop.key: shop.prior()}
	priors, moves, err := states.PlanTransfers(priors, []states.Transfer{{From: network.key, Object: mover, To: shop.key, As: moved}})
	if err != nil {
		t.Fatal(err)
	}
	first = network.plan(plans.Normal, priors[network.key], nil)
	second = shop.plan(plans.Normal, priors[shop.key], inputs(first.PlannedOutputs()))
	network.expect(first, "")
	shop.expect(second, "")
	// With a change besides, so that the row's version is checked.
	shop.write(downstreamConfig + "resource \"terraform_data\" \"moved\" {\n  input = \"changed\"\n}\n")
	second = shop.plan(plans.Normal, priors[shop.key], inputs(first.PlannedOutputs()))
	shop.expect(second, "~terraform_data.moved")
	if err := store.Transfer(t.Context(), moves); err != nil {
		t.Fatal(err)
	}
	network.mustApply("network2", first, nil)
	shop.mustApply("shop2", second, fromState())
	if n := len(network.prior().Instances); n != 1 {
		t.Errorf("network has %d objects", n)
	}

	// Downstream goes first, and needs no inputs.
	destroy := shop.plan(plans.Destroy, shop.prior(), map[string]cty.Value{"vpc": cty.DynamicVal})
	shop.mustApply("shop3", destroy, nil)
	network.mustApply("network3", network.plan(plans.Destroy, network.prior(), nil), nil)
	for _, s := range []*stack{network, shop} {
		if st := s.prior(); !st.Empty() {
			t.Errorf("%s still has %v", s.key.Stack, slices.Collect(maps.Keys(st.Instances)))
		}
	}
}
