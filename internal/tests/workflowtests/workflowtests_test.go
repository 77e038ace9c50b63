package workflowtests

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/tests"
)

type silent struct{}

func (silent) FileStarted(*configs.TestFile)                  {}
func (silent) RunStarted(*configs.TestFile, *configs.TestRun) {}
func (silent) RunEnded(*configs.TestFile, *tests.RunResult)   {}
func (silent) TearingDown(*configs.TestFile)                  {}
func (silent) FileEnded(*configs.TestFile, *tests.FileResult) {}

// play runs test blocks on a project.
func play(t *testing.T, project, source string) *tests.FileResult {
	t.Helper()
	return playFiles(t, map[string][]byte{"w.tutti.hcl": []byte(project)}, source)
}

func playFiles(t *testing.T, files map[string][]byte, source string) *tests.FileResult {
	t.Helper()
	p, diags := projects.Parse(".", files)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	f, diags := projects.ParseTestFile("w.tuttitest.hcl", []byte(source))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return Run(context.Background(), []*projects.TestFile{f}, Options{
		Project: p, Watch: silent{},
		Check: func(name string) diag.List {
			if p.Workflows[name].Definition != "" {
				return nil
			}
			_, diags := flow.New(p, name, nil)
			return diags
		},
		StackOutputs: func(string) (map[string]bool, bool) { return map[string]bool{"id": true}, true },
	})[0]
}

// passes expects tests to pass without a word.
func passes(t *testing.T, project, source string) *tests.FileResult {
	t.Helper()
	return passed(t, play(t, project, source))
}

func passed(t *testing.T, f *tests.FileResult) *tests.FileResult {
	t.Helper()
	for _, r := range f.Runs {
		if r.Status != tests.Pass || len(r.Diags) > 0 {
			t.Errorf("%s: %s: %v\n%s", r.Run.Name, r.Status, r.Diags, path(r))
		}
	}
	if len(f.Diags) > 0 {
		t.Error(f.Diags)
	}
	return f
}

func path(r *tests.RunResult) string {
	if r.Trace == nil {
		return ""
	}
	var b strings.Builder
	for _, l := range r.Trace.Lines {
		fmt.Fprintf(&b, "%s %s %s %d %s %s\n", l.At, l.Step, l.Action, l.Attempt, l.Took, l.Outcome)
	}
	return b.String() + r.Trace.End
}

// finds expects one test to end so, with a diagnostic.
func finds(t *testing.T, project, source string, status tests.Status, summary string) {
	t.Helper()
	f := play(t, project, source)
	r := f.Runs[0]
	all := append(append(diag.List{}, r.Diags...), f.Diags...)
	if r.Status != status || len(all) != 1 || all[0].Summary != summary || all[0].Subject == nil {
		t.Errorf("%s: %v, not %s: %s\n%s", r.Status, all, status, summary, path(r))
	}
}

// holds makes assert blocks.
func holds(conditions ...string) string {
	var b strings.Builder
	for i, c := range conditions {
		fmt.Fprintf(&b, "\n  assert {\n    condition = %s\n    error_message = \"condition %d\"\n  }\n", c, i)
	}
	return b.String()
}

const release = `
environment "prod" {
  labels    = { tier = "prod" }
  variables = { region = "eu" }
}
variable "region" { default = "none" }
stack "network" { source = "./network" }
workflow "w" {
  variable "version" { type = string }
  step "deploy" {
    exec { command = ["deploy", var.version, var.region, stack.network.id] }
    undo {
      exec { command = ["undo", self.outputs.stdout] }
    }
  }
  step "smoke" {
    needs = [step.deploy]
    http { url = "http://x/${step.deploy.outputs.stdout}" }
    retry {
      attempts = 2
      backoff  = "1m"
    }
  }
  step "sign_off" {
    needs = [step.smoke]
    when  = environment.labels.tier == "prod"
    approval {
      expires     = "24h"
      forbid_self = true
    }
  }
  step "tell" {
    needs = [step.sign_off]
    emit {
      type = "release.done"
      data = { version = var.version }
    }
  }
  on_failure {
    step "page" {
      http {
        method = "POST"
        url    = "http://pager"
        body   = run.error
      }
    }
  }
  finally {
    step "clean" {
      exec { command = ["clean"] }
    }
  }
  output "where" { value = step.deploy.outputs.stdout }
}
`

