package projects

import (
	"strings"
	"testing"
)

const good = `
variable "replicas" { type = number }

environment "prod" {
  labels    = { tier = "prod", region = "eu" }
  variables = { replicas = 3 }
}

stack "network" { source = "./network" }

stack "shop" {
  source = "./shop"
  inputs = { subnet_id = stack.network.subnet_id, replicas = var.replicas }
}

pool "deploys" { limit = 2 }
pool "api" { rate = "10/m" }

moved {
  from = stack.network.aws_eip.this["a"]
  to   = stack.shop.module.front.aws_eip.this
}

workflow "release" {
  variable "version" { type = string }
  step "test" {
    exec { command = ["make", "test"] }
    retry {
      attempts    = 3
      backoff     = "2s"
      max_backoff = "1m"
      jitter      = true
    }
    timeout = "10m"
    pool    = pool.api
  }
  step "deploy" {
    needs = [step.test]
    apply {
      stack  = stack.shop
      inputs = { version = var.version }
    }
    undo {
      rollback {}
    }
  }
  step "smoke" {
    for_each           = toset(step.deploy.outputs.urls)
    tolerated_failures = "10%"
    http {
      url           = "${each.value}/healthz"
      expect_status = 200
    }
  }
  on_failure {
    step "page" {
      emit { type = "release.failed" }
    }
  }
  output "urls" { value = step.deploy.outputs.urls }
}

trigger "nightly" {
  schedule = "0 3 * * *"
  timezone = "Europe/Berlin"
  run      = workflow.release
  inputs   = { version = "nightly" }
}
`

