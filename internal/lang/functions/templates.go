package functions

import (
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// templateFileFunc renders a file as a template. The template sees the given
// functions and no other variables than the ones it is given.
func templateFileFunc(baseDir string, inner map[string]function.Function) function.Function {
	files := fileRoot(baseDir)
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "path", Type: cty.String, AllowMarked: true},
			{Name: "vars", Type: cty.DynamicPseudoType},
		},
		// A template that is a single interpolation keeps the type of its
		// value, so the type is known only once the template is rendered.
		Type: function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			p := asPath(args[0])
			vars, err := templateVars(args[1])
			if err != nil {
				return cty.NilVal, err
			}
			source, err := files.readText(p)
			if err != nil {
				return cty.NilVal, err
			}
			name := p.text
			if hidden(p.marks) {
				name = p.shown
			}
			expr, diags := hclsyntax.ParseTemplate([]byte(source), name, hcl.InitialPos)
			if diags.HasErrors() {
				return cty.NilVal, diags
			}
			result, err := render(expr, vars, inner)
			if err != nil {
				return cty.NilVal, err
			}
			return result.WithMarks(p.marks), nil
		},
	})
}

// stringTemplateName stands for the file name in messages about a template
// that is not in a file.
const stringTemplateName = "<templatestring argument>"

// templateStringFunc renders a string that was obtained elsewhere as a
// template. Its first argument must be a reference: a template written in
// place would be rendered by the language itself already, before the function
// saw it, which confuses everybody.
func templateStringFunc(inner map[string]function.Function) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "template", Type: customdecode.ExpressionClosureType},
			{Name: "vars", Type: cty.DynamicPseudoType},
		},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			closure := customdecode.ExpressionClosureFromVal(args[0])
			if err := checkTemplateReference(closure.Expression); err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "invalid template expression: %w", err)
			}
			source, diags := closure.Value()
			if diags.HasErrors() {
				return cty.NilVal, function.NewArgErrorf(0, "invalid template expression: %w", diags)
			}
			source, sourceMarks := source.Unmark()
			switch {
			case !source.IsKnown():
				return cty.UnknownVal(cty.String).WithMarks(sourceMarks), nil
			case source.IsNull():
				return cty.NilVal, function.NewArgErrorf(0, "invalid template value: must not be null")
			case source.Type() != cty.String:
				return cty.NilVal, function.NewArgErrorf(0, "invalid template value: a string is required")
			}
			expr, diags := hclsyntax.ParseTemplate([]byte(source.AsString()), stringTemplateName, hcl.InitialPos)
			if diags.HasErrors() {
				return cty.NilVal, function.NewArgErrorf(0, "invalid template: %w", diags)
			}
			vars, err := templateVars(args[1])
			if err != nil {
				return cty.NilVal, err
			}
			result, err := render(expr, vars, inner)
			if err != nil {
				return cty.NilVal, err
			}
			if result, err = convert.Convert(result, cty.String); err != nil {
				return cty.NilVal, fmt.Errorf("invalid template result: %w", err)
			}
			if result.IsNull() {
				return cty.NilVal, errors.New("invalid template result: must not be null")
			}
			return result.WithMarks(sourceMarks), nil
		},
	})
}

// checkTemplateReference accepts references, with indices, attributes and
// splats, and tells who wrote a template in place what to write instead.
func checkTemplateReference(expr hcl.Expression) error {
	switch e := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return nil
	case *hclsyntax.IndexExpr:
		return checkTemplateReference(e.Collection)
	case *hclsyntax.RelativeTraversalExpr:
		return checkTemplateReference(e.Source)
	case *hclsyntax.SplatExpr:
		return checkTemplateReference(e.Source)
	case *hclsyntax.TemplateWrapExpr:
		return errors.New("templatestring is only for rendering templates retrieved dynamically from elsewhere; to treat the inner expression as template syntax, write the reference expression directly without any template interpolation syntax")
	case *hclsyntax.TemplateExpr:
		if e.IsStringLiteral() {
			return errors.New("templatestring is only for rendering templates retrieved dynamically from elsewhere, and so does not support providing a literal template; consider using a template string expression instead")
		}
		return errors.New("templatestring is only for rendering templates retrieved dynamically from elsewhere; to render an inline template, consider using a plain template string expression")
	default:
		return errors.New("must be a direct reference to a single string from elsewhere, containing valid Terraform template syntax")
	}
}

// templateVars turns the second argument of the template functions into
// variables.
func templateVars(v cty.Value) (map[string]cty.Value, error) {
	if ty := v.Type(); !ty.IsMapType() && !ty.IsObjectType() {
		return nil, function.NewArgErrorf(1, "invalid vars value: must be a map")
	}
	vars := make(map[string]cty.Value)
	for it := v.ElementIterator(); it.Next(); {
		key, val := it.Element()
		name := key.AsString()
		if !hclsyntax.ValidIdentifier(name) {
			return nil, function.NewArgErrorf(1, "invalid template variable name %q: must start with a letter, followed by zero or more letters, digits, and underscores", name)
		}
		vars[name] = val
	}
	return vars, nil
}

// render evaluates a template. A variable that is not given is reported before
// anything is evaluated, and blames the variables, not the template.
func render(expr hclsyntax.Expression, vars map[string]cty.Value, inner map[string]function.Function) (cty.Value, error) {
	for _, traversal := range expr.Variables() {
		root := traversal.RootName()
		if _, given := vars[root]; !given {
			return cty.NilVal, function.NewArgErrorf(1, "vars map does not contain key %q, referenced at %s", root, traversal[0].SourceRange())
		}
	}
	result, diags := expr.Value(&hcl.EvalContext{Variables: vars, Functions: inner})
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return result, nil
}

// noRecursion takes the place of a template function inside templates.
func noRecursion(name string, first []function.Parameter) function.Function {
	message := fmt.Errorf("cannot recursively call %s from inside another template function", name)
	return function.New(&function.Spec{
		Params: append(first, anyParam("vars")),
		Type:   func([]cty.Value) (cty.Type, error) { return cty.NilType, message },
		Impl:   func([]cty.Value, cty.Type) (cty.Value, error) { return cty.NilVal, message },
	})
}