const releaseTest = `
workflow    = workflow.w
environment = "prod"
variables   = { version = "1.4.2" }
start       = "2026-03-29T00:30:00Z"
stack "network" {
  outputs = { id = "n-1" }
}
`

func TestAReleaseThatGoesWell(t *testing.T) {
	passes(t, release, releaseTest+`
test "good" {
  mock "deploy" {
    outputs  = { stdout = "a" }
    duration = "5m"
  }
  approve {
    step  = "sign_off"
    after = "2h"
    by    = "bob"
  }
`+holds(`run.status == "succeeded" && run.duration == 7500 && run.ended == "2026-03-29T02:35:00Z"`,
		`path == ["deploy", "smoke", "sign_off", "tell", "clean"]`,
		`output.where == "a"`,
		`step.sign_off.outputs.by == tolist(["bob"]) && step.deploy.attempts == 1`,
		`step.deploy.started == "2026-03-29T00:30:00Z" && step.deploy.ended == "2026-03-29T00:35:00Z"`,
		`events[*].type == ["release.done"] && events[0].data.version == "1.4.2" && events[0].after == 7500`,
		`calls[0].arguments.command == tolist(["deploy", "1.4.2", "eu", "n-1"])`,
		`calls[1].arguments.url == "http://x/a" && calls[1].at == "2026-03-29T00:35:00Z"`,
		`step.page.status == "skipped"`)+"}")
}

func TestAFailureIsRetriedUndoneAndPaged(t *testing.T) {
	passes(t, release, releaseTest+`
test "bad" {
  mock "deploy" {
    outputs = { stdout = "a" }
  }
  mock "smoke" {
    error {
      name  = "Tutti.StatusCode.500"
      cause = "broken"
    }
    times = 2
  }
`+holds(`run.status == "failed" && run.error.step == "smoke"`,
		`step.smoke.error.name == "Tutti.StatusCode.500" && step.smoke.error.cause == "broken" && step.smoke.attempts == 2`,
		`path == ["deploy", "smoke", "smoke", "deploy.undo", "page", "clean"]`,
		`run.duration == 60`, `output.where == null`,
		`calls[3].arguments.command[1] == "a" && calls[4].arguments.body.name == "Tutti.StatusCode.500"`)+"}")
}

func TestPeopleDecideOrDoNot(t *testing.T) {
	passes(t, release, releaseTest+`
test "nobody decides" {`+holds(`step.sign_off.error.name == "Tutti.ApprovalExpired" && run.duration == 86400`, `path[4] == "page"`)+`}
test "somebody says no" {
  reject {
    at      = "3h"
    comment = "too late"
  }
`+holds(`step.sign_off.error.cause == "Rejected by approver: too late" && run.duration == 10800`)+`}
test "just in time" {
  approve {
    at = "24h"
  }
`+holds(`run.status == "succeeded"`)+`}
test "cancelled" {
  mock "deploy" {
    duration = "1h"
  }
  cancel {
    at = "30m"
  }
`+holds(`run.status == "cancelled" && run.duration == 1800`, `path == ["deploy", "clean"]`)+"}")
	f := play(t, release, releaseTest+`
test "not by oneself" {
  actor = "ann"
  approve {
    by = "ann"
  }
`+holds(`run.error.name == "Tutti.ApprovalExpired"`)+"}")
	if r := f.Runs[0]; r.Status != tests.Pass || len(r.Diags) != 1 || !strings.Contains(r.Diags[0].Detail, "must not decide") {
		t.Errorf("%s: %v", r.Status, r.Diags)
	}
}

func steps(inside string) string { return "workflow \"w\" {\n" + inside + "\n}" }

func test(inside string) string {
	return "workflow = workflow.w\ntest \"t\" {\n" + inside + "\n}"
}

