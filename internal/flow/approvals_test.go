package flow

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

const guarded = `
stack "shop" { source = "./shop" }
stack "net" { source = "./net" }
role "release-manager" {}
role "operator" {}
workflow "w" {
	step "plan" {
		plan { stack = stack.shop }
	}
	step "sign_off" {
		approval {
			plan        = step.plan.outputs.digest
			roles       = ["release-manager"]
			count       = 2
			forbid_self = true
		}
	}
	BETWEEN
	step "apply" {
		needs = [step.sign_off]
		APPLY
	}
}`

// approving plays a workflow to where it waits for an approval.
func approving(t *testing.T, between, apply string) *world {
	t.Helper()
	w := play(t, strings.NewReplacer("BETWEEN", between, "APPLY", apply).Replace(guarded), nil)
	plan := func(digest string) func(Effect) (cty.Value, *Error) {
		return func(Effect) (cty.Value, *Error) {
			return cty.ObjectVal(map[string]cty.Value{"digest": cty.StringVal(digest)}), nil
		}
	}
	w.answers["plan"], w.answers["again"], w.answers["net"] = plan("aaa"), plan("bbb"), plan("nnn")
	return w.run()
}

func manager(digest string) workflow.Decision {
	return workflow.Decision{Digest: digest, Roles: []string{"operator", "release-manager"}}
}

// TestApprovalsAreOfAPlan refuses decisions that are not about the plan, or by
// whom they must not be.
func TestApprovalsAreOfAPlan(t *testing.T) {
	w := approving(t, "", `apply {
		stack = stack.shop
		plan  = step.plan.outputs.digest
	}`)
	if waits := w.m.Waiting(); len(waits) != 1 || waits[0].Plan != "aaa" || waits[0].Roles[0] != "release-manager" || waits[0].Count != 2 {
		t.Fatalf("waiting: %+v", waits)
	}
	for _, c := range []struct {
		kind workflow.SignalKind
		by   string
		d    workflow.Decision
		want string
	}{
		{workflow.SignalApprove, "ann", manager("aaa"), "who started the run must not decide about step sign_off"},
		{workflow.SignalApprove, "user:ann", manager("aaa"), "who started the run must not decide about step sign_off"},
		{workflow.SignalReject, "ann", manager("aaa"), "who started the run must not decide about step sign_off"},
		{workflow.SignalApprove, "", manager("aaa"), "who decides about step sign_off must be known"},
		{workflow.SignalApprove, "bob", manager(""), "step sign_off is about the plan aaa: an approval must say that it is about this one"},
		{workflow.SignalApprove, "bob", manager("bbb"), "step sign_off is about the plan aaa, but the decision is about the plan bbb"},
		{workflow.SignalApprove, "bob", workflow.Decision{Digest: "aaa"}, "step sign_off may be decided about by release-manager only; bob has no role"},
		{workflow.SignalReject, "bob", workflow.Decision{Roles: []string{"operator", "release"}}, "step sign_off may be decided about by release-manager only; bob has operator, release"},
	} {
		_, err := w.m.Approval(c.kind, "", c.by, c.d)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s by %q: %v, not %s", c.kind, c.by, err, c.want)
		}
		w.signal(c.kind, "sign_off", c.by, c.d) // said all the same: it changes nothing
	}
	// A decision that is not taken yet is told of like one that is.
	pending := func(kind workflow.SignalKind, by string) workflow.Signal {
		data, err := json.Marshal(manager("aaa"))
		if err != nil {
			t.Fatal(err)
		}
		return workflow.Signal{Kind: kind, By: by, Data: data}
	}
	bob, cem := pending(workflow.SignalApprove, "bob"), pending(workflow.SignalApprove, "cem")
	if waits := w.m.WaitingAfter([]workflow.Signal{pending(workflow.SignalApprove, "ann"), bob, bob}); len(waits) != 1 || len(waits[0].By) != 1 || waits[0].By[0] != "bob" {
		t.Errorf("waiting once bob has approved: %+v", waits)
	}
	for _, list := range [][]workflow.Signal{{bob, cem}, {pending(workflow.SignalReject, "bob")}} {
		if waits := w.m.WaitingAfter(list); len(waits) != 0 {
			t.Errorf("waiting after the last decision: %+v", waits)
		}
	}
	w.signal(workflow.SignalApprove, "", "bob", manager("aaa"))
	_, err := w.m.Approval(workflow.SignalApprove, "", "user:bob", manager("aaa"))
	if want := "user:bob has approved step sign_off already"; err == nil || err.Error() != want {
		t.Errorf("%v, not %s", err, want)
	}
	w.signal(workflow.SignalApprove, "", "user:bob", manager("aaa"))
	w.run().check(Running, "plan")
	w.signal(workflow.SignalApprove, "", "cem", workflow.Decision{Digest: "aaa", Roles: []string{workflow.AnyRole}})
	w.run().check(Succeeded, "plan apply")
}

