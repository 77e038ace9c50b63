package projects

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Exists reports whether a directory has project files.
func Exists(dir string) bool {
	names, err := fileNames(dir)
	return err == nil && len(names) > 0
}

func fileNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), Suffix) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil // sorted already
}

// Load reads the project files of a directory. What could be read of broken
// files is returned together with the problems.
func Load(dir string) (*Project, diag.List) {
	names, err := fileNames(dir)
	if err != nil {
		return nil, diag.Errorf("Cannot read project directory", "The directory %s cannot be read: %s.", dir, err)
	}
	files := map[string][]byte{}
	var diags diag.List
	for _, name := range names {
		name = filepath.Join(dir, name)
		src, err := os.ReadFile(name)
		if err != nil {
			diags = append(diags, diag.Errorf("Cannot read file", "The project file %s cannot be read: %s.", name, err)...)
			continue
		}
		files[name] = src
	}
	p, found := Parse(dir, files)
	p.Guarded = p.Guarded || diags.HasErrors() // the file may have roles
	p.readDefinitions(&found)
	return p, append(diags, found...)
}

// Parse reads project files from their source text, by name. Definitions of
// state machines are looked up there too: a snapshot has them. What it returns is
// shared with others who read the same text, but for Files, and must not be changed.
func Parse(dir string, files map[string][]byte) (*Project, diag.List) {
	return parsed.project(dir, files)
}

func parse(dir string, files map[string][]byte) (*Project, diag.List) {
	d := &decoder{project: &Project{
		Dir: dir, Environments: map[string]*Environment{}, Stacks: map[string]*Stack{}, Workflows: map[string]*Workflow{},
		Pools: map[string]*Pool{}, Triggers: map[string]*Trigger{}, Webhooks: map[string]*Webhook{}, Notifies: map[string]*Notify{}, Sources: map[string]*Source{}, Policies: map[string]*Policy{}, Budgets: map[string]*Budget{}, Roles: map[string]*Role{}, Secrets: map[string]*Secret{}, Identities: map[string]*Identity{}, Files: map[string][]byte{},
	}}
	names := make([]string, 0, len(files))
	for name, src := range files {
		names = append(names, name)
		d.project.Files[name] = src
	}
	sort.Strings(names)
	var bodies []hcl.Body
	for _, name := range names {
		if !strings.HasSuffix(name, Suffix) {
			continue
		}
		file, diags := hclsyntax.ParseConfig(files[name], name, hcl.InitialPos)
		d.addHCL(diags)
		d.project.Guarded = d.project.Guarded || diags.HasErrors()
		if file != nil && file.Body != nil {
			bodies = append(bodies, file.Body)
		}
	}
	if d.diags.HasErrors() {
		return d.project, d.diags // what is missing in half a file is no mistake of its own
	}
	var declarations hcl.Blocks
	for _, body := range bodies {
		content, diags := body.Content(projectSchema)
		d.addHCL(diags)
		// What was left out may have been a role without a name.
		d.project.Guarded = d.project.Guarded || diags.HasErrors()
		for _, block := range content.Blocks {
			switch block.Type {
			case "variable", "locals":
				declarations = append(declarations, block)
			default:
				d.block(block)
			}
		}
	}
	var diags diag.List
	d.project.Declarations, diags = configs.DecodeDeclarations(declarations)
	d.add(diags)
	d.rotations()
	d.checkReferences()
	return d.project, d.diags
}

// readDefinitions adds the files of state machines to those of the project.
func (p *Project) readDefinitions(diags *diag.List) {
	for _, w := range p.Workflows {
		if w.Definition == "" || w.Inline() {
			continue
		}
		name := p.DefinitionFile(w)
		src, err := os.ReadFile(name)
		if err != nil {
			*diags = append(*diags, diag.ErrorAt(w.DefinitionRange, "No such state machine", "The definition of workflow %q cannot be read: %s.", w.Name, err)...)
			continue
		}
		p.Files[name] = src
	}
}

