package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// ensemble is a project of stacks, as a command works on it: the directory with
// the project files, and each stack's own, which share its store, environment
// and settings.
type ensemble struct {
	root        *project
	declared    *projects.Project
	graph       *stacks.Graph
	names       []string // of the stacks selected, in order
	environment string
	members     map[string]*project
	schemas     providers.KnownSchemas
	// host, where not nil, is the project of the server that was sent this one to be
	// planned: its policies, prices and budgets hold, and its secrets are not given.
	host *project
	// given are values for the root module of a plain directory that stands for a stack.
	given []configs.GivenVariable

	mu        sync.Mutex
	variables map[string]cty.Value // of the project; nil until asked for
	modules   map[string]stacks.Module
	reader    *secretReader // nil until asked for
}

// openEnsemble opens the project of stacks that the working directory belongs
// to; nil where it belongs to none. The environment must be one of those
// declared.
func (a *App) openEnsemble() (*ensemble, diag.List) {
	e, diags := a.findEnsemble()
	if e == nil || diags.HasErrors() {
		return nil, diags
	}
	if d := stacks.CheckEnvironment(e.declared, e.root.environment); d.HasErrors() {
		e.Close()
		return nil, append(diags, d...)
	}
	return e, diags
}

// findEnsemble is openEnsemble for commands that do not depend on the
// environment. In the directory of a stack, that stack is the one selected.
func (a *App) findEnsemble() (*ensemble, diag.List) {
	if e := a.found; e != nil {
		a.found = nil
		return e, nil
	}
	declared, here, diags := findProject()
	if declared == nil {
		if len(a.stacks) > 0 && !diags.HasErrors() {
			diags = diag.Errorf("No project", "Option -stack selects a stack of a project, but no *%s file here declares any.", projects.Suffix)
		}
		return nil, diags
	}
	a.sources = declared.Files
	if diags.HasErrors() {
		return nil, diags
	}
	graph, d := stacks.NewGraph(declared)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	selected := a.stacks
	if len(selected) == 0 {
		selected = here
	}
	names, d := graph.Select(selected)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	dir := declared.Dir
	if dir == "." {
		dir = ""
	}
	root, d := a.openDirectory(dir)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	e := openedEnsemble(root, declared, graph)
	e.names = names
	root.ensemble = e
	return e, diags
}

func openedEnsemble(root *project, declared *projects.Project, graph *stacks.Graph) *ensemble {
	return &ensemble{
		root: root, declared: declared, graph: graph, names: graph.Order, environment: root.environment,
		members: map[string]*project{}, modules: map[string]stacks.Module{},
	}
}

// newEnsemble makes a project of stacks from files as they were at some time, in
// a directory that is open already.
func newEnsemble(root *project, declared *projects.Project) (*ensemble, diag.List) {
	graph, diags := stacks.NewGraph(declared)
	if diags.HasErrors() {
		return nil, diags
	}
	return openedEnsemble(root, declared, graph), diags
}

// projectVariable is the environment variable that, set to "off", makes the
// directory of a stack a plain one.
const projectVariable = "TUTTI_PROJECT"

// findProject finds the project of stacks that the working directory belongs to:
// the one whose files are there, or the one above that declares the directory as
// a stack; here names such stacks. Files with errors are no absence of a project:
// what they declare is not known, so no command may work on a plain directory
// instead.
func findProject() (p *projects.Project, here []string, diags diag.List) {
	if os.Getenv(projectVariable) == "off" {
		return nil, nil, nil
	}
	if projects.Exists(".") {
		p, diags := projects.Load(".")
		if !diags.HasErrors() && len(p.Stacks) == 0 {
			return nil, nil, nil
		}
		return p, nil, diags
	}
	p, here, diags = projectAbove()
	if p == nil || len(here) == 0 && !(p.Guarded && diags.HasErrors()) {
		return nil, nil, nil // this directory is none of its stacks
	}
	return p, here, diags
}

// Close closes the store and ends the providers of all stacks.
func (e *ensemble) Close() {
	e.closeMembers()
	e.root.Close()
}

func (e *ensemble) closeMembers() {
	for _, p := range e.members {
		p.Close()
	}
}

