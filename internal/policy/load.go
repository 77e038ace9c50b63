package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Policy is one set of rules with its data, ready to be evaluated. It may be
// used from several goroutines.
type Policy struct {
	Name  string
	Level Level

	preparing sync.Mutex             // guards what is prepared when it is first needed
	modules   map[string]*ast.Module // parsed, by file
	store     storage.Store
	rules     []*rule
	programs  map[variant]*program
}

// rule is what is asked for: all rules of one name in one package.
type rule struct {
	pkg, name string // the package without "data."
	query     string
	warns     bool
	at        *Place
	bodies    int
	excepts   bool // the package has rules about exceptions
	alone     bool // it judges each object by itself; see [Policy.ByObject]
}

func (r *rule) String() string { return r.pkg + "." + r.name }

// ByObject reports whether a rule (PACKAGE.RULE) judges each object by itself: what
// it says of a plan is what it says of each of its objects, with the rest of the plan
// but without the other objects. It is true only where that can be seen from the rule.
func (p *Policy) ByObject(name string) bool {
	return slices.ContainsFunc(p.rules, func(r *rule) bool { return r.alone && r.String() == name })
}

// Rules is how many rules the policy has.
func (p *Policy) Rules() (n int) {
	for _, r := range p.rules {
		n += r.bodies
	}
	return n
}

var (
	denies = regexp.MustCompile(`^(deny|violation)(_[A-Za-z0-9]+)*$`)
	warns  = regexp.MustCompile(`^warn(_[A-Za-z0-9]+)*$`)
)

// ReadDir reads the files that a policy is made of: *.rego and data documents
// (*.json, *.yaml, *.yml), with slashes in their names, relative to dir.
func ReadDir(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") && name != dir {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || e.IsDir() || !isRego(rel) && !isData(rel) {
			return err
		}
		data, err := os.ReadFile(name)
		files[filepath.ToSlash(rel)] = data
		return err
	})
	return files, err
}

func isRego(name string) bool { return path.Ext(name) == ".rego" }

func isData(name string) bool {
	switch path.Ext(name) {
	case ".json", ".yaml", ".yml":
		return true
	}
	return false
}

// Prepare makes a policy of files. dir is the directory they are in, for
// diagnostics.
func Prepare(name string, level Level, dir string, files map[string][]byte) (*Policy, diag.List) {
	p := &Policy{Name: name, Level: level, modules: map[string]*ast.Module{}, programs: map[variant]*program{}}
	data := map[string]any{}
	var diags diag.List
	for _, file := range sorted(files) {
		full := path.Join(filepath.ToSlash(dir), file)
		if isRego(file) {
			m, err := parse(full, string(files[file]))
			if err != nil {
				diags = append(diags, fromOPA(err, "Policy cannot be read")...)
				continue
			}
			if m != nil {
				p.modules[full] = m
			}
			continue
		}
		if err := addData(data, path.Dir(file), files[file]); err != nil {
			diags = append(diags, diag.Errorf("Data of a policy cannot be read", "%s: %s.", full, err)...)
		}
	}
	if diags.HasErrors() {
		return nil, diags
	}
	if len(p.modules) == 0 {
		return nil, diag.Errorf("Policy has no rules", "There are no Rego files (*.rego) in %s, the source of policy %q.", dir, name)
	}
	p.store = inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
	p.findRules()
	if err := p.program(variant{indexed: true}).err; err != nil {
		return nil, fromOPA(err, "Policy cannot be compiled")
	}
	if len(p.rules) == 0 {
		return nil, diag.Errorf("Policy has no rules", "The Rego files in %s, the source of policy %q, have no rules named deny, violation or warn (or deny_NAME …): nothing would ever be denied.", dir, name)
	}
	return p, nil
}

// parse reads a module in the syntax of Rego v1 or, where that fails, of v0.
func parse(name, src string) (*ast.Module, error) {
	m, err := ast.ParseModuleWithOpts(name, src, ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true})
	if err == nil {
		return m, nil
	}
	// Comments that only look like annotations are no reason not to read a policy.
	if m, plainErr := ast.ParseModuleWithOpts(name, src, ast.ParserOptions{RegoVersion: ast.RegoV1}); plainErr == nil {
		return m, nil
	}
	if old, oldErr := ast.ParseModuleWithOpts(name, src, ast.ParserOptions{RegoVersion: ast.RegoV0}); oldErr == nil {
		return old, nil
	}
	return nil, err
}

// variant is one of the ways in which rules are compiled.
type variant struct {
	// tracked leaves out what evaluates a part of a rule once for several uses: what
	// it looked at could not be told for each.
	tracked bool
	// indexed is for documents with an index of their changes (see [useIndex]).
	indexed bool
}

