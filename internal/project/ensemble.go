package project

import (
	"context"
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

// Ensemble is a project of stacks, as a command works on it: the directory with
// the project files, and each stack's own, which share its store, environment
// and settings.
type Ensemble struct {
	Root        *Directory
	Declared    *projects.Project
	Graph       *stacks.Graph
	Names       []string // of the stacks selected, in order
	Environment string
	members     map[string]*Directory
	schemas     providers.KnownSchemas
	// Host, where not nil, is the project of the server that was sent this one to be
	// planned: its policies, prices and budgets hold, and its secrets are not given.
	Host *Directory
	// given are values for the root module of a plain directory that stands for a stack.
	given []configs.GivenVariable

	mu        sync.Mutex
	Variables map[string]cty.Value // of the project; nil until asked for
	modules   map[string]stacks.Module
	reader    *SecretReader // nil until asked for
}

// OpenEnsemble opens the project of stacks that the working directory belongs
// to; nil where it belongs to none. The environment must be one of those
// declared.
func (s *Session) OpenEnsemble() (*Ensemble, diag.List) {
	e, diags := s.FindEnsemble()
	if e == nil || diags.HasErrors() {
		return nil, diags
	}
	if d := stacks.CheckEnvironment(e.Declared, e.Root.Environment); d.HasErrors() {
		e.Close()
		return nil, append(diags, d...)
	}
	return e, diags
}

// FindEnsemble is [Session.OpenEnsemble] for commands that do not depend on the
// environment. In the directory of a stack, that stack is the one selected.
func (s *Session) FindEnsemble() (*Ensemble, diag.List) {
	if e := s.Found; e != nil {
		s.Found = nil
		return e, nil
	}
	declared, here, diags := findProject()
	if declared == nil {
		if len(s.Stacks) > 0 && !diags.HasErrors() {
			diags = diag.Errorf("No project", "Option -stack selects a stack of a project, but no *%s file here declares any.", projects.Suffix)
		}
		return nil, diags
	}
	s.Sources = declared.Files
	if diags.HasErrors() {
		return nil, diags
	}
	graph, d := stacks.NewGraph(declared)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	selected := s.Stacks
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
	root, d := s.OpenDirectory(dir)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	e := OpenedEnsemble(root, declared, graph)
	e.Names = names
	root.Ensemble = e
	return e, diags
}

// OpenedEnsemble is a project of stacks in a directory that is open already, with all
// of its stacks selected.
func OpenedEnsemble(root *Directory, declared *projects.Project, graph *stacks.Graph) *Ensemble {
	return &Ensemble{
		Root: root, Declared: declared, Graph: graph, Names: graph.Order, Environment: root.Environment,
		members: map[string]*Directory{}, modules: map[string]stacks.Module{},
	}
}

// NewEnsemble makes a project of stacks from files as they were at some time, in
// a directory that is open already.
func NewEnsemble(root *Directory, declared *projects.Project) (*Ensemble, diag.List) {
	graph, diags := stacks.NewGraph(declared)
	if diags.HasErrors() {
		return nil, diags
	}
	return OpenedEnsemble(root, declared, graph), diags
}

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
	p, here, diags = Above()
	if p == nil || len(here) == 0 && !(p.Guarded && diags.HasErrors()) {
		return nil, nil, nil // this directory is none of its stacks
	}
	return p, here, diags
}

// Close closes the store and ends the providers of all stacks.
func (e *Ensemble) Close() {
	e.CloseMembers()
	e.Root.Close()
}

// CloseMembers ends the providers of all stacks, and leaves the store open.
func (e *Ensemble) CloseMembers() {
	for _, p := range e.members {
		p.Close()
	}
}

