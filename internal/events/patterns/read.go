package patterns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Limits of one pattern. They are far above what people write and keep a pattern
// from taking the machine.
const (
	maxSource  = 256 << 10 // bytes of a pattern in JSON
	maxWays    = 1000      // combinations of "$or", as in EventBridge
	maxFields  = 64        // in one combination
	maxDepth   = 100       // of names
	maxBinary  = 4096      // exponent of two of a number
	orName     = "$or"
	wrongValue = "Invalid event pattern"
)

// Operators are the names of what may stand in the list of a field, apart from values.
var Operators = []string{"anything-but", "cidr", "equals-ignore-case", "exists", "numeric", "prefix", "suffix", "wildcard"}

// Read makes a pattern of an expression that is an object. Values in it may be
// expressions of what the scope has; without a scope they are constant.
func Read(expr hcl.Expression, scope *hcl.EvalContext) (*Pattern, diag.List) {
	r := &reader{scope: scope}
	root := r.tree(expr, 0)
	if root == nil {
		return nil, r.diags
	}
	if root.kind != objectTree {
		r.wrong(root.rng, "A pattern is an object with names of fields and lists of what their values may be, for example { type = [\"com.github.push\"] }.")
		return nil, r.diags
	}
	ways := r.object(root, nil)
	for _, way := range ways {
		if len(way) > maxFields {
			r.wrong(root.rng, "A pattern can speak of %d fields at most.", maxFields)
			break
		}
	}
	if r.diags.HasErrors() {
		return nil, r.diags
	}
	return &Pattern{ways: ways}, r.diags
}

// ParseJSON makes a pattern of a text in JSON, as EventBridge takes it.
func ParseJSON(filename string, source []byte) (*Pattern, diag.List) {
	if len(source) > maxSource {
		return nil, diag.Errorf(wrongValue, "The pattern in %s has %d bytes; %d is the most.", filename, len(source), maxSource)
	}
	expr, diags := hcljson.ParseExpression(source, filename)
	if diags.HasErrors() {
		return nil, diag.FromHCL(diags)
	}
	return Read(expr, nil)
}

type reader struct {
	scope *hcl.EvalContext
	diags diag.List
	many  bool // that there are too many combinations was told
}

func (r *reader) wrong(rng hcl.Range, detail string, args ...any) {
	r.diags = append(r.diags, diag.ErrorAt(rng, wrongValue, detail, args...)...)
}

// The kinds of trees.
const (
	scalarTree = iota
	listTree
	objectTree
)

// tree is an expression taken apart, as far as it is written out.
type tree struct {
	kind    int
	rng     hcl.Range
	value   cty.Value // of a scalar; a string, number, boolean or null
	items   []*tree
	members []member
}

type member struct {
	name  string
	rng   hcl.Range // of the name
	value *tree
}

// tree takes an expression apart. It returns nil where something was wrong, and has
// told about it.
func (r *reader) tree(expr hcl.Expression, depth int) *tree {
	t := &tree{rng: expr.Range()}
	if depth > maxDepth {
		r.wrong(t.rng, "The pattern is nested deeper than %d levels.", maxDepth)
		return nil
	}
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		t.kind = objectTree
		for _, pair := range pairs {
			name, found := pair.Key.Value(r.scope)
			r.diags = append(r.diags, diag.FromHCL(found)...)
			value := r.tree(pair.Value, depth+1)
			if found.HasErrors() || value == nil {
				continue
			}
			text, err := convert.Convert(name, cty.String)
			if err != nil || text.IsMarked() || !text.IsKnown() || text.IsNull() {
				r.wrong(pair.Key.Range(), "The name of a field must be a known text.")
				continue
			}
			t.members = append(t.members, member{text.AsString(), pair.Key.Range(), value})
		}
		return r.unlessWrong(t)
	}
	if items, diags := hcl.ExprList(expr); !diags.HasErrors() {
		t.kind = listTree
		for _, item := range items {
			if value := r.tree(item, depth+1); value != nil {
				t.items = append(t.items, value)
			}
		}
		return r.unlessWrong(t)
	}
	v, found := expr.Value(r.scope)
	r.diags = append(r.diags, diag.FromHCL(found)...)
	if found.HasErrors() {
		return nil
	}
	return r.valueTree(v, t.rng)
}

func (r *reader) unlessWrong(t *tree) *tree {
	if r.diags.HasErrors() {
		return nil
	}
	return t
}

