package engine

import (
	"sort"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// repetitionKind says how a block repeats.
type repetitionKind byte

const (
	noRepetition repetitionKind = iota
	countRepetition
	forEachRepetition
)

// repetition is what count and each mean for one instance.
type repetition struct {
	kind  repetitionKind
	key   addrs.InstanceKey
	value cty.Value // each.value
}

func (r repetition) keyValue() cty.Value {
	if r.key.Kind == addrs.KeyUnknown {
		return cty.UnknownVal(cty.String)
	}
	return r.key.Value()
}

func (r repetition) countIndex() cty.Value {
	if r.key.Kind == addrs.KeyUnknown {
		return cty.UnknownVal(cty.Number)
	}
	return r.key.Value()
}

// expansion is the list of instances that count or for_each asks for.
type expansion struct {
	kind   repetitionKind
	keys   []addrs.InstanceKey
	values []cty.Value // each.value, parallel to keys; nil for count
	// failed says that the instances are not known because of an error.
	failed bool
	// unknown says that the one key stands for any number of them.
	unknown bool

	indexOnce sync.Once
	index     map[addrs.InstanceKey]int
}

// find returns the position of a key, or -1.
func (e *expansion) find(key addrs.InstanceKey) int {
	if len(e.keys) <= 4 {
		for i, k := range e.keys {
			if k == key {
				return i
			}
		}
		return -1
	}
	if e.kind == countRepetition {
		if key.Kind == addrs.KeyInt && key.Int >= 0 && key.Int < len(e.keys) {
			return key.Int
		}
		return -1
	}
	e.indexOnce.Do(func() {
		e.index = make(map[addrs.InstanceKey]int, len(e.keys))
		for i, k := range e.keys {
			e.index[k] = i
		}
	})
	if i, ok := e.index[key]; ok {
		return i
	}
	return -1
}

// at returns what count and each mean for the i-th instance.
func (e *expansion) at(i int) repetition {
	r := repetition{kind: e.kind, key: e.keys[i]}
	if e.kind == forEachRepetition {
		r.value = e.values[i]
	}
	return r
}

// combine makes the value of the whole block from those of its instances: the
// only one itself, a tuple for count, an object for for_each.
func (e *expansion) combine(vals []cty.Value) cty.Value {
	if e.unknown {
		return cty.DynamicVal
	}
	switch e.kind {
	case countRepetition:
		return cty.TupleVal(vals)
	case forEachRepetition:
		attrs := make(map[string]cty.Value, len(vals))
		for i, v := range vals {
			attrs[e.keys[i].Name] = v
		}
		return cty.ObjectVal(attrs)
	}
	if len(vals) == 1 {
		return vals[0]
	}
	if e.failed {
		return cty.DynamicVal
	}
	return cty.NullVal(cty.DynamicPseudoType) // lifecycle.enabled = false
}

// expand evaluates count, for_each or enabled.
func (s *scope) expand(count, forEach, enabled hcl.Expression) (*expansion, diag.List) {
	if s.ev.validating && (count != nil || forEach != nil || enabled != nil) {
		return s.expandUnknown(count, forEach)
	}
	switch {
	case count != nil:
		return s.expandCount(count)
	case forEach != nil:
		return s.expandForEach(forEach)
	case enabled != nil:
		return s.expandEnabled(enabled)
	}
	return &expansion{keys: []addrs.InstanceKey{addrs.NoKey}}, nil
}

// expandUnknown gives the one instance that stands for all while validating.
// What can be said about the argument without knowing anything is said.
func (s *scope) expandUnknown(count, forEach hcl.Expression) (*expansion, diag.List) {
	out := &expansion{kind: countRepetition, keys: []addrs.InstanceKey{{Kind: addrs.KeyUnknown}}, unknown: true}
	expr, check := count, s.expandCount
	if forEach != nil {
		out.kind, out.values = forEachRepetition, []cty.Value{cty.DynamicVal}
		expr, check = forEach, s.expandForEach
	}
	if expr == nil {
		out.kind = noRepetition
		return out, nil
	}
	val, diags := s.eval(expr, repetition{}, cty.NilVal)
	if diags.HasErrors() {
		out.failed = true
		return out, diags
	}
	if bare, _ := val.UnmarkDeep(); bare.IsKnown() && bare.IsWhollyKnown() {
		_, diags = check(expr)
	}
	return out, diags
}

func (s *scope) expandCount(expr hcl.Expression) (*expansion, diag.List) {
	failed := &expansion{kind: countRepetition, failed: true}
	val, diags := s.eval(expr, repetition{}, cty.NilVal)
	if diags.HasErrors() {
		return failed, diags
	}
	bad := func(detail string) (*expansion, diag.List) {
		return failed, append(diags, diag.ErrorAt(expr.Range(), "Invalid count argument", "%s", detail)...)
	}
	if marks.Contains(val, marks.Ephemeral) {
		return bad(`The given "count" value is derived from an ephemeral value, so it could differ between plan and apply.`)
	}
	val, _ = val.UnmarkDeep()
	num, err := convert.Convert(val, cty.Number)
	switch {
	case err != nil:
		return bad(`The given "count" argument value is unsuitable: ` + err.Error() + ".")
	case num.IsNull():
		return bad(`The given "count" argument value is null. An integer is required.`)
	case !num.IsKnown():
		if text := s.explainUnknown(`The "count" value`, expr, "so it cannot be predicted how many instances will be created"); text != "" {
			return bad(text)
		}
		return bad(`The "count" value depends on resource attributes that cannot be determined until apply, so it cannot be predicted how many instances will be created. To work around this, use the -target argument to first apply only the resources that the count depends on.`)
	}
	big := num.AsBigFloat()
	n, acc := big.Int64()
	if acc != 0 {
		return bad(`The given "count" argument value is unsuitable: value must be a whole number, between -9223372036854775808 and 9223372036854775807 inclusive.`)
	}
	if n < 0 {
		return bad(`The given "count" argument value is unsuitable: must be greater than or equal to zero.`)
	}
	if n > 10_000_000 {
		return bad(`The given "count" argument value is unsuitable: it is larger than 10000000.`)
	}
	keys := make([]addrs.InstanceKey, n)
	for i := range keys {
		keys[i] = addrs.IntKey(i)
	}
	return &expansion{kind: countRepetition, keys: keys}, diags
}

const forEachConsequence = "so the keys that will identify the instances cannot be predicted"

func (s *scope) expandForEach(expr hcl.Expression) (*expansion, diag.List) {
	failed := &expansion{kind: forEachRepetition, failed: true}
	val, diags := s.eval(expr, repetition{}, cty.NilVal)
	if diags.HasErrors() {
		return failed, diags
	}
	bad := func(detail string) (*expansion, diag.List) {
		return failed, append(diags, diag.ErrorAt(expr.Range(), "Invalid for_each argument", "%s", detail)...)
	}
	if val.HasMark(marks.Sensitive) {
		return bad(`Sensitive values, or values derived from sensitive values, cannot be used as for_each arguments. If used, the sensitive value could be exposed as a resource instance key.`)
	}
	if marks.Contains(val, marks.Ephemeral) {
		return bad(`Ephemeral values, or values derived from ephemeral values, cannot be used as for_each arguments, because they could change between plan and apply.`)
	}
	ty := val.Type()
	switch {
	case val.IsNull():
		return bad(`The given "for_each" argument value is unsuitable: the given "for_each" argument value is null. A map, or set of strings is allowed.`)
	case !val.IsKnown():
		if text := s.explainUnknown(`The "for_each" value`, expr, forEachConsequence); text != "" {
			return bad(text)
		}
		if ty.IsSetType() || ty == cty.DynamicPseudoType {
			return bad(`The "for_each" set includes values derived from resource attributes that cannot be determined until apply, and so the full set of keys that will identify the instances of this resource cannot be determined.

When working with unknown values in for_each, it's better to use a map value where the keys are defined statically in your configuration and where only the values contain apply-time results.`)
		}
		return bad(`The "for_each" map includes keys derived from resource attributes that cannot be determined until apply, and so the full set of keys that will identify the instances of this resource cannot be determined.

When working with unknown values in for_each, it's better to define the map keys statically in your configuration and place apply-time results only in the map values.`)
	case ty.IsMapType() || ty.IsObjectType():
		return forEachMap(val), diags
	case ty.IsSetType():
		return s.forEachSet(expr, val, bad, diags)
	}
	return bad(`The given "for_each" argument value is unsuitable: the "for_each" argument must be a map, or set of strings, and you have provided a value of type ` + ty.FriendlyName() + `.`)
}

func forEachMap(val cty.Value) *expansion {
	out := &expansion{kind: forEachRepetition}
	n := val.LengthInt()
	out.keys = make([]addrs.InstanceKey, 0, n)
	out.values = make([]cty.Value, 0, n)
	for it := val.ElementIterator(); it.Next(); {
		k, v := it.Element()
		k, _ = k.Unmark()
		out.keys = append(out.keys, addrs.StringKey(k.AsString()))
		out.values = append(out.values, v)
	}
	return out
}

func (s *scope) forEachSet(expr hcl.Expression, val cty.Value, bad func(string) (*expansion, diag.List), diags diag.List) (*expansion, diag.List) {
	if marks.Contains(val, marks.Sensitive) {
		return bad(`Sensitive values, or values derived from sensitive values, cannot be used as for_each arguments. If used, the sensitive value could be exposed as a resource instance key.`)
	}
	if !val.IsWhollyKnown() {
		if text := s.explainUnknown(`The "for_each" value`, expr, forEachConsequence); text != "" {
			return bad(text)
		}
		return bad(`The "for_each" set includes values derived from resource attributes that cannot be determined until apply, and so the full set of keys that will identify the instances of this resource cannot be determined.

When working with unknown values in for_each, it's better to use a map value where the keys are defined statically in your configuration and where only the values contain apply-time results.`)
	}
	if et := val.Type().ElementType(); et != cty.String && !(val.LengthInt() == 0 && et == cty.DynamicPseudoType) {
		return bad(`The given "for_each" argument value is unsuitable: "for_each" supports maps and sets of strings, but you have provided a set containing type ` + et.FriendlyName() + `.`)
	}
	out := &expansion{kind: forEachRepetition}
	for it := val.ElementIterator(); it.Next(); {
		_, v := it.Element()
		if v.IsNull() {
			return bad(`The given "for_each" argument value is unsuitable: "for_each" sets must not contain null values.`)
		}
		out.keys = append(out.keys, addrs.StringKey(v.AsString()))
	}
	sort.Slice(out.keys, func(i, j int) bool { return out.keys[i].Name < out.keys[j].Name })
	for _, k := range out.keys {
		out.values = append(out.values, cty.StringVal(k.Name))
	}
	return out, diags
}

func (s *scope) expandEnabled(expr hcl.Expression) (*expansion, diag.List) {
	val, diags := s.eval(expr, repetition{}, cty.NilVal)
	if diags.HasErrors() {
		return &expansion{failed: true}, diags
	}
	val, _ = val.UnmarkDeep()
	b, err := convert.Convert(val, cty.Bool)
	if err == nil && !b.IsKnown() {
		if text := s.explainUnknown(`The "enabled" value`, expr, "so it cannot be predicted whether there will be an instance"); text != "" {
			return &expansion{failed: true}, append(diags, diag.ErrorAt(expr.Range(), "Invalid enabled argument", "%s", text)...)
		}
	}
	if err != nil || b.IsNull() || !b.IsKnown() {
		return &expansion{failed: true}, append(diags, diag.ErrorAt(expr.Range(), "Invalid enabled argument", `The "enabled" argument must be a boolean that is known at plan time.`)...)
	}
	if b.False() {
		return &expansion{}, diags
	}
	return &expansion{keys: []addrs.InstanceKey{addrs.NoKey}}, diags
}

// expansion returns the instances of a resource block, evaluated once.
func (rs *resourceScope) expansion() (*expansion, diag.List) {
	rs.once.Do(func() {
		rs.exp, rs.diags = rs.scope.expand(rs.config.Count, rs.config.ForEach, rs.config.Enabled)
	})
	return rs.exp, rs.diags
}

// set records the value of one instance. It drops the cached whole value.
func (rs *resourceScope) set(key addrs.InstanceKey, v cty.Value) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.values == nil {
		rs.values = map[addrs.InstanceKey]cty.Value{}
	}
	rs.values[key] = v
	rs.whole = cty.NilVal
}

