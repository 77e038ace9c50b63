package objchange

import (
	"errors"
	"fmt"

	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// FormatError writes an error with the path it concerns in front.
func FormatError(err error) string {
	var pe cty.PathError
	if errors.As(err, &pe) && len(pe.Path) > 0 {
		return FormatPath(pe.Path) + ": " + pe.Error()
	}
	return err.Error()
}

// FormatPath writes a path as one would in configuration, with a leading dot.
func FormatPath(path cty.Path) string {
	out := ""
	for _, step := range path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			out += "." + s.Name
		case cty.IndexStep:
			switch {
			case s.Key.IsNull() || !s.Key.IsKnown():
				out += "[...]"
			case s.Key.Type() == cty.String:
				out += fmt.Sprintf("[%q]", s.Key.AsString())
			case s.Key.Type() == cty.Number:
				out += "[" + s.Key.AsBigFloat().Text('f', -1) + "]"
			default:
				out += "[...]" // a set element
			}
		}
	}
	return out
}

func errAt(path cty.Path, format string, args ...any) error {
	return append(cty.Path(nil), path...).NewErrorf(format, args...)
}

// AssertPlanValid checks what a provider planned: every value set in the
// configuration must be planned as it is there, or as it was before; only what
// the schema calls computed may be anything else, and only where the
// configuration leaves it out.
func AssertPlanValid(schema *providers.Block, prior, config, planned cty.Value) []error {
	return planBlock(schema, prior, config, planned, nil)
}

func planBlock(schema *providers.Block, prior, config, planned cty.Value, path cty.Path) []error {
	switch {
	case planned.IsNull() && !config.IsNull():
		return []error{errAt(path, "planned for absence but config wants existence")}
	case config.IsNull() && !planned.IsNull():
		return []error{errAt(path, "planned for existence but config wants absence")}
	case planned.IsNull():
		return nil
	case !planned.IsKnown() || !config.IsKnown():
		if config.IsKnown() {
			return []error{errAt(path, "planned unknown for a block that the configuration has")}
		}
		return nil
	}
	errs := planAttributes(schema.Attributes, prior, config, planned, path)
	for name, nb := range schema.BlockTypes {
		p := append(path, cty.GetAttrStep{Name: name})
		errs = append(errs, planNestedBlock(nb, attrOrNull(prior, name, config), config.GetAttr(name), planned.GetAttr(name), p)...)
	}
	return errs
}

func planAttributes(attrs map[string]*providers.Attribute, prior, config, planned cty.Value, path cty.Path) []error {
	var errs []error
	for name, a := range attrs {
		p := append(path, cty.GetAttrStep{Name: name})
		errs = append(errs, planAttribute(a, attrOrNull(prior, name, config), config.GetAttr(name), planned.GetAttr(name), p)...)
	}
	return errs
}

func planAttribute(a *providers.Attribute, prior, config, planned cty.Value, path cty.Path) []error {
	switch {
	case a.WriteOnly:
		if !planned.IsNull() {
			return []error{errAt(path, "planned a value for a write-only attribute, which must be null")}
		}
		return nil
	case planned.RawEquals(config):
		return nil
	case planned.RawEquals(prior) && !prior.IsNull() && !config.IsNull():
		return nil // the provider decided that the difference does not matter
	case config.IsNull():
		if a.Computed || planned.IsNull() {
			return nil
		}
		return []error{errAt(path, "planned value for a non-computed attribute")}
	case a.NestedType != nil:
		return planNestedAttribute(a.NestedType, prior, config, planned, path)
	case !config.IsKnown() && a.Computed:
		return nil
	case !config.IsKnown() && !planned.IsKnown():
		return nil // refinements may differ
	case a.Sensitive:
		return []error{errAt(path, "sensitive planned value does not match config value")}
	}
	return []error{errAt(path, "planned value %#v does not match config value %#v", planned, config)}
}

func planNestedBlock(nb *providers.NestedBlock, prior, config, planned cty.Value, path cty.Path) []error {
	recurse := func(prior, config, planned cty.Value, path cty.Path) []error {
		return planBlock(&nb.Block, prior, config, planned, path)
	}
	return planNested(nb.Nesting, true, prior, config, planned, path, recurse)
}

func planNestedAttribute(t *providers.NestedObject, prior, config, planned cty.Value, path cty.Path) []error {
	if planned.IsNull() {
		return []error{errAt(path, "planned for absence but config wants existence")}
	}
	recurse := func(prior, config, planned cty.Value, path cty.Path) []error {
		if config.IsNull() || planned.IsNull() {
			if config.IsNull() != planned.IsNull() {
				return []error{errAt(path, "planned presence differs from config")}
			}
			return nil
		}
		if !config.IsKnown() || !planned.IsKnown() {
			return nil
		}
		return planAttributes(t.Attributes, prior, config, planned, path)
	}
	return planNested(t.Nesting, false, prior, config, planned, path, recurse)
}

