package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/providertest"
	"github.com/zclconf/go-cty/cty"
)

var unknownString = cty.UnknownVal(cty.String)

func object(pairs ...any) cty.Value {
	attrs := map[string]cty.Value{}
	for i := 0; i < len(pairs); i += 2 {
		attrs[pairs[i].(string)] = pairs[i+1].(cty.Value)
	}
	return cty.ObjectVal(attrs)
}

// given sets root variables the way a stack's inputs do.
func given(pairs ...any) func(*engine.PlanInput) {
	return func(in *engine.PlanInput) {
		in.Variables = map[string]configs.InputValue{}
		for i := 0; i < len(pairs); i += 2 {
			in.Variables[pairs[i].(string)] = configs.InputValue{Value: pairs[i+1].(cty.Value), Source: configs.FromCaller}
		}
	}
}

// stored is a plan as it comes back from a file.
func (w *world) stored(p *plans.Plan) *plans.Plan {
	w.t.Helper()
	data, err := plans.Encode(p, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if p, err = plans.Decode(data, nil); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) open(p *plans.Plan, late map[string]cty.Value) (*engine.Apply, diag.List) {
	return engine.NewApply(context.Background(), engine.ApplyInput{Plan: p, Config: w.config(), Late: late, Providers: w.factory, WorkDir: w.dir})
}

const downstream = `
-- main.tf --
variable "net" {
  type = object({
    id    = string
    zones = list(string)
    size  = optional(number, 8)
  })
  validation {
    condition     = startswith(var.net.id, "net-")
    error_message = "must be the id of a network, not ${var.net.id}"
  }
}
variable "token" {
  type = string
}
locals {
  label = "in ${var.net.id}"
}
module "child" {
  source = "./child"
  text   = local.label
}
resource "terraform_data" "zone" {
  count = length(var.net.zones)
  input = "${var.net.zones[count.index]} ${local.label}"
}
resource "terraform_data" "secret" {
  input = var.token
}
output "zones" {
  value = terraform_data.zone[*].output
}
output "token" {
  value     = terraform_data.secret.output
  sensitive = true
}
output "size" {
  value = var.net.size
}
-- child/main.tf --
variable "text" {
  type = string
  validation {
    condition     = length(var.text) < 30
    error_message = "too long"
  }
}
resource "terraform_data" "it" {
  input = var.text
}
`

func downstreamInputs() func(*engine.PlanInput) {
	zones := cty.TupleVal([]cty.Value{cty.StringVal("a"), unknownString.RefineNotNull()})
	return given("net", object("id", unknownString.Refine().NotNull().StringPrefixFull("net-").NewValue(), "zones", zones), "token", unknownString.Mark(marks.Sensitive))
}

func TestValuesThatArriveLate(t *testing.T) {
	w := newWorld(t, downstream)
	p := w.stored(w.plan(downstreamInputs()))
	w.expect(p, "+ module.child.terraform_data.it", "+ terraform_data.secret", "+ terraform_data.zone[0]", "+ terraform_data.zone[1]")
	if v := p.Variables["token"].Value; !marks.Has(v, marks.Sensitive) {
		t.Errorf("the token became %#v", v)
	}
	for _, c := range p.Changes {
		if c.Object.String() == "terraform_data.secret" && !marks.Has(c.After.GetAttr("input"), marks.Sensitive) {
			t.Errorf("planned is %#v", c.After)
		}
	}
	a, diags := w.open(p, map[string]cty.Value{
		"net":   object("id", cty.StringVal("net-1"), "zones", cty.TupleVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")})),
		"token": cty.StringVal("t0p"), // planned as sensitive: stays so
	})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	w.carryOut(p, a)
	if got := w.output("zones"); got != `["a in net-1","b in net-1"]` {
		t.Errorf("zones are %s", got)
	}
	if got := w.output("token"); got != `"t0p"` {
		t.Errorf("token is %s", got)
	}
	if got := w.output("size"); got != `8` {
		t.Errorf("size is %s", got)
	}
	for obj, inst := range w.state.Instances {
		if obj.Instance.Resource.Name == "secret" && len(inst.SensitivePaths) == 0 {
			t.Error("the state does not know that the token is sensitive")
		}
	}
	known := given("net", object("id", cty.StringVal("net-1"), "zones", cty.TupleVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")})), "token", cty.StringVal("t0p").Mark(marks.Sensitive))
	w.expect(w.plan(known))
}

func TestLateValuesMustBeWhatWasPlanned(t *testing.T) {
	strings2 := func(a, b string) cty.Value {
		return cty.ListVal([]cty.Value{cty.StringVal(a), cty.StringVal(b)})
	}
	token := cty.StringVal("t")
	for name, c := range map[string]struct {
		late map[string]cty.Value
		want string
	}{
		"missing":         {map[string]cty.Value{"token": token}, `Value of variable is missing; The plan was made while the value of variable "net"`},
		"undeclared":      {map[string]cty.Value{"x": token}, `Value for undeclared variable`},
		"still unknown":   {map[string]cty.Value{"net": object("id", unknownString, "zones", strings2("a", "b")), "token": token}, "Value of variable is still unknown"},
		"known part":      {map[string]cty.Value{"net": object("id", cty.StringVal("net-1"), "zones", strings2("x", "b")), "token": token}, `var.net.zones[0] was planned as "a" and is "x"`},
		"default":         {map[string]cty.Value{"net": object("id", cty.StringVal("net-1"), "zones", strings2("a", "b"), "size", cty.NumberIntVal(9)), "token": token}, `var.net.size was planned as 8 and is 9`},
		"other length":    {map[string]cty.Value{"net": object("id", cty.StringVal("net-1"), "zones", cty.ListVal([]cty.Value{cty.StringVal("a")})), "token": token}, `var.net.zones was planned as list of string with 2 elements and is list of string with 1 elements`},
		"prefix":          {map[string]cty.Value{"net": object("id", cty.StringVal("vpc-1"), "zones", strings2("a", "b")), "token": token}, `var.net.id is outside the range`},
		"null":            {map[string]cty.Value{"net": object("id", cty.NullVal(cty.String), "zones", strings2("a", "b")), "token": token}, `var.net.id is outside the range`},
		"wrong type":      {map[string]cty.Value{"net": cty.StringVal("x"), "token": token}, `Unsuitable value for var.net`},
		"deferred rule":   {map[string]cty.Value{"net": object("id", cty.StringVal("net-0123456789012345678901234567"), "zones", strings2("a", "b")), "token": token}, "too long"},
		"null altogether": {map[string]cty.Value{"net": cty.NullVal(cty.DynamicPseudoType), "token": token}, `var.net was planned as object and is null`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, downstream)
			p := w.stored(w.plan(downstreamInputs()))
			_, diags := w.open(p, c.late)
			if !diags.HasErrors() {
				t.Fatal("it was taken")
			}
			text := ""
			for _, d := range diags {
				text += d.Summary + "; " + d.Detail + "\n"
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("got\n%s\nwant %s", text, c.want)
			}
			if name != "undeclared" && diags[0].Subject == nil {
				t.Error("no source range")
			}
		})
	}
}

// What is secret does not appear in what is said about it.
func TestLateValuesThatAreSecretAreNotShown(t *testing.T) {
	w := newWorld(t, "-- main.tf --\nvariable \"v\" {}\n")
	for _, planned := range []cty.Value{
		object("a", cty.StringVal("hunter2").Mark(marks.Sensitive), "b", unknownString),
		object("a", cty.StringVal("hunter2"), "b", unknownString.Mark(marks.Sensitive)),
	} {
		p := w.stored(w.plan(given("v", planned)))
		_, diags := w.open(p, map[string]cty.Value{"v": object("a", cty.StringVal("hunter3"), "b", cty.StringVal("x"))})
		if text := diags.Err().Error(); strings.Contains(text, "hunter") || !strings.Contains(text, "var.v.a is another value") {
			t.Error(text)
		}
	}
}

func TestDeferredValidationOfARootVariable(t *testing.T) {
	w := newWorld(t, downstream)
	in := given("net", cty.DynamicVal, "token", cty.StringVal("t"))
	w.write(strings.ReplaceAll(downstream, "count = length(var.net.zones)", "count = 1"))
	p := w.stored(w.plan(in))
	late := func(id string) map[string]cty.Value {
		return map[string]cty.Value{"net": object("id", cty.StringVal(id), "zones", cty.ListVal([]cty.Value{cty.StringVal("a")}))}
	}
	if _, diags := w.open(p, late("vpc-1")); !strings.Contains(diags.Err().Error(), "must be the id of a network, not vpc-1") {
		t.Errorf("got %v", diags.Err())
	}
	a, diags := w.open(p, late("net-1"))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	final := w.carryOut(p, a)
	for _, r := range final.Checks {
		if r.Status != plans.CheckPass {
			t.Errorf("%s %s is %s", r.Kind, r.Name, r.Status)
		}
	}
}

// Arguments that must be known name the variable that is not, wherever the
// value comes by.
func TestUnknownInputsWhereValuesMustBeKnown(t *testing.T) {
	for name, c := range map[string]struct{ files, want string }{
		"count": {`
-- main.tf --
variable "up" {}
resource "terraform_data" "x" {
  count = var.up.n
}
`, `The "count" value depends on var.up, whose value is known only after an upstream stack is applied`},
		"for_each through modules": {`
-- main.tf --
variable "up" {}
variable "other" {}
locals {
  all = concat(module.inner.echo, [var.other])
}
resource "terraform_data" "x" {
  for_each = toset(local.all)
}
module "inner" {
  source = "./inner"
  names  = var.up.names
}
-- inner/main.tf --
variable "names" {}
output "echo" {
  value = var.names
}
`, `The "for_each" value depends on var.other, var.up, whose values are known only after upstream stacks`},
		"module call": {`
-- main.tf --
variable "up" {}
module "inner" {
  source   = "./inner"
  for_each = var.up.names
}
-- inner/main.tf --
`, `The "for_each" value depends on var.up,`},
		"import": {`
-- main.tf --
variable "up" {}
resource "terraform_data" "x" {}
import {
  to = terraform_data.x
  id = var.up.id
}
`, `The import block "id" argument depends on var.up,`},
		"only what is referred to": {`
-- main.tf --
variable "up" {}
resource "terraform_data" "y" {}
resource "terraform_data" "x" {
  count = var.up.known + length(terraform_data.y.id)
}
`, `depends on resource attributes that cannot be determined until apply`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.files)
			up := object("n", cty.UnknownVal(cty.Number), "names", cty.DynamicVal, "id", unknownString, "known", cty.NumberIntVal(1))
			in := given("up", up)
			if strings.Contains(c.files, `"other"`) {
				in = given("up", up, "other", unknownString)
			}
			_, diags := w.tryPlan(in)
			if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), c.want) {
				t.Errorf("got %v\nwant %s", diags.Err(), c.want)
			}
		})
	}
}

