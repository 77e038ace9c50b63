package states

import (
	"cmp"
	"slices"
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// sortedResources sorts by address text and drops repetitions, in place.
func sortedResources(in []addrs.ConfigResource) []addrs.ConfigResource {
	if len(in) < 2 {
		return in
	}
	texts := make(map[addrs.ConfigResource]string, len(in))
	for _, r := range in {
		texts[r] = r.String()
	}
	sort.Slice(in, func(i, j int) bool { return texts[in[i]] < texts[in[j]] })
	return slices.Compact(in)
}

// Closure returns for every resource in the state the resources that it depends
// on directly or through others, sorted by address, never itself. Instances of
// one resource count together. This is what tfstate and plan JSON call
// dependencies; a state's instances record the direct ones only.
//
// All resources are done at once, in time linear in the size of the result.
func Closure(s *State) map[addrs.ConfigResource][]addrs.ConfigResource {
	g := newClosureGraph(s)
	out := make(map[addrs.ConfigResource][]addrs.ConfigResource, len(g.present))
	for _, node := range g.present {
		ids := g.of(node)
		if len(ids) == 0 {
			out[g.resources[node]] = nil
			continue
		}
		list := make([]addrs.ConfigResource, len(ids))
		for i, id := range ids {
			list[i] = g.resources[id]
		}
		out[g.resources[node]] = list
	}
	return out
}

// closureGraph is the graph of resources by number. Numbers are in the order of
// the addresses' texts, so that sorted numbers are sorted addresses.
type closureGraph struct {
	resources []addrs.ConfigResource
	texts     []string
	ids       map[addrs.ConfigResource]int32
	direct    [][]int32 // of all instances together
	present   []int32   // resources that the state has, not only refers to

	// Components of resources that depend on each other (which a sound state
	// has only where it is one resource), each with what it depends on, itself
	// included.
	component []int32
	reach     [][]int32

	stamp      []int32 // node → last union that saw it
	generation int32
	search     componentSearch
}

type componentSearch struct {
	index, low []int32
	stack      []int32
	next       int32
}

func newClosureGraph(s *State) *closureGraph {
	g := &closureGraph{ids: map[addrs.ConfigResource]int32{}}
	owners := make(map[addrs.AbsResource]addrs.ConfigResource)
	seen := map[addrs.ConfigResource]bool{} // true: in the state
	for object, instance := range s.Instances {
		abs := object.Instance.AbsResource()
		if _, known := owners[abs]; !known {
			owners[abs] = abs.Config()
			seen[owners[abs]] = true
		}
		for _, dependency := range instance.Dependencies {
			if _, known := seen[dependency]; !known {
				seen[dependency] = false
			}
		}
	}
	g.number(seen)
	n := len(g.resources)
	g.direct = make([][]int32, n)
	last := make([][]addrs.ConfigResource, n)
	for object, instance := range s.Instances {
		node := g.ids[owners[object.Instance.AbsResource()]]
		if slices.Equal(last[node], instance.Dependencies) {
			continue // instances mostly repeat what the others have
		}
		last[node] = instance.Dependencies
		for _, dependency := range instance.Dependencies {
			g.direct[node] = append(g.direct[node], g.ids[dependency])
		}
	}
	for node, list := range g.direct {
		slices.Sort(list)
		g.direct[node] = slices.Compact(list)
	}
	g.component = make([]int32, n)
	g.stamp = make([]int32, n)
	g.search = componentSearch{index: make([]int32, n), low: make([]int32, n)}
	for node := range int32(n) {
		if g.search.index[node] == 0 {
			g.visit(node)
		}
	}
	g.search = componentSearch{}
	return g
}

func (g *closureGraph) number(seen map[addrs.ConfigResource]bool) {
	type named struct {
		resource addrs.ConfigResource
		text     string
	}
	all := make([]named, 0, len(seen))
	for r := range seen {
		all = append(all, named{r, r.String()})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].text < all[j].text })
	for i, n := range all {
		g.resources = append(g.resources, n.resource)
		g.texts = append(g.texts, n.text)
		g.ids[n.resource] = int32(i)
		if seen[n.resource] {
			g.present = append(g.present, int32(i))
		}
	}
}

// visit is Tarjan's algorithm: components come out after all that they depend
// on, so that each one's reach is a union of reaches already known.
func (g *closureGraph) visit(node int32) {
	s := &g.search
	s.next++
	s.index[node], s.low[node] = s.next, s.next
	s.stack = append(s.stack, node)
	for _, dep := range g.direct[node] {
		if s.index[dep] == 0 {
			g.visit(dep)
			s.low[node] = min(s.low[node], s.low[dep])
		} else if s.index[dep] > 0 {
			s.low[node] = min(s.low[node], s.index[dep])
		}
	}
	if s.low[node] != s.index[node] {
		return
	}
	start := len(s.stack) - 1
	for s.stack[start] != node {
		start--
	}
	members := s.stack[start:]
	id := int32(len(g.reach))
	g.generation++
	for _, member := range members {
		s.index[member] = -1 // done
		g.component[member] = id
		g.stamp[member] = g.generation
	}
	reach := slices.Clone(members)
	var direct []int32
	for _, member := range members {
		direct = append(direct, g.direct[member]...)
	}
	reach = g.union(reach, direct)
	slices.Sort(reach)
	g.reach = append(g.reach, reach)
	s.stack = s.stack[:start]
}

// union adds to a set the resources given and what they depend on. Later
// components first: what they reach need not be looked at again, which keeps
// lists that are transitive already, as in files of other tools, linear.
func (g *closureGraph) union(to, direct []int32) []int32 {
	slices.SortFunc(direct, func(a, b int32) int { return cmp.Compare(g.component[b], g.component[a]) })
	for _, dep := range direct {
		if g.stamp[dep] == g.generation {
			continue
		}
		for _, id := range g.reach[g.component[dep]] {
			if g.stamp[id] != g.generation {
				g.stamp[id] = g.generation
				to = append(to, id)
			}
		}
	}
	return to
}

// of returns what a resource depends on, sorted, without itself.
func (g *closureGraph) of(node int32) []int32 {
	return without(g.reach[g.component[node]], node)
}

// hasAll reports whether an instance's direct dependencies are all that the
// resource has.
func (g *closureGraph) hasAll(node int32, direct []addrs.ConfigResource) bool {
	if len(direct) != len(g.direct[node]) {
		return false
	}
	for _, dependency := range direct {
		if _, found := slices.BinarySearch(g.direct[node], g.ids[dependency]); !found {
			return false
		}
	}
	return true
}

// from returns what an instance with the given direct dependencies depends on,
// sorted, without itself.
func (g *closureGraph) from(node int32, direct []addrs.ConfigResource) []int32 {
	ids := make([]int32, len(direct))
	for i, dependency := range direct {
		ids[i] = g.ids[dependency]
	}
	g.generation++
	out := g.union(nil, ids)
	slices.Sort(out)
	return without(out, node)
}

func without(sorted []int32, id int32) []int32 {
	at, found := slices.BinarySearch(sorted, id)
	if !found {
		return sorted
	}
	out := make([]int32, 0, len(sorted)-1)
	return append(append(out, sorted[:at]...), sorted[at+1:]...)
}