func TestProjectFilesAreRead(t *testing.T) {
	p, diags := Parse(".", map[string][]byte{"main.tutti.hcl": []byte(good)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	w := p.Workflows["release"]
	if len(w.Steps) != 3 || len(w.OnFailure) != 1 || w.Steps[1].Undo.Kind != "rollback" {
		t.Errorf("steps are %+v", w)
	}
	if r := w.Steps[0].Retry; r.Attempts != 3 || r.MaxBackoff.Seconds() != 60 || !r.Jitter {
		t.Errorf("retry is %+v", r)
	}
	if got := w.Steps[1].Action.References["stack"].Name; got != "shop" {
		t.Errorf("stack is %q", got)
	}
	if m := p.Moves[0]; m.FromStack != "network" || m.To.String() != "module.front.aws_eip.this" || m.From.String() != `aws_eip.this["a"]` {
		t.Errorf("move is %+v", m)
	}
	if pool := p.Pools["api"]; pool.Rate != 10 || pool.Per.Minutes() != 1 {
		t.Errorf("pool is %+v", pool)
	}
}

func TestBudgetsAreRead(t *testing.T) {
	p, diags := Parse(".", map[string][]byte{"b.tutti.hcl": []byte("stack \"shop\" { source = \"./shop\" }\nbudget \"b\" {\n stacks = [stack.shop]\n environments = [\"prod\"]\n monthly = 0.1\n}\ncost { usage = [\"u.hcl\"] }")})
	if b := p.Budgets["b"]; diags.HasErrors() || b.Monthly.RatString() != "1/10" || b.Currency != "USD" || b.Enforcement != Mandatory || !b.About("shop", "prod") || b.About("shop", "dev") || b.About("lab", "prod") {
		t.Errorf("budget is %+v (%v)", p.Budgets["b"], diags)
	}
}

// TestBadProjectFilesAreExplained has one mistake a row, and what is said of it.
func TestBadProjectFilesAreExplained(t *testing.T) {
	step := func(inside string) string { return "workflow \"w\" {\n step \"a\" {\n" + inside + "\n}\n}" }
	for _, row := range []struct{ name, source, want string }{
		{"unknown block", `stak "a" {}`, "Unsupported block type"},
		{"two stacks", "stack \"a\" { source = \"./a\" }\nstack \"a\" { source = \"./b\" }", "declared twice in this project: first at x.tutti.hcl:1"},
		{"remote stack", `stack "a" { source = "git::x" }`, "must begin with"},
		{"no action", step(`timeout = "1s"`), "needs a block that says what to do"},
		{"two actions", step("emit { type = \"a\" }\nexec { command = [\"b\"] }"), "has an action"},
		{"unknown argument", step(`exec { cmd = ["a"] }`), "Missing required argument"},
		{"bad duration", step("timeout = \"soon\"\nemit { type = \"a\" }"), `"soon" is not a length of time`},
		{"unknown stack", step(`apply { stack = stack.shop }`), `There is no stack "shop" in this project.`},
		{"no reference", step(`apply { stack = "shop" }`), "write stack.NAME"},
		{"unknown pool", step("pool = pool.x\nemit { type = \"a\" }"), `There is no pool "x"`},
		{"wait for all", step("wait {\n duration = \"1s\"\n until = \"x\"\n}"), "exactly one of duration, until and event"},
		{"concurrency of one", step("concurrency = 2\nemit { type = \"a\" }"), "with for_each"},
		{"pool of nothing", `pool "p" {}`, "needs a limit"},
		{"rate", `pool "p" { rate = "many" }`, "is not a rate"},
		{"no steps", `workflow "w" {}`, "needs at least one step"},
		{"trigger of nothing", `trigger "t" { schedule = "* * * * *" }`, "Missing required argument"},
		{"wrong pattern", "trigger \"t\" {\n run = workflow.w\n on = { type = [{ starts = \"x\" }] }\n}", "There is no operator \"starts\""},
		{"condition of a schedule", "trigger \"t\" {\n run = workflow.w\n schedule = \"@daily\"\n when = true\n}", "it needs a pattern"},
		{"later words", `scaler "s" {}`, "no effect yet"},
		{"policy elsewhere", `policy "p" { source = "git::x" }`, "must begin with"},
		{"policy level", "policy \"p\" {\n source = \"./p\"\n enforcement = \"hard\"\n}", "is not a level"},
		{"policy of no stack", "policy \"p\" {\n source = \"./p\"\n stacks = [stack.x]\n}", "no stack \"x\""},
		{"budget of nothing", `budget "b" {}`, "Missing required argument"},
		{"budget below nothing", `budget "b" { monthly = -1 }`, "not negative"},
		{"budget in words", `budget "b" { monthly = "much" }`, "must be an amount"},
		{"budget beyond", `budget "b" { monthly = 1e300 }`, "that anybody has"},
		{"budget of a stack", "budget \"b\" {\n monthly = 1\n stacks = [stack.shop]\n}", `There is no stack "shop"`},
		{"budget of no stack", "budget \"b\" {\n monthly = 1\n stacks = []\n}", "must name stacks"},
		{"budget in pearls", "budget \"b\" {\n monthly = 1\n currency = \"pearls\"\n}", "is not a currency"},
		{"budget perhaps", "budget \"b\" {\n monthly = 1\n enforcement = \"perhaps\"\n}", "none of the levels"},
		{"budget elsewhere", "environment \"dev\" {}\nbudget \"b\" {\n monthly = 1\n environments = [\"prod\"]\n}", "does not declare"},
		{"two costs", "cost {}\ncost {}", "already"},
		{"cost pattern", "cost { prices = [\"[\"] }", "pattern"},
		{"move inside", "stack \"a\" { source = \"./a\" }\nmoved {\n from = stack.a.x.y\n to = stack.a.x.z\n}", "in the stack's own configuration"},
		{"twice a step", "workflow \"w\" {\n step \"a\" {\n emit { type = \"x\" }\n}\nstep \"a\" {\n emit { type = \"x\" }\n}\n}", "declared twice in this workflow"},
	} {
		_, diags := Parse(".", map[string][]byte{"x.tutti.hcl": []byte(row.source)})
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: diagnostics are %v, not about %q", row.name, err, row.want)
		}
	}
}

const testSource = `
workflow  = workflow.release
start     = "2026-03-29T00:30:00+01:00"
variables = { version = "1", region = "eu" }
mock "page" {}

test "a" {
  variables = { version = "2" }
  mocks     = "required"
  mock "smoke" {
    error {
      name  = "Oops"
      cause = "broken"
    }
    times    = 2
    duration = "5m"
  }
  stack "network" {
    outputs = { id = 1 }
  }
  signal {
    at    = "10m"
    event = "built"
  }
  approve {
    after = "2h"
    by    = "bob"
  }
  cancel {
    at = "2026-03-30T00:00:00Z"
  }
  assert {
    condition     = path == ["smoke"]
    error_message = "no"
  }
}
`

func TestTestFiles(t *testing.T) {
	f, diags := ParseTestFile("w.tuttitest.hcl", []byte(testSource))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	a := f.Tests[0]
	if a.Workflow.Name != "release" || !a.Required || len(a.Variables) != 2 || a.Start.UTC().Hour() != 23 || a.Start.Day() != 28 {
		t.Errorf("the test is %+v", a)
	}
	if m := a.Mocks[0]; m.Error.Name != "Oops" || m.Times != 2 || m.Duration.Minutes() != 5 {
		t.Errorf("the mock is %+v", m)
	}
	if at, ok := a.Acts[0].When(a.Start); !ok || at.Sub(a.Start).Minutes() != 10 {
		t.Errorf("the signal comes at %s", at)
	}
	if _, ok := a.Acts[1].When(a.Start); ok || a.Acts[1].After.Hours() != 2 || a.Acts[1].By != "bob" {
		t.Errorf("the approval is %+v", a.Acts[1])
	}
	if at, _ := a.Acts[2].When(a.Start); at.Day() != 30 {
		t.Errorf("cancelled at %s", at)
	}
	for source, wrong := range map[string]string{
		`test "a" {}`: "Test without a workflow",
		`workflow = workflow.w
		test "a" {
			cancel { at = "soon" }
		}`: "Invalid time",
		`workflow = workflow.w
		mock "a" { duration = "-1s" }`: "Invalid duration",
		`workflow = workflow.w
		test "a" {}
		test "a" {}`: "Duplicate test",
		`mocks = "maybe"`: "Invalid argument",
		`mock "a" {
			outputs = {}
			error { name = "x" }
		}`: "Outputs and an error",
	} {
		if _, diags := ParseTestFile("w.tuttitest.hcl", []byte(source)); !diags.HasErrors() || diags[0].Summary != wrong || diags[0].Subject == nil {
			t.Errorf("%s\ngives %v, not %s", source, diags, wrong)
		}
	}
}

func FuzzTestFile(f *testing.F) {
	f.Add(testSource)
	f.Add(`test "a" { workflow = workflow.b }`)
	f.Add(`signal {}`)
	f.Fuzz(func(_ *testing.T, source string) {
		_, _ = ParseTestFile("w.tuttitest.hcl", []byte(source)) // must not panic
	})
}

// TestInvalidAccess: what roles and grants say wrongly is told where it stands.
func TestInvalidAccess(t *testing.T) {
	for _, c := range []struct{ name, src, summary, detail string }{
		{"verb", `role "r" { allow = ["fly:*"] }`, "Invalid allow", `"fly" is not something that can be allowed or denied; the verbs are plan, apply, destroy, run, approve, cancel, signal, state, secret, override, admin, read, audit, and * for all.`},
		{"no verb", `role "r" { deny = ["staging/*"] }`, "Invalid deny", `"staging/*" is not a permission: write VERB:ENVIRONMENT/RESOURCE, for example "apply:staging/*" or "plan:*".`},
		{"empty place", `role "r" { allow = ["apply:"] }`, "Invalid allow", `"apply:" has no environment or resource that there could be: "" must be a name, in which * stands for any characters and ? for one.`},
		{"three places", `role "r" { allow = ["apply:a/b/c"] }`, "Invalid allow", `"apply:a/b/c" has no environment or resource that there could be: "b/c" must be a name, in which * stands for any characters and ? for one.`},
		{"not constant", `role "r" { allow = [var.x] }`, "Invalid allow", `What stands in "allow" must be constant text.`},
		{"not a list", `role "r" { allow = "plan:*" }`, "Invalid allow", `The argument "allow" must be a list written out: ["...", ...].`},
		{"to nobody", "role \"r\" {}\ngrant {\n role = role.r\n to = [\"ann\"]\n}", "Invalid to", `"ann" is nobody: write KIND:NAME with the kind user, group, service or trigger, for example "group:sre".`},
		{"to a pattern", "role \"r\" {}\ngrant {\n role = role.r\n to = [\"user:*\"]\n}", "Invalid to", `"user:*" is nobody: write KIND:NAME with the kind user, group, service or trigger, for example "group:sre".`},
		{"without a name", "role {}", "Missing name for role", `All role blocks must have 1 labels (name).`},
		{"undeclared", "role \"r\" {}\ngrant {\n role = role.s\n to = [\"user:ann\"]\n}", "Reference to undeclared role", `There is no role "s" in this project. Declared are: r.`},
		{"twice", "role \"r\" {}\nrole \"r\" {}", "Duplicate role", `The role "r" is declared twice in this project: first at main.tutti.hcl:1.`},
		{"as a person", "workflow \"w\" {\n step \"a\" {\n wait { duration = \"1s\" }\n }\n}\ntrigger \"t\" {\n schedule = \"* * * * *\"\n run = workflow.w\n as = \"user:ann\"\n}", "Invalid identity", `A trigger acts as a service, never as a person: "user:ann" is none. Write for example as = "service:t".`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, diags := Parse(".", map[string][]byte{"main.tutti.hcl": []byte(c.src)})
			if len(diags) != 1 || diags[0].Summary != c.summary || diags[0].Detail != c.detail || diags[0].Subject == nil {
				t.Errorf("diagnostics: %v", diags)
			}
			if c.name != "as a person" && !p.Guarded {
				t.Error("a project whose roles are wrong must not count as one without")
			}
		})
	}
}

// TestSyntaxFirst tells what is wrong with half a file only once it is whole.
func TestSyntaxFirst(t *testing.T) {
	_, diags := Parse(".", map[string][]byte{
		"a.tutti.hcl": []byte("workflow \"w\" {\n  step \"a\" {\n    apply { stack = stack.s }\n    undo { rollback {} }\n  }\n}\n"),
	})
	if len(diags) != 1 || diags[0].Summary != "Argument definition required" {
		t.Errorf("found %v", diags)
	}
}
