package engine

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/providers"
)

// nodeKind is the kind of one node of the configuration graph.
type nodeKind byte

const (
	nodeVariable nodeKind = iota
	nodeLocal
	nodeOutput
	nodeCall      // a module call's repetition
	nodeCallAfter // what a module call's depends_on names
	nodeModule    // everything inside a module is done
	nodeProvider
	nodeResource
	nodeCheck
)

// graph is the configuration's reference graph: one node per declaration of the
// static module tree, one edge per direct reference. It has no instances in it;
// those appear while it is walked.
type graph struct {
	nodes []node
	index map[nodeKey]int

	// resourceDeps memoises resourcesBehind.
	resourceDeps map[int][]int
}

// node is one declaration. needs are node numbers.
type node struct {
	kind   nodeKind
	module *configs.Module
	name   string // of the variable, local, output, call or check

	resource *configs.Resource
	provider *configs.ProviderConfig
	call     *configs.ModuleCall

	needs []int
	// explicit are the needs that come from depends_on, own or of a call, and of a
	// data source those that come from mentioning a managed resource.
	explicit []int
	// refs are the references of a resource's configuration, found once.
	refs []addrs.Reference
}

// nodeKey finds a node. name is the resource's or provider's address text where
// it is one of those.
type nodeKey struct {
	kind     nodeKind
	module   addrs.Module
	name     string
	resource addrs.Resource
}

// String names a node the way a user would, for cycle messages.
func (n *node) String() string {
	prefix := ""
	if n.module.Path != "" {
		prefix = n.module.Path.String() + "."
	}
	switch n.kind {
	case nodeVariable:
		return prefix + "var." + n.name
	case nodeLocal:
		return prefix + "local." + n.name
	case nodeOutput:
		return prefix + "output." + n.name
	case nodeCall, nodeCallAfter:
		return prefix + "module." + n.name
	case nodeModule:
		return n.module.Path.String() + " (close)"
	case nodeProvider:
		return prefix + "provider." + n.provider.Local.String()
	case nodeResource:
		return prefix + n.resource.Addr.String()
	case nodeCheck:
		return prefix + "check." + n.name
	}
	return prefix + n.name
}

// schemaSource gives the schema of a resource's type. A nil block means that
// the schema cannot be had; its reason has been reported by whoever was asked.
type schemaSource func(provider addrs.Provider) *providers.Schemas

// buildGraph makes the reference graph of a configuration.
func buildGraph(cfg *configs.Config, schemas schemaSource) (*graph, diag.List) {
	b := graphBuilder{
		cfg: cfg, schemas: schemas,
		graph: &graph{index: map[nodeKey]int{}, resourceDeps: map[int][]int{}},
	}
	b.addModule(cfg.Root)
	for i := range b.graph.nodes {
		b.connect(i)
	}
	b.diags = append(b.diags, b.graph.cycles()...)
	return b.graph, b.diags
}

type graphBuilder struct {
	cfg     *configs.Config
	schemas schemaSource
	graph   *graph
	diags   diag.List
}

func (b *graphBuilder) add(n node, key nodeKey) int {
	id := len(b.graph.nodes)
	b.graph.nodes = append(b.graph.nodes, n)
	b.graph.index[key] = id
	return id
}