// compile compiles the modules of a policy.
func (p *Policy) compile(v variant) (*ast.Compiler, error) {
	modules := make(map[string]*ast.Module, len(p.modules))
	for name, m := range p.modules {
		modules[name] = m.Copy()
	}
	c := ast.NewCompiler().WithCapabilities(capabilities())
	if v.tracked {
		c = c.WithSkipStages(ast.StageBuildComprehensionIndices)
	}
	if v.indexed {
		c = c.WithStageAfterID(ast.StageCheckTypes, ast.CompilerStageDefinition{Name: "UseIndex", MetricName: "compile_stage_use_index", Stage: func(c *ast.Compiler) *ast.Error {
			if !v.tracked {
				p.findAlone(c)
			}
			return useIndex(c)
		}})
	}
	if c.Compile(modules); c.Failed() {
		return nil, c.Errors
	}
	return c, nil
}

// capabilities are what policies may use: everything that is a function of its
// arguments. A decision must not depend on what some server answers.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	kept := c.Builtins[:0]
	for _, b := range c.Builtins {
		switch b.Name {
		case ast.HTTPSend.Name, ast.NetLookupIPAddr.Name, ast.OPARuntime.Name:
		default:
			kept = append(kept, b)
		}
	}
	c.Builtins = kept
	return c
}

// findRules lists what is to be asked for, by package and name.
func (p *Policy) findRules() {
	found, excepts := map[string]*rule{}, map[string]bool{}
	for _, file := range sorted(p.modules) {
		m := p.modules[file]
		pkg := strings.TrimPrefix(m.Package.Path.String(), "data.")
		for _, r := range m.Rules {
			name := ruleName(r)
			excepts[pkg] = excepts[pkg] || name == "exception"
			if !denies.MatchString(name) && !warns.MatchString(name) {
				continue
			}
			key := pkg + "." + name
			if found[key] == nil {
				ref := m.Package.Path.Copy().Append(ast.StringTerm(name))
				found[key] = &rule{pkg: pkg, name: name, query: ref.String(), warns: warns.MatchString(name), at: place(r.Location)}
				p.rules = append(p.rules, found[key])
			}
			found[key].bodies++
		}
	}
	for _, r := range p.rules {
		r.excepts = excepts[r.pkg]
	}
	sort.Slice(p.rules, func(i, j int) bool { return p.rules[i].query < p.rules[j].query })
}

// is reports whether the rule is one of those that are asked for by this name.
func (r *rule) is(of *ast.Rule) bool {
	return of.Module != nil && "data."+r.pkg == of.Module.Package.Path.String() && ruleName(of) == r.name
}

func ruleName(r *ast.Rule) string {
	if r.Head.Name == "" && len(r.Head.Reference) > 0 {
		return strings.Trim(r.Head.Reference[0].Value.String(), `"`)
	}
	return string(r.Head.Name)
}

func place(l *ast.Location) *Place {
	if l == nil {
		return nil
	}
	return &Place{File: l.File, Line: l.Row}
}

// addData merges a document into those that are there. Directories are names on
// the way to it.
func addData(into map[string]any, dir string, src []byte) error {
	var doc any
	if err := util.Unmarshal(src, &doc); err != nil {
		return err
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return errors.New("a data document must be an object")
	}
	if dir != "." {
		for _, name := range strings.Split(dir, "/") {
			next, ok := into[name].(map[string]any)
			if !ok {
				if _, taken := into[name]; taken {
					return fmt.Errorf("%q is given twice", name)
				}
				next = map[string]any{}
				into[name] = next
			}
			into = next
		}
	}
	return merge(into, object)
}

func merge(into, from map[string]any) error {
	for name, v := range from {
		old, taken := into[name]
		if !taken {
			into[name] = v
			continue
		}
		a, ok := old.(map[string]any)
		b, ok2 := v.(map[string]any)
		if !ok || !ok2 {
			return fmt.Errorf("%q is given twice", name)
		}
		if err := merge(a, b); err != nil {
			return err
		}
	}
	return nil
}

// fromOPA turns OPA's errors into diagnostics with places.
func fromOPA(err error, summary string) diag.List {
	var list ast.Errors
	if !errors.As(err, &list) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return diag.Errorf(summary, "%s.", err)
		}
		list = ast.Errors{one}
	}
	var out diag.List
	for _, e := range list {
		if e.Location == nil {
			out = append(out, diag.Errorf(summary, "%s.", e.Message)...)
			continue
		}
		at := hcl.Pos{Line: e.Location.Row, Column: e.Location.Col, Byte: e.Location.Offset}
		end := at
		end.Column += len(e.Location.Text)
		end.Byte += len(e.Location.Text)
		out = append(out, diag.ErrorAt(hcl.Range{Filename: e.Location.File, Start: at, End: end}, summary, "%s.", e.Message)...)
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
