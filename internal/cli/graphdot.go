package cli

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
)

// resourceEdges is the summary graph people are shown: for each resource block
// the blocks its configuration reaches.
type resourceEdges map[addrs.ConfigResource][]addrs.ConfigResource

// reduced drops edges that a longer path already says, so that the picture
// stays readable. The graph of a configuration is small; one search per edge
// list is enough.
func (e resourceEdges) reduced() resourceEdges {
	out := resourceEdges{}
	for from, list := range e {
		far := map[addrs.ConfigResource]bool{}
		var mark func(addrs.ConfigResource)
		mark = func(at addrs.ConfigResource) {
			for _, next := range e[at] {
				if !far[next] {
					far[next] = true
					mark(next)
				}
			}
		}
		for _, direct := range list {
			mark(direct)
		}
		for _, direct := range list {
			if !far[direct] || far[from] {
				out[from] = append(out[from], direct)
			}
		}
		if out[from] == nil {
			out[from] = nil
		}
	}
	return out
}

// writeDot draws the graph as Terraform's "graph" does: one box per resource
// block, one cluster per module, an arrow to what is needed.
func writeDot(w io.Writer, cfg *configs.Config, edges resourceEdges) error {
	var b strings.Builder
	b.WriteString("digraph G {\n  rankdir = \"RL\";\n  node [shape = rect, fontname = \"sans-serif\"];\n")
	writeCluster(&b, cfg.Root, edges, "  ")
	for _, from := range sortedResources(edges) {
		for _, to := range edges[from] {
			fmt.Fprintf(&b, "  %q -> %q;\n", from.String(), to.String())
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCluster(b *strings.Builder, m *configs.Module, edges resourceEdges, indent string) {
	var list []addrs.ConfigResource
	for _, r := range m.ResourceList {
		if _, ok := edges[r.ConfigAddr()]; ok && r.Addr.Mode == addrs.Managed {
			list = append(list, r.ConfigAddr())
		}
	}
	for _, r := range m.ResourceList {
		if r.Addr.Mode != addrs.Managed {
			list = append(list, r.ConfigAddr())
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].String() < list[j].String() })
	for _, addr := range list {
		fmt.Fprintf(b, "%s%q [label=%q];\n", indent, addr.String(), addr.Resource.String())
	}
	names := make([]string, 0, len(m.Children))
	for name := range m.Children {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		child := m.Children[name]
		if !hasResources(child) {
			continue
		}
		path := child.Path.String()
		fmt.Fprintf(b, "%ssubgraph %q {\n%s  label = %q\n%s  fontname = \"sans-serif\"\n", indent, "cluster_"+path, indent, path, indent)
		writeCluster(b, child, edges, indent+"  ")
		fmt.Fprintf(b, "%s}\n", indent)
	}
}

func hasResources(m *configs.Module) bool {
	if len(m.ResourceList) > 0 {
		return true
	}
	for _, child := range m.Children {
		if hasResources(child) {
			return true
		}
	}
	return false
}

func sortedResources(edges resourceEdges) []addrs.ConfigResource {
	list := make([]addrs.ConfigResource, 0, len(edges))
	for addr := range edges {
		list = append(list, addr)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].String() < list[j].String() })
	return list
}