// TestApprovalsOfAnotherPlanAreVoid lets a workflow apply something else than
// what was approved.
func TestApprovalsOfAnotherPlanAreVoid(t *testing.T) {
	again := `step "again" {
		needs = [step.sign_off]
		plan { stack = stack.shop }
	}
	step "net" {
		plan { stack = stack.net }
	}`
	for _, c := range []struct{ name, apply, did, want string }{
		{"the plan approved", "apply {\nstack = stack.shop\nplan = step.plan.outputs.digest\n}", "plan net again apply", ""},
		{"another stack", "apply {\nstack = stack.net\nplan = step.net.outputs.digest\n}", "plan net again apply", "No plan"},
		{"a later plan", "apply {\nstack = stack.shop\nplan = step.again.outputs.digest\n}", "plan net again",
			"Step sign_off approved the plan aaa for stack shop, not the plan bbb: the approval is void for a plan that has changed."},
		{"a plan from elsewhere", "apply {\nstack = stack.shop\nplan = \"ccc\"\n}", "plan net again",
			"Step sign_off approved the plan aaa for stack shop, not the plan ccc: the approval is void for a plan that has changed."},
		{"a plan of its own", "apply { stack = stack.shop }", "plan net again",
			"Step sign_off approved the plan aaa for stack shop, but this step would make another one: give it the plan that was approved."},
		{"destroying", "destroy { stack = stack.shop }", "plan net again",
			"Step sign_off approved the plan aaa for stack shop, but this step would make another one: give it the plan that was approved."},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := approving(t, again, c.apply)
			w.signal(workflow.SignalApprove, "", "bob", manager("aaa"))
			w.signal(workflow.SignalApprove, "", "cem", manager("aaa"))
			w.run()
			if c.name == "another stack" || c.want == "" {
				w.check(Succeeded, c.did)
				return
			}
			w.check(Failed, c.did)
			if err := w.m.Result().Error; err.Name != NotApprovedError || err.Cause != c.want {
				t.Errorf("error: %s\nnot %s", err, c.want)
			}
		})
	}
}

// TestRejectedPlansStayRejected catches a rejection, and applies all the same.
func TestRejectedPlansStayRejected(t *testing.T) {
	source := strings.NewReplacer("BETWEEN", "", "APPLY", "apply {\nstack = stack.shop\nplan = step.plan.outputs.digest\n}",
		"count       = 2\n", "", "forbid_self = true\n\t\t}", "forbid_self = true\n\t\t}\n\t\tcatch {}").Replace(guarded)
	w := play(t, source, nil)
	w.answers["plan"] = func(Effect) (cty.Value, *Error) {
		return cty.ObjectVal(map[string]cty.Value{"digest": cty.StringVal("aaa")}), nil
	}
	w.run().signal(workflow.SignalReject, "", "bob", manager(""))
	w.run().check(Failed, "plan")
	if err := w.m.Result().Error; err.Error() != "Tutti.NotApproved: No plan for stack shop was approved by step sign_off." {
		t.Error(err)
	}
}

