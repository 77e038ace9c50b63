// Package functions is the function library of the language: every built-in
// function of Terraform 1.15, and the few that OpenTofu adds.
//
// The functions are pure: they depend on their arguments and on the [Options]
// of their table, nothing else, apart from those that read files and the clock.
// Where go-cty's standard library behaves as Terraform does it is used as it
// is; the rest is written here from Terraform's documentation and from what its
// console answers. Facts recorded in testdata/console.txt are compared with a
// real terraform binary by the tests, where there is one.
//
// Marks travel from arguments to results. A function that can say more exactly
// which part of its result a mark belongs to does so; all others mark the whole
// result with all marks of all arguments.
package functions

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Options fixes what functions depend on besides their arguments.
type Options struct {
	// BaseDir is what relative paths given to the file functions start from.
	// Empty means the working directory of the process.
	BaseDir string
	// PureOnly makes the functions whose result differs from call to call
	// (timestamp, uuid, bcrypt) return unknown values: the plan must not
	// promise a value that apply would not see again.
	PureOnly bool
	// PlanTimestamp is what plantimestamp returns; zero makes it unknown.
	PlanTimestamp time.Time
	// Now and NewUUID are where timestamp and uuid get their values from; nil
	// means the clock and chance.
	Now     func() time.Time
	NewUUID func() string
	// ConsoleMode adds the type function, which only a console can show.
	ConsoleMode bool
}

// CoreNamespace prefixes the second name that every built-in function has.
const CoreNamespace = "core::"

// Table returns the complete function table, the [CoreNamespace] aliases
// included. Making it costs some hundred map insertions; make it once for a
// run and share it. It is safe for concurrent use as long as nobody writes to
// it.
func Table(o Options) map[string]function.Function {
	all := plainTable(o)
	withAliases(all)
	return all
}

// plainTable is the table without aliases.
func plainTable(o Options) map[string]function.Function {
	base := pure()
	all := make(map[string]function.Function, 2*len(base)+64)
	maps.Copy(all, base)
	for name, f := range clockFunctions(o) {
		all[name] = keepingMarks(f)
	}
	for name, f := range fileFunctions(o.BaseDir) {
		all[name] = keepingMarks(f)
	}
	if o.ConsoleMode {
		all["type"] = typeFunc()
	}

	// Templates see every function but may not render further templates, as
	// a template that includes itself would never end.
	inner := make(map[string]function.Function, 2*len(all)+4)
	maps.Copy(inner, all)
	inner["templatefile"] = noRecursion("templatefile", stringParams("path"))
	inner["templatestring"] = noRecursion("templatestring", []function.Parameter{anyParam("template")})
	withAliases(inner)

	all["templatefile"] = keepingMarks(templateFileFunc(o.BaseDir, inner))
	all["templatestring"] = templateStringFunc(inner)
	return all
}

// withAliases adds every function under its namespaced name as well.
func withAliases(table map[string]function.Function) {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	for _, name := range names {
		table[CoreNamespace+name] = table[name]
	}
}

// pure holds the functions that depend on nothing but their arguments, built
// once for the process and never written to afterwards.
var pure = sync.OnceValue(func() map[string]function.Function {
	all := map[string]function.Function{
		"can":  tryfunc.CanFunc,
		"list": removed(`the "list" function was deprecated in Terraform v0.12 and is no longer available; use tolist([ ... ]) syntax to write a literal list`),
		"map":  removed(`the "map" function was deprecated in Terraform v0.12 and is no longer available; use tomap({ ... }) syntax to write a literal map`),
		"try":  tryfunc.TryFunc,
	}
	for _, part := range []map[string]function.Function{
		collectionFunctions(), conversionFunctions(), cryptoFunctions(), encodingFunctions(),
		networkFunctions(), numberFunctions(), pathFunctions(), sensitivityFunctions(),
		stringFunctions(), timeFunctions(),
	} {
		for name, f := range part {
			all[name] = keepingMarks(f)
		}
	}
	return all
})

// removed is a function that existed once and now only says what to write
// instead.
func removed(message string) function.Function {
	param := rawParam("vals")
	return function.New(&function.Spec{
		VarParam: &param,
		Type: func([]cty.Value) (cty.Type, error) {
			return cty.DynamicPseudoType, errors.New(message)
		},
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return cty.DynamicVal, errors.New(message)
		},
	})
}

// timeFunctions are those about time that do not read the clock.
func timeFunctions() map[string]function.Function {
	return map[string]function.Function{
		"formatdate": stdlib.FormatDateFunc,
		"timeadd":    stdlib.TimeAddFunc,
		"timecmp":    timeCmpFunc(),
	}
}