// Member opens a stack.
func (e *Ensemble) Member(name string) *Directory {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.members[name]; p != nil {
		return p
	}
	dir := e.Declared.StackDir(e.Declared.Stacks[name])
	if dir == "." {
		dir = ""
	}
	p := &Directory{
		Session: e.Root.Session, Dir: dir, Ensemble: e, Stack: name, Declared: name, Environment: e.Environment,
		CLIConfig: e.Root.CLIConfig, Keyring: e.Root.Keyring, installing: e.Root.installing,
	}
	if IsDirectory(e.Declared.Stacks[name]) {
		p.Stack = ""
	}
	p.WorkDir = filepath.Join(e.Root.WorkDir, filepath.FromSlash(e.Declared.Stacks[name].Source))
	switch data := os.Getenv("TF_DATA_DIR"); {
	case filepath.IsAbs(data):
		p.DataDir = filepath.Join(data, name) // stacks must not share what is installed
	case data != "":
		p.DataDir = p.Place(data)
	default:
		p.DataDir = p.Place(".terraform")
	}
	if e.Host != nil {
		p.adopted, p.DataDir = true, p.Place(".terraform") // nothing that was sent becomes a state
	}
	e.members[name] = p
	return p
}

// OfState opens the stack that a state belongs to; nil where the project does not
// declare it.
func (e *Ensemble) OfState(key states.Key) *Directory {
	for name, s := range e.Declared.Stacks {
		if name == key.Stack || key.Stack == "" && IsDirectory(s) {
			return e.Member(name)
		}
	}
	return nil
}

// only returns the one stack selected; closing it closes the project.
func (e *Ensemble) only() *Directory {
	p := e.Member(e.Names[0])
	p.closing = true
	return p
}

// adoptStack is adopt for a stack. A store that the directory has of its own is
// not looked into, but must not be overlooked.
func (p *Directory) adoptStack(ctx context.Context) diag.List {
	if p.adopted {
		return nil
	}
	p.adopted = true
	own := p.Place(storeDir)
	if _, err := os.Stat(filepath.Join(own, "store.db")); err == nil && p.Dir != p.Ensemble.Root.Dir {
		if st, err := p.Opened.State(ctx, p.Key()); err == nil && st.Serial == 0 {
			return append(diag.Warningf("Stack has a state of its own", "The directory of stack %q was used by itself before: there is a state in %s, which the project does not use. To bring it in:\n    %s=off tutti -chdir=%s state pull > %[1]s.tfstate\n    tutti state push -stack=%[1]s %[1]s.tfstate", p.Stack, own, projectVariable, p.RootDir()), p.adopt(ctx)...)
		}
	}
	return p.adopt(ctx)
}

// projectVariables are the values of the project's variables.
func (e *Ensemble) projectVariables(ctx context.Context, o *VariableOptions) (map[string]cty.Value, diag.List) {
	if diags := e.undeclared(o); diags.HasErrors() {
		return nil, diags
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Variables != nil {
		return e.Variables, nil
	}
	own, diags := stacks.EnvironmentVariables(e.Declared, e.Environment)
	module := &configs.Module{Variables: e.Declared.Variables}
	given, d := e.Root.Given(ctx, configs.WholeProject, module, o, e.Declared.Files, own)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	values, d := stacks.Variables(e.Declared, e.Environment, given)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	e.Variables = values
	return values, diags
}

// undeclared refuses values that are given to variables which the project does not
// declare, and says what a stack that declares one has to do with it.
func (e *Ensemble) undeclared(o *VariableOptions) diag.List {
	var diags diag.List
	for _, g := range o.Given {
		name, _, _ := strings.Cut(g.Text, "=")
		if g.File || e.Declared.Variables[name] != nil || strings.TrimSpace(name) != name || name == "" {
			continue
		}
		var takers []string
		for _, stack := range e.Graph.Order {
			if m, _ := e.Module(stack); m.Variables[name] != nil { // its own errors are told where it is planned
				takers = append(takers, stack)
			}
		}
		switch {
		case len(takers) > 0:
			diags = append(diags, diag.Errorf("Value for undeclared variable", "The project declares no variable %q, and stacks are given their values in the project's files only. To give one to %s here, declare a variable in a *%s file and hand it on: inputs = { %[1]s = var.%[1]s } in the stack's block.", name, "stack "+strings.Join(takers, " or stack "), projects.Suffix)...)
		case len(e.Graph.Order) > 0:
			diags = append(diags, diag.Errorf("Value for undeclared variable", "No variable %q is declared: neither in the project's *%s files nor in a stack (%s).%s", name, projects.Suffix, strings.Join(e.Graph.Order, ", "), diag.DidYouMean(name, sortedKeys(e.Declared.Variables)))...)
		}
	}
	return diags
}

// UseVariables takes the values of the project's variables from those given,
// unless they are known already.
func (e *Ensemble) UseVariables(given map[string]cty.Value) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Variables != nil || len(given) == 0 {
		return
	}
	e.Variables = map[string]cty.Value{}
	for name, v := range e.Declared.Variables {
		val, ok := given[name]
		if !ok {
			continue
		}
		if v.Sensitive {
			val = val.Mark(marks.Sensitive)
		}
		e.Variables[name] = val
	}
}