// member opens a stack.
func (e *ensemble) member(name string) *project {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.members[name]; p != nil {
		return p
	}
	dir := e.declared.StackDir(e.declared.Stacks[name])
	if dir == "." {
		dir = ""
	}
	p := &project{
		app: e.root.app, dir: dir, ensemble: e, stack: name, declared: name, environment: e.environment,
		cliConfig: e.root.cliConfig, keyring: e.root.keyring, installing: e.root.installing,
	}
	if isDirectory(e.declared.Stacks[name]) {
		p.stack = ""
	}
	p.workDir = filepath.Join(e.root.workDir, filepath.FromSlash(e.declared.Stacks[name].Source))
	switch data := os.Getenv("TF_DATA_DIR"); {
	case filepath.IsAbs(data):
		p.dataDir = filepath.Join(data, name) // stacks must not share what is installed
	case data != "":
		p.dataDir = p.place(data)
	default:
		p.dataDir = p.place(".terraform")
	}
	if e.host != nil {
		p.adopted, p.dataDir = true, p.place(".terraform") // nothing that was sent becomes a state
	}
	e.members[name] = p
	return p
}

// ofState opens the stack that a state belongs to; nil where the project does not
// declare it.
func (e *ensemble) ofState(key states.Key) *project {
	for name, s := range e.declared.Stacks {
		if name == key.Stack || key.Stack == "" && isDirectory(s) {
			return e.member(name)
		}
	}
	return nil
}

// only returns the one stack selected; closing it closes the project.
func (e *ensemble) only() *project {
	p := e.member(e.names[0])
	p.closing = true
	return p
}

// adoptStack is adopt for a stack. A store that the directory has of its own is
// not looked into, but must not be overlooked.
func (p *project) adoptStack(ctx context.Context) diag.List {
	if p.adopted {
		return nil
	}
	p.adopted = true
	own := p.place(storeDir)
	if _, err := os.Stat(filepath.Join(own, "store.db")); err == nil && p.dir != p.ensemble.root.dir {
		if st, err := p.opened.State(ctx, p.key()); err == nil && st.Serial == 0 {
			return append(diag.Warningf("Stack has a state of its own", "The directory of stack %q was used by itself before: there is a state in %s, which the project does not use. To bring it in:\n    %s=off tutti -chdir=%s state pull > %[1]s.tfstate\n    tutti state push -stack=%[1]s %[1]s.tfstate", p.stack, own, projectVariable, p.rootDir()), p.adopt(ctx)...)
		}
	}
	return p.adopt(ctx)
}

// projectVariables are the values of the project's variables.
func (e *ensemble) projectVariables(ctx context.Context, o *variableOptions) (map[string]cty.Value, diag.List) {
	if diags := e.undeclared(o); diags.HasErrors() {
		return nil, diags
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.variables != nil {
		return e.variables, nil
	}
	own, diags := stacks.EnvironmentVariables(e.declared, e.environment)
	module := &configs.Module{Variables: e.declared.Variables}
	given, d := e.root.given(ctx, wholeProject, module, o, e.declared.Files, own)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	values, d := stacks.Variables(e.declared, e.environment, given)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	e.variables = values
	return values, diags
}

// undeclared refuses values that are given to variables which the project does not
// declare, and says what a stack that declares one has to do with it.
func (e *ensemble) undeclared(o *variableOptions) diag.List {
	var diags diag.List
	for _, g := range o.given {
		name, _, _ := strings.Cut(g.Text, "=")
		if g.File || e.declared.Variables[name] != nil || strings.TrimSpace(name) != name || name == "" {
			continue
		}
		var takers []string
		for _, stack := range e.graph.Order {
			if m, _ := e.module(stack); m.Variables[name] != nil { // its own errors are told where it is planned
				takers = append(takers, stack)
			}
		}
		switch {
		case len(takers) > 0:
			diags = append(diags, diag.Errorf("Value for undeclared variable", "The project declares no variable %q, and stacks are given their values in the project's files only. To give one to %s here, declare a variable in a *%s file and hand it on: inputs = { %[1]s = var.%[1]s } in the stack's block.", name, "stack "+strings.Join(takers, " or stack "), projects.Suffix)...)
		case len(e.graph.Order) > 0:
			diags = append(diags, diag.Errorf("Value for undeclared variable", "No variable %q is declared: neither in the project's *%s files nor in a stack (%s).%s", name, projects.Suffix, strings.Join(e.graph.Order, ", "), near(name, sortedKeys(e.declared.Variables)))...)
		}
	}
	return diags
}

// near asks whether the most similar of some names was meant, in a sentence after
// another one; empty where none is similar.
func near(name string, names []string) string {
	if other := nearest(name, names); other != "" {
		return fmt.Sprintf(" Did you mean %q?", other)
	}
	return ""
}

// useVariables takes the values of the project's variables from those given,
// unless they are known already.
func (e *ensemble) useVariables(given map[string]cty.Value) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.variables != nil || len(given) == 0 {
		return
	}
	e.variables = map[string]cty.Value{}
	for name, v := range e.declared.Variables {
		val, ok := given[name]
		if !ok {
			continue
		}
		if v.Sensitive {
			val = val.Mark(marks.Sensitive)
		}
		e.variables[name] = val
	}
}