// get returns the value recorded for one instance.
func (rs *resourceScope) get(key addrs.InstanceKey) (cty.Value, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	v, ok := rs.values[key]
	return v, ok
}

// value returns the block's value as an expression sees it.
func (rs *resourceScope) value() (cty.Value, diag.List) {
	if rs.absent || rs.scope.ev.allAbsent {
		if rs.scope.ev.skipped == nil {
			return cty.DynamicVal, nil
		}
		return rs.scope.ev.skipped(rs.addr), nil
	}
	exp, diags := rs.expansion()
	if exp.failed {
		return cty.DynamicVal, diags
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.whole != cty.NilVal {
		return rs.whole, nil
	}
	vals := make([]cty.Value, len(exp.keys))
	for i, key := range exp.keys {
		v, ok := rs.values[key]
		if !ok {
			v = cty.DynamicVal // its planning failed, which has been reported
			if look := rs.scope.ev.lookup; look != nil {
				var d diag.List
				v, d = look(rs, exp.at(i))
				diags = append(diags, d...)
			}
		}
		vals[i] = v
	}
	rs.whole = exp.combine(vals)
	return rs.whole, diags
}

// bodyContext returns the evaluation context for the body of one instance. What
// the body refers to is looked up once for all instances.
func (rs *resourceScope) bodyContext(refs []addrs.Reference, rep repetition) (*hcl.EvalContext, diag.List) {
	rs.contextOnce.Do(func() { rs.context, rs.contextDiag = rs.scope.baseContext(refs) })
	return withLocals(rs.context, rep, cty.NilVal), rs.contextDiag
}
