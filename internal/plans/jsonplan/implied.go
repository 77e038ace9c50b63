package jsonplan

import (
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

func impliedType(b *providers.Block) cty.Type {
	attrs := map[string]cty.Type{}
	for name, a := range b.Attributes {
		attrs[name] = a.Type
		if a.NestedType != nil {
			t := impliedType(&providers.Block{Attributes: a.NestedType.Attributes})
			attrs[name] = nest(t, a.NestedType.Nesting)
		}
	}
	for name, n := range b.BlockTypes {
		attrs[name] = nest(impliedType(&n.Block), n.Nesting)
	}
	return cty.Object(attrs)
}
func nest(t cty.Type, n providers.Nesting) cty.Type {
	switch n {
	case providers.NestingList:
		return cty.List(t)
	case providers.NestingSet:
		return cty.Set(t)
	case providers.NestingMap:
		return cty.Map(t)
	}
	return t
}
