package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// PrepareVariable turns what somebody gave for a variable into its value: text
// is parsed where the type is not a plain one, defaults of optional attributes
// are filled in, and the result has the variable's type. null stands for the
// default where the variable is not nullable. Values of sensitive variables do
// not appear in diagnostics.
func PrepareVariable(v *Variable, raw InputValue) (cty.Value, diag.List) {
	val := raw.Value
	var diags diag.List
	if isText(raw.Source) && !v.ParseLiteral && val.Type() == cty.String && val.IsKnown() && !val.IsNull() {
		val, diags = parseValue(v, raw)
		if diags.HasErrors() {
			return cty.UnknownVal(v.ConstraintType), diags
		}
	}
	bare, marks := val.Unmark()
	if v.TypeDefaults != nil && !bare.IsNull() && bare.IsKnown() {
		bare = v.TypeDefaults.Apply(bare)
	}
	converted, err := convert.Convert(bare.WithMarks(marks), v.Type)
	if err != nil {
		return cty.UnknownVal(v.ConstraintType), append(diags, v.invalid(raw, "Unsuitable value for var.%s %s: %s.", v.Name, v.describeSource(raw.Source), explain(err))...)
	}
	if !v.Nullable && converted.IsNull() {
		if v.Required() {
			return cty.UnknownVal(v.ConstraintType), append(diags, v.invalid(raw, "The variable %q must not be null: it is declared with nullable = false, and has no default value.", v.Name)...)
		}
		return v.Default, diags
	}
	return converted, diags
}

func isText(s InputSource) bool {
	return s == FromEnvironment || s == FromCommandLine || s == FromPrompt
}

// describeSource completes "the value …" for messages.
func (v *Variable) describeSource(s InputSource) string {
	switch s {
	case FromEnvironment:
		return "set using the TF_VAR_" + v.Name + " environment variable"
	case FromCommandLine:
		return "set using -var=\"" + v.Name + "=...\""
	case FromPrompt:
		return "entered interactively"
	case FromFile, FromAutoFile:
		return "set in a variables file, declared at " + v.DeclRange.String()
	}
	return "given by the caller"
}

// explain says what a conversion found wrong, with the place inside the value.
func explain(err error) string {
	var pathErr cty.PathError
	if !errors.As(err, &pathErr) || len(pathErr.Path) == 0 {
		return err.Error()
	}
	var place strings.Builder
	for _, step := range pathErr.Path {
		switch step := step.(type) {
		case cty.GetAttrStep:
			place.WriteString("." + step.Name)
		case cty.IndexStep:
			switch key := step.Key; {
			case key.Type() == cty.String && key.IsKnown() && !key.IsNull():
				fmt.Fprintf(&place, "[%q]", key.AsString())
			case key.Type() == cty.Number && key.IsKnown() && !key.IsNull():
				place.WriteString("[" + key.AsBigFloat().Text('f', -1) + "]")
			default: // elements of sets have no place
				place.WriteString("[...]")
			}
		}
	}
	return strings.TrimPrefix(place.String(), ".") + ": " + err.Error()
}

func (v *Variable) invalid(raw InputValue, detail string, args ...any) diag.List {
	rng := v.DeclRange
	if raw.Range != nil {
		rng = *raw.Range
	}
	return diag.ErrorAt(rng, "Invalid value for input variable", detail, args...)
}

// parseValue reads text as an expression of constants.
func parseValue(v *Variable, raw InputValue) (cty.Value, diag.List) {
	name := fmt.Sprintf("<value for var.%s>", v.Name)
	expr, hclDiags := hclsyntax.ParseExpression([]byte(raw.Value.AsString()), name, hcl.InitialPos)
	var val cty.Value
	if !hclDiags.HasErrors() {
		var more hcl.Diagnostics
		val, more = expr.Value(nil)
		hclDiags = append(hclDiags, more...)
	}
	if !hclDiags.HasErrors() {
		return val, nil
	}
	if v.Sensitive {
		return cty.DynamicVal, v.invalid(raw, "The value for var.%s %s is not a valid expression. It is not shown because the variable is sensitive.", v.Name, v.describeSource(raw.Source))
	}
	problem := hclDiags[0].Detail
	if problem == "" {
		problem = hclDiags[0].Summary
	}
	return cty.DynamicVal, v.invalid(raw, "The value for var.%s %s is not a valid expression for a value of type %s: %s", v.Name, v.describeSource(raw.Source), v.Type.FriendlyNameForConstraint(), problem)
}

// GivenVariable is one -var or -var-file, in the order of the command line.
type GivenVariable struct {
	File bool
	Text string // NAME=VALUE, or the file's name
	// Content is what is in the file, where it was sent from elsewhere; nil to read it.
	// It is none of the files of the configuration, whatever its name.
	Content []byte
}

// What declares variables, for diagnostics.
const (
	RootModule   = "the root module"
	WholeProject = "the project"
)

// CollectVariables gathers values for the variables of a root module: from the
// environment (TF_VAR_NAME), terraform.tfvars, terraform.tfvars.json and
// *.auto.tfvars files in dir, and what was given; later ones win. The source text
// of files that are read is added to files, where not nil. owner is what declares the
// variables, such as [RootModule].
func CollectVariables(dir, owner string, m *Module, given []GivenVariable, environ []string, files map[string][]byte) (map[string]InputValue, diag.List) {
	c := &collector{owner: owner, module: m, values: map[string]InputValue{}, files: files}
	if c.files == nil {
		c.files = map[string][]byte{}
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if name, ok := strings.CutPrefix(name, "TF_VAR_"); ok && m.Variables[name] != nil {
			c.values[name] = InputValue{Value: cty.StringVal(text), Source: FromEnvironment}
		}
	}
	for _, name := range automaticFiles(dir) {
		c.file(name, nil, FromAutoFile)
	}
	for _, g := range given {
		if g.File {
			c.file(g.Text, g.Content, FromFile)
			continue
		}
		c.argument(g.Text)
	}
	c.reportUndeclared()
	return c.values, c.diags
}

