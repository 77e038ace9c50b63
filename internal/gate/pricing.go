package gate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/zclconf/go-cty/cty"
)

// Prices is what the resources of a directory are priced by: the user's price
// files and usage, and the budgets that hold there.
type Prices struct {
	declared *projects.Project // nil without project files
	own      []*cost.Row
	usage    *cost.Usage
	All      bool // everything is to be priced, of interest or not

	mu    sync.Mutex
	books map[string]*cost.Book // by the providers whose prices of ours are in it
}

// pricesKey is where a session keeps what the resources of a directory are priced by.
type pricesKey string

type keptPrices struct {
	mu   sync.Mutex
	read *Prices // nil until it could be
}

// The files that are read where no cost block says otherwise.
var (
	defaultPrices = []string{"prices/*.csv", "prices/*.json"}
	defaultUsage  = []string{"usage.hcl"}
)

// PricingOf reads what resources are priced by. It is read once per directory: all
// of a command judges by the same.
func PricingOf(p *project.Directory) (*Prices, diag.List) {
	root := p.CostRoot()
	at, _ := root.Session.Kept.LoadOrStore(pricesKey(root.RootDir()), &keptPrices{})
	kept := at.(*keptPrices)
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if kept.read != nil {
		return kept.read, nil
	}
	out := &Prices{books: map[string]*cost.Book{}}
	var diags diag.List
	if out.declared, diags = governingIn(root, p.Ensemble); diags.HasErrors() {
		return nil, diags
	}
	prices, usage, must := defaultPrices, defaultUsage, false
	if out.declared != nil && out.declared.Cost != nil {
		if c := out.declared.Cost; c.Prices != nil {
			prices, must = c.Prices, true
		}
		if c := out.declared.Cost; c.Usage != nil {
			usage = c.Usage
		}
	}
	diags = append(diags, eachFile(root, prices, must, func(name string, src []byte) diag.List {
		rows, d := cost.ParseRows(name, src)
		out.own = append(out.own, rows...)
		return d
	})...)
	diags = append(diags, eachFile(root, usage, out.declared != nil && out.declared.Cost != nil && out.declared.Cost.Usage != nil, func(name string, src []byte) diag.List {
		return out.AddUsage(p.Session, name, src)
	})...)
	if diags.HasErrors() {
		return nil, diags
	}
	kept.read = out
	return out, diags
}

// AddUsage adds what a file says about how much resources are used.
func (p *Prices) AddUsage(s *project.Session, name string, src []byte) diag.List {
	usage, diags := cost.ParseUsage(name, src)
	s.Quote(map[string][]byte{name: src})
	p.usage = p.usage.With(usage)
	return diags
}

// governingIn is the project whose budgets hold: as its files are now, not as they
// were when something was planned; where they are not here, as they were then.
func governingIn(p *project.Directory, e *project.Ensemble) (*projects.Project, diag.List) {
	if projects.Exists(p.RootDir()) {
		declared, diags := projects.Load(p.RootDir())
		if declared != nil && (!diags.HasErrors() || len(declared.Budgets) > 0) {
			p.Session.Quote(declared.Files)
			return declared, diags
		}
	}
	if e != nil {
		return e.Declared, nil
	}
	return nil, nil
}

// eachFile reads the files that patterns name, in order. Where they must be
// there, a pattern without files is a mistake.
func eachFile(p *project.Directory, patterns []string, must bool, read func(string, []byte) diag.List) diag.List {
	var diags diag.List
	for _, pattern := range patterns {
		names, err := filepath.Glob(p.Place(filepath.FromSlash(pattern)))
		if err != nil {
			return append(diags, diag.Errorf("Invalid pattern", "%q: %s.", pattern, err)...)
		}
		if len(names) == 0 && must {
			diags = append(diags, diag.Errorf("No such file", "The cost block names %q, but there is no such file.", pattern)...)
		}
		for _, name := range names {
			src, err := os.ReadFile(name)
			if err != nil {
				diags = append(diags, diag.Errorf("Cannot read file", "%s.", files.Reason(err))...)
				continue
			}
			diags = append(diags, read(name, src)...)
		}
	}
	return diags
}

