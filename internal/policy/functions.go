package policy

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/types"
	"github.com/open-policy-agent/opa/v1/util"
)

// conftest's own functions. parse_config reads a text, and is here for the formats
// that plans and data have; the two that read files are not: what they give is not
// a function of their arguments.
var parseConfig = &rego.Function{
	Name: "parse_config",
	Decl: types.NewFunction(types.Args(types.S, types.S), types.A),
}

// sanitized is Spacelift's, where sensitive values in a plan are replaced by hashes:
// it gives the hash that a text has in there. Here a rule has the values themselves.
var sanitized = &rego.Function{
	Name: "sanitized",
	Decl: types.NewFunction(types.Args(types.S), types.S),
}

func init() {
	rego.RegisterBuiltin1(sanitized, func(_ rego.BuiltinContext, value *ast.Term) (*ast.Term, error) { return value, nil })
	rego.RegisterBuiltin2(parseConfig, func(_ rego.BuiltinContext, format, config *ast.Term) (*ast.Term, error) {
		switch strings.ToLower(text(format)) {
		case "json", "yaml":
		default:
			return nil, fmt.Errorf("parse_config: %s is not read here: json and yaml are", format)
		}
		var doc any
		if err := util.Unmarshal([]byte(text(config)), &doc); err != nil {
			return nil, err
		}
		v, err := ast.InterfaceToValue(doc)
		return ast.NewTerm(v), err
	})
}

// added are the functions of others that policies may use.
func added() []*ast.Builtin {
	return []*ast.Builtin{{Name: parseConfig.Name, Decl: parseConfig.Decl}, {Name: sanitized.Name, Decl: sanitized.Decl}}
}