// SelectStackOf selects the stack that a saved plan is for, where the project
// has several and none is named.
func (s *Session) SelectStackOf(file string) {
	e, diags := s.FindEnsemble()
	if e == nil || diags.HasErrors() {
		return // it is said when the plan is applied
	}
	defer e.Close()
	data, err := os.ReadFile(file)
	if err != nil || len(e.Names) == 1 {
		return
	}
	if plan, err := plans.Decode(data, e.Root.Keyring); err == nil && e.Declared.Stacks[plan.StateKey.Stack] != nil {
		s.Stacks = []string{plan.StateKey.Stack}
	}
}

// Scope evaluates the project's expressions.
func (e *Ensemble) Scope(ctx context.Context, o *VariableOptions) (*stacks.Scope, diag.List) {
	values, diags := e.projectVariables(ctx, o)
	if diags.HasErrors() {
		return nil, diags
	}
	in := stacks.Context{Environment: e.Environment, Variables: values, BaseDir: e.Root.WorkDir, Now: time.Now().UTC(), Planning: true}
	if e.Host == nil { // else they stay unknown
		in.Secret = e.Secrets().ForScope(ctx)
	}
	return stacks.NewScope(e.Declared, in), diags
}

// Secrets reads the project's secrets in the environment worked in.
func (e *Ensemble) Secrets() *SecretReader {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reader == nil {
		e.reader = e.Root.SecretReader(e.Environment)
	}
	return e.reader
}

// Module returns what a stack's root module declares.
func (e *Ensemble) Module(name string) (stacks.Module, diag.List) {
	e.mu.Lock()
	m, ok := e.modules[name]
	e.mu.Unlock()
	if ok {
		return m, nil
	}
	p := e.Member(name)
	declared := e.Declared.Stacks[name]
	if info, err := os.Stat(p.RootDir()); err != nil || !info.IsDir() {
		return m, diag.ErrorAt(declared.DeclRange, "No such directory", "The directory %s, the source of stack %q, does not exist.", p.RootDir(), name)
	}
	if has, err := configs.HasConfig(p.RootDir()); err == nil && !has {
		return m, diag.ErrorAt(declared.DeclRange, "No configuration files", "The directory %s, the source of stack %q, contains no configuration files (*.tf, *.tf.json).", p.RootDir(), name)
	}
	files := map[string][]byte{}
	root, diags := configs.LoadModule(p.RootDir(), files)
	p.Quote(files)
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

// OutputNames names the outputs of the stacks whose root modules were read, by stack.
func (e *Ensemble) OutputNames() map[string][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string][]string{}
	for name, m := range e.modules {
		out[name] = sortedKeys(m.Outputs)
	}
	return out
}