// selectStackOf selects the stack that a saved plan is for, where the project
// has several and none is named.
func (a *App) selectStackOf(file string) {
	e, diags := a.findEnsemble()
	if e == nil || diags.HasErrors() {
		return // it is said when the plan is applied
	}
	defer e.Close()
	data, err := os.ReadFile(file)
	if err != nil || len(e.names) == 1 {
		return
	}
	if plan, err := plans.Decode(data, e.root.keyring); err == nil && e.declared.Stacks[plan.StateKey.Stack] != nil {
		a.stacks = []string{plan.StateKey.Stack}
	}
}

// scope evaluates the project's expressions.
func (e *ensemble) scope(ctx context.Context, o *variableOptions) (*stacks.Scope, diag.List) {
	values, diags := e.projectVariables(ctx, o)
	if diags.HasErrors() {
		return nil, diags
	}
	in := stacks.Context{Environment: e.environment, Variables: values, BaseDir: e.root.workDir, Now: time.Now().UTC(), Planning: true}
	if e.host == nil { // else they stay unknown
		in.Secret = e.secrets().forScope(ctx)
	}
	return stacks.NewScope(e.declared, in), diags
}

// secrets reads the project's secrets in the environment worked in.
func (e *ensemble) secrets() *secretReader {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reader == nil {
		e.reader = e.root.secretReader(e.environment)
	}
	return e.reader
}

// module returns what a stack's root module declares.
func (e *ensemble) module(name string) (stacks.Module, diag.List) {
	e.mu.Lock()
	m, ok := e.modules[name]
	e.mu.Unlock()
	if ok {
		return m, nil
	}
	p := e.member(name)
	declared := e.declared.Stacks[name]
	if info, err := os.Stat(p.rootDir()); err != nil || !info.IsDir() {
		return m, diag.ErrorAt(declared.DeclRange, "No such directory", "The directory %s, the source of stack %q, does not exist.", p.rootDir(), name)
	}
	if has, err := configs.HasConfig(p.rootDir()); err == nil && !has {
		return m, diag.ErrorAt(declared.DeclRange, "No configuration files", "The directory %s, the source of stack %q, contains no configuration files (*.tf, *.tf.json).", p.rootDir(), name)
	}
	files := map[string][]byte{}
	root, diags := configs.LoadModule(p.rootDir(), files)
	p.quote(files)
	if root == nil {
		return m, diags
	}
	m = stacks.Module{Variables: root.Variables, Outputs: root.Outputs, Given: map[string]bool{}}
	beside, d := e.beside(p, root, files)
	for variable := range beside {
		m.Given[variable] = true
	}
	if diags = append(diags, d...); !diags.HasErrors() {
		e.mu.Lock()
		e.modules[name] = m
		e.mu.Unlock()
	}
	return m, diags
}