// addModule adds the nodes of a module and of all modules it calls, in an order
// that does not depend on map iteration.
func (b *graphBuilder) addModule(m *configs.Module) {
	for _, name := range sortedKeys(m.Variables) {
		b.add(node{kind: nodeVariable, module: m, name: name}, nodeKey{kind: nodeVariable, module: m.Path, name: name})
	}
	for _, name := range sortedKeys(m.Locals) {
		b.add(node{kind: nodeLocal, module: m, name: name}, nodeKey{kind: nodeLocal, module: m.Path, name: name})
	}
	for _, local := range sortedProviders(m.ProviderConfigs) {
		b.add(node{kind: nodeProvider, module: m, name: local.String(), provider: m.ProviderConfigs[local]},
			nodeKey{kind: nodeProvider, module: m.Path, name: local.String()})
	}
	for _, r := range m.ResourceList {
		b.add(node{kind: nodeResource, module: m, resource: r}, nodeKey{kind: nodeResource, module: m.Path, resource: r.Addr})
	}
	for _, name := range sortedKeys(m.Outputs) {
		b.add(node{kind: nodeOutput, module: m, name: name}, nodeKey{kind: nodeOutput, module: m.Path, name: name})
	}
	for _, name := range sortedKeys(m.Checks) {
		b.add(node{kind: nodeCheck, module: m, name: name}, nodeKey{kind: nodeCheck, module: m.Path, name: name})
	}
	for _, name := range sortedKeys(m.ModuleCalls) {
		call := m.ModuleCalls[name]
		b.add(node{kind: nodeCall, module: m, name: name, call: call}, nodeKey{kind: nodeCall, module: m.Path, name: name})
		b.add(node{kind: nodeCallAfter, module: m, name: name, call: call}, nodeKey{kind: nodeCallAfter, module: m.Path, name: name})
		if child := m.Children[name]; child != nil {
			b.addModule(child)
			b.add(node{kind: nodeModule, module: child}, nodeKey{kind: nodeModule, module: child.Path})
		}
	}
}

// connect finds the needs of one node.
func (b *graphBuilder) connect(id int) {
	n := &b.graph.nodes[id]
	m := n.module
	switch n.kind {
	case nodeVariable:
		if m.Parent != nil {
			b.need(n, nodeKey{kind: nodeCall, module: m.Parent.Path, name: m.Call.Name})
			b.expr(n, m.Parent, m.Call.Arguments[n.name])
		}
	case nodeLocal:
		b.expr(n, m, m.Locals[n.name].Expr)
	case nodeOutput:
		out := m.Outputs[n.name]
		b.expr(n, m, out.Expr)
		b.rules(n, m, out.Preconditions)
		b.dependsOn(n, m, out.DependsOn)
		b.insideCall(n, m)
	case nodeCall:
		b.expr(n, m, n.call.Count)
		b.expr(n, m, n.call.ForEach)
		b.expr(n, m, n.call.Enabled)
		b.insideCall(n, m)
	case nodeCallAfter:
		b.dependsOn(n, m, n.call.DependsOn)
		if m.Parent != nil {
			b.need(n, nodeKey{kind: nodeCallAfter, module: m.Parent.Path, name: m.Call.Name})
		}
	case nodeModule:
		b.contents(n, m)
	case nodeProvider:
		b.providerNeeds(n)
	case nodeResource:
		b.resourceNeeds(n)
	case nodeCheck:
		b.rules(n, m, m.Checks[n.name].Asserts)
		if data := m.Checks[n.name].Data; data != nil {
			b.need(n, nodeKey{kind: nodeResource, module: m.Path, resource: data.Addr})
		}
		b.insideCall(n, m)
	}
	sort.Ints(n.needs)
	n.needs = dedupeInts(n.needs)
}

// insideCall makes a node wait for the repetition of the call around it.
func (b *graphBuilder) insideCall(n *node, m *configs.Module) {
	if m.Parent != nil {
		b.need(n, nodeKey{kind: nodeCall, module: m.Parent.Path, name: m.Call.Name})
	}
}

func (b *graphBuilder) contents(n *node, m *configs.Module) {
	for _, r := range m.ResourceList {
		b.need(n, nodeKey{kind: nodeResource, module: m.Path, resource: r.Addr})
	}
	for name := range m.Outputs {
		b.need(n, nodeKey{kind: nodeOutput, module: m.Path, name: name})
	}
	for _, child := range m.Children {
		b.need(n, nodeKey{kind: nodeModule, module: child.Path})
	}
}