func TestProtectionThatIsUnknownProtects(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
variable "up" {}
resource "terraform_data" "x" {
  lifecycle {
    prevent_destroy = var.up
  }
}
`)
	w.apply(w.plan(given("up", cty.False)))
	_, diags := w.tryPlan(func(in *engine.PlanInput) {
		given("up", cty.DynamicVal)(in)
		in.Mode = plans.Destroy
	})
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), `The "prevent_destroy" value of terraform_data.x depends on var.up`) {
		t.Errorf("got %v", diags.Err())
	}
}

// Sets with unknown elements may shrink: elements turn out to be the same.
func TestLateSets(t *testing.T) {
	w := newWorld(t, "-- main.tf --\nvariable \"v\" {\n  type = set(string)\n}\nresource \"terraform_data\" \"x\" {\n  input = var.v\n}\n")
	set := func(names ...string) cty.Value {
		var vals []cty.Value
		for _, n := range names {
			vals = append(vals, cty.StringVal(n))
		}
		return cty.SetVal(vals)
	}
	p := w.stored(w.plan(given("v", cty.SetVal([]cty.Value{cty.StringVal("a"), unknownString}))))
	for _, ok := range []cty.Value{set("a", "b"), set("a")} {
		if _, diags := w.open(p, map[string]cty.Value{"v": ok}); diags.HasErrors() {
			t.Errorf("%#v: %v", ok, diags.Err())
		}
	}
	for _, bad := range []cty.Value{set("b", "c"), set("a", "b", "c"), set("b")} {
		if _, diags := w.open(p, map[string]cty.Value{"v": bad}); !diags.HasErrors() {
			t.Errorf("%#v was taken", bad)
		}
	}
}

func TestEphemeralValuesAreNoInputs(t *testing.T) {
	w := newWorld(t, "-- main.tf --\nvariable \"v\" {}\nvariable \"e\" {\n  ephemeral = true\n}\n")
	secret := unknownString.Mark(marks.Ephemeral)
	if _, diags := w.tryPlan(given("v", cty.StringVal("x"), "e", secret)); diags.HasErrors() {
		t.Error(diags.Err())
	}
	if _, diags := w.tryPlan(given("v", secret, "e", secret)); !strings.Contains(diags.Err().Error(), "Ephemeral value not allowed") {
		t.Errorf("got %v", diags.Err())
	}
}

// Destroying and refreshing need no inputs, unless a provider is configured
// with them.
func TestDestroyingWithoutInputs(t *testing.T) {
	w := newWorld(t, downstream)
	known := object("id", cty.StringVal("net-1"), "zones", cty.ListVal([]cty.Value{cty.StringVal("a")}))
	w.apply(w.plan(given("net", known, "token", cty.StringVal("t"))))
	nothing := given("net", cty.DynamicVal, "token", cty.DynamicVal)
	p := w.plan(func(in *engine.PlanInput) {
		nothing(in)
		in.Mode = plans.Destroy
	})
	w.expect(p, "- module.child.terraform_data.it", "- terraform_data.secret", "- terraform_data.zone[0]")
	a, diags := w.open(w.stored(p), nil)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	w.carryOut(p, a)
	if len(w.state.Instances) > 0 {
		t.Errorf("left: %v", w.state.Instances)
	}
}

const configuredWithInput = `
-- main.tf --
variable "url" {
  type = string
}
provider "test" {
  url = var.url
}
resource "test_thing" "x" {
  name = "n"
}
`

// configurable is a provider whose configuration has a url, which it remembers.
func configurable(urls *[]cty.Value) providers.Factory {
	thing := &providers.Block{Attributes: map[string]*providers.Attribute{"name": {Type: cty.String, Required: true}}}
	schemas := providertest.Schemas(map[string]*providers.Block{"test_thing": thing})
	schemas.Provider = providers.Schema{Block: &providers.Block{Attributes: map[string]*providers.Attribute{"url": {Type: cty.String, Optional: true}}}}
	return &providertest.Factory{New: map[addrs.Provider]func() providers.Provider{addrs.DefaultProvider("test"): func() providers.Provider {
		return &providertest.Provider{
			SchemasValue: schemas,
			ConfigureFunc: func(_ context.Context, req providers.ConfigureRequest) diag.List {
				*urls = append(*urls, req.Config.GetAttr("url"))
				return nil
			},
		}
	}}}
}

func TestProvidersAreConfiguredWithLateValues(t *testing.T) {
	w := newWorld(t, configuredWithInput)
	var urls []cty.Value
	w.factory = configurable(&urls)
	p := w.plan(given("url", unknownString))
	a, diags := w.open(p, map[string]cty.Value{"url": cty.StringVal("http://x")})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	w.carryOut(p, a)
	if len(urls) != 2 || urls[0].IsKnown() || urls[1].AsString() != "http://x" {
		t.Errorf("configured with %#v", urls)
	}

	destroy := func(url cty.Value) *plans.Plan {
		return w.plan(func(in *engine.PlanInput) {
			given("url", url)(in)
			in.Mode = plans.Destroy
		})
	}
	p = destroy(unknownString)
	a, diags = w.open(p, nil)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	out := a.Do(context.Background(), 0)
	if !out.Failed() || !strings.Contains(out.Diags.Err().Error(), "depends on var.url") {
		t.Errorf("got %v", out.Diags.Err())
	}
	a.Finish(context.Background())
	a, diags = w.open(p, map[string]cty.Value{"url": cty.StringVal("http://x")})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	w.carryOut(p, a)
	if len(w.state.Instances) > 0 {
		t.Errorf("left: %v", w.state.Instances)
	}
}
