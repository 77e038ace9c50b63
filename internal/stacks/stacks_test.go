package stacks

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

func parse(t *testing.T, source string) *projects.Project {
	t.Helper()
	p, diags := projects.Parse(".", map[string][]byte{"p.tutti.hcl": []byte(source)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return p
}

func words(diags diag.List) string {
	var out []string
	for _, d := range diags {
		out = append(out, d.Error())
	}
	return strings.Join(out, "\n")
}

const chain = `
locals { id = stack.a.id }
stack "c" {
  source = "./c"
  inputs = { x = stack.b.x }
}
stack "b" {
  source = "./b"
  inputs = { x = local.id }
}
stack "a" { source = "./a" }
stack "d" {
  source = "./d"
  needs  = [stack.c]
}
stack "z" { source = "./x" }
`

func TestGraph(t *testing.T) {
	g, diags := NewGraph(parse(t, chain))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if got := strings.Join(g.Order, " "); got != "a b c d z" {
		t.Errorf("the order is %s", got)
	}
	if selected, _ := g.Select([]string{"d", "a"}); !slices.Equal(selected, []string{"a", "d"}) {
		t.Errorf("selected are %v", selected)
	}
	// What is not selected still says who comes first.
	if diff := cmp.Diff(map[string][]string{"a": {}, "d": {"a"}, "z": {}}, g.Among([]string{"a", "d", "z"})); diff != "" {
		t.Error(diff)
	}
	if a, b := g.Width(g.Order), g.Width([]string{"a", "d"}); a != 2 || b != 1 {
		t.Errorf("%d and %d stacks at a time", a, b)
	}
	if _, diags := g.Select([]string{"e"}); !strings.Contains(words(diags), `no stack "e"`) {
		t.Errorf("an unknown stack: %s", words(diags))
	}
}

func TestGraphMistakes(t *testing.T) {
	for source, want := range map[string]string{
		`stack "a" {
  source = "./a"
  inputs = { x = stack.a.x }
}`: "p.tutti.hcl:3,18: Stack needs itself",
		`stack "a" {
  source = "./a"
  inputs = { x = stack.b.x }
}
stack "b" {
  source = "./b"
  needs = [stack.c]
}
stack "c" {
  source = "./c"
  inputs = { x = local.y }
}
locals { y = stack.a.x }`: "none can come first: a needs b needs c needs a",
		`stack "a" {
  source = "./a"
  inputs = { x = each.key, y = var.no, z = local.no, w = stack.no.x, v = environment.nam, u = path.module, t = stack }
}`: "There is nothing called \"each\"|no variable \"no\"|no local value \"no\"|no stack \"no\"|environment.name and environment.labels|path.root only|cannot be used on its own",
	} {
		_, diags := NewGraph(parse(t, source))
		for _, w := range strings.Split(want, "|") {
			if !strings.Contains(words(diags), w) {
				t.Errorf("%s\nsays %s\nand not %s", source, words(diags), w)
			}
		}
	}
	// Two circles, and who waits for one of them: two messages.
	_, diags := NewGraph(parse(t, `
stack "a" {
  source = "./a"
  needs  = [stack.b]
}
stack "b" {
  source = "./b"
  needs  = [stack.a]
}
stack "c" {
  source = "./c"
  needs  = [stack.d, stack.a]
}
stack "d" {
  source = "./d"
  needs  = [stack.c]
}
stack "e" {
  source = "./e"
  needs  = [stack.b]
}`))
	if n := strings.Count(words(diags), "Cycle of stacks"); n == 0 || n > 2 {
		t.Errorf("%d circles: %s", n, words(diags))
	}
}

func TestInputs(t *testing.T) {
	p := parse(t, `
variable "secret" {
  sensitive = true
}
environment "prod" {
  labels = { tier = "gold" }
}
locals {
  both = "${environment.name} ${environment.labels.tier}"
  loop = local.pool
  pool = local.loop
}
stack "up" { source = "./up" }
stack "a" {
  source = "./a"
  inputs = {
    both   = local.both
    secret = var.secret
    id     = "id-${stack.up.id}"
    now    = timestamp()
    root   = path.root
  }
}
stack "b" {
  source = "./b"
  inputs = { x = local.loop }
}`)
	vars, diags := Variables(p, "prod", map[string]configs.InputValue{"secret": {Value: cty.StringVal("s")}})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	outputs := func(string) (cty.Value, diag.List) {
		return cty.ObjectVal(map[string]cty.Value{"id": cty.UnknownVal(cty.String).RefineNotNull()}), nil
	}
	got, diags := NewScope(p, Context{Environment: "prod", Variables: vars, Planning: true}).Inputs("a", outputs)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if v := got["both"].Value; !v.RawEquals(cty.StringVal("prod gold")) {
		t.Errorf("both is %#v", v)
	}
	if v := got["secret"].Value; !marks.Has(v, marks.Sensitive) {
		t.Errorf("secret is %#v", v)
	}
	if v := got["id"].Value; v.IsKnown() || !strings.HasPrefix(v.Range().StringPrefix(), "id-") {
		t.Errorf("id is %#v", v)
	}
	if got["now"].Value.IsKnown() {
		t.Error("a plan must not promise the time")
	}
	if _, diags := NewScope(p, Context{Environment: "prod", Variables: vars}).Inputs("b", outputs); !strings.Contains(words(diags), "Cycle of local values") {
		t.Errorf("a circle of locals: %s", words(diags))
	}
	if _, diags := Variables(p, "prod", nil); !strings.Contains(words(diags), "No value for required variable") {
		t.Errorf("a missing variable: %s", words(diags))
	}
}

// reverser stands for encryption.
type reverser struct{}

func (reverser) Seal(plain []byte) ([]byte, error) {
	out := slices.Clone(plain)
	slices.Reverse(out)
	return out, nil
}

func (r reverser) Open(sealed []byte) ([]byte, error) { return r.Seal(sealed) }

func TestPlanIsKept(t *testing.T) {
	addr, err := addrs.ParseResourceInstance("terraform_data.a[0]")
	if err != nil {
		t.Fatal(err)
	}
	object := addrs.Object{Instance: addr}
	p := &Plan{
		Environment: "prod", Kind: "apply", Created: time.Unix(1, 0).UTC(), Program: "test",
		Outputs: map[string][]string{"a": {"x"}},
		Moves:   []states.Transfer{{From: states.Key{Stack: "a", Environment: "prod"}, Object: object, To: states.Key{Stack: "b", Environment: "prod"}, As: object, Version: 3}},
	}
	p.SetProject(parse(t, `stack "a" { source = "./a" }`), map[string]cty.Value{
		"plain": cty.StringVal("v"), "secret": cty.StringVal("hidden").Mark(marks.Sensitive), "passing": cty.StringVal("gone").Mark(marks.Ephemeral),
	})
	for _, name := range []string{"a", "b"} {
		one := &plans.Plan{Mode: plans.Normal, StateKey: states.Key{Stack: name}}
		data, err := plans.Encode(one, reverser{})
		if err != nil {
			t.Fatal(err)
		}
		p.Stacks = append(p.Stacks, StackPlan{Name: name, Needs: []string{"a"}, Own: []string{"o"}, Digest: one.Digest, Encoded: data})
	}
	data, err := p.Encode(reverser{})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("hidden")) || bytes.Contains(data, []byte("gone")) {
		t.Error("a secret is there in clear")
	}
	got, err := DecodePlan(data, reverser{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != p.Digest || len(got.Stacks) != 2 || !slices.Equal(got.Ephemeral, []string{"passing"}) || len(got.Variables) != 2 || !marks.Has(got.Variables["secret"], marks.Sensitive) {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(p.Moves, got.Moves); diff != "" {
		t.Error(diff)
	}
	if one, err := got.Stacks[1].Decode(reverser{}); err != nil || one.StateKey.Stack != "b" {
		t.Errorf("the plan of b: %v", err)
	}
	if project, diags := got.Project("elsewhere"); diags.HasErrors() || project.Stacks["a"] == nil || project.Files["elsewhere/p.tutti.hcl"] == nil {
		t.Errorf("the project: %v", diags)
	}
	if _, err := DecodePlan(data, nil); !errors.Is(err, plans.ErrSealed) {
		t.Errorf("without a key: %v", err)
	}
	// Whatever is changed is noticed, in the manifest or in a part.
	for i := len(planMagic) + 2; i < len(data); i += 7 {
		other := slices.Clone(data)
		other[i] ^= 1
		changed, err := DecodePlan(other, reverser{})
		for j := 0; err == nil && j < len(changed.Stacks); j++ {
			_, err = changed.Stacks[j].Decode(reverser{})
		}
		if err == nil {
			t.Fatalf("byte %d can be changed", i)
		}
	}
	if _, err := DecodePlan(data[:planHeader+sha256.Size], reverser{}); err == nil {
		t.Error("half a plan can be read")
	}
	w, diags := p.Workflow(".")
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if got := PlanOf(w.Workflows[WorkflowName]); got != p.Digest {
		t.Errorf("the workflow is about the plan %s", got)
	}
}

func TestPlanMoves(t *testing.T) {
	p := parse(t, `
stack "a" { source = "./a" }
stack "b" { source = "./b" }
moved {
  from = stack.a.terraform_data.many
  to   = stack.b.terraform_data.more
}
moved {
  from = stack.a.terraform_data.one[0]
  to   = stack.b.terraform_data.one["k"]
}`)
	prior := func(addresses ...string) *states.State {
		st := states.New()
		for i, s := range addresses {
			addr, err := addrs.ParseResourceInstance(s)
			if err != nil {
				t.Fatal(err)
			}
			o := addrs.Object{Instance: addr}
			st.Instances[o] = &states.Instance{Object: o, Version: int64(i + 1)}
		}
		return st
	}
	list := func(st *states.State) string {
		var out []string
		for _, inst := range st.Sorted() {
			out = append(out, inst.Object.String())
		}
		return strings.Join(out, " ")
	}
	priors := map[string]*states.State{"a": prior("terraform_data.many[0]", "terraform_data.many[1]", "terraform_data.one[0]", "terraform_data.one[1]"), "b": prior()}
	after, moves, diags := PlanMoves(p, "default", priors)
	if diags.HasErrors() || len(moves) != 3 {
		t.Fatalf("%d moves, %v", len(moves), diags)
	}
	if got := list(after["a"]) + " | " + list(after["b"]); got != `terraform_data.one[1] | terraform_data.more[0] terraform_data.more[1] terraform_data.one["k"]` {
		t.Errorf("afterwards there are %s", got)
	}
	state := func(from map[string]*states.State) func(states.Key) (*states.State, error) {
		return func(k states.Key) (*states.State, error) { return from[k.Stack], nil }
	}
	if pending, _ := Pending(moves, state(priors)); len(pending) != 3 {
		t.Errorf("%d moves are to be made", len(pending))
	}
	if pending, _ := Pending(moves, state(after)); len(pending) != 0 {
		t.Errorf("%d moves are to be made again", len(pending))
	}
	if _, moves, diags := PlanMoves(p, "default", after); len(moves) != 0 || len(diags) > 0 {
		t.Errorf("planned again: %v, %v", moves, diags)
	}
	priors["b"] = prior("terraform_data.more[1]")
	if _, _, diags := PlanMoves(p, "default", priors); !strings.Contains(words(diags), "p.tutti.hcl:4,1: Cannot move object to another stack") {
		t.Errorf("into what is there: %s", words(diags))
	}
}