// planNested pairs the elements of nested objects and checks each pair.
func planNested(nesting providers.Nesting, isBlock bool, prior, config, planned cty.Value, path cty.Path, recurse func(prior, config, planned cty.Value, path cty.Path) []error) []error {
	if nesting == providers.NestingSingle || nesting == providers.NestingGroup {
		return recurse(prior, config, planned, path)
	}
	switch {
	case !config.IsKnown():
		return nil
	case !planned.IsKnown():
		return []error{errAt(path, "planned unknown for configured value")}
	case config.IsNull() != planned.IsNull():
		return []error{errAt(path, "planned presence differs from config")}
	case config.IsNull():
		return nil
	}
	if nesting == providers.NestingSet {
		return planSet(prior, config, planned, path, recurse)
	}
	if planned.LengthInt() != config.LengthInt() {
		what := "attribute"
		if isBlock {
			what = "block"
		}
		return []error{errAt(path, "%s count in plan (%d) disagrees with count in config (%d)", what, planned.LengthInt(), config.LengthInt())}
	}
	var errs []error
	for it := planned.ElementIterator(); it.Next(); {
		k, pl := it.Element()
		if has := config.HasIndex(k); config.Type().IsObjectType() {
			if !config.Type().HasAttribute(k.AsString()) {
				errs = append(errs, errAt(path, "element key %q from plan is not present in config", k.AsString()))
				continue
			}
		} else if has.IsKnown() && has.False() {
			errs = append(errs, errAt(path, "element key from plan is not present in config"))
			continue
		}
		errs = append(errs, recurse(elementOrNull(prior, k, pl.Type()), element(config, k), pl, append(path, cty.IndexStep{Key: k}))...)
	}
	return errs
}

func element(coll, key cty.Value) cty.Value {
	if coll.Type().IsObjectType() {
		return coll.GetAttr(key.AsString())
	}
	return coll.Index(key)
}

func elementOrNull(coll, key cty.Value, ty cty.Type) cty.Value {
	if coll.IsNull() || !coll.IsKnown() {
		return cty.NullVal(ty)
	}
	if coll.Type().IsObjectType() {
		if !coll.Type().HasAttribute(key.AsString()) {
			return cty.NullVal(ty)
		}
		return coll.GetAttr(key.AsString())
	}
	return indexOrNull(coll, key, ty)
}

// planSet requires that every planned element can stand for a configured one.
// Which one it stands for is not known, so any acceptable partner will do.
func planSet(prior, config, planned cty.Value, path cty.Path, recurse func(prior, config, planned cty.Value, path cty.Path) []error) []error {
	if planned.LengthInt() > config.LengthInt() {
		return []error{errAt(path, "set length in plan (%d) is greater than in config (%d)", planned.LengthInt(), config.LengthInt())}
	}
	for it := planned.ElementIterator(); it.Next(); {
		_, pl := it.Element()
		if !pl.IsKnown() {
			continue
		}
		ok := false
		for ic := config.ElementIterator(); ic.Next() && !ok; {
			_, c := ic.Element()
			if len(recurse(cty.NullVal(c.Type()), c, pl, path)) == 0 {
				ok = true
				break
			}
			eachElement(providers.NestingSet, prior, func(p cty.Value) {
				ok = ok || len(recurse(p, c, pl, path)) == 0
			})
		}
		if !ok {
			return []error{errAt(path, "planned set element %#v does not correlate with any element in config", pl)}
		}
	}
	return nil
}

// AssertObjectCompatible checks what a provider returned after applying against
// what was planned: all that was known must be as planned, unknowns may have
// become anything their refinements allow.
func AssertObjectCompatible(schema *providers.Block, planned, actual cty.Value) []error {
	return compatibleBlock(schema, planned, actual, nil)
}

func compatibleBlock(schema *providers.Block, planned, actual cty.Value, path cty.Path) []error {
	switch {
	case planned.IsNull() && !actual.IsNull():
		return []error{errAt(path, "was absent, but now present")}
	case actual.IsNull() && !planned.IsNull():
		return []error{errAt(path, "was present, but now absent")}
	case planned.IsNull() || !planned.IsKnown():
		return nil
	}
	var errs []error
	for name, a := range schema.Attributes {
		p := append(path, cty.GetAttrStep{Name: name})
		problems := CompatibleValue(planned.GetAttr(name), actual.GetAttr(name), p)
		if len(problems) > 0 && a.Sensitive {
			problems = []error{errAt(p, "inconsistent values for sensitive attribute")}
		}
		errs = append(errs, problems...)
	}
	for name, nb := range schema.BlockTypes {
		p := append(path, cty.GetAttrStep{Name: name})
		errs = append(errs, compatibleNested(nb, planned.GetAttr(name), actual.GetAttr(name), p)...)
	}
	return errs
}

