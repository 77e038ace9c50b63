package plans

import (
	"math"
	"math/big"

	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

// What a value is, in the low bits of the byte before it.
const (
	valueNil     = iota // no value at all: cty.NilVal
	valueNull           //
	valueUnknown        // without refinements
	valueRefined        // unknown, with refinements
	valueKnown          //

	valueKind      = 7  // mask of the above
	valueSensitive = 8  // set besides for a value marked sensitive
	valueTyped     = 16 // set besides where the value's own type follows
)

// anyValue codes a value together with its type.
func (c *coder) anyValue(v *cty.Value) { c.value(v, c.types.types[idDynamic]) }

// value codes a value that is declared to be of a type. One that is not, or
// not quite because parts of the type are dynamic, is written with its own type.
func (c *coder) value(v *cty.Value, declared *typeInfo) {
	if !c.encoding {
		*v = c.getValue(declared)
		return
	}
	if *v == cty.NilVal {
		c.buf = append(c.buf, valueNil)
		return
	}
	if !conforms(v.Type(), declared) {
		declared = c.types.types[idDynamic]
	}
	c.putValue(*v, declared)
}

// conforms reports whether a value of type got can be written against want.
func conforms(got cty.Type, want *typeInfo) bool {
	switch {
	case want.typ == cty.DynamicPseudoType:
		return true
	case !want.dynamic:
		return got.Equals(want.typ)
	case want.typ.IsObjectType():
		if !got.IsObjectType() {
			return false
		}
		attrs := got.AttributeTypes()
		if len(attrs) != len(want.names) {
			return false
		}
		for i, name := range want.names {
			t, ok := attrs[name]
			if !ok || !conforms(t, want.members[i]) {
				return false
			}
		}
		return true
	case want.typ.IsTupleType():
		if !got.IsTupleType() || got.Length() != len(want.members) {
			return false
		}
		for i, t := range got.TupleElementTypes() {
			if !conforms(t, want.members[i]) {
				return false
			}
		}
		return true
	}
	return got.IsCollectionType() && collectionTag(got) == collectionTag(want.typ)
}

// putValue writes a value whose type conforms to want.
func (c *coder) putValue(v cty.Value, want *typeInfo) {
	var flags byte
	if v.IsMarked() {
		bare, on := v.Unmark()
		for mark := range on {
			if mark != marks.Sensitive {
				c.fail("a value marked %#v must not be stored", mark)
				return
			}
		}
		v, flags = bare, valueSensitive
	}
	known, null := v.IsKnown(), v.IsNull()
	kind := byte(valueKnown)
	switch {
	case null:
		kind = valueNull
	case !known:
		kind = valueUnknown
		if isRefined(v) {
			kind = valueRefined
		}
	}
	// Members of known objects and tuples say themselves what they are.
	composed := want.typ.IsObjectType() || want.typ.IsTupleType()
	if want.dynamic && !(kind == valueKnown && composed) {
		id := c.types.id(v.Type())
		if id < 0 {
			c.fail("values of type %s cannot be stored", v.Type().FriendlyName())
			return
		}
		c.buf = append(c.buf, kind|flags|valueTyped)
		u := uint64(id)
		c.uint(&u)
		want = c.types.types[id]
	} else {
		c.buf = append(c.buf, kind|flags)
	}
	switch kind {
	case valueRefined:
		c.putRefinements(v)
	case valueKnown:
		c.putKnown(v, want)
	}
}

func (c *coder) putKnown(v cty.Value, want *typeInfo) {
	switch {
	case want.typ == cty.String:
		s := v.AsString()
		c.text(&s)
	case want.typ == cty.Number:
		c.putNumber(v.AsBigFloat())
	case want.typ == cty.Bool:
		b := v.True()
		c.bool(&b)
	case want.names != nil:
		for i, name := range want.names {
			c.putValue(v.GetAttr(name), want.members[i])
		}
	case want.elem == nil:
		i := 0
		for it := v.ElementIterator(); it.Next(); i++ {
			_, e := it.Element()
			c.putValue(e, want.members[i])
		}
	default:
		isMap := want.typ.IsMapType()
		c.length(v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			if isMap {
				s := k.AsString()
				c.text(&s)
			}
			c.putValue(e, want.elem)
		}
	}
}

func (c *coder) putNumber(n *big.Float) {
	if i, acc := n.Int64(); acc == big.Exact {
		form := byte(numberInt)
		c.byte(&form)
		c.int64(&i)
		return
	}
	form := byte(numberFloat)
	c.byte(&form)
	exact, err := n.GobEncode()
	if err != nil {
		c.fail("number: %w", err)
	}
	c.blob(&exact)
}

// The forms of numbers.
const (
	numberInt   = iota // zigzag varint
	numberFloat        // big.Float's own binary form: exact at any precision
)

// getValue reads what putValue wrote.
func (c *coder) getValue(want *typeInfo) cty.Value {
	if c.depth++; c.depth > maxDepth {
		c.fail("values are nested too deeply")
	}
	defer func() { c.depth-- }()
	var head byte
	c.byte(&head)
	if head&valueTyped != 0 {
		want = c.knownType()
	}
	if c.err != nil || head&valueKind == valueNil {
		return cty.NilVal
	}
	var v cty.Value
	switch head & valueKind {
	case valueNull:
		v = cty.NullVal(want.typ)
	case valueUnknown:
		v = cty.UnknownVal(want.typ)
	case valueRefined:
		v = c.getRefinements(want.typ)
	case valueKnown:
		v = c.getKnown(want)
	default:
		c.fail("unknown kind of value")
	}
	if c.err != nil {
		return cty.NilVal
	}
	if head&valueSensitive != 0 {
		v = v.Mark(marks.Sensitive)
	}
	return v
}

// knownType reads the number of a type in the table.
func (c *coder) knownType() *typeInfo {
	var id uint64
	c.uint(&id)
	if id >= uint64(len(c.types.types)) {
		c.fail("unknown type")
		return nil
	}
	return c.types.types[id]
}

func (c *coder) getKnown(want *typeInfo) cty.Value {
	switch {
	case want.typ == cty.String:
		var s string
		c.text(&s)
		return cty.StringVal(s)
	case want.typ == cty.Number:
		return c.getNumber()
	case want.typ == cty.Bool:
		var b bool
		c.bool(&b)
		return cty.BoolVal(b)
	case want.typ.IsObjectType():
		attrs := make(map[string]cty.Value, len(want.names))
		for i, name := range want.names {
			if v := c.getValue(want.members[i]); v != cty.NilVal {
				attrs[name] = v
			}
		}
		return cty.ObjectVal(attrs)
	case want.typ.IsTupleType():
		elems := make([]cty.Value, 0, len(want.members))
		for _, m := range want.members {
			elems = append(elems, c.getValue(m))
		}
		if c.err != nil {
			return cty.NilVal
		}
		return cty.TupleVal(elems)
	case want.elem == nil:
		c.fail("a known value of unknown type")
		return cty.NilVal
	case want.typ.IsMapType():
		return c.getMap(want)
	}
	n := c.length(0)
	elems := make([]cty.Value, 0, min(n, 1<<12))
	for i := 0; i < n && c.err == nil; i++ {
		elems = append(elems, c.getValue(want.elem))
	}
	switch {
	case c.err != nil:
		return cty.NilVal
	case want.typ.IsListType() && n == 0:
		return cty.ListValEmpty(want.elem.typ)
	case want.typ.IsListType():
		return cty.ListVal(elems)
	case n == 0:
		return cty.SetValEmpty(want.elem.typ)
	}
	return cty.SetVal(elems)
}

func (c *coder) getMap(want *typeInfo) cty.Value {
	n := c.length(0)
	elems := make(map[string]cty.Value, min(n, 1<<12))
	for i := 0; i < n && c.err == nil; i++ {
		var key string
		c.text(&key)
		elems[key] = c.getValue(want.elem)
	}
	if c.err != nil {
		return cty.NilVal
	}
	if n == 0 {
		return cty.MapValEmpty(want.elem.typ)
	}
	return cty.MapVal(elems)
}

func (c *coder) getNumber() cty.Value {
	var form byte
	c.byte(&form)
	if form == numberInt {
		var i int64
		c.int64(&i)
		return cty.NumberIntVal(i)
	}
	var exact []byte
	c.blob(&exact)
	n := new(big.Float)
	if err := n.GobDecode(exact); err != nil || len(exact) == 0 {
		c.fail("malformed number")
		return cty.NilVal
	}
	return cty.NumberVal(n)
}

// isRefined reports whether more than the type of an unknown value is known.
func isRefined(v cty.Value) bool {
	return !v.RawEquals(cty.UnknownVal(v.Type()))
}

// refinements is everything that can be known about an unknown value.
type refinements struct {
	notNull        bool
	prefix         string
	hasMin, hasMax bool
	min, max       cty.Value // of a number
	minInc, maxInc bool
	minLen, maxLen int // of a collection; maxLen -1 for unbounded
}

func (c *coder) putRefinements(v cty.Value) {
	rng := v.Range()
	ty := v.Type()
	r := refinements{notNull: rng.DefinitelyNotNull(), maxLen: -1}
	switch {
	case ty == cty.String:
		r.prefix = rng.StringPrefix()
	case ty == cty.Number:
		r.min, r.minInc = rng.NumberLowerBound()
		r.max, r.maxInc = rng.NumberUpperBound()
		r.hasMin = r.min.IsKnown() && !r.min.RawEquals(cty.NegativeInfinity)
		r.hasMax = r.max.IsKnown() && !r.max.RawEquals(cty.PositiveInfinity)
	case ty.IsCollectionType():
		r.minLen = rng.LengthLowerBound()
		if n := rng.LengthUpperBound(); n != math.MaxInt {
			r.maxLen = n
		}
	}
	c.refinements(&r, ty)
}

func (c *coder) refinements(r *refinements, ty cty.Type) {
	c.bool(&r.notNull)
	switch {
	case ty == cty.String:
		c.text(&r.prefix)
	case ty == cty.Number:
		c.bound(&r.hasMin, &r.min, &r.minInc)
		c.bound(&r.hasMax, &r.max, &r.maxInc)
	case ty.IsCollectionType():
		c.int(&r.minLen)
		c.int(&r.maxLen)
	}
}

func (c *coder) bound(has *bool, n *cty.Value, inclusive *bool) {
	c.bool(has)
	if *has {
		c.value(n, c.types.types[idNumber])
		c.bool(inclusive)
	}
}

func (c *coder) getRefinements(ty cty.Type) cty.Value {
	var r refinements
	c.refinements(&r, ty)
	if c.err != nil {
		return cty.NilVal
	}
	b := cty.UnknownVal(ty).Refine()
	if r.notNull {
		b = b.NotNull()
	}
	if r.prefix != "" {
		b = b.StringPrefixFull(r.prefix)
	}
	if r.hasMin {
		b = b.NumberRangeLowerBound(r.min, r.minInc)
	}
	if r.hasMax {
		b = b.NumberRangeUpperBound(r.max, r.maxInc)
	}
	if ty.IsCollectionType() {
		b = b.CollectionLengthLowerBound(r.minLen)
		if r.maxLen >= 0 {
			b = b.CollectionLengthUpperBound(r.maxLen)
		}
	}
	return b.NewValue()
}