// DefinitionFile is the name of the file of a workflow's state machine, as in
// Files.
func (p *Project) DefinitionFile(w *Workflow) string {
	return filepath.Join(p.Dir, filepath.FromSlash(w.Definition))
}

// DefinitionOf is the source text of a workflow's state machine; nil where it
// cannot be read.
func (p *Project) DefinitionOf(w *Workflow) []byte {
	if w.Inline() {
		return []byte(w.Definition)
	}
	return p.Files[p.DefinitionFile(w)]
}

// StackDir is the directory of a stack's root module.
func (p *Project) StackDir(s *Stack) string {
	return filepath.Join(p.Dir, filepath.FromSlash(s.Source))
}

// checkReferences reports what names something that is not declared, whatever
// the order of declarations.
func (d *decoder) checkReferences() {
	p := d.project
	known := func(r Reference) bool {
		switch r.Kind {
		case "stack":
			return p.Stacks[r.Name] != nil
		case "workflow":
			return p.Workflows[r.Name] != nil
		case "pool":
			return p.Pools[r.Name] != nil
		case "role":
			return p.Roles[r.Name] != nil
		case "secret":
			return p.Secrets[r.Name] != nil
		}
		return true
	}
	check := func(r Reference) {
		if r.Name != "" && !known(r) {
			d.errorAt(r.Range, "Reference to undeclared "+r.Kind, "There is no %s %q in this project.%s", r.Kind, r.Name, d.declared(r.Kind))
		}
	}
	for _, w := range p.Workflows {
		for _, list := range [][]*Step{w.Steps, w.OnFailure, w.Finally} {
			for _, s := range list {
				if s.Pool != nil {
					check(*s.Pool)
				}
				for _, a := range []*Action{s.Action, s.Undo} {
					if a != nil {
						for _, r := range a.References {
							check(r)
						}
					}
				}
			}
		}
	}
	for _, t := range p.Triggers {
		check(t.Workflow)
	}
	for _, w := range p.Webhooks {
		for _, r := range w.Secrets {
			check(r)
		}
	}
	for _, s := range p.Sources {
		for _, r := range s.Secrets {
			check(r)
		}
	}
	for _, n := range p.Notifies {
		for _, r := range n.secrets() {
			check(r)
		}
		if n.Environment != "" && len(p.Environments) > 0 && p.Environments[n.Environment] == nil {
			d.errorAt(n.DeclRange, "Reference to undeclared environment", "The secrets of %q are read in the environment %q, which this project does not declare.", n.Name, n.Environment)
		}
	}
	for _, s := range p.Stacks {
		for _, r := range s.Needs {
			check(r)
		}
	}
	for _, policy := range p.Policies {
		for _, r := range policy.Stacks {
			check(r)
		}
	}
	for _, g := range p.Grants {
		check(g.Role)
	}
	for _, b := range p.Budgets {
		for _, r := range b.Stacks {
			check(r)
		}
		d.checkEnvironments(b)
	}
	for _, o := range p.Observes {
		for _, r := range o.Stacks {
			check(r)
		}
	}
	d.checkObserves()
	for _, m := range p.Moves {
		check(Reference{"stack", m.FromStack, m.DeclRange})
		check(Reference{"stack", m.ToStack, m.DeclRange})
	}
}

// declared lists what there is, for messages.
func (d *decoder) declared(kind string) string {
	var names []string
	switch kind {
	case "stack":
		for name := range d.project.Stacks {
			names = append(names, name)
		}
	case "workflow":
		for name := range d.project.Workflows {
			names = append(names, name)
		}
	case "role":
		for name := range d.project.Roles {
			names = append(names, name)
		}
	case "pool":
		for name := range d.project.Pools {
			names = append(names, name)
		}
	case "secret":
		for name := range d.project.Secrets {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf(" Declare it with a %s block.", kind)
	}
	sort.Strings(names)
	return fmt.Sprintf(" Declared are: %s.", strings.Join(names, ", "))
}
