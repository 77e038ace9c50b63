package flow

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// TestNullsAreErrors gives null where a run cannot go on with it.
func TestNullsAreErrors(t *testing.T) {
	for name, step := range map[string]string{
		"duration": `wait { duration = var.nothing }`,
		"event":    `wait { event = var.nothing }`,
		"set": `for_each = toset([var.nothing, "a"])
			exec { command = ["x"] }`,
	} {
		t.Run(name, func(t *testing.T) {
			w := play(t, `workflow "w" {
				variable "nothing" {
					type    = string
					default = null
				}
				step "s" {
					`+step+`
				}
			}`, nil).run()
			if r := w.m.Result(); r.Status != Failed || r.Error.Name != EvaluationError {
				t.Errorf("it ended as %+v", r)
			}
		})
	}
}

// TestForEachOfAnEmptySet has nothing to do.
func TestForEachOfAnEmptySet(t *testing.T) {
	w := play(t, `workflow "w" {
		step "s" {
			for_each = toset([])
			exec { command = ["x"] }
		}
		output "all" { value = step.s.outputs }
	}`, nil).run()
	if r := w.m.Result(); r.Status != Succeeded || r.Outputs.GetAttr("all").LengthInt() != 0 {
		t.Errorf("it ended as %+v", r)
	}
}

// TestManyAttempts makes more attempts than fit into sixteen bits.
func TestManyAttempts(t *testing.T) {
	w := play(t, `workflow "w" {
		step "s" {
			exec { command = ["x"] }
			retry {
				attempts = 40000
			}
		}
	}`, nil)
	w.fails("s", "Oops", 100_000)
	if r := w.run().m.Result(); r.Status != Failed || len(w.did) != 40000 {
		t.Errorf("%s after %d attempts", r.Status, len(w.did))
	}
}

