package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	"github.com/open-policy-agent/opa/v1/topdown"
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
	wants     shape // of the input

	annotations *ast.AnnotationSet
	findAlone   sync.Once // sets what rules say of themselves in alone
}

// rule is what is asked for: all rules of one name in one package.
type rule struct {
	pkg, name string // the package without "data."
	query     string
	warns     bool
	decides   bool // it is a decision that the policy names, true or false
	at        *Place
	bodies    []body // those that give it, defaults left out
	excepts   bool   // the package has rules about exceptions
	// followed says that how each of its messages comes about can be followed: each
	// by a way of its own. One of "else" or a default rests on what others did not say.
	followed bool
	alone    bool  // it judges each object by itself; see [Policy.ByObject]
	once     bool  // it needs to be evaluated once; see [Policy.findOnce]
	notes    notes // what its bodies say alike
}

func (r *rule) String() string { return r.pkg + "." + r.name }

// ByObject reports whether a rule (PACKAGE.RULE) judges each object by itself: what
// it says of a plan is what it says of each of its objects, with the rest of the plan
// but without the other objects. It is true only where that can be seen from the rule.
func (p *Policy) ByObject(name string) bool {
	p.findAlone.Do(func() {
		if c, err := p.compile(variant{}, nil); err == nil {
			p.alone(c)
		}
	})
	return slices.ContainsFunc(p.rules, func(r *rule) bool { return r.alone && r.String() == name })
}

// Rules is how many rules the policy has.
func (p *Policy) Rules() (n int) {
	for _, r := range p.rules {
		n += len(r.bodies)
	}
	return n
}

var (
	denies = regexp.MustCompile(`^(deny|violation)(_[A-Za-z0-9]+)*$`)
	warns  = regexp.MustCompile(`^warn(_[A-Za-z0-9]+)*$`)
)

// ReadDir reads the files that a policy is made of: *.rego and data documents
// (*.json, *.yaml, *.yml), with slashes in their names, relative to dir. Links are
// followed: rules that are overlooked would let pass what they deny. Names that begin
// with a dot are left out.
func ReadDir(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	return files, readInto(files, dir, "", nil)
}

// readInto reads a directory below dir, and those in it; within are those that it is
// in.
func readInto(files map[string][]byte, dir, below string, within []fs.FileInfo) error {
	here := filepath.Join(dir, filepath.FromSlash(below))
	self, err := os.Stat(here)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(within, func(outer fs.FileInfo) bool { return os.SameFile(self, outer) }) {
		return fmt.Errorf("the link %s leads back to where it is", here)
	}
	within = append(slices.Clone(within), self)
	entries, err := os.ReadDir(here)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(below, e.Name())
		full := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(full)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = readInto(files, dir, name, within)
		} else if isRego(name) || isData(name) {
			files[name], err = os.ReadFile(full)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadData reads the data documents in a directory, as [ReadDir] does, or one file.
func ReadData(name string) (map[string][]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		files, err := ReadDir(name)
		maps.DeleteFunc(files, func(name string, _ []byte) bool { return !isData(name) })
		return files, err
	}
	src, err := os.ReadFile(name)
	return map[string][]byte{filepath.Base(name): src}, err
}

func isRego(name string) bool { return path.Ext(name) == ".rego" }

func isData(name string) bool {
	switch path.Ext(name) {
	case ".json", ".yaml", ".yml":
		return true
	}
	return false
}

// Source is what a policy is made of.
type Source struct {
	Dir   string            // for diagnostics
	Files map[string][]byte // by name below it, with slashes
	// Decisions name what is asked for; without any, that is every rule named deny,
	// violation or warn. Each is a package ("main"), whose rules with these names
	// count, or a rule ("terraform/analysis/authz"): true or false, an object with
	// "allow", or a set of messages.
	Decisions []string
	// Data are more documents. Their directories are no part of their names.
	Data []Source
}

// Prepare makes a policy of the files in a directory; see [PrepareSource].
func Prepare(name string, level Level, dir string, files map[string][]byte) (*Policy, diag.List) {
	return PrepareSource(name, level, Source{Dir: dir, Files: files})
}