// valueTree is for what an expression has for a value.
func (r *reader) valueTree(v cty.Value, rng hcl.Range) *tree {
	if v.ContainsMarked() {
		r.wrong(rng, "A pattern is kept and shown as it is: it cannot hold a sensitive value.")
		return nil
	}
	if !v.IsWhollyKnown() {
		r.wrong(rng, "The value is not known yet. A pattern has to be known when the project is read.")
		return nil
	}
	t := &tree{rng: rng, value: v}
	if v.IsNull() || v.Type().IsPrimitiveType() {
		return t
	}
	t.kind = listTree
	if v.Type().IsObjectType() || v.Type().IsMapType() {
		t.kind = objectTree
	}
	if !v.CanIterateElements() {
		r.wrong(rng, "A pattern has objects, lists, texts, numbers, booleans and null; this is none of them.")
		return nil
	}
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		value := r.valueTree(element, rng)
		if value == nil {
			return nil
		}
		if t.kind == objectTree {
			t.members = append(t.members, member{key.AsString(), rng, value})
		} else {
			t.items = append(t.items, value)
		}
	}
	return t
}

// object reads the fields below a path.
func (r *reader) object(t *tree, path []string) [][]requirement {
	if len(t.members) == 0 {
		r.wrong(t.rng, "An object in a pattern must not be empty: name a field in it.")
	}
	ways := [][]requirement{nil}
	seen := map[string]bool{}
	for _, m := range t.members {
		if seen[m.name] {
			r.wrong(m.rng, "The name %q is given twice.", m.name)
			continue
		}
		seen[m.name] = true
		var add [][]requirement
		switch {
		case m.name == orName:
			add = r.or(m, path)
		case m.value.kind == objectTree:
			if one := m.value.members; len(one) == 1 && one[0].value.kind == listTree && slices.Contains(Operators, one[0].name) {
				r.diags = append(r.diags, diag.WarningAt(one[0].rng, "Operator as the name of a field", "This is about a field %q in %q. If the operator is meant, it stands in a list: [{ %s = … }].", one[0].name, m.name, one[0].name)...)
			}
			add = r.object(m.value, append(slices.Clone(path), m.name))
		default:
			if m.value.kind == scalarTree && slices.Contains(Operators, m.name) {
				r.wrong(m.rng, "%q is the name of an operator, and here the name of a field. Operators stand in the list of a field: [{ %s = … }]. If it is a field, give it a list.", m.name, m.name)
				continue
			}
			add = [][]requirement{{r.field(m.value, append(slices.Clone(path), m.name))}}
		}
		ways = r.combine(ways, add, m.rng)
	}
	return ways
}

// or reads a list of objects one of which has to fit.
func (r *reader) or(m member, path []string) [][]requirement {
	if m.value.kind != listTree || len(m.value.items) < 2 {
		r.wrong(m.value.rng, "\"$or\" takes a list of two or more objects, one of which has to fit.")
		return nil
	}
	var ways [][]requirement
	for _, item := range m.value.items {
		if item.kind != objectTree {
			r.wrong(item.rng, "The list of \"$or\" has objects with names of fields.")
			continue
		}
		for _, inner := range item.members {
			if slices.Contains(Operators, inner.name) {
				r.wrong(inner.rng, "%q is an operator, and \"$or\" is about fields. Things that one field may be stand in the list of that field.", inner.name)
			}
		}
		ways = append(ways, r.object(item, path)...)
	}
	return ways
}

// combine makes ways of which each is one of a and one of b.
func (r *reader) combine(a, b [][]requirement, rng hcl.Range) [][]requirement {
	if len(a)*len(b) > maxWays {
		if !r.many {
			r.wrong(rng, "The combinations of this pattern's \"$or\" are too many: %d is the most.", maxWays)
		}
		r.many = true
		return a
	}
	if len(b) == 1 {
		for i := range a {
			a[i] = append(slices.Clip(a[i]), b[0]...)
		}
		return a
	}
	var out [][]requirement
	for _, one := range a {
		for _, other := range b {
			out = append(out, append(slices.Clip(one), other...))
		}
	}
	return out
}