func compatibleNested(nb *providers.NestedBlock, planned, actual cty.Value, path cty.Path) []error {
	if !planned.IsKnown() {
		return nil
	}
	if nb.Nesting == providers.NestingSingle || nb.Nesting == providers.NestingGroup {
		return compatibleBlock(&nb.Block, planned, actual, path)
	}
	if planned.IsNull() || actual.IsNull() {
		if planned.IsNull() != actual.IsNull() {
			return []error{errAt(path, "presence changed")}
		}
		return nil
	}
	// Unknown blocks in the plan stand for any number of blocks.
	dynamic := !planned.IsWhollyKnown() && hasUnknownObject(planned)
	if nb.Nesting == providers.NestingSet {
		if !dynamic && actual.LengthInt() > planned.LengthInt() {
			return []error{errAt(path, "block set length changed from %d to %d", planned.LengthInt(), actual.LengthInt())}
		}
		return compatibleSet(&nb.Block, planned, actual, path, dynamic)
	}
	if planned.LengthInt() != actual.LengthInt() {
		if dynamic {
			return nil
		}
		return []error{errAt(path, "block count changed from %d to %d", planned.LengthInt(), actual.LengthInt())}
	}
	var errs []error
	for it := planned.ElementIterator(); it.Next(); {
		k, p := it.Element()
		if actual.Type().IsObjectType() && !actual.Type().HasAttribute(k.AsString()) {
			errs = append(errs, errAt(path, "block key %q has vanished", k.AsString()))
			continue
		}
		if !actual.Type().IsObjectType() {
			if has := actual.HasIndex(k); has.IsKnown() && has.False() {
				errs = append(errs, errAt(path, "block key has vanished"))
				continue
			}
		}
		errs = append(errs, compatibleBlock(&nb.Block, p, element(actual, k), append(path, cty.IndexStep{Key: k}))...)
	}
	return errs
}

func hasUnknownObject(coll cty.Value) bool {
	for it := coll.ElementIterator(); it.Next(); {
		if _, e := it.Element(); !e.IsKnown() || allUnknown(e) {
			return true
		}
	}
	return false
}

// allUnknown reports whether an object's leaves are all unknown, which is what
// an unknown dynamic block decodes to.
func allUnknown(v cty.Value) bool {
	if !v.IsKnown() {
		return true
	}
	if v.IsNull() || !v.Type().IsObjectType() || v.LengthInt() == 0 {
		return false
	}
	for it := v.ElementIterator(); it.Next(); {
		if _, e := it.Element(); e.IsKnown() && (e.IsNull() || !e.CanIterateElements() || e.LengthInt() != 0) {
			return false
		}
	}
	return true
}

// compatibleSet requires a partner for every actual element: sets may shrink,
// because elements that differed in unknown parts may have become equal.
func compatibleSet(schema *providers.Block, planned, actual cty.Value, path cty.Path, dynamic bool) []error {
	if dynamic {
		return nil
	}
	for it := planned.ElementIterator(); it.Next(); {
		_, p := it.Element()
		found := false
		for ia := actual.ElementIterator(); ia.Next() && !found; {
			_, a := ia.Element()
			found = len(compatibleBlock(schema, p, a, path)) == 0
		}
		if !found {
			return []error{errAt(path, "planned set element %#v does not correlate with any element in actual", p)}
		}
	}
	return nil
}

// CompatibleValue checks one value against what was planned for it.
func CompatibleValue(planned, actual cty.Value, path cty.Path) []error {
	if !planned.IsKnown() {
		if planned.Type() != cty.DynamicPseudoType && len(actual.Type().TestConformance(planned.Type())) > 0 {
			return []error{errAt(path, "wrong final value type: planned %s, got %s", planned.Type().FriendlyName(), actual.Type().FriendlyName())}
		}
		if in := planned.Range().Includes(actual); in.IsKnown() && in.False() {
			return []error{errAt(path, "final value %#v does not conform to planning placeholder %#v", actual, planned)}
		}
		return nil
	}
	if planned.IsNull() || actual.IsNull() {
		switch {
		case planned.IsNull() && actual.IsNull():
			return nil
		case planned.IsNull():
			return []error{errAt(path, "was null, but now %#v", actual)}
		}
		return []error{errAt(path, "was %#v, but now null", planned)}
	}
	ty := planned.Type()
	switch {
	case !actual.IsKnown():
		return []error{errAt(path, "was known, but now unknown")}
	case ty.IsPrimitiveType():
		if !actual.Type().Equals(ty) {
			return []error{errAt(path, "wrong final value type: %s required", ty.FriendlyName())}
		}
		if !actual.RawEquals(planned) {
			return []error{errAt(path, "was %#v, but now %#v", planned, actual)}
		}
		return nil
	case ty.IsSetType():
		return compatibleSetValue(planned, actual, path)
	case ty.IsListType() || ty.IsTupleType() || ty.IsMapType() || ty.IsObjectType():
		return compatibleElements(planned, actual, path)
	}
	return nil
}