// PrepareSource makes a policy. Files named *_test.rego or *.test.rego are tests,
// and no part of it. Diagnostics may be warnings: of what can be evaluated, and will say nothing.
func PrepareSource(name string, level Level, from Source) (*Policy, diag.List) {
	dir, files := from.Dir, from.Files
	p := &Policy{Name: name, Level: level, modules: map[string]*ast.Module{}, programs: map[variant]*program{}}
	var diags diag.List
	for _, file := range sorted(files) {
		if !isRego(file) || isTest(file) {
			continue
		}
		full := path.Join(filepath.ToSlash(dir), file)
		m, d := parse(full, string(files[file]))
		diags = append(diags, d...)
		if m != nil {
			p.modules[full] = m
		}
	}
	if diags.HasErrors() {
		return nil, diags
	}
	if len(p.modules) == 0 {
		return nil, diag.Errorf("Policy has no rules", "There are no Rego files (*.rego) in %s, the source of policy %q.", dir, name)
	}
	var asked dataAsked
	var odd diag.List
	read := func(c *ast.Compiler) {
		asked = dataAskedBy(c)
		p.wants, odd = shapeOf(c)
	}
	first := variant{indexed: true}
	c, err := p.compile(first, read)
	if err != nil && p.takeForOld(files, dir, err) {
		c, err = p.compile(first, read)
	}
	if err != nil {
		return nil, fromOPA(err, "Policy cannot be compiled")
	}
	p.annotations = c.GetAnnotationSet()
	data, diags := p.data(asked, append([]Source{from}, from.Data...))
	if diags.HasErrors() {
		return nil, diags
	}
	p.store = inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
	if diags = append(diags, p.findRules(dir, from.Decisions)...); diags.HasErrors() {
		return nil, diags
	}
	p.findOnce(c)
	p.programs[first] = p.queries(c)
	return p, append(diags, odd...)
}

func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.rego") || strings.HasSuffix(name, ".test.rego")
}

// parse reads a module in the syntax of Rego v1 or, where that fails, of v0.
func parse(name, src string) (*ast.Module, diag.List) {
	m, err := parseAs(ast.RegoV1, name, src)
	if err == nil {
		return m, nil
	}
	old, oldErr := parseAs(ast.RegoV0, name, src)
	if oldErr == nil {
		return old, nil
	}
	summary := "Policy cannot be read"
	if onlyOldSyntax(err) && !newSyntax.MatchString(src) {
		// Written for v0, with a mistake: those that v1 finds are none.
		return nil, fromOPA(oldErr, summary)
	}
	out := fromOPA(err, summary)
	if hasOldSyntax(err) {
		out[0].Detail += "\n\nA file is written in Rego v1 (\"deny contains msg if { … }\") or in v0 (\"deny[msg] { … }\"): this one has both, or neither."
	}
	return nil, out
}

func parseAs(version ast.RegoVersion, name, src string) (*ast.Module, error) {
	capabilities() // registers functions, before OPA reads the list of them
	m, err := ast.ParseModuleWithOpts(name, src, ast.ParserOptions{RegoVersion: version, ProcessAnnotation: true})
	if err != nil {
		// Comments that only look like annotations are no reason not to read a policy.
		m, err = ast.ParseModuleWithOpts(name, src, ast.ParserOptions{RegoVersion: version})
	}
	if err == nil && m == nil {
		err = ast.NewError(ast.ParseErr, ast.NewLocation(nil, name, 1, 1), "the file is empty: it needs a package")
	}
	return m, err
}

// oldSyntax is what v1 says of what was right in v0, and newSyntax what v0 does not
// have.
var (
	oldSyntax = regexp.MustCompile("^`(if|contains)` keyword is required|keyword cannot be used for rule name")
	newSyntax = regexp.MustCompile(`(?m)^(import rego\.v1|[\w.]+ contains |[\w.]+ if )`)
)

func hasOldSyntax(err error) bool {
	var list ast.Errors
	return errors.As(err, &list) && slices.ContainsFunc(list, func(e *ast.Error) bool { return oldSyntax.MatchString(e.Message) })
}

func onlyOldSyntax(err error) bool {
	var list ast.Errors
	return errors.As(err, &list) && !slices.ContainsFunc(list, func(e *ast.Error) bool { return !oldSyntax.MatchString(e.Message) })
}

