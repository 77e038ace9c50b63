package flow

import (
	"testing"
	"time"

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