func TestAMonthTakesNoTime(t *testing.T) {
	passes(t, steps(`
  step "month" {
    wait { duration = "30d" }
  }
  step "event" {
    wait {
      event = "built"
      match = event.data.version == 2
    }
  }
  step "until" {
    needs = [step.month]
    wait { until = "2027-01-01T00:00:00Z" }
  }`), test(`
  signal {
    event = "built"
    data  = { version = 1 }
  }
  signal {
    at    = "2026-01-20T00:00:00Z"
    event = "built"
    data  = { version = 2 }
  }`+holds(`run.ended == "2027-01-01T00:00:00Z"`, `step.event.ended == "2026-01-20T00:00:00Z"`, `path == ["month", "event", "until"]`)))
}

func TestLimitsOfTime(t *testing.T) {
	passes(t, steps(`
  step "slow" {
    timeout = "10m"
    exec { command = ["x"] }
    catch { errors = ["Tutti.Timeout"] }
  }
  step "mute" {
    heartbeat = "1m"
    exec { command = ["x"] }
    catch { errors = ["Tutti.HeartbeatTimeout"] }
  }
  step "just" {
    timeout = "10m"
    exec { command = ["x"] }
  }
  step "late" {
    timeout = "1h"
    wait { event = "never" }
    catch {}
  }`), test(`
  mock "slow" { duration = "11m" }
  mock "just" { duration = "10m" }
  mock "mute" {
    duration = "30m"
    silent   = true
  }`+holds(`step.slow.status == "caught" && step.slow.ended == "2026-01-01T00:10:00Z"`, `step.just.status == "succeeded"`,
		`step.mute.error.name == "Tutti.HeartbeatTimeout" && step.mute.ended == "2026-01-01T00:01:00Z"`,
		`step.late.error.name == "Tutti.Timeout" && run.duration == 3600`)))
}

func TestJitterIsTheSameEveryTime(t *testing.T) {
	project := steps(`
  step "flaky" {
    exec { command = ["x", uuid()] }
    retry {
      attempts = 6
      backoff  = "1m"
      jitter   = true
    }
  }`)
	source := test(`
  mock "flaky" {
    error { name = "Oops" }
    times = 5
  }` + holds(`run.duration > 0 && run.duration < 1860`, `length(path) == 6`))
	first, second := passes(t, project, source), passes(t, project, source)
	if !reflect.DeepEqual(first.Runs[0].Trace, second.Runs[0].Trace) {
		t.Errorf("first\n%s\nthen\n%s", path(first.Runs[0]), path(second.Runs[0]))
	}
}

func TestItemsAndWhatIsMockedForThem(t *testing.T) {
	passes(t, steps(`
  step "each" {
    for_each           = { a = 1, b = 2, c = 3 }
    tolerated_failures = 1
    exec { command = ["x", each.key] }
  }
  step "next" {
    for_each = [step.each.items["b"].outputs.stdout, step.each.outputs["c"].stdout]
    exec { command = [each.value] }
  }`), test(`
  mock "each[\"a\"]" {
    error { name = "Oops" }
  }
  mock "each" {
    outputs  = { stdout = "${key} ${attempt} ${arguments.command[1]}" }
    duration = "1s"
  }`+holds(`step.each.items["a"].error.name == "Oops"`, `calls[*].step == ["each[\"a\"]", "each[\"b\"]", "each[\"c\"]", "next[0]", "next[1]"]`,
		`calls[4].arguments.command[0] == "each[\"c\"] 1 c"`, `step.each.attempts == 3`)))
}

func TestTenThousandItems(t *testing.T) {
	passes(t, steps(`
  step "each" {
    for_each = flatten([for i in range(10) : [for j in range(1000) : j]])
    exec { command = ["x", each.value] }
  }`), test(`
  mock "each" {
    duration = "1m"
  }`+holds(`length(path) == 10000 && run.duration == 60 * 10000 / 10`)))
}