// takeForOld reads the files again in which a compiler of v1 found mistakes, as
// v0: what stands in them may be right in both syntaxes, and mean something in v0
// only (a function that was dropped). It reports whether that changed anything.
func (p *Policy) takeForOld(files map[string][]byte, dir string, err error) (changed bool) {
	var list ast.Errors
	errors.As(err, &list)
	for _, e := range list {
		if e.Location == nil || p.modules[e.Location.File] == nil || p.modules[e.Location.File].RegoVersion() == ast.RegoV0 {
			continue
		}
		name := e.Location.File
		src := files[strings.TrimPrefix(strings.TrimPrefix(name, path.Clean(filepath.ToSlash(dir))), "/")]
		if m, err := parseAs(ast.RegoV0, name, string(src)); err == nil {
			p.modules[name], changed = m, true
		}
	}
	return changed
}

// variant is one of the ways in which rules are compiled.
type variant struct {
	// tracked leaves out what evaluates a part of a rule once for several uses: what
	// it looked at could not be told for each.
	tracked bool
	// indexed is for documents with an index of their changes (see [useIndex]).
	indexed bool
}

// compile compiles the modules of a policy. read, where not nil, is given them before
// they are rewritten for the index.
func (p *Policy) compile(v variant, read func(*ast.Compiler)) (*ast.Compiler, error) {
	modules := make(map[string]*ast.Module, len(p.modules))
	for name, m := range p.modules {
		modules[name] = m.Copy()
		compareLess(modules[name])
	}
	c := ast.NewCompiler().WithCapabilities(capabilities())
	if v.tracked {
		c = c.WithSkipStages(ast.StageBuildComprehensionIndices)
	}
	if v.indexed {
		c = c.WithStageAfterID(ast.StageCheckTypes, ast.CompilerStageDefinition{Name: "UseIndex", MetricName: "compile_stage_use_index", Stage: func(c *ast.Compiler) *ast.Error {
			if read != nil {
				read(c)
			}
			return useIndex(c)
		}})
	}
	if c.Compile(modules); c.Failed() {
		return nil, c.Errors
	}
	return c, nil
}

// compareLess rewrites what compares something with itself, as some do to ask
// whether it is there: nothing in it is looked at then.
func compareLess(m *ast.Module) {
	made := 0
	ast.WalkExprs(m, func(e *ast.Expr) bool {
		if e.Negated || !e.IsCall() || len(e.Operands()) != 2 || !e.Operator().Equal(ast.Equal.Ref()) {
			return false
		}
		if _, ok := e.Operand(0).Value.(ast.Ref); ok && e.Operand(0).Equal(e.Operand(1)) {
			made++
			e.Terms = ast.Equality.Expr(ast.VarTerm(fmt.Sprintf("__there%d__", made)), e.Operand(0)).Terms
		}
		return false
	})
}

// outside are the functions that policies may not use: they ask the network, this
// machine or chance, or read schemas, which may refer to files and servers.
var outside = []string{
	ast.HTTPSend.Name, ast.NetLookupIPAddr.Name, ast.OPARuntime.Name, ast.RandIntn.Name, ast.UUIDRFC4122.Name,
	ast.JSONSchemaVerify.Name, ast.JSONMatchSchema.Name,
}

// capabilities are what policies may use: everything that is a function of its
// arguments. A decision must not depend on what some server answers.
var capabilities = sync.OnceValue(func() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return slices.Contains(outside, b.Name) })
	registerFunctions()
	c.Builtins = append(c.Builtins, added()...)
	c.AllowNet = []string{}
	return c
})

func place(l *ast.Location) *Place {
	if l == nil {
		return nil
	}
	return &Place{File: l.File, Line: l.Row}
}

