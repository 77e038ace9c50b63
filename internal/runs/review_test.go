package runs_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// TestSecretsOfChildWorkflows hides in a workflow what another one gives it that
// is sensitive there.
func TestSecretsOfChildWorkflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
		workflow "w" {
			variable "password" {
				type      = string
				sensitive = true
			}
			step "child" {
				workflow {
					run    = workflow.inner
					inputs = { token = var.password }
				}
			}
		}
		workflow "inner" {
			variable "token" { type = string }
			step "a" {
				exec { command = [var.token] }
			}
		}`)
		o := b.options()
		o.Inputs = map[string]cty.Value{"password": cty.StringVal("hunter2")}
		var secrets []string
		o.Actions["exec"] = func(_ context.Context, c runs.WorkflowCall) (runs.WorkflowResult, error) {
			secrets = c.Secrets
			return runs.WorkflowResult{}, nil
		}
		if run, m, diags := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != runs.Succeeded {
			t.Fatalf("%s %v", words(diags), m.Result().Error)
		}
		if !slices.Contains(secrets, "hunter2") {
			t.Errorf("secrets told to the step are %v", secrets)
		}
	})
}

// TestEmitTellsNoSecrets refuses to put something sensitive into the feed,
// whatever it is, and takes what was said not to be.
func TestEmitTellsNoSecrets(t *testing.T) {
	for arguments, status := range map[string]runs.Status{
		`subject = var.password`:                               runs.Failed,
		`data = { at = var.password }`:                         runs.Failed,
		`data = { at = sensitive(true) }`:                      runs.Failed,
		`data = { size = length(nonsensitive(var.password)) }`: runs.Succeeded,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, `workflow "w" {
				variable "password" {
					type      = string
					sensitive = true
				}
				step "a" {
					emit {
						type = "x"
						`+arguments+`
					}
				}
			}`)
			o := b.options()
			o.Inputs = map[string]cty.Value{"password": cty.StringVal("hunter2")}
			if run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o); run.Status != status {
				t.Errorf("%s: it has %s", arguments, run.Status)
			}
		})
	}
}