func (b *graphBuilder) providerNeeds(n *node) {
	schemas := b.schemas(n.module.ProviderFor(n.provider.Local.LocalName))
	if schemas != nil && schemas.Provider.Block != nil {
		refs, _ := lang.BodyReferences(n.provider.Config, schemas.Provider.Block.DecoderSpec())
		n.refs = refs
		b.references(n, n.module, refs)
	}
	b.insideCall(n, n.module)
}

func (b *graphBuilder) resourceNeeds(n *node) {
	r, m := n.resource, n.module
	if block := resourceBlock(b.schemas(r.Provider), r.Addr); block != nil {
		refs, diags := lang.BodyReferences(r.Config, block.DecoderSpec())
		b.diags = append(b.diags, diags...)
		n.refs = refs
		b.references(n, m, refs)
	}
	for _, e := range []hcl.Expression{r.Count, r.ForEach, r.Enabled} {
		b.expr(n, m, e)
	}
	for _, e := range r.ReplaceTriggeredBy {
		b.expr(n, m, e)
	}
	b.rules(n, m, r.Preconditions)
	b.rules(n, m, r.Postconditions)
	for _, p := range r.Provisioners {
		b.bodyRefs(n, m, p.Config)
		if p.Connection != nil {
			b.bodyRefs(n, m, p.Connection.Config)
		}
	}
	if r.Connection != nil {
		b.bodyRefs(n, m, r.Connection.Config)
	}
	if r.Addr.Mode == addrs.Data {
		b.readsAfter(n)
	}
	b.dependsOn(n, m, r.DependsOn)
	b.insideCall(n, m)
	if m.Parent != nil {
		id := b.need(n, nodeKey{kind: nodeCallAfter, module: m.Parent.Path, name: m.Call.Name})
		if id >= 0 {
			n.explicit = append(n.explicit, id)
		}
	}
	b.providerOf(n, m, r.ProviderLocal)
}

// readsAfter makes a data source wait for the managed resources that it refers to
// directly as if depends_on named them: who writes file.this.name instead of the
// name, which may be known, wants what is there when the file is.
func (b *graphBuilder) readsAfter(n *node) {
	for _, id := range n.needs {
		if to := &b.graph.nodes[id]; to.kind == nodeResource && to.resource.Addr.Mode == addrs.Managed {
			n.explicit = append(n.explicit, id)
		}
	}
}

// bodyRefs adds the references of a body without known schema.
func (b *graphBuilder) bodyRefs(n *node, m *configs.Module, body hcl.Body) {
	attrs, _ := body.JustAttributes()
	for _, a := range attrs {
		b.expr(n, m, a.Expr)
	}
}

// providerOf makes a resource wait for the provider block it uses.
func (b *graphBuilder) providerOf(n *node, m *configs.Module, local addrs.LocalProviderConfig) {
	_, block := b.cfg.ResolveProvider(m, local)
	if block != nil {
		b.need(n, nodeKey{kind: nodeProvider, module: block.Module.Path, name: block.Local.String()})
	}
}

func (b *graphBuilder) rules(n *node, m *configs.Module, rules []*configs.CheckRule) {
	for _, rule := range rules {
		b.expr(n, m, rule.Condition)
		b.expr(n, m, rule.ErrorMessage)
	}
}

func (b *graphBuilder) expr(n *node, m *configs.Module, expr hcl.Expression) {
	if expr == nil {
		return
	}
	refs, diags := lang.ExprReferences(expr)
	b.diags = append(b.diags, diags...)
	b.references(n, m, refs)
}

// references adds an edge for every reference. A reference to something that
// does not exist is reported where it is evaluated, with better words.
func (b *graphBuilder) references(n *node, m *configs.Module, refs []addrs.Reference) {
	for i := range refs {
		b.reference(n, m, &refs[i])
	}
}

