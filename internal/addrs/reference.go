package addrs

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// RefKind says what a reference points at.
type RefKind byte

// The kinds of references.
const (
	RefVariable  RefKind = 'v' // var.NAME
	RefLocal     RefKind = 'l' // local.NAME
	RefResource  RefKind = 'r' // TYPE.NAME, data.TYPE.NAME, ephemeral.TYPE.NAME, with optional key
	RefModule    RefKind = 'm' // module.NAME, with optional key and output name
	RefPath      RefKind = 'p' // path.NAME
	RefTerraform RefKind = 't' // terraform.NAME, also spelt tofu.NAME
	RefCount     RefKind = 'c' // count.index
	RefEach      RefKind = 'e' // each.key, each.value
	RefSelf      RefKind = 's' // self
	RefCheck     RefKind = 'k' // check.NAME
)

// Reference is one traversal of a configuration, understood.
type Reference struct {
	Kind     RefKind
	Name     string      // of the variable, local, module call, path or count attribute, …
	Resource Resource    // for RefResource
	Key      InstanceKey // constant instance key given in the reference, if any
	Output   string      // for RefModule: the output named, empty for the whole module
	// Remaining is the part of the traversal behind what the fields above say.
	Remaining hcl.Traversal
	Range     hcl.Range // of the part that names the object
}

// String returns the referenced object in source form.
func (r Reference) String() string {
	switch r.Kind {
	case RefVariable:
		return "var." + r.Name
	case RefLocal:
		return "local." + r.Name
	case RefResource:
		return r.Resource.String() + r.Key.String()
	case RefModule:
		s := "module." + r.Name + r.Key.String()
		if r.Output != "" {
			s += "." + r.Output
		}
		return s
	case RefPath:
		return "path." + r.Name
	case RefTerraform:
		return "terraform." + r.Name
	case RefCount:
		return "count." + r.Name
	case RefEach:
		return "each." + r.Name
	case RefCheck:
		return "check." + r.Name
	}
	return "self"
}

// ParseReference understands a traversal that starts with a root name.
// Problems are returned as HCL diagnostics because this package stands below
// the one that holds ours.
func ParseReference(t hcl.Traversal) (Reference, hcl.Diagnostics) {
	root := t.RootName()
	rng := t.SourceRange()
	switch root {
	case "var":
		return attrReference(t, RefVariable, "input variable")
	case "local":
		return attrReference(t, RefLocal, "local value")
	case "path":
		return attrReference(t, RefPath, "path attribute")
	case "terraform", "tofu":
		return attrReference(t, RefTerraform, "terraform attribute")
	case "count":
		return attrReference(t, RefCount, "count attribute")
	case "each":
		return attrReference(t, RefEach, "each attribute")
	case "check":
		return attrReference(t, RefCheck, "check")
	case "self":
		return Reference{Kind: RefSelf, Remaining: t[1:], Range: t[0].SourceRange()}, nil
	case "module":
		return moduleReference(t)
	case "data":
		return resourceReference(t, t[1:], Data)
	case "ephemeral":
		return resourceReference(t, t[1:], Ephemeral)
	case "resource":
		return resourceReference(t, t[1:], Managed)
	case "template", "lazy", "arg":
		return Reference{}, hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Reserved symbol name",
			Detail:  fmt.Sprintf("The symbol name %q is reserved for use in a future version. If you mean a resource type of that name, write resource.%s.NAME.", root, root),
			Subject: rng.Ptr(),
		}}
	}
	return resourceReference(t, t, Managed)
}

func attrReference(t hcl.Traversal, kind RefKind, what string) (Reference, hcl.Diagnostics) {
	if len(t) >= 2 {
		if step, ok := t[1].(hcl.TraverseAttr); ok {
			return Reference{Kind: kind, Name: step.Name, Remaining: t[2:], Range: hcl.RangeBetween(t[0].SourceRange(), step.SrcRange)}, nil
		}
	}
	return Reference{}, invalidReference(t, fmt.Sprintf("The %q object cannot be used on its own: write %s.NAME to name the %s you mean.", t.RootName(), t.RootName(), what))
}

func moduleReference(t hcl.Traversal) (Reference, hcl.Diagnostics) {
	ref, diags := attrReference(t, RefModule, "module call")
	if diags.HasErrors() {
		return ref, diags
	}
	rest := ref.Remaining
	if len(rest) > 0 {
		if idx, ok := rest[0].(hcl.TraverseIndex); ok {
			if key, ok := keyFromValue(idx.Key); ok {
				ref.Key, rest = key, rest[1:]
				ref.Range = hcl.RangeBetween(ref.Range, idx.SrcRange)
			}
		}
	}
	if len(rest) > 0 {
		if attr, ok := rest[0].(hcl.TraverseAttr); ok {
			ref.Output, rest = attr.Name, rest[1:]
			ref.Range = hcl.RangeBetween(ref.Range, attr.SrcRange)
		}
	}
	ref.Remaining = rest
	return ref, nil
}

func resourceReference(whole, t hcl.Traversal, mode Mode) (Reference, hcl.Diagnostics) {
	if len(t) < 2 {
		return Reference{}, invalidReference(whole, "A reference to a resource type must be followed by at least one attribute access, specifying the resource name.")
	}
	var typ string
	switch step := t[0].(type) {
	case hcl.TraverseRoot:
		typ = step.Name
	case hcl.TraverseAttr:
		typ = step.Name
	default:
		return Reference{}, invalidReference(whole, "A resource reference has the form TYPE.NAME.")
	}
	name, ok := t[1].(hcl.TraverseAttr)
	if !ok {
		return Reference{}, invalidReference(whole, "A reference to a resource type must be followed by at least one attribute access, specifying the resource name.")
	}
	ref := Reference{
		Kind: RefResource, Resource: Resource{Mode: mode, Type: typ, Name: name.Name},
		Range: hcl.RangeBetween(whole[0].SourceRange(), name.SrcRange),
	}
	rest := t[2:]
	if len(rest) > 0 {
		if idx, ok := rest[0].(hcl.TraverseIndex); ok {
			if key, ok := keyFromValue(idx.Key); ok {
				ref.Key, rest = key, rest[1:]
				ref.Range = hcl.RangeBetween(ref.Range, idx.SrcRange)
			}
		}
	}
	ref.Remaining = rest
	return ref, nil
}

// keyFromValue converts a constant index; ok is false for anything that is not
// a whole number or a string.
func keyFromValue(v cty.Value) (InstanceKey, bool) {
	if v.IsNull() || !v.IsKnown() || v.IsMarked() {
		return NoKey, false
	}
	switch v.Type() {
	case cty.String:
		return StringKey(v.AsString()), true
	case cty.Number:
		if i, acc := v.AsBigFloat().Int64(); acc == 0 && i >= 0 {
			return IntKey(int(i)), true
		}
	}
	return NoKey, false
}

func invalidReference(t hcl.Traversal, detail string) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid reference", Detail: detail, Subject: t.SourceRange().Ptr()}}
}