func TestPoolsBoundAndLetInByPriority(t *testing.T) {
	passes(t, `
pool "two" { limit = 2 }
pool "slow" { rate = "2/1m" }
`+steps(`
  parallelism = 4
  step "low" {
    for_each = ["a", "b", "c"]
    pool     = pool.two
    exec { command = ["x"] }
  }
  step "high" {
    pool     = pool.two
    priority = 5
    exec { command = ["x"] }
  }
  step "rate" {
    for_each = range(5)
    pool     = pool.slow
    exec { command = ["x"] }
  }`), test(`
  mock "low" { duration = "1h" }
  mock "high" { duration = "1h" }`+holds(`path[0] == "high" && path[1] == "low[0]"`, `run.duration == 7200`,
		`[for c in calls : c.after if startswith(c.step, "rate")] == [0, 0, 60, 60, 120]`)))
}

const nested = `
workflow "inner" {
  variable "n" { type = number }
  step "do" {
    exec { command = ["do", var.n] }
  }
  step "ask" {
    needs = [step.do]
    approval {}
  }
  step "hear" {
    wait { event = "go" }
  }
  output "n" { value = step.do.outputs.exit_code + var.n }
}
workflow "w" {
  step "sub" {
    timeout = "1d"
    workflow {
      run    = workflow.inner
      inputs = { n = 2 }
    }
    undo {
      workflow {
        run    = workflow.inner
        inputs = { n = 3 }
      }
    }
  }
  step "after" {
    exec { command = [step.sub.outputs.n, step.sub.run] }
  }
}
`

func TestChildrenArePlayedToo(t *testing.T) {
	passes(t, nested, `workflow = workflow.w
test "well" {
  mock "sub.do" {
    outputs  = { exit_code = 5 }
    duration = "1m"
  }
  approve {
    step = "sub.ask"
    at   = "1h"
  }
  signal {
    step  = "sub"
    event = "go"
    at    = "2h"
  }
`+holds(`path == ["sub", "sub.hear", "sub.do", "sub.ask", "after"]`, `calls[2].arguments.command == tolist(["7", "test.0"])`, `run.duration == 7200`)+`}
test "mocked as a whole" {
  mock "sub" {
    outputs = { n = 1 }
  }
`+holds(`path == ["sub", "after"]`)+`}
test "out of time" {`+holds(`step.sub.error.name == "Tutti.Timeout" && run.duration == 86400`)+`}
test "fails inside" {
  mock "sub.do" {
    error { name = "Oops" }
  }
  signal {
    event = "go"
    step  = "sub"
    at    = "1s"
  }
`+holds(`step.sub.error.name == "Tutti.WorkflowFailed"`, `strcontains(step.sub.error.cause, "step do: Oops")`)+`}
test "cancelled inside" {
  mock "sub.do" { duration = "1h" }
  cancel { at = "30m" }
`+holds(`run.status == "cancelled" && run.duration == 1800`, `path == ["sub", "sub.hear", "sub.do"]`)+`}
test "undone" {
  mock "sub" {
    outputs = { n = 1 }
  }
  mock "after" {
    error { name = "Oops" }
  }
  mock "sub.undo.do" { duration = "1m" }
  approve { step = "sub.undo.ask" }
  signal {
    step  = "sub.undo"
    event = "go"
    at    = "10s"
  }
`+holds(`path == ["sub", "after", "sub.undo", "sub.undo.hear", "sub.undo.do", "sub.undo.ask"]`)+"}")
}

func TestWhatIsCachedIsNotDoneAgain(t *testing.T) {
	passes(t, steps(`
  step "each" {
    for_each    = { a = "1", b = "1" }
    concurrency = 1
    exec { command = ["x"] }
  }
  step "twice" {
    for_each = [1]
    needs    = [step.each]
    workflow { run = workflow.inner }
  }
  step "again" {
    needs = [step.twice]
    for_each = [1]
    workflow { run = workflow.inner }
  }`)+`
workflow "inner" {
  step "build" {
    exec { command = ["make"] }
    cache {
      key = "k"
      ttl = "1h"
    }
  }
}`, test(`
  mock "twice.build" { duration = "1m" }`+holds(`length([for c in calls : c if endswith(c.step, "build")]) == 1`, `run.duration == 60`)))
}

