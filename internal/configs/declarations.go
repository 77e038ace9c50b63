package configs

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Declarations are the variables, locals and outputs of a scope that is not a
// module, for example a workflow.
type Declarations struct {
	Variables map[string]*Variable
	Locals    map[string]*Local
	Outputs   map[string]*Output
}

// DecodeDeclarations reads variable, locals and output blocks; others are left
// alone.
func DecodeDeclarations(blocks hcl.Blocks) (Declarations, diag.List) {
	d := newDecoder("")
	d.unreserved = true
	for _, block := range blocks {
		switch block.Type {
		case "variable", "locals", "output":
			d.block(block)
		}
	}
	return Declarations{Variables: d.module.Variables, Locals: d.module.Locals, Outputs: d.module.Outputs}, d.diags
}
