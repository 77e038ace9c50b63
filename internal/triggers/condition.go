package triggers

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Occasion is what an expression about an event is evaluated for.
type Occasion struct {
	Event       cty.Value // see [EventValue]
	Environment string
	Variables   map[string]cty.Value // of the project
}

// Condition is an expression about an event that is true or false, in the language of
// the project. It sees event, the CloudEvent; var, the variables of the project;
// environment, and the functions that give the same result each time.
type Condition struct{ eventExpression }

// NewCondition makes a condition, and tells what can be known to be wrong with it
// before there is an event.
func NewCondition(p *projects.Project, expr hcl.Expression) (*Condition, diag.List) {
	e, diags := newEventExpression(p, expr, "condition", cty.Bool)
	if diags.HasErrors() {
		return nil, diags
	}
	return &Condition{e}, diags
}

// Holds reports whether the condition holds. Where it has no result for an event, for
// want of an attribute, that is told; try(…) and can(…) say what holds then.
func (c *Condition) Holds(o Occasion) (bool, diag.List) {
	v, diags := c.of(o)
	if diags.HasErrors() {
		return false, diags
	}
	return v.True(), diags
}

// Key is an expression about an event that says which other events it belongs
// together with: those with the same result. It sees what a [Condition] does.
type Key struct{ eventExpression }

// NewKey makes a key, and tells what can be known to be wrong with it before there is
// an event.
func NewKey(p *projects.Project, expr hcl.Expression) (*Key, diag.List) {
	e, diags := newEventExpression(p, expr, "key", cty.DynamicPseudoType)
	if diags.HasErrors() {
		return nil, diags
	}
	return &Key{e}, diags
}

// Of is the key of an event, as JSON.
func (k *Key) Of(o Occasion) (string, diag.List) {
	v, diags := k.of(o)
	if diags.HasErrors() {
		return "", diags
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return "", append(diags, diag.ErrorAt(k.expr.Range(), "Invalid key", "The key has no form as text: %s.", err)...)
	}
	return string(text), diags
}

// eventExpression is an expression about an event, with a result of one type.
type eventExpression struct {
	project *projects.Project
	expr    hcl.Expression
	table   map[string]function.Function
	noun    string // what it is, for messages
	want    cty.Type
}

func newEventExpression(p *projects.Project, expr hcl.Expression, noun string, want cty.Type) (eventExpression, diag.List) {
	e := eventExpression{p, expr, functions.Table(functions.Options{BaseDir: p.Dir, PureOnly: true}), noun, want}
	diags := references(p, expr, func(string, hcl.Range) diag.List { return nil })
	if diags.HasErrors() {
		return e, diags
	}
	environment := cty.ObjectVal(map[string]cty.Value{"name": cty.UnknownVal(cty.String), "labels": cty.DynamicVal})
	_, found := e.evaluate(scope(unknownVariables(p), environment, map[string]cty.Value{"event": cty.DynamicVal}, e.table))
	return e, append(diags, found...)
}

// of is the result for an occasion.
func (e *eventExpression) of(o Occasion) (cty.Value, diag.List) {
	v, diags := e.evaluate(scope(markVariables(e.project, o.Variables), environmentValue(e.project, o.Environment), map[string]cty.Value{"event": o.Event}, e.table))
	if !diags.HasErrors() && !v.IsWhollyKnown() {
		diags = append(diags, diag.ErrorAt(e.expr.Range(), "Invalid "+e.noun, "A %s follows from the event alone: functions such as timestamp() and uuid(), whose results differ from call to call, have none here. The time of the event is event.time.", e.noun)...)
	}
	return v, diags
}

// evaluate evaluates the expression; the result may be unknown where the scope is.
func (e *eventExpression) evaluate(scope *hcl.EvalContext) (cty.Value, diag.List) {
	v, found := e.expr.Value(scope)
	diags := diag.FromHCL(found)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	rng := e.expr.Range()
	if v.HasMarkDeep(marks.Sensitive) {
		return cty.NilVal, append(diags, diag.ErrorAt(rng, "Sensitive "+e.noun, "What a trigger does can be seen: its %s must not depend on a sensitive value.", e.noun)...)
	}
	v, _ = v.UnmarkDeep()
	v, err := convert.Convert(v, e.want)
	if err != nil || e.want == cty.Bool && v.IsKnown() && v.IsNull() {
		return cty.NilVal, append(diags, diag.ErrorAt(rng, "Invalid "+e.noun, "A %s must be true or false.", e.noun)...)
	}
	return v, diags
}

// EventValue is an event in the JSON format of CloudEvents as expressions see it.
func EventValue(event []byte) (cty.Value, error) {
	kind, err := ctyjson.ImpliedType(event)
	if err != nil {
		return cty.NilVal, err
	}
	if !kind.IsObjectType() {
		return cty.NilVal, errors.New("an event is a JSON object")
	}
	return ctyjson.Unmarshal(event, kind)
}

func jsonValue(text string) (cty.Value, error) {
	kind, err := ctyjson.ImpliedType([]byte(text))
	if err != nil {
		return cty.NilVal, err
	}
	return ctyjson.Unmarshal([]byte(text), kind)
}