func (b *graphBuilder) reference(n *node, m *configs.Module, ref *addrs.Reference) {
	switch ref.Kind {
	case addrs.RefVariable:
		b.need(n, nodeKey{kind: nodeVariable, module: m.Path, name: ref.Name})
	case addrs.RefLocal:
		b.need(n, nodeKey{kind: nodeLocal, module: m.Path, name: ref.Name})
	case addrs.RefResource:
		b.need(n, nodeKey{kind: nodeResource, module: m.Path, resource: ref.Resource})
	case addrs.RefModule:
		child := m.Children[ref.Name]
		if child == nil {
			return
		}
		b.need(n, nodeKey{kind: nodeCall, module: m.Path, name: ref.Name})
		if name := moduleOutputName(ref); name != "" {
			b.need(n, nodeKey{kind: nodeOutput, module: child.Path, name: name})
			return
		}
		for name := range child.Outputs {
			b.need(n, nodeKey{kind: nodeOutput, module: child.Path, name: name})
		}
	}
}

// moduleOutputName returns the only output a module reference can mean, also
// behind an index or splat that is not constant; empty where it means several.
func moduleOutputName(ref *addrs.Reference) string {
	if ref.Output != "" {
		return ref.Output
	}
	for i, step := range ref.Remaining {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			return s.Name
		case hcl.TraverseIndex, hcl.TraverseSplat:
			if i > 0 {
				return ""
			}
		}
	}
	return ""
}

// dependsOn adds edges for depends_on: to a module means all that is in it.
func (b *graphBuilder) dependsOn(n *node, m *configs.Module, traversals []hcl.Traversal) {
	refs, diags := lang.References(traversals)
	b.diags = append(b.diags, diags...)
	for i := range refs {
		ref := &refs[i]
		id := -1
		if ref.Kind == addrs.RefModule && ref.Output == "" {
			if child := m.Children[ref.Name]; child != nil {
				id = b.need(n, nodeKey{kind: nodeModule, module: child.Path})
			}
		} else {
			before := len(n.needs)
			b.reference(n, m, ref)
			n.explicit = append(n.explicit, n.needs[before:]...)
		}
		if id >= 0 {
			n.explicit = append(n.explicit, id)
		}
	}
}

func (b *graphBuilder) need(n *node, key nodeKey) int {
	id, ok := b.graph.index[key]
	if !ok {
		return -1
	}
	if &b.graph.nodes[id] == n && key.kind != nodeLocal {
		// A resource may mention itself only in postconditions and provisioners,
		// which run when it is there; locals that do are real cycles.
		return -1
	}
	n.needs = append(n.needs, id)
	return id
}

// resourcesBehind returns the resources that node id reaches without passing
// through another resource: its direct dependencies in the sense of state.
func (g *graph) resourcesBehind(id int) []int {
	seen := map[int]bool{}
	var out []int
	var visit func(ids []int)
	visit = func(ids []int) {
		for _, dep := range ids {
			if seen[dep] {
				continue
			}
			seen[dep] = true
			switch g.nodes[dep].kind {
			case nodeResource:
				out = append(out, dep)
			case nodeProvider:
				// Ordering comes through the provider; dependency in state does not.
			default:
				visit(g.closure(dep))
			}
		}
	}
	visit(g.nodes[id].needs)
	sort.Ints(out)
	return out
}

// closure returns the resources behind a node that is not a resource, memoised
// because many resources share the same locals and variables.
func (g *graph) closure(id int) []int {
	if deps, ok := g.resourceDeps[id]; ok {
		return deps
	}
	g.resourceDeps[id] = nil // guards against cycles, which are reported elsewhere
	deps := g.resourcesBehind(id)
	g.resourceDeps[id] = deps
	return deps
}

// explicitBehind returns the resources that a resource's depends_on, or that of
// a call around it, leads to.
func (g *graph) explicitBehind(id int) []int {
	var out []int
	for _, dep := range g.nodes[id].explicit {
		if g.nodes[dep].kind == nodeResource {
			out = append(out, dep)
		} else {
			out = append(out, g.closure(dep)...)
		}
	}
	sort.Ints(out)
	return dedupeInts(out)
}

