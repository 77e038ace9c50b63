package providers

import (
	"context"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// fixed returns a provider that has been configured.
func fixed(t *testing.T, protocol string) (*pooled, Provider) {
	t.Helper()
	p := newPooled(t, protocol, "")
	provider := p.acquire(false)
	noErrors(t, provider.Configure(t.Context(), ConfigureRequest{TerraformVersion: "1.15.0", Config: cty.ObjectVal(map[string]cty.Value{"region": cty.NullVal(cty.String)})}))
	return p, provider
}

func create(t *testing.T, provider Provider, name string) ApplyResponse {
	t.Helper()
	return provider.ApplyResourceChange(t.Context(), ApplyRequest{
		TypeName: "test_thing", Prior: cty.NullVal(thingType), Planned: with(named(name), "id", cty.UnknownVal(cty.String)), Config: named(name),
		PlannedPrivate: []byte("planned"), Identity: cty.NilVal,
	})
}

func TestLifeOfAnObject(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		_, provider := fixed(t, protocol)
		config := named("good")
		noErrors(t, provider.ValidateResourceConfig(t.Context(), "test_thing", config))

		plan := provider.PlanResourceChange(t.Context(), PlanRequest{TypeName: "test_thing", Prior: cty.NullVal(thingType), Proposed: config, Config: config})
		noErrors(t, plan.Diags)
		if plan.Planned.GetAttr("id").IsKnown() || string(plan.Private) != "planned" || !plan.LegacyTypeSystem {
			t.Errorf("plan: %+v", plan)
		}
		if len(plan.RequiresReplace) != 1 || !plan.RequiresReplace[0].Equals(cty.GetAttrPath("name")) {
			t.Errorf("requires replace: %#v", plan.RequiresReplace)
		}

		made := create(t, provider, "good")
		noErrors(t, made.Diags)
		if made.Lost || made.Value.GetAttr("id").AsString() != "thing-1" || made.Identity.GetAttr("id").AsString() != "thing-1" {
			t.Errorf("apply: %+v", made)
		}

		read := provider.ReadResource(t.Context(), ReadRequest{TypeName: "test_thing", Prior: made.Value, Private: made.Private, Identity: made.Identity})
		noErrors(t, read.Diags)
		if !read.Value.RawEquals(made.Value) || string(read.Private) != "planned+" || !read.Identity.RawEquals(made.Identity) {
			t.Errorf("read: %+v", read)
		}
		gone := provider.ReadResource(t.Context(), ReadRequest{TypeName: "test_thing", Prior: with(made.Value, "name", cty.StringVal("absent"))})
		if noErrors(t, gone.Diags); !gone.Value.IsNull() {
			t.Errorf("read of what is gone: %#v", gone.Value)
		}

		destroyed := provider.ApplyResourceChange(t.Context(), ApplyRequest{TypeName: "test_thing", Prior: made.Value, Planned: cty.NullVal(thingType), Config: cty.NullVal(thingType)})
		if noErrors(t, destroyed.Diags); !destroyed.Value.IsNull() || destroyed.Lost {
			t.Errorf("destroy: %+v", destroyed)
		}
	})
}

func TestImportUpgradeAndData(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		_, provider := fixed(t, protocol)
		imported := provider.ImportResourceState(t.Context(), ImportRequest{TypeName: "test_thing", ID: "x-1"})
		noErrors(t, imported.Diags)
		if len(imported.Objects) != 1 || imported.Objects[0].Value.GetAttr("id").AsString() != "x-1" || string(imported.Objects[0].Private) != "imported" {
			t.Errorf("import: %+v", imported)
		}
		upgraded := provider.UpgradeResourceState(t.Context(), UpgradeRequest{TypeName: "test_thing", Version: 1, JSON: []byte(`{"id":"a","name":"b","secret":null,"part":[]}`)})
		if noErrors(t, upgraded.Diags); upgraded.Value.GetAttr("name").AsString() != "b" {
			t.Errorf("upgrade: %+v", upgraded)
		}
		data := provider.ReadDataSource(t.Context(), ReadDataRequest{TypeName: "test_thing", Config: named("d")})
		if noErrors(t, data.Diags); data.Value.GetAttr("id").AsString() != "read" || data.Deferred != nil {
			t.Errorf("data: %+v", data)
		}
		data = provider.ReadDataSource(t.Context(), ReadDataRequest{TypeName: "test_thing", Config: named("d"), AllowDefer: true})
		if data.Deferred == nil || data.Deferred.Reason != "absent_prereq" {
			t.Errorf("deferred: %+v", data.Deferred)
		}
		prepared, diags := provider.ValidateProviderConfig(t.Context(), cty.ObjectVal(map[string]cty.Value{"region": cty.NullVal(cty.String)}))
		noErrors(t, diags)
		if (protocol == "5") == prepared.GetAttr("region").IsNull() {
			t.Errorf("prepared configuration: %#v", prepared)
		}
		if err := provider.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestEphemeral(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		_, provider := fixed(t, protocol)
		open := provider.OpenEphemeral(t.Context(), OpenRequest{TypeName: "test_ticket", Config: named("e")})
		if noErrors(t, open.Diags); !open.RenewAt.Equal(renewal()) || open.Value.GetAttr("name").AsString() != "e" {
			t.Errorf("open: %+v", open)
		}
		renewed := provider.RenewEphemeral(t.Context(), RenewRequest{TypeName: "test_ticket", Private: open.Private})
		if noErrors(t, renewed.Diags); !renewed.RenewAt.IsZero() {
			t.Errorf("renew: %+v", renewed)
		}
		noErrors(t, provider.CloseEphemeral(t.Context(), "test_ticket", renewed.Private))
	})
}

