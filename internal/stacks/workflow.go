package stacks

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
)

// WorkflowName is what the workflow is called that applies a plan.
const WorkflowName = "stacks"

// workflowFile is the one file of the project that a plan's workflow stands in.
const workflowFile = "stacks" + projects.Suffix

// Workflow writes the workflow that applies the plan, as a project of its own:
// one step for each stack, named like it, which needs those that come first. A
// run of it is pinned to this text, and so to the digest of the plan.
func (p *Plan) Workflow(dir string) (*projects.Project, diag.List) {
	var b bytes.Buffer
	for _, s := range p.Stacks {
		fmt.Fprintf(&b, "stack %q {\n  source = \"./\"\n}\n", s.Name)
	}
	fmt.Fprintf(&b, "workflow %q {\n", WorkflowName)
	for _, s := range p.Stacks {
		needs := make([]string, len(s.Needs))
		for i, need := range s.Needs {
			needs[i] = "step." + need
		}
		fmt.Fprintf(&b, "  step %q {\n    needs = [%s]\n    apply {\n      stack = stack.%s\n      plan  = %q\n    }\n  }\n", s.Name, strings.Join(needs, ", "), s.Name, p.Digest)
	}
	b.WriteString("}\n")
	return projects.Parse(dir, map[string][]byte{filepath.Join(dir, workflowFile): b.Bytes()})
}

// PlanOf returns the digest of the plan that such a workflow applies; empty for
// other workflows.
func PlanOf(w *projects.Workflow) string {
	if w.Name != WorkflowName || len(w.Steps) == 0 || w.Steps[0].Action == nil || w.Steps[0].Action.Arguments["plan"] == nil {
		return ""
	}
	v, diags := w.Steps[0].Action.Arguments["plan"].Value(nil)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}