func compatibleElements(planned, actual cty.Value, path cty.Path) []error {
	if !actual.CanIterateElements() {
		return []error{errAt(path, "wrong final value type: got %s", actual.Type().FriendlyName())}
	}
	var errs []error
	object := planned.Type().IsObjectType()
	for it := planned.ElementIterator(); it.Next(); {
		k, p := it.Element()
		step := cty.PathStep(cty.IndexStep{Key: k})
		if object {
			step = cty.GetAttrStep{Name: k.AsString()}
		}
		at := append(path, step)
		a, ok := lookup(actual, k)
		if !ok {
			errs = append(errs, errAt(at, "element has vanished"))
			continue
		}
		errs = append(errs, CompatibleValue(p, a, at)...)
	}
	if !object && actual.LengthInt() > planned.LengthInt() {
		for it := actual.ElementIterator(); it.Next(); {
			k, _ := it.Element()
			if _, ok := lookup(planned, k); !ok {
				errs = append(errs, errAt(append(path, cty.IndexStep{Key: k}), "new element has appeared"))
			}
		}
	}
	return errs
}

func lookup(coll, key cty.Value) (cty.Value, bool) {
	if coll.Type().IsObjectType() {
		if key.Type() != cty.String || !coll.Type().HasAttribute(key.AsString()) {
			return cty.NilVal, false
		}
		return coll.GetAttr(key.AsString()), true
	}
	if has := coll.HasIndex(key); !has.IsKnown() || has.False() {
		return cty.NilVal, false
	}
	return coll.Index(key), true
}

func compatibleSetValue(planned, actual cty.Value, path cty.Path) []error {
	if !actual.Type().IsSetType() {
		return []error{errAt(path, "wrong final value type: set required")}
	}
	if planned.IsWhollyKnown() {
		if planned.RawEquals(actual) {
			return nil
		}
		return []error{errAt(path, "was %#v, but now %#v", planned, actual)}
	}
	if actual.LengthInt() > planned.LengthInt() {
		return []error{errAt(path, "length changed from %d to %d", planned.LengthInt(), actual.LengthInt())}
	}
	for it := actual.ElementIterator(); it.Next(); {
		_, a := it.Element()
		found := false
		for ip := planned.ElementIterator(); ip.Next() && !found; {
			_, p := ip.Element()
			found = len(CompatibleValue(p, a, path)) == 0
		}
		if !found {
			return []error{errAt(path, "actual set element %#v does not correlate with any element in plan", a)}
		}
	}
	return nil
}

// NormalizeLegacy brings an object from the old SDK into the form the current
// type system requires: collections of nested blocks are empty, never null.
func NormalizeLegacy(schema *providers.Block, v cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() || len(schema.BlockTypes) == 0 {
		return v
	}
	attrs := v.AsValueMap()
	changed := false
	for name, nb := range schema.BlockTypes {
		b := attrs[name]
		if nb.Nesting == providers.NestingSingle || nb.Nesting == providers.NestingGroup {
			if b.IsNull() && nb.Nesting == providers.NestingGroup {
				attrs[name], changed = nb.Block.EmptyValue(), true
			}
			continue
		}
		if b.IsNull() {
			attrs[name], changed = emptyCollection(b.Type()), true
			continue
		}
		fixed := mapElements(nb.Nesting, b, func(e cty.Value) cty.Value { return NormalizeLegacy(&nb.Block, e) })
		if !fixed.RawEquals(b) {
			attrs[name], changed = fixed, true
		}
	}
	if !changed {
		return v
	}
	return cty.ObjectVal(attrs)
}

func emptyCollection(ty cty.Type) cty.Value {
	switch {
	case ty.IsListType():
		return cty.ListValEmpty(ty.ElementType())
	case ty.IsSetType():
		return cty.SetValEmpty(ty.ElementType())
	case ty.IsMapType():
		return cty.MapValEmpty(ty.ElementType())
	case ty.IsObjectType():
		return cty.EmptyObjectVal
	}
	return cty.EmptyTupleVal
}