func TestMistakesInTestsAreToldWithTheirLines(t *testing.T) {
	project := steps(`
  step "a" {
    exec { command = ["x"] }
  }
  step "b" {
    needs = [step.a]
    wait { duration = "1h" }
  }
  step "c" {
    needs = [step.a]
    approval {}
  }`)
	decided := "\n  approve {}\n"
	wrong := "Mock of what cannot be mocked"
	finds(t, project, test(`mock "z" {}`), tests.Error, wrong)
	finds(t, project, test(`mock "a[0]" {}`), tests.Error, wrong)
	finds(t, project, test(`mock "a.undo" {}`), tests.Error, wrong)
	finds(t, project, test(`mock "a.b" {}`), tests.Error, wrong)
	finds(t, project, test(`mock "b" {}`), tests.Error, wrong)
	finds(t, project, test(`mock "c" {}`), tests.Error, wrong)
	finds(t, project, test("mock \"a\" {\n outputs = { stdotu = 1 }\n}"+decided), tests.Error, "Unsuitable outputs")
	finds(t, project, test("variables = { x = 1 }"+decided), tests.Error, "Value for undeclared variable")
	finds(t, project, test(`approve { step = "a" }`), tests.Error, "Not an approval")
	finds(t, project, test("signal {\n event = \"x\"\n step = \"a\"\n}"), tests.Error, "No run of its own")
	finds(t, project, test(`stack "s" { outputs = {} }`), tests.Error, "No such stack")
	finds(t, project, "test \"t\" {\n workflow = workflow.z\n}", tests.Error, "No such workflow")
	finds(t, project, test(`mocks = "required"`), tests.Error, "Test cannot be carried out")
	finds(t, project, test(""), tests.Fail, "Run did not succeed")
	finds(t, project, test("mock \"a\" { times = 1 }\nmock \"a\" { duration = \"1s\" }"+decided), tests.Pass, "Mock was not used")
	finds(t, project, test("cancel { at = \"2h\" }"+decided), tests.Pass, "Block had no effect")
	finds(t, project, test(decided+holds(`run.duration == 1`)), tests.Fail, "Test assertion failed")
	finds(t, project, test(decided+holds(`step.z.status == "x"`)), tests.Error, "Unsupported attribute")
	finds(t, project, "mock \"a\" { times = 1 }\nmock \"a\" {}\n"+test(decided), tests.Pass, "Mock was not used")
}

func TestSecretsStaySecret(t *testing.T) {
	project := steps(`
  variable "token" {
    type      = string
    sensitive = true
  }
  step "use" {
    exec { command = ["x", var.token] }
  }
  step "tell" {
    emit {
      type = "told"
      data = step.use.outputs.stdout
    }
  }`)
	f := play(t, project, test("variables = { token = \"hush\" }\nmock \"use\" {\n outputs = { stdout = arguments.command[1] }\n}\n"+holds(`run.status == "succeeded" || var.token == "x"`)))
	r := f.Runs[0]
	if r.Status != tests.Fail || !strings.Contains(path(r), "must not be sensitive") {
		t.Errorf("%s: %v\n%s", r.Status, r.Diags, path(r))
	}
	token, diags := r.Diags[0].EvalContext.Variables["var"].AsValueMap()["token"], r.Diags
	if !token.IsMarked() {
		t.Errorf("the value of a secret may be shown: %v", diags)
	}
}

func TestMocksOfAFileNeedToFitOneTest(t *testing.T) {
	project := steps(`
  step "a" {
    exec { command = ["x"] }
  }`) + `
workflow "other" {
  step "b" {
    exec { command = ["x"] }
  }
}`
	both := "\ntest \"a\" {\n workflow = workflow.w\n}\ntest \"b\" {\n workflow = workflow.other\n}\n"
	passes(t, project, `
mock "b" {
  duration = "1m"
}`+both)
	f := play(t, project, `mock "c" {}`+both)
	if f.Status != tests.Error || len(f.Diags) != 1 || f.Diags[0].Subject == nil {
		t.Errorf("%s: %v", f.Status, f.Diags)
	}
}
