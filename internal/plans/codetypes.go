package plans

import (
	"encoding/binary"
	"reflect"
	"sort"

	"github.com/zclconf/go-cty/cty"
)

// The tags of composite types in the type table.
const (
	tagList   = 'l'
	tagSet    = 's'
	tagMap    = 'm'
	tagTuple  = 't'
	tagObject = 'o'
)

// typeInfo is a type with what coding its values needs, worked out once.
type typeInfo struct {
	typ     cty.Type
	dynamic bool        // holds the dynamic type somewhere
	elem    *typeInfo   // of a collection
	names   []string    // of an object's attributes, sorted
	members []*typeInfo // an object's attributes in order of names, or a tuple's elements
	depth   int         // of nesting
	size    int         // number of types it consists of, repetitions counted
}

// maxTypeSize bounds how large a type may be: a few numbers in a forged table
// could describe a type that no machine can look at.
const maxTypeSize = 1 << 20

func (t *typeInfo) contains(part *typeInfo) {
	t.dynamic = t.dynamic || part.dynamic
	t.depth = max(t.depth, part.depth+1)
	t.size += part.size + 1
}

// The ids of the types every table starts with.
const (
	idDynamic = iota
	idString
	idNumber
	idBool
)

// A typeTable numbers types. Equal types have one number, so that each is
// written once; a composite type's definition speaks of its parts by number,
// which are all smaller than its own.
type typeTable struct {
	types       []*typeInfo
	definitions [][]byte       // of composite types, in order
	ids         map[string]int // by definition
	objects     map[uintptr]int
	depth       int
}

func newTypeTable() *typeTable {
	return &typeTable{
		types: []*typeInfo{
			idDynamic: {typ: cty.DynamicPseudoType, dynamic: true},
			idString:  {typ: cty.String}, idNumber: {typ: cty.Number}, idBool: {typ: cty.Bool},
		},
		ids: map[string]int{}, objects: map[uintptr]int{},
	}
}

// id returns the number of a type, which it gets if it has none; -1 where
// values of the type cannot be stored.
func (t *typeTable) id(ty cty.Type) int {
	switch {
	case ty == cty.NilType:
		return -1
	case ty.IsPrimitiveType():
		switch ty {
		case cty.String:
			return idString
		case cty.Number:
			return idNumber
		}
		return idBool
	case ty.IsObjectType():
		// The map inside an object type lives as long as the plan, so that its
		// address identifies it: a schema's type is recognised without looking
		// at its attributes.
		at := reflect.ValueOf(ty.AttributeTypes()).Pointer()
		id, ok := t.objects[at]
		if !ok {
			id = t.intern(ty)
			t.objects[at] = id
		}
		return id
	case ty == cty.DynamicPseudoType:
		return idDynamic
	}
	return t.intern(ty)
}

func (t *typeTable) intern(ty cty.Type) int {
	if t.depth++; t.depth > maxDepth { // what could not be read back
		return -1
	}
	defer func() { t.depth-- }()
	info := &typeInfo{typ: ty}
	var def []byte
	part := func(of cty.Type) *typeInfo {
		id := t.id(of)
		if id < 0 {
			def = nil
			return nil
		}
		def = binary.AppendUvarint(def, uint64(id))
		info.contains(t.types[id])
		return t.types[id]
	}
	ok := true
	switch {
	case ty.IsListType(), ty.IsSetType(), ty.IsMapType():
		def = append(def, collectionTag(ty))
		info.elem = part(ty.ElementType())
		ok = info.elem != nil
	case ty.IsTupleType():
		elems := ty.TupleElementTypes()
		def = binary.AppendUvarint(append(def, tagTuple), uint64(len(elems)))
		for _, e := range elems {
			m := part(e)
			ok = ok && m != nil
			info.members = append(info.members, m)
		}
	case ty.IsObjectType():
		attrs := ty.AttributeTypes()
		info.names = sortedNames(attrs)
		def = binary.AppendUvarint(append(def, tagObject), uint64(len(attrs)))
		for _, name := range info.names {
			def = append(binary.AppendUvarint(def, uint64(len(name))), name...)
			m := part(attrs[name])
			ok = ok && m != nil
			info.members = append(info.members, m)
		}
	default:
		ok = false
	}
	if !ok {
		return -1
	}
	if id, seen := t.ids[string(def)]; seen {
		return id
	}
	return t.add(info, def)
}

func (t *typeTable) add(info *typeInfo, def []byte) int {
	id := len(t.types)
	t.types = append(t.types, info)
	t.definitions = append(t.definitions, def)
	t.ids[string(def)] = id
	return id
}

func collectionTag(ty cty.Type) byte {
	switch {
	case ty.IsListType():
		return tagList
	case ty.IsSetType():
		return tagSet
	}
	return tagMap
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// append writes the table.
func (t *typeTable) append(buf []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(t.definitions)))
	for _, def := range t.definitions {
		buf = append(buf, def...)
	}
	return buf
}

// read reads the table from a decoder that stands at its beginning.
func (t *typeTable) read(c *coder) {
	for n := c.length(0); n > 0 && c.err == nil; n-- {
		if info := t.readType(c); info != nil {
			t.types = append(t.types, info)
		}
	}
}

// readPart reads the number of a type defined before.
func (t *typeTable) readPart(c *coder, of *typeInfo) *typeInfo {
	var id uint64
	c.uint(&id)
	if id >= uint64(len(t.types)) {
		c.fail("unknown type")
		return nil
	}
	part := t.types[id]
	of.contains(part)
	if of.depth > maxDepth || of.size > maxTypeSize {
		c.fail("a type is too large")
		return nil
	}
	return part
}

func (t *typeTable) readType(c *coder) *typeInfo {
	var tag byte
	c.byte(&tag)
	info := &typeInfo{}
	switch tag {
	case tagList, tagSet, tagMap:
		if info.elem = t.readPart(c, info); info.elem == nil {
			return nil
		}
		switch tag {
		case tagList:
			info.typ = cty.List(info.elem.typ)
		case tagSet:
			info.typ = cty.Set(info.elem.typ)
		case tagMap:
			info.typ = cty.Map(info.elem.typ)
		}
	case tagTuple:
		var elems []cty.Type
		for n := c.length(0); n > 0; n-- {
			m := t.readPart(c, info)
			if m == nil {
				return nil
			}
			info.members = append(info.members, m)
			elems = append(elems, m.typ)
		}
		info.typ = cty.Tuple(elems)
	case tagObject:
		attrs := map[string]cty.Type{}
		for n := c.length(0); n > 0; n-- {
			var name string
			c.text(&name)
			m := t.readPart(c, info)
			if m == nil {
				return nil
			}
			if _, twice := attrs[name]; twice {
				c.fail("attribute named twice")
				return nil
			}
			attrs[name] = m.typ
			info.names = append(info.names, name)
			info.members = append(info.members, m)
		}
		info.typ = cty.Object(attrs)
	default:
		c.fail("unknown kind of type")
		return nil
	}
	return info
}
