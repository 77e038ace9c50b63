package cost

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Usage is what resources are expected to be used: requests, gigabytes, hours of
// a month. The zero Usage, and nil, say nothing.
type Usage struct{ blocks []usageBlock }

type usageBlock struct {
	pattern string
	values  map[string]Amount
}

var usageSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "usage", LabelNames: []string{"address"}}}}

// ParseUsage reads a usage file: HCL, or JSON where the name ends in .json.
//
//	usage "aws_lambda_function.*" {
//	  monthly_requests = 2000000
//	}
//
// The label is an address, in which * stands for any text. Later blocks win.
func ParseUsage(name string, src []byte) (*Usage, diag.List) {
	var file *hcl.File
	var problems hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		file, problems = hcljson.Parse(src, name)
	} else {
		file, problems = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	diags := diag.FromHCL(problems)
	if file == nil || diags.HasErrors() {
		return nil, diags
	}
	content, problems := file.Body.Content(usageSchema)
	diags = append(diags, diag.FromHCL(problems)...)
	u := &Usage{}
	for _, block := range content.Blocks {
		attrs, problems := block.Body.JustAttributes()
		diags = append(diags, diag.FromHCL(problems)...)
		b := usageBlock{pattern: block.Labels[0], values: map[string]Amount{}}
		names := make([]string, 0, len(attrs))
		for name := range attrs {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			v, problems := attrs[name].Expr.Value(nil)
			if diags = append(diags, diag.FromHCL(problems)...); problems.HasErrors() {
				continue
			}
			text, ok := "", false
			if !v.IsNull() && v.IsKnown() {
				text, ok = textOf(v)
			}
			n, err := ParseAmount(text)
			if !ok || err != nil || n.Sign() < 0 {
				diags = append(diags, diag.ErrorAt(attrs[name].Expr.Range(), "Invalid usage", "The usage %q must be a number that is not negative.", name)...)
				continue
			}
			b.values[name] = n
		}
		u.blocks = append(u.blocks, b)
	}
	return u, diags
}

// With returns usage in which another one's blocks come after, and so win.
func (u *Usage) With(o *Usage) *Usage {
	out := &Usage{}
	for _, x := range []*Usage{u, o} {
		if x != nil {
			out.blocks = append(out.blocks, x.blocks...)
		}
	}
	return out
}

// of is what is said of an instance.
func (u *Usage) of(inst *Instance) map[string]Amount {
	if u == nil {
		return nil
	}
	var out map[string]Amount
	for _, b := range u.blocks {
		if !b.about(inst) {
			continue
		}
		if out == nil {
			out = make(map[string]Amount, len(b.values))
		}
		for name, n := range b.values {
			out[name] = n
		}
	}
	return out
}

// about reports whether a block is about an instance: its address, with or
// without stack and key.
func (b usageBlock) about(inst *Instance) bool {
	if glob(b.pattern, inst.Address) {
		return true
	}
	whole := inst.Address
	if strings.HasSuffix(whole, "]") {
		if at := strings.LastIndexByte(whole, '['); at > 0 {
			if whole = whole[:at]; glob(b.pattern, whole) {
				return true
			}
		}
	}
	return inst.Stack != "" && (glob(b.pattern, inst.Name()) || glob(b.pattern, "stack."+inst.Stack+"."+whole))
}