// cycles reports every group of nodes that refer to each other.
func (g *graph) cycles() diag.List {
	var diags diag.List
	for _, group := range stronglyConnected(g) {
		names := make([]string, 0, len(group))
		for _, id := range group {
			names = append(names, g.nodes[id].String())
		}
		sort.Strings(names)
		d := diag.Errorf("Cycle: "+strings.Join(names, ", "),
			"These objects refer to each other in a circle, so there is no order in which they could be made. Remove one of the references.")
		if rng := g.nodes[group[0]].declRange(); rng != nil {
			d[0].Subject = rng
		}
		diags = append(diags, d...)
	}
	return diags
}

// declRange returns where a node is declared, as far as it has a place.
func (n *node) declRange() *hcl.Range {
	switch n.kind {
	case nodeVariable:
		return n.module.Variables[n.name].DeclRange.Ptr()
	case nodeLocal:
		return n.module.Locals[n.name].DeclRange.Ptr()
	case nodeOutput:
		return n.module.Outputs[n.name].DeclRange.Ptr()
	case nodeResource:
		return n.resource.DeclRange.Ptr()
	case nodeProvider:
		return n.provider.DeclRange.Ptr()
	case nodeCall, nodeCallAfter:
		return n.call.DeclRange.Ptr()
	case nodeCheck:
		return n.module.Checks[n.name].DeclRange.Ptr()
	}
	return nil
}

// stronglyConnected returns the components with more than one node, and nodes
// that need themselves (Tarjan's algorithm, iterative because chains are long).
func stronglyConnected(g *graph) [][]int {
	const unseen = -1
	index := make([]int, len(g.nodes))
	low := make([]int, len(g.nodes))
	onStack := make([]bool, len(g.nodes))
	for i := range index {
		index[i] = unseen
	}
	var groups [][]int
	var stack []int
	type frame struct{ id, next int }
	counter := 0
	for start := range g.nodes {
		if index[start] != unseen {
			continue
		}
		frames := []frame{{id: start}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			if f.next == 0 && index[f.id] == unseen {
				index[f.id], low[f.id] = counter, counter
				counter++
				stack = append(stack, f.id)
				onStack[f.id] = true
			}
			needs := g.nodes[f.id].needs
			descended := false
			for f.next < len(needs) {
				dep := needs[f.next]
				f.next++
				if index[dep] == unseen {
					frames = append(frames, frame{id: dep})
					descended = true
					break
				}
				if onStack[dep] {
					low[f.id] = min(low[f.id], index[dep])
				}
			}
			if descended {
				continue
			}
			id := f.id
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				parent := frames[len(frames)-1].id
				low[parent] = min(low[parent], low[id])
			}
			if low[id] != index[id] {
				continue
			}
			var group []int
			for {
				top := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				onStack[top] = false
				group = append(group, top)
				if top == id {
					break
				}
			}
			if len(group) > 1 || containsInt(g.nodes[id].needs, id) {
				groups = append(groups, group)
			}
		}
	}
	return groups
}

// resourceBlock returns the schema block for a resource, or nil.
func resourceBlock(s *providers.Schemas, r addrs.Resource) *providers.Block {
	return resourceSchema(s, r).Block
}

// resourceSchema returns the schema for a resource of any mode; its Block is
// nil where the provider has no such type.
func resourceSchema(s *providers.Schemas, r addrs.Resource) providers.Schema {
	if s == nil {
		return providers.Schema{}
	}
	switch r.Mode {
	case addrs.Data:
		return s.DataSources[r.Type]
	case addrs.Ephemeral:
		return s.EphemeralResources[r.Type]
	}
	return s.ResourceTypes[r.Type]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func sortedProviders(m map[addrs.LocalProviderConfig]*configs.ProviderConfig) []addrs.LocalProviderConfig {
	keys := make([]addrs.LocalProviderConfig, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	return keys
}

func dedupeInts(sorted []int) []int {
	if len(sorted) < 2 {
		return sorted
	}
	out := sorted[:1]
	for _, v := range sorted[1:] {
		if v != out[len(out)-1] {
			out = append(out, v)
		}
	}
	return out
}

func containsInt(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}