func TestActions(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		_, provider := fixed(t, protocol)
		invoker, ok := provider.(ActionInvoker)
		if !ok {
			t.Fatal("the client cannot invoke actions")
		}
		noErrors(t, invoker.ValidateActionConfig(t.Context(), "test_ring", named("a")))
		noErrors(t, invoker.PlanAction(t.Context(), "test_ring", named("a")))
		var said []string
		hear := func(text string) { said = append(said, text) }
		noErrors(t, invoker.InvokeAction(t.Context(), "test_ring", named("a"), hear))
		if strings.Join(said, ", ") != "a ding, a dong" {
			t.Errorf("it said %q", said)
		}
		for name, want := range map[string]string{"refused": "It is night", "malformed": "malformed data", "internal": "the rope broke"} {
			if diags := invoker.InvokeAction(t.Context(), "test_ring", named(name), hear); diags.Err() == nil || !strings.Contains(diags.Err().Error(), want) {
				t.Errorf("%s: %v", name, diags.Err())
			}
		}
		if diags := invoker.PlanAction(t.Context(), "test_ring", named("absent")); !diags.HasErrors() {
			t.Error("an action that cannot be done is planned")
		}
		if diags := invoker.InvokeAction(t.Context(), "test_other", named("a"), hear); !diags.HasErrors() {
			t.Error("an action that does not exist is invoked")
		}
	})
}

func TestProvidersDiagnosticsKeepTheirPaths(t *testing.T) {
	_, provider := fixed(t, "6")
	diags := provider.ValidateResourceConfig(t.Context(), "test_thing", named("refused"))
	if len(diags) != 1 || diags[0].Summary != "Bad name" || !diags[0].Attribute.Equals(cty.GetAttrPath("name")) {
		t.Errorf("%+v", diags)
	}
	if diags := provider.ValidateResourceConfig(t.Context(), "test_other", named("a")); !diags.HasErrors() {
		t.Error("a type that does not exist is valid")
	}
	half := create(t, provider, "refused")
	if !half.Diags.HasErrors() || half.Lost || half.Value.GetAttr("id").AsString() != "thing-1" {
		t.Errorf("what is half made must be kept: %+v", half)
	}
}

func TestCrashDuringApply(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		p, provider := fixed(t, protocol)
		resp := create(t, provider, "crash")
		if !resp.Lost || resp.Value != cty.NilVal || !resp.Diags.HasErrors() {
			t.Fatalf("nothing is known after a crash: %+v", resp)
		}
		text := resp.Diags[0].Detail
		for _, want := range []string{"hashicorp/test", "ApplyResourceChange", "panic: out of luck"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in: %s", want, text)
			}
		}
		if again := create(t, provider, "good"); !again.Lost {
			t.Errorf("a crashed provider answered: %+v", again)
		}
		// Whoever comes next gets a process that works.
		noErrors(t, p.acquire(true).ValidateResourceConfig(t.Context(), "test_thing", named("a")))
	})
}

func TestAnswersThatAreNoUse(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		_, provider := fixed(t, protocol)
		resp := create(t, provider, "malformed")
		if !resp.Lost || resp.Value != cty.NilVal || !strings.Contains(resp.Diags.Err().Error(), "hashicorp/test") {
			t.Errorf("malformed object: %+v", resp)
		}
		plan := provider.PlanResourceChange(t.Context(), PlanRequest{TypeName: "test_thing", Prior: cty.NullVal(thingType), Proposed: named("malformed"), Config: named("malformed")})
		if !plan.Diags.HasErrors() || plan.Planned != cty.NilVal {
			t.Errorf("malformed plan: %+v", plan)
		}
		resp = create(t, provider, "internal")
		if !resp.Lost || !strings.Contains(resp.Diags.Err().Error(), "the database is on fire") {
			t.Errorf("failed call: %+v", resp)
		}
		// JSON is the other form a value may have; its numbers stay exact.
		resp = create(t, provider, "json")
		noErrors(t, resp.Diags)
		size := resp.Value.GetAttr("part").Index(cty.NumberIntVal(0)).GetAttr("size")
		if !size.RawEquals(cty.MustParseNumberVal("12345678901234567890")) {
			t.Errorf("size is %#v", size)
		}
	})
}

func TestCancelledCall(t *testing.T) {
	_, provider := fixed(t, "6")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	diags := provider.ValidateResourceConfig(ctx, "test_thing", named("a"))
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "cut off") {
		t.Errorf("%v", diags)
	}
}

func TestMissingMethod(t *testing.T) {
	_, provider := fixed(t, "6")
	resp := provider.MoveResourceState(t.Context(), MoveRequest{SourceType: "other", SourceJSON: []byte("{}"), TargetType: "test_thing"})
	if !resp.Diags.HasErrors() || !strings.Contains(resp.Diags.Err().Error(), "does not support") {
		t.Errorf("%v", resp.Diags)
	}
}
