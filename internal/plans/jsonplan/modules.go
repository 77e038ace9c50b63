package jsonplan

import (
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// A moduleTree sorts objects into the module instances they stand in.
type moduleTree[T any] struct {
	root  *moduleNode[T]
	nodes map[addrs.ModuleInstance]*moduleNode[T]
}

type moduleNode[T any] struct {
	address  addrs.ModuleInstance
	objects  []T
	children []*moduleNode[T]
}

func newModuleTree[T any]() *moduleTree[T] {
	root := &moduleNode[T]{}
	return &moduleTree[T]{root: root, nodes: map[addrs.ModuleInstance]*moduleNode[T]{"": root}}
}

func (t *moduleTree[T]) add(at addrs.ModuleInstance, object T) {
	n := t.node(at)
	n.objects = append(n.objects, object)
}

func (t *moduleTree[T]) node(at addrs.ModuleInstance) *moduleNode[T] {
	if n := t.nodes[at]; n != nil {
		return n
	}
	n := &moduleNode[T]{address: at}
	t.nodes[at] = n
	parentAddr, _ := at.Parent()
	parent := t.node(parentAddr)
	parent.children = append(parent.children, n)
	return n
}

// writeModule writes a module with its resources and the modules below it.
func writeModule[T any](e *encoder, n *moduleNode[T], resource func(T)) {
	e.ObjectStart()
	if len(n.objects) > 0 {
		e.Key("resources")
		e.ArrayStart()
		for _, o := range n.objects {
			resource(o)
		}
		e.ArrayEnd()
	}
	e.OptionalString("address", n.address.String())
	if len(n.children) > 0 {
		sort.Slice(n.children, func(i, j int) bool { return n.children[i].address < n.children[j].address })
		e.Key("child_modules")
		e.ArrayStart()
		for _, c := range n.children {
			writeModule(e, c, resource)
		}
		e.ArrayEnd()
	}
	e.ObjectEnd()
}