// ReadValuesFile reads a file for [ReadValues].
func ReadValuesFile(name string) ([]byte, diag.List) {
	src, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, diag.Errorf("Failed to read variables file", "The variables file %s does not exist.", name)
	}
	if err != nil {
		return nil, diag.Errorf("Failed to read variables file", "The variables file %s cannot be read: %s.", name, unwrapPath(err))
	}
	return src, nil
}

// automaticFiles lists the files read without being named, in order.
func automaticFiles(dir string) []string {
	var out []string
	for _, name := range []string{"terraform.tfvars", "terraform.tfvars.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			out = append(out, filepath.Join(dir, name))
		}
	}
	names, err := source{}.list(dir)
	if err != nil {
		return out
	}
	sort.Strings(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".auto.tfvars") || strings.HasSuffix(name, ".auto.tfvars.json") {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}

type collector struct {
	owner      string // what declares the variables
	module     *Module
	values     map[string]InputValue
	files      map[string][]byte
	undeclared []undeclaredValue
	diags      diag.List
}

type undeclaredValue struct {
	name string
	rng  hcl.Range
}

func (c *collector) file(name string, content []byte, from InputSource) {
	if content == nil {
		read, diags := ReadValuesFile(name)
		if c.diags = append(c.diags, diags...); diags.HasErrors() {
			return
		}
		content, c.files[name] = read, read
	}
	values, diags := ReadValues(name, content)
	c.diags = append(c.diags, diags...)
	names := make([]string, 0, len(values))
	for variable := range values {
		names = append(names, variable)
	}
	sort.Strings(names)
	for _, variable := range names {
		in := values[variable]
		if c.module.Variables[variable] == nil {
			c.undeclared = append(c.undeclared, undeclaredValue{variable, *in.Range})
			continue
		}
		in.Source = from
		c.values[variable] = in
	}
}

func (c *collector) argument(text string) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		c.diags = append(c.diags, diag.Errorf("Invalid -var option", "The given -var option %q is not correctly specified: it must be a variable name and value separated by an equals sign, like -var='key=value'.", text)...)
		return
	}
	if trimmed := strings.TrimSpace(name); trimmed != name {
		c.diags = append(c.diags, diag.Errorf("Invalid -var option", "Variable name %q is invalid: remove the spaces around the equals sign.", name)...)
		return
	}
	if c.module.Variables[name] == nil {
		c.diags = append(c.diags, diag.Errorf("Value for undeclared variable", "A variable named %q was assigned on the command line, but %s does not declare a variable of that name. To use this value, add a \"variable\" block to the configuration.", name, c.owner)...)
		return
	}
	c.values[name] = InputValue{Value: cty.StringVal(value), Source: FromCommandLine}
}

// reportUndeclared warns about values in files that no variable takes; many of
// them are summed up.
func (c *collector) reportUndeclared() {
	const shown = 2
	for i, u := range c.undeclared {
		if i == shown {
			c.diags = append(c.diags, diag.Warningf("Values for undeclared variables",
				"In addition to the other similar warnings shown, %d other variable(s) are defined without being declared.", len(c.undeclared)-shown)...)
			return
		}
		c.diags = append(c.diags, diag.WarningAt(u.rng, "Value for undeclared variable",
			"%s does not declare a variable named %q but a value was found in file %q. If you meant to use this value, add a \"variable\" block to the configuration.", strings.ToUpper(c.owner[:1])+c.owner[1:], u.name, u.rng.Filename)...)
	}
}

// ReadValues reads the text of a .tfvars or .tfvars.json file.
func ReadValues(name string, src []byte) (map[string]InputValue, diag.List) {
	var file *hcl.File
	var hclDiags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		file, hclDiags = hcljson.Parse(src, name)
	} else {
		file, hclDiags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	diags := diag.FromHCL(hclDiags)
	if file == nil || file.Body == nil || diags.HasErrors() {
		return nil, diags
	}
	if body, ok := file.Body.(*hclsyntax.Body); ok && len(body.Blocks) > 0 {
		block := body.Blocks[0]
		if block.Type == "variable" && len(block.Labels) == 1 {
			return nil, diag.ErrorAt(block.DefRange(), "Variable declaration in .tfvars file",
				"A .tfvars file gives values to variables that are declared in .tf files. To set the variable here, write instead:\n    %s = ...", block.Labels[0])
		}
		return nil, diag.ErrorAt(block.DefRange(), "Unexpected block", "A variables file may hold only arguments of the form NAME = VALUE, not %q blocks.", block.Type)
	}
	attrs, hclDiags := file.Body.JustAttributes()
	diags = append(diags, diag.FromHCL(hclDiags)...)
	out := make(map[string]InputValue, len(attrs))
	for variable, attr := range attrs {
		val, hclDiags := attr.Expr.Value(nil)
		diags = append(diags, diag.FromHCL(hclDiags)...)
		out[variable] = InputValue{Value: val, Source: FromFile, Range: attr.Expr.Range().Ptr()}
	}
	return out, diags
}