// TestHostileSignals tells a run ten thousand things that nobody should say: none
// approves anything, and none harms it.
func TestHostileSignals(t *testing.T) {
	w := approving(t, "", "apply {\nstack = stack.shop\nplan = step.plan.outputs.digest\n}")
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	kinds := []string{"approve", "approve", "reject", "event", "succeed", "fail", "take", "beat", "", "APPROVE", "approve\x00"}
	for range 10_000 {
		data := pick(`{"digest":"aaa"}`, `{"digest":"aaa","roles":["operator"]}`, `{"digest":"aaa","roles":["release-manager "]}`, `{"roles":["release-manager"]}`,
			`{"digest":"AAA","roles":["*"]}`, `{"digest":"aaa ","roles":["*"]}`, `{"digest":["aaa"],"roles":["*"]}`, `{"digest":"aaa","roles":"release-manager"}`,
			`null`, `"aaa"`, `[]`, `{`, ``, `{"digest":null,"roles":null}`, `{"roles":{"release-manager":true},"digest":"aaa"}`, strings.Repeat("[", 2000), "\xff\xfe")
		by := pick("bob", "user:bob", "group:sre", "", "ann", "user:ann", "*", "\u202eann")
		if by != "ann" && by != "user:ann" && r.IntN(4) == 0 {
			// Right but for one byte.
			b := []byte(`{"digest":"aaa","roles":["release-manager"]}`)
			b[2+r.IntN(len(b)-3)] ^= byte(1 + r.IntN(31))
			data = string(b)
		}
		sig, err := json.Marshal(map[string]any{"kind": pick(kinds...), "name": pick("", "sign_off", "sign_off[0]", "plan", "nothing", "sign_off\n"), "by": by, "data": json.RawMessage("null")})
		if err != nil {
			t.Fatal(err)
		}
		d := workflow.ReadDecision(json.RawMessage(data))
		if d.Digest == "aaa" && (len(d.Roles) == 1 && (d.Roles[0] == "release-manager" || d.Roles[0] == workflow.AnyRole)) {
			continue // names of keys are read in whatever case: this one is right
		}
		if json.Valid([]byte(data)) {
			sig = []byte(strings.Replace(string(sig), `"data":null`, `"data":`+data, 1))
		}
		var s workflow.Signal
		if json.Unmarshal(sig, &s) != nil {
			continue
		}
		if s.Kind == workflow.SignalReject && len(d.Roles) == 1 && d.Roles[0] == "release-manager" || s.Kind == workflow.SignalReject && len(d.Roles) == 1 && d.Roles[0] == workflow.AnyRole {
			continue
		}
		w.enter(workflow.Entry{Kind: workflow.SignalReceived, Step: -1, Data: sig})
	}
	if waits := w.m.Waiting(); len(waits) != 1 || len(waits[0].By) != 0 {
		t.Fatalf("waiting: %+v", waits)
	}
	w.run().check(Running, "plan")
}

// FuzzDecision reads whatever comes with a decision.
func FuzzDecision(f *testing.F) {
	for _, s := range []string{`"fine"`, `{"comment":"x","digest":"aaa","roles":["a"]}`, `null`, `[]`, `{`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := workflow.ReadDecision(data)
		if !json.Valid(data) && (d.Digest != "" || len(d.Roles) > 0 || d.Comment != "") {
			t.Errorf("%q says %+v", data, d)
		}
	})
}

// TestInvalidRolesOfApprovals: a role that nobody can have is told of before the
// run.
func TestInvalidRolesOfApprovals(t *testing.T) {
	for roles, want := range map[string]string{
		`["king"]`: `There is no role "king" in this project. Declared are: operator.`,
		`[]`:       "The list of roles is empty: name the roles of which whoever approves must hold one, or leave it out.",
	} {
		p, _ := projects.Parse(".", map[string][]byte{"w.tutti.hcl": []byte("role \"operator\" {}\nworkflow \"w\" {\nstep \"a\" {\napproval { roles = " + roles + " }\n}\n}")})
		_, diags := New(p, "w", nil)
		if len(diags) != 1 || diags[0].Detail != want || diags[0].Subject == nil {
			t.Errorf("%s: %v", roles, diags)
		}
	}
}
