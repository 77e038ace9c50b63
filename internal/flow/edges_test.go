package flow

import "testing"

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