// field reads the list of what the values of a field may be.
func (r *reader) field(t *tree, path []string) requirement {
	out := requirement{path: path}
	items := t.items
	if t.kind == scalarTree {
		items = []*tree{t}
	} else if len(items) == 0 {
		r.wrong(t.rng, "The list of a field must not be empty: nothing would fit.")
	}
	for _, item := range items {
		switch item.kind {
		case listTree:
			r.wrong(item.rng, "A list in a list of values fits nothing. Arrays of events need none: each of their elements counts.")
		case objectTree:
			r.operator(item, &out)
		default:
			if found := r.exact(item); found != nil {
				out.tests = append(out.tests, found)
			}
		}
	}
	slices.SortFunc(out.tests, func(a, b test) int { return cmp.Compare(a.key(), b.key()) })
	out.tests = slices.CompactFunc(out.tests, func(a, b test) bool { return a.key() == b.key() })
	return out
}

// exact is the test for a value that is given as such.
func (r *reader) exact(t *tree) test {
	switch {
	case t.value.IsNull():
		return kindTest(kindNull)
	case t.value.Type() == cty.String:
		return &textTest{parts: []string{t.value.AsString()}}
	case t.value.Type() == cty.Bool:
		if t.value.True() {
			return kindTest(kindTrue)
		}
		return kindTest(kindFalse)
	}
	if d := r.number(t); d != nil {
		return &numberTest{bound{number: d}, bound{number: d}}
	}
	return nil
}

// number reads a number, exactly as it is written up to 150 digits.
func (r *reader) number(t *tree) *decimal {
	if t.kind != scalarTree || t.value.IsNull() || t.value.Type() != cty.Number {
		r.wrong(t.rng, "A number is needed here.")
		return nil
	}
	float := t.value.AsBigFloat()
	if exponent := float.MantExp(nil); float.IsInf() || exponent > maxBinary || exponent < -maxBinary {
		r.wrong(t.rng, "The number is too large or too small for a pattern.")
		return nil
	}
	d, _ := parseDecimal([]byte(float.Text('e', -1)), nil)
	return &d
}

// text reads a text; empty ones only where they make sense.
func (r *reader) text(t *tree, operator string) (string, bool) {
	if t.kind != scalarTree || t.value.IsNull() || t.value.Type() != cty.String {
		r.wrong(t.rng, "%s takes a text.", operator)
		return "", false
	}
	return t.value.AsString(), true
}

// operator reads an object with one operator.
func (r *reader) operator(t *tree, into *requirement) {
	if len(t.members) != 1 {
		r.wrong(t.rng, "An object in the list of a field has one operator: one of %s.", strings.Join(Operators, ", "))
		return
	}
	m := t.members[0]
	switch m.name {
	case "exists":
		if m.value.kind != scalarTree || m.value.value.IsNull() || m.value.value.Type() != cty.Bool {
			r.wrong(m.value.rng, "exists takes true or false.")
		} else if m.value.value.True() {
			into.tests = append(into.tests, presentTest{})
		} else {
			into.absent = true
		}
	case "numeric":
		if found := r.numeric(m.value); found != nil {
			into.tests = append(into.tests, found)
		}
	case "cidr":
		text, ok := r.text(m.value, "cidr")
		if !ok {
			return
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			r.wrong(m.value.rng, "%q is no network: write an address and the length of its prefix, for example \"10.0.0.0/8\" or \"2001:db8::/32\".", text)
			return
		}
		into.tests = append(into.tests, netTest(prefix.Masked()))
	case "anything-but":
		if found := r.anythingBut(m.value); found != nil {
			into.tests = append(into.tests, found)
		}
	default:
		if found := r.textTest(m); found != nil {
			into.tests = append(into.tests, found)
		}
	}
}

// textTest reads one of the operators for texts.
func (r *reader) textTest(m member) *textTest {
	value, folded := m.value, false
	switch m.name {
	case "prefix", "suffix":
		if value.kind == objectTree {
			if len(value.members) != 1 || value.members[0].name != "equals-ignore-case" {
				r.wrong(value.rng, "%s takes a text, or { equals-ignore-case = … } where case does not matter.", m.name)
				return nil
			}
			value, folded = value.members[0].value, true
		}
	case "equals-ignore-case":
		folded = true
	case "wildcard":
	default:
		r.wrong(m.rng, "There is no operator %q; there are %s.", m.name, strings.Join(Operators, ", "))
		return nil
	}
	text, ok := r.text(value, m.name)
	if !ok {
		return nil
	}
	if folded {
		text = string(appendFolded(nil, []byte(text)))
	}
	parts := []string{text}
	switch m.name {
	case "prefix":
		parts = []string{text, ""}
	case "suffix":
		parts = []string{"", text}
	case "wildcard":
		var problem string
		if parts, problem = splitWildcard(text); problem != "" {
			r.wrong(value.rng, "%q is no wildcard: %s.", text, problem)
			return nil
		}
	}
	return &textTest{parts: parts, folded: folded}
}