// check finds everything about the stacks selected that can be known to be wrong
// before any of them is planned.
func (e *ensemble) check(scope *stacks.Scope) diag.List {
	var diags diag.List
	known := map[string]stacks.Module{}
	load := func(name string) {
		if _, done := known[name]; done {
			return
		}
		m, d := e.module(name)
		diags = append(diags, d...)
		if !d.HasErrors() {
			known[name] = m
		}
	}
	for _, name := range e.names {
		load(name)
		for _, need := range e.graph.Needs[name] {
			load(need)
		}
	}
	return append(diags, e.graph.Check(e.names, scope, known)...)
}

// stackInputs are the values of a stack's variables: from files beside its root
// module, and what the project gives it. outputs stands for the stacks before it.
func (p *project) stackInputs(cfg *configs.Config, scope *stacks.Scope, outputs func(string) (cty.Value, diag.List)) (map[string]configs.InputValue, diag.List) {
	values, diags := p.ensemble.beside(p, cfg.Root, cfg.Files)
	p.quote(cfg.Files)
	given, d := scope.Inputs(p.declared, outputs)
	diags = append(diags, d...)
	for name, v := range given {
		values[name] = v
	}
	return values, diags
}

// beside are the values that a root module has from files beside it. A plain directory,
// which no project gives anything, takes them from everywhere that a command does.
func (e *ensemble) beside(p *project, root *configs.Module, files map[string][]byte) (map[string]configs.InputValue, diag.List) {
	if p.stack != "" {
		return configs.CollectVariables(p.rootDir(), rootModule, root, nil, nil, files)
	}
	return configs.CollectVariables(p.rootDir(), rootModule, root, e.given, os.Environ(), files)
}

// give has a plain directory take the values given for variables, which are then none
// of the project's.
func (e *ensemble) give(o *variableOptions) {
	for _, s := range e.declared.Stacks {
		if isDirectory(s) {
			e.given, o.given = o.given, nil
		}
	}
}

// fromState returns what stands for a stack that is not planned along: the
// outputs in its state. What is referred to must be there, unless something is
// to be destroyed.
func (e *ensemble) fromState(ctx context.Context, user string, mode plans.Mode) func(string) (cty.Value, diag.List) {
	return func(name string) (cty.Value, diag.List) {
		m, diags := e.module(name)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		st, d := e.member(name).state(ctx)
		if diags = append(diags, d...); diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		values, err := plans.StateOutputs(st)
		if err != nil {
			return cty.DynamicVal, diag.FromError(err)
		}
		refs := e.graph.References(user, name)
		for _, output := range sortedKeys(refs) {
			if _, ok := values[output]; ok || m.Outputs[output] == nil {
				continue
			}
			if mode != plans.Normal {
				values[output] = cty.DynamicVal
				continue
			}
			diags = append(diags, diag.ErrorAt(refs[output], "Output is not there yet",
				"The stack %q needs the output %q of stack %q, whose state does not have it. Apply %[3]q first, or both together: -stack=%[3]s -stack=%[1]s.", user, output, name)...)
		}
		return plans.OutputsObject(values, sortedKeys(m.Outputs)), diags
	}
}

// states reads the states of stacks.
func (e *ensemble) states(ctx context.Context, names []string, mode plans.Mode) (map[string]*states.State, diag.List) {
	out := map[string]*states.State{}
	var diags diag.List
	for _, name := range names {
		st, d := e.member(name).prior(ctx, mode)
		diags = append(diags, d...)
		out[name] = st
	}
	return out, diags
}

// inStack says in diagnostics about objects which stack they belong to.
func inStack(name string, diags diag.List) diag.List {
	out := slices.Clone(diags)
	for i := range out {
		if out[i].Address != "" {
			out[i].Address = "stack." + name + "." + out[i].Address
		}
	}
	return out
}

// stray warns about configuration at the root that belongs to no stack.
func (e *ensemble) stray() diag.List {
	for _, s := range e.declared.Stacks {
		if filepath.Clean(s.Source) == "." {
			return nil
		}
	}
	if has, err := configs.HasConfig(e.root.rootDir()); err != nil || !has {
		return nil
	}
	return diag.Warningf("Configuration belongs to no stack", "There are configuration files (*.tf) beside the project files. They are not used: the stacks are %s. To make them a stack, move them into a directory.", strings.Join(e.graph.Order, ", "))
}
