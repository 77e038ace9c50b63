package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
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

// added are the functions of others that policies may use.
func added() []*ast.Builtin {
	return []*ast.Builtin{{Name: parseConfig.Name, Decl: parseConfig.Decl}, {Name: sanitized.Name, Decl: sanitized.Decl}}
}

// mostValue is how large a text may get, in bytes, and a number, in bits: what does
// not fit into memory ends the process, where nothing can be said any more.
const mostValue = 64 << 20

// registerFunctions tells OPA of them, has those of its own that make much of little
// asked before how much, and gives watched objects only to those that are [alike].
func registerFunctions() {
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
	for name, size := range map[string]func([]*ast.Term) int{
		ast.BitsShiftLeft.Name: func(args []*ast.Term) int {
			by, ok := args[1].Value.(ast.Number)
			if n, exact := by.Int(); ok && exact {
				return n
			}
			return mostValue + 1
		},
		ast.Concat.Name: func(args []*ast.Term) int {
			total, n := 0, 0
			add := func(t *ast.Term) { total, n = total+len(text(t)), n+1 }
			switch list := args[1].Value.(type) {
			case *ast.Array:
				list.Foreach(add)
			case ast.Set:
				list.Foreach(add)
			}
			return total + max(0, n-1)*len(text(args[0]))
		},
		ast.Replace.Name: func(args []*ast.Term) int {
			in, old, by := text(args[0]), text(args[1]), text(args[2])
			return len(in) + strings.Count(in, old)*max(0, len(by)-len(old))
		},
	} {
		does := topdown.GetBuiltin(name)
		topdown.RegisterBuiltinFunc(name, func(b topdown.BuiltinContext, args []*ast.Term, then func(*ast.Term) error) error {
			if size(args) > mostValue {
				return topdown.Halt{Err: &topdown.Error{Code: topdown.BuiltinErr, Message: name + ": what it gives would be too large", Location: b.Location}}
			}
			return does(b, args, then)
		})
	}
	for name, sought := range lookups {
		topdown.RegisterBuiltinFunc(name, askingForSought(topdown.GetBuiltin(name), sought))
	}
	for _, b := range ast.Builtins {
		if does := topdown.GetBuiltin(b.Name); does != nil && !alike[b.Name] {
			topdown.RegisterBuiltinFunc(b.Name, askingForAll(does))
		}
	}
}

// askingForAll is a function that asks watched objects for all they have before it is
// given that. By itself it would fail on them, which makes a rule undefined where it
// may yet come to something, and ask for nothing.
func askingForAll(does topdown.BuiltinFunc) topdown.BuiltinFunc {
	return func(b topdown.BuiltinContext, args []*ast.Term, then func(*ast.Term) error) error {
		for i, arg := range args {
			if !holdsWatched(arg) {
				continue
			}
			plain := slices.Clone(args)
			for j := i; j < len(args); j++ {
				plain[j] = unwatched(args[j], (*watchedObject).all)
			}
			return does(b, plain, then)
		}
		return does(b, args, then)
	}
}

// lookups are functions that look for values in sets, or among keys, and what of their
// arguments they look for.
var lookups = map[string]func(args []*ast.Term) []*ast.Term{
	ast.Member.Name:        first,
	ast.MemberWithKey.Name: first,
	ast.And.Name:           both,
	ast.Minus.Name:         both,
	ast.Intersection.Name:  first,
	ast.ObjectGet.Name:     second,
	ast.ObjectFilter.Name:  second,
	ast.ObjectRemove.Name:  second,
	ast.ObjectSubset.Name: func(args []*ast.Term) []*ast.Term {
		if _, isSet := args[1].Value.(ast.Set); isSet {
			return both(args)
		}
		return nil // objects and lists are compared
	},
}

func first(args []*ast.Term) []*ast.Term  { return args[:1] }
func second(args []*ast.Term) []*ast.Term { return args[1:2] }
func both(args []*ast.Term) []*ast.Term   { return args[:2] }

// askingForSought is a function that asks watched objects for all they have before it
// looks for them. A value is looked for by its hash: what is not found so is asked for
// nothing.
func askingForSought(does topdown.BuiltinFunc, sought func([]*ast.Term) []*ast.Term) topdown.BuiltinFunc {
	return func(b topdown.BuiltinContext, args []*ast.Term, then func(*ast.Term) error) error {
		for _, arg := range sought(args) {
			unwatched(arg, (*watchedObject).all)
		}
		return does(b, args, then)
	}
}