// TestRandomValuesSurviveACrash looks at what an evaluation makes up: a machine
// that follows the journal must make up the same as the one that wrote it.
func TestRandomValuesSurviveACrash(t *testing.T) {
	const source = `workflow "w" {
		locals { id = uuid() }
		step "first" {
			exec { command = [uuid(), core::uuid(), timestamp(), core::timestamp()] }
		}
		step "second" {
			needs    = [step.first]
			for_each = toset([uuid()])
			exec { command = [local.id, each.key] }
			undo {
				exec { command = [local.id, timestamp()] }
			}
		}
		step "third" {
			needs = [step.second]
			exec { command = ["x"] }
		}
	}`
	w := play(t, source, nil)
	seen := map[int]cty.Value{}
	w.fails("third", "Oops", 1)
	for len(w.queue) > 0 {
		step := w.queue[0]
		w.queue = w.queue[1:]
		seen[step] = w.m.Effect(step).Arguments
		w.now = w.now.Add(time.Hour)

		again := NewMachine(w.m.d)
		for _, e := range append(w.journal[:len(w.journal):len(w.journal)], workflow.Entry{
			Sequence: w.seq + 1, Time: w.now, Kind: workflow.RunResumed, Step: -1,
		}) {
			if _, err := again.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
		if got := again.Effect(step).Arguments; !got.RawEquals(seen[step]) {
			t.Errorf("step %d is given %#v, and after a crash %#v", step, seen[step], got)
		}
		w.do(step, w.m.Effect(step))
	}
	if len(seen) != 4 {
		t.Errorf("%d steps began", len(seen))
	}
}

// TestUndoneStepsAreNotReused takes over what a failed run has done: what it
// undid, and what comes after every run, is done again.
func TestUndoneStepsAreNotReused(t *testing.T) {
	w := play(t, `workflow "w" {
		step "deploy" {
			exec { command = ["x"] }
			undo {
				exec { command = ["u"] }
			}
		}
		step "smoke" {
			needs = [step.deploy]
			exec { command = ["x"] }
		}
		step "build" {
			exec { command = ["x"] }
		}
		step "last" {
			needs = [step.smoke]
			exec { command = ["x"] }
		}
		on_failure {
			step "page" {
				exec { command = ["x"] }
			}
		}
		finally {
			step "clean" {
				exec { command = ["x"] }
			}
		}
	}`, nil)
	w.fails("last", "Oops", 1)
	if r := w.run().m.Result(); r.Status != Failed {
		t.Fatalf("%+v", r)
	}
	got := sortedKeys(w.m.Outcomes(w.m.d.Closing()))
	if len(got) != 1 || got[0] != "build" {
		t.Errorf("reused are %v", got)
	}
}

// TestCancelWhileReadingAStack ends a step that had not got further.
func TestCancelWhileReadingAStack(t *testing.T) {
	w := play(t, `stack "s" { source = "./s" }
	workflow "w" {
		step "a" {
			exec { command = [stack.s.x] }
		}
		finally {
			step "clean" {
				exec { command = [step.a.status] }
			}
		}
	}`, nil)
	data, _ := json.Marshal(workflow.Interruption{Running: w.queue})
	w.enter(workflow.Entry{Kind: workflow.CancelRequested, Step: -1, Data: data})
	w.run()
	if got := w.m.Steps()[0].Status; got != Cancelled {
		t.Errorf("the step is %s", got)
	}
}

// TestCancelWhileUndoing leaves out what follows a failure, as every cancel does.
func TestCancelWhileUndoing(t *testing.T) {
	w := play(t, `stack "s" { source = "./s" }
	workflow "w" {
		step "a" {
			exec { command = ["x"] }
			undo {
				exec { command = ["u"] }
			}
		}
		step "b" {
			needs = [step.a]
			exec { command = ["x"] }
		}
		on_failure {
			step "page" {
				exec { command = [stack.s.x] }
			}
		}
		finally {
			step "clean" {
				exec { command = ["x"] }
			}
		}
	}`, nil)
	w.fails("b", "Oops", 1)
	w.answers["a.undo"] = func(Effect) (cty.Value, *Error) {
		data, _ := json.Marshal(workflow.Interruption{Running: []int{2}})
		w.enter(workflow.Entry{Kind: workflow.CancelRequested, Step: -1, Data: data})
		return cty.NilVal, nil
	}
	if got := strings.Join(w.run().did, " "); got != "a b a.undo clean" {
		t.Errorf("done were %s", got)
	}
}

// TestCancelAgain does not take from a cancelled run what it has left to do: who
// drives it has forgotten what it wanted before, and is told again.
func TestCancelAgain(t *testing.T) {
	w := play(t, `workflow "w" {
		step "a" {
			exec { command = ["x"] }
		}
		finally {
			step "clean" {
				exec { command = ["x"] }
			}
		}
	}`, nil)
	for range 2 {
		w.queue = nil
		w.enter(workflow.Entry{Kind: workflow.CancelRequested, Step: -1})
	}
	if got := strings.Join(w.run().did, " "); got != "clean" || w.m.Result().Status != Cancelled {
		t.Errorf("done were %q, and it is %s", got, w.m.Result().Status)
	}
}

// TestToleratedFailuresLeaveNoError of a step that succeeded in spite of them.
func TestToleratedFailuresLeaveNoError(t *testing.T) {
	w := play(t, `workflow "w" {
		step "s" {
			for_each           = ["a", "b"]
			tolerated_failures = "50%"
			exec { command = ["x"] }
		}
		output "failed" { value = step.s.error != null }
	}`, nil)
	w.fails("s[0]", "Oops", 1)
	r := w.run().m.Result()
	if r.Status != Succeeded || r.Outputs.GetAttr("failed").True() || w.m.Steps()[0].Error != nil {
		t.Errorf("it ended as %+v", r)
	}
}

// TestWhatCannotWorkIsRefused: references through locals are checked like others.
func TestWhatCannotWorkIsRefused(t *testing.T) {
	for name, source := range map[string]string{
		"Step refers to itself": `workflow "w" {
			locals { a = step.a.status }
			step "a" {
				exec { command = [local.a] }
			}
		}`,
		"Reference to a later step": `workflow "w" {
			locals { a = step.late.status }
			step "a" {
				exec { command = [local.a] }
			}
			finally {
				step "late" {
					exec { command = ["x"] }
				}
			}
		}`,
		"Workflow runs itself": `workflow "w" {
			step "a" {
				workflow { run = workflow.other }
			}
		}
		workflow "other" {
			step "a" {
				workflow { run = workflow.w }
			}
		}`,
		"Not the same after a crash": `locals { files = fileset(".", "*") }
		workflow "w" {
			step "a" {
				for_each = local.files
				exec { command = ["x"] }
			}
		}`,
	} {
		p, diags := projects.Parse(".", map[string][]byte{"w.tutti.hcl": []byte(source)})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		if _, diags = New(p, "w", nil); len(diags) != 1 || diags[0].Summary != name {
			t.Errorf("%s: found was %v", name, diags.Err())
		}
	}
}

// TestDerivedSecrets are as secret as what they are made of.
func TestDerivedSecrets(t *testing.T) {
	w := play(t, `workflow "w" {
		variable "password" {
			type      = string
			sensitive = true
		}
		step "a" {
			exec { command = ["login", base64encode(var.password)] }
		}
		step "ask" {
			approval { message = "Is ${var.password} right?" }
		}
	}`, map[string]cty.Value{"password": cty.StringVal("hunter2")})
	if got := w.m.Effect(w.queue[0]).Secrets; !slices.Contains(got, "aHVudGVyMg==") {
		t.Errorf("secrets are %v", got)
	}
	if list := w.m.Waiting(); len(list) != 1 || strings.Contains(list[0].Message, "hunter2") {
		t.Errorf("people are told %+v", list)
	}
}

// TestHiddenInputs keeps the marks of inputs whose variables have none.
func TestHiddenInputs(t *testing.T) {
	m := NewMachine(definition(t, `workflow "w" {
		variable "token" { type = string }
		step "a" {
			exec { command = [var.token] }
		}
	}`, "w"))
	data, _ := json.Marshal(Start{
		Run: "r1", Inputs: EncodeValue(cty.ObjectVal(map[string]cty.Value{"token": cty.StringVal("hunter2")})), Hidden: []string{"token"},
	})
	if _, err := m.Apply(workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: data}); err != nil {
		t.Fatal(err)
	}
	if e := m.Effect(0); !e.Marked || !slices.Contains(e.Secrets, "hunter2") {
		t.Errorf("secrets are %v", e.Secrets)
	}
}