// Estimate prices resources. Of our prices only those of the providers concerned
// are read.
func (p *Prices) Estimate(list []cost.Instance) (*cost.Estimate, diag.List) {
	var names []string
	for i := range list {
		name := list[i].Provider[strings.LastIndexByte(list[i].Provider, '/')+1:]
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	book, diags := p.book(names)
	if diags.HasErrors() {
		return nil, diags
	}
	return book.Estimate(list, p.usage), nil
}

// book is the user's prices and ours of some providers.
func (p *Prices) book(providers []string) (*cost.Book, diag.List) {
	slices.Sort(providers)
	if len(providers) == 0 {
		providers = []string{"none"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := strings.Join(providers, " ")
	if book := p.books[key]; book != nil {
		return book, nil
	}
	ours, diags := cost.Defaults(providers...)
	if diags.HasErrors() {
		return nil, diags
	}
	p.books[key] = cost.NewBook(p.own, ours)
	return p.books[key], nil
}

// concerns reports whether a plan changes anything that has a price.
func (p *Prices) concerns(plan *plans.Plan) bool {
	var types, providers []string
	for _, c := range plan.Changes {
		r := c.Object.Instance.Resource
		if c.Action == plans.NoOp || r.Mode != addrs.Managed || len(types) > 0 && types[len(types)-1] == r.Type {
			continue
		}
		if !slices.Contains(types, r.Type) {
			types = append(types, r.Type)
		}
		if name := c.Provider.Provider.Type; !slices.Contains(providers, name) {
			providers = append(providers, name)
		}
	}
	book, diags := p.book(providers)
	return diags.HasErrors() || slices.ContainsFunc(types, book.Lists)
}

// budgets are those that hold for a stack in an environment, by name.
func (p *Prices) budgets(stacks []string, environment string) []*projects.Budget {
	if p.declared == nil {
		return nil
	}
	var out []*projects.Budget
	for _, name := range sortedKeys(p.declared.Budgets) {
		b := p.declared.Budgets[name]
		if slices.ContainsFunc(stacks, func(stack string) bool { return b.About(stack, environment) }) {
			out = append(out, b)
		}
	}
	return out
}

// regionsOf finds the regions that the configurations of providers name, as far
// as they are constants or variables of the root module.
func regionsOf(l *Plan) cost.Regions {
	known := map[addrs.ProviderConfig]string{}
	scope := &hcl.EvalContext{}
	return func(addr addrs.ProviderConfig) string {
		if region, ok := known[addr]; ok {
			return region
		}
		known[addr] = ""
		if l.Config == nil {
			return ""
		}
		module := l.Config.Modules[addr.Module]
		if module == nil {
			return ""
		}
		for local, pc := range module.ProviderConfigs {
			if local.Alias != addr.Alias || !module.ProviderFor(local.LocalName).Same(addr.Provider) || pc.Config == nil {
				continue
			}
			content, _, _ := pc.Config.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "region"}}})
			if content == nil || content.Attributes["region"] == nil {
				continue
			}
			if scope.Variables == nil {
				scope.Variables = map[string]cty.Value{"var": rootVariables(l)}
			}
			v, diags := content.Attributes["region"].Expr.Value(scope)
			if v, _ = v.Unmark(); !diags.HasErrors() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
				known[addr] = v.AsString()
			}
		}
		return known[addr]
	}
}

func rootVariables(l *Plan) cty.Value {
	values := map[string]cty.Value{}
	for name, v := range l.Plan.Variables {
		if v.Value != cty.NilVal {
			values[name] = v.Value
		}
	}
	return cty.ObjectVal(values)
}