// data reads the documents that the rules ask for: of what is beside the rules
// for another purpose (plans to try them on, say) it takes no notice.
func (p *Policy) data(asked dataAsked, sources []Source) (map[string]any, diag.List) {
	var missing []string
	for _, name := range sorted(asked.names) {
		if !asked.packages[name] {
			missing = append(missing, name)
		}
	}
	out := map[string]any{}
	var diags diag.List
	for _, from := range sources {
		for _, file := range sorted(from.Files) {
			if !isData(file) || len(asked.names) == 0 && !asked.all {
				continue
			}
			if err := addData(out, path.Dir(file), from.Files[file], func(name string) bool { return asked.all || asked.names[name] }); err != nil {
				d := diag.Errorf("Data of a policy cannot be read", "%s: %s.", path.Join(filepath.ToSlash(from.Dir), file), err)
				if len(missing) == 0 {
					d[0].Severity = diag.Warning
				}
				diags = append(diags, d...)
			}
		}
	}
	missing = slices.DeleteFunc(missing, func(name string) bool { return out[name] != nil })
	if len(missing) > 0 && !diags.HasErrors() {
		diags = append(diags, diag.Diagnostic{Severity: diag.Warning, Summary: "Policy asks for data that is not there",
			Detail: fmt.Sprintf("Rules of policy %q ask for data.%s: no package has this name, and no data document (*.json, *.yaml) in its source or in the argument data. What is not there is undefined: a rule that needs it denies nothing.", p.Name, strings.Join(missing, ", data."))})
	}
	return out, diags
}

// dataAsked are the members of data that rules refer to, and those that are packages.
type dataAsked struct {
	names, packages map[string]bool
	all             bool // one refers to it by a variable
}

func dataAskedBy(c *ast.Compiler) dataAsked {
	asked := dataAsked{names: map[string]bool{}, packages: map[string]bool{}}
	for _, m := range c.Modules {
		if len(m.Package.Path) > 1 {
			asked.packages[text(m.Package.Path[1])] = true
		}
		ast.WalkRefs(m, func(ref ast.Ref) bool {
			switch {
			case !ref[0].Equal(ast.DefaultRootDocument):
			case len(ref) == 1 || text(ref[1]) == "":
				asked.all = true
			default:
				asked.names[text(ref[1])] = true
			}
			return false
		})
	}
	return asked
}

// text is the string that a term is, or "".
func text(t *ast.Term) string {
	s, _ := t.Value.(ast.String)
	return string(s)
}

// addData merges the members of a document that are asked for into those that are
// there. Directories are names on the way to it.
func addData(into map[string]any, dir string, src []byte, asked func(name string) bool) error {
	var doc any
	if err := util.Unmarshal(src, &doc); err != nil {
		return err
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return errors.New("a data document must be an object")
	}
	if first, _, _ := strings.Cut(dir, "/"); first != "." && !asked(first) {
		return nil
	}
	if dir == "." {
		maps.DeleteFunc(object, func(name string, _ any) bool { return !asked(name) })
	} else {
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
	var evaluating *topdown.Error
	if errors.As(err, &evaluating) && evaluating.Location != nil {
		list = ast.Errors{{Message: evaluating.Message, Location: evaluating.Location}}
	}
	if list == nil && !errors.As(err, &list) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return diag.Errorf(summary, "%s.", err)
		}
		list = ast.Errors{one}
	}
	var out diag.List
	for _, e := range list {
		if e.Location == nil {
			out = append(out, diag.Errorf(summary, "%s.", explained(e.Message))...)
			continue
		}
		out = append(out, diag.ErrorAt(rangeOf(e.Location), summary, "%s.", explained(e.Message))...)
	}
	return out
}

// rangeOf is where something stands.
func rangeOf(l *ast.Location) hcl.Range {
	at := hcl.Pos{Line: max(1, l.Row), Column: max(1, l.Col), Byte: l.Offset}
	end := at
	end.Column += len(l.Text)
	end.Byte += len(l.Text)
	return hcl.Range{Filename: l.File, Start: at, End: end}
}

// explained adds what to do to a message of OPA's.
func explained(message string) string {
	name, undefined := strings.CutPrefix(message, "undefined function ")
	switch {
	case !undefined:
		if message == "empty module" {
			return "the file has no package, and no rules"
		}
		return strings.TrimSuffix(message, ".")
	case ast.BuiltinMap[name] != nil:
		return message + ". Rules must not ask the network, this machine or chance: a decision rests on the plan and on the files of the policy alone. What a server answers can be put into a data document (*.json, *.yaml) beside the rules before"
	}
	return message + ": no package of this policy has it. If it is in another directory, put that below the source of the policy"
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