// Check finds everything about the stacks selected that can be known to be wrong
// before any of them is planned.
func (e *Ensemble) Check(scope *stacks.Scope) diag.List {
	var diags diag.List
	known := map[string]stacks.Module{}
	load := func(name string) {
		if _, done := known[name]; done {
			return
		}
		m, d := e.Module(name)
		diags = append(diags, d...)
		if !d.HasErrors() {
			known[name] = m
		}
	}
	for _, name := range e.Names {
		load(name)
		for _, need := range e.Graph.Needs[name] {
			load(need)
		}
	}
	return append(diags, e.Graph.Check(e.Names, scope, known)...)
}

// StackInputs are the values of a stack's variables: from files beside its root
// module, and what the project gives it. outputs stands for the stacks before it.
func (p *Directory) StackInputs(cfg *configs.Config, scope *stacks.Scope, outputs func(string) (cty.Value, diag.List)) (map[string]configs.InputValue, diag.List) {
	values, diags := p.Ensemble.beside(p, cfg.Root, cfg.Files)
	p.Quote(cfg.Files)
	given, d := scope.Inputs(p.Declared, outputs)
	diags = append(diags, d...)
	for name, v := range given {
		values[name] = v
	}
	return values, diags
}

// beside are the values that a root module has from files beside it. A plain directory,
// which no project gives anything, takes them from everywhere that a command does.
func (e *Ensemble) beside(p *Directory, root *configs.Module, files map[string][]byte) (map[string]configs.InputValue, diag.List) {
	if p.Stack != "" {
		return configs.CollectVariables(p.RootDir(), configs.RootModule, root, nil, nil, files)
	}
	return configs.CollectVariables(p.RootDir(), configs.RootModule, root, e.given, os.Environ(), files)
}

// Give has a plain directory take the values given for variables, which are then none
// of the project's.
func (e *Ensemble) Give(o *VariableOptions) {
	for _, s := range e.Declared.Stacks {
		if IsDirectory(s) {
			e.given, o.Given = o.Given, nil
		}
	}
}

// FromState returns what stands for a stack that is not planned along: the
// outputs in its state. What is referred to must be there, unless something is
// to be destroyed.
func (e *Ensemble) FromState(ctx context.Context, user string, mode plans.Mode) func(string) (cty.Value, diag.List) {
	return func(name string) (cty.Value, diag.List) {
		m, diags := e.Module(name)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		st, d := e.Member(name).State(ctx)
		if diags = append(diags, d...); diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		values, err := plans.StateOutputs(st)
		if err != nil {
			return cty.DynamicVal, diag.FromError(err)
		}
		refs := e.Graph.References(user, name)
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

// States reads the states of stacks.
func (e *Ensemble) States(ctx context.Context, names []string, mode plans.Mode) (map[string]*states.State, diag.List) {
	out := map[string]*states.State{}
	var diags diag.List
	for _, name := range names {
		st, d := e.Member(name).Prior(ctx, mode)
		diags = append(diags, d...)
		out[name] = st
	}
	return out, diags
}

// InStack says in diagnostics about objects which stack they belong to.
func InStack(name string, diags diag.List) diag.List {
	out := slices.Clone(diags)
	for i := range out {
		if out[i].Address != "" {
			out[i].Address = "stack." + name + "." + out[i].Address
		}
	}
	return out
}

// Stray warns about configuration at the root that belongs to no stack.
func (e *Ensemble) Stray() diag.List {
	for _, s := range e.Declared.Stacks {
		if filepath.Clean(s.Source) == "." {
			return nil
		}
	}
	if has, err := configs.HasConfig(e.Root.RootDir()); err != nil || !has {
		return nil
	}
	return diag.Warningf("Configuration belongs to no stack", "There are configuration files (*.tf) beside the project files. They are not used: the stacks are %s. To make them a stack, move them into a directory.", strings.Join(e.Graph.Order, ", "))
}