// numeric reads a comparison: an operator and a number, or two for a range.
func (r *reader) numeric(t *tree) test {
	if t.kind != listTree || len(t.items) != 2 && len(t.items) != 4 {
		r.wrong(t.rng, "numeric takes a list of a comparison and a number, or two of them for a range: [\">\", 0, \"<=\", 5].")
		return nil
	}
	out := &numberTest{}
	for i := 0; i < len(t.items); i += 2 {
		operator, ok := r.text(t.items[i], "A comparison")
		if !ok {
			return nil
		}
		number := r.number(t.items[i+1])
		if number == nil {
			return nil
		}
		b := bound{number, operator == "<" || operator == ">"}
		switch operator {
		case "=":
			if len(t.items) == 4 {
				r.wrong(t.items[i].rng, "\"=\" stands alone: a range begins with \">\" or \">=\" and ends with \"<\" or \"<=\".")
				return nil
			}
			return &numberTest{b, b}
		case ">", ">=":
			if i == 2 {
				r.wrong(t.items[i].rng, "A range begins with its lower end: [\">\", 0, \"<=\", 5].")
				return nil
			}
			out.low = b
		case "<", "<=":
			if i == 0 && len(t.items) == 4 {
				r.wrong(t.items[i].rng, "A range begins with its lower end: [\">\", 0, \"<=\", 5].")
				return nil
			}
			out.high = b
		default:
			r.wrong(t.items[i].rng, "%q is no comparison; there are =, <, <=, > and >=.", operator)
			return nil
		}
	}
	if out.low.number != nil && out.high.number != nil && !out.equal() && out.low.number.compare(*out.high.number) >= 0 {
		r.wrong(t.rng, "No number is in this range: its lower end must be less than its upper one.")
		return nil
	}
	return out
}

// anythingBut reads what values must not be.
func (r *reader) anythingBut(t *tree) test {
	out := &butTest{texts: map[string]bool{}, numbers: map[string]bool{}}
	var names []string
	name, values := "", t
	if t.kind == objectTree {
		if len(t.members) != 1 || !slices.Contains([]string{"prefix", "suffix", "equals-ignore-case", "wildcard"}, t.members[0].name) {
			r.wrong(t.rng, "anything-but takes texts, numbers, or an object with one of prefix, suffix, equals-ignore-case and wildcard.")
			return nil
		}
		name, values = t.members[0].name, t.members[0].value
	}
	items := values.items
	if values.kind != listTree {
		items = []*tree{values}
	} else if len(items) == 0 {
		r.wrong(values.rng, "The list of anything-but must not be empty.")
	}
	for _, item := range items {
		if name != "" {
			if (name == "prefix" || name == "suffix") && item.kind == scalarTree && !item.value.IsNull() && item.value.Type() == cty.String && item.value.AsString() == "" {
				r.wrong(item.rng, "Every text has the empty one for a %s: nothing would fit.", name)
				continue
			}
			if found := r.textTest(member{name, item.rng, item}); found != nil {
				out.others = append(out.others, found)
				names = append(names, found.key())
			}
			continue
		}
		switch {
		case item.kind == scalarTree && !item.value.IsNull() && item.value.Type() == cty.String:
			out.texts[item.value.AsString()] = true
			names = append(names, fmt.Sprintf("text %q", item.value.AsString()))
		case item.kind == scalarTree && !item.value.IsNull() && item.value.Type() == cty.Number:
			if d := r.number(item); d != nil {
				key := string(d.appendKey(nil))
				out.numbers[key] = true
				names = append(names, fmt.Sprintf("number %x", key))
			}
		default:
			r.wrong(item.rng, "anything-but takes texts or numbers.")
		}
	}
	if len(out.texts) > 0 && len(out.numbers) > 0 {
		r.wrong(values.rng, "The list of anything-but has either texts or numbers, not both.")
	}
	slices.Sort(names)
	out.name = "but " + strings.Join(slices.Compact(names), ",")
	return out
}