// TestNoSwitchInDoubt: what was begun and did not end must not be done again by
// the run that takes over.
func TestNoSwitchInDoubt(t *testing.T) {
	w := play(t, `workflow "w" {
		step "exec" {
			exec { command = ["x"] }
		}
		step "child" {
			workflow { run = workflow.other }
		}
		step "safe" {
			http { url = "http://x" }
		}
	}
	workflow "other" {
		step "a" {
			exec { command = ["x"] }
		}
	}`, nil)
	w.enter(workflow.Entry{Kind: workflow.StepStarted, Step: w.queue[0]})
	var bars []string
	for _, d := range Compare(w.m, w.m.d) {
		if d.Bars {
			bars = append(bars, d.Step)
		}
	}
	if got := strings.Join(bars, " "); got != "exec child" {
		t.Errorf("barred by %q", got)
	}
}

// TestInfiniteOutputsAreRefused has an output that JSON cannot hold.
func TestInfiniteOutputsAreRefused(t *testing.T) {
	w := play(t, steps(`
		step "a" {
			exec { command = ["1"] }
		}
		output "endless" { value = [log(0, 10), step.a.status] }`), nil)
	w.run()
	if got := w.m.Result(); got.Status != Failed || got.Error == nil || !strings.Contains(got.Error.Cause, "infinite") {
		t.Errorf("it ended as %+v", got)
	}
}

// TestWhatCannotBeReturnedIsUndone has an output that turns out to be secret.
func TestWhatCannotBeReturnedIsUndone(t *testing.T) {
	w := play(t, steps(`
		step "a" {
			exec { command = ["1"] }
			undo {
				exec { command = ["u"] }
			}
		}
		finally {
			step "clean" {
				exec { command = ["c"] }
			}
		}
		output "secret" { value = sensitive(step.a.status) }
		output "late" { value = step.clean.status }`), nil)
	w.run().check(Failed, "a a.undo clean")
}
