package engine

import (
	"sort"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// checkBook evaluates conditions and keeps their outcomes. It is safe for
// concurrent use.
type checkBook struct {
	mu      sync.Mutex
	objects map[checkKey]*checkObject
}

type checkKey struct {
	kind   string // resource, output_value, check, var
	module addrs.Module
	name   string
}

type checkObject struct {
	instances map[checkInstanceKey]*plans.CheckInstance
}

type checkInstanceKey struct {
	module addrs.ModuleInstance
	key    addrs.InstanceKey
}

// newCheckBook knows every checkable object of a configuration: those not
// reached stay unknown.
func newCheckBook(cfg *configs.Config) *checkBook {
	b := &checkBook{objects: map[checkKey]*checkObject{}}
	add := func(kind string, m addrs.Module, name string) {
		b.objects[checkKey{kind, m, name}] = &checkObject{instances: map[checkInstanceKey]*plans.CheckInstance{}}
	}
	for path, m := range cfg.Modules {
		for name, v := range m.Variables {
			if len(v.Validations) > 0 {
				add("var", path, name)
			}
		}
		for name, o := range m.Outputs {
			if len(o.Preconditions) > 0 {
				add("output_value", path, name)
			}
		}
		for addr, r := range m.Resources {
			if len(r.Preconditions)+len(r.Postconditions) > 0 {
				add("resource", path, addr.String())
			}
		}
		for name := range m.Checks {
			add("check", path, name)
		}
	}
	return b
}

// expect notes the instances a resource's conditions are about to be evaluated
// for.
func (b *checkBook) expect(r *configs.Resource, rs *resourceScope, exp *expansion) {
	obj := b.objects[checkKey{"resource", r.Module.Path, r.Addr.String()}]
	if obj == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range exp.keys {
		k := checkInstanceKey{rs.addr.Module, key}
		if obj.instances[k] == nil {
			obj.instances[k] = &plans.CheckInstance{Module: rs.addr.Module, Key: key, Status: plans.CheckUnknown}
		}
	}
}

// note merges the outcome of one condition into an instance's.
func (b *checkBook) note(key checkKey, module addrs.ModuleInstance, inst addrs.InstanceKey, status plans.CheckStatus, problem string) {
	obj := b.objects[key]
	if obj == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := checkInstanceKey{module, inst}
	ci := obj.instances[k]
	if ci == nil {
		ci = &plans.CheckInstance{Module: module, Key: inst}
		obj.instances[k] = ci
	}
	ci.Status = worst(ci.Status, status)
	if problem != "" {
		ci.Problems = append(ci.Problems, problem)
	}
}

// reset forgets an instance's outcome before its conditions are evaluated.
func (b *checkBook) reset(key checkKey, module addrs.ModuleInstance, inst addrs.InstanceKey) {
	obj := b.objects[key]
	if obj == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	obj.instances[checkInstanceKey{module, inst}] = &plans.CheckInstance{Module: module, Key: inst, Status: plans.CheckPass}
}

// worst combines two outcomes: error, fail, unknown, pass. The unset status
// and the initial unknown of an instance give way to the first outcome.
func worst(a, b plans.CheckStatus) plans.CheckStatus {
	rank := map[plans.CheckStatus]int{"": 0, plans.CheckPass: 1, plans.CheckUnknown: 2, plans.CheckFail: 3, plans.CheckError: 4}
	if rank[a] > rank[b] {
		return a
	}
	return b
}

// results lists all outcomes in a fixed order.
func (b *checkBook) results() []plans.CheckResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]plans.CheckResult, 0, len(b.objects))
	for key, obj := range b.objects {
		r := plans.CheckResult{Kind: key.kind, Module: key.module, Name: key.name, Status: plans.CheckUnknown}
		status := plans.CheckStatus("")
		for _, ci := range obj.instances {
			r.Instances = append(r.Instances, *ci)
			status = worst(status, ci.Status)
		}
		if status != "" {
			r.Status = status
		}
		sort.Slice(r.Instances, func(i, j int) bool {
			a, c := r.Instances[i], r.Instances[j]
			if a.Module != c.Module {
				return a.Module < c.Module
			}
			return a.Key.Less(c.Key)
		})
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool {
		a, c := out[i], out[j]
		if a.Kind != c.Kind {
			return a.Kind < c.Kind
		}
		if a.Module != c.Module {
			return a.Module < c.Module
		}
		return a.Name < c.Name
	})
	return out
}

// runConditions evaluates a resource's pre- or postconditions for one instance.
func (b *checkBook) runConditions(rs *resourceScope, rep repetition, rules []*configs.CheckRule, summary string, self cty.Value, severity diag.Severity) diag.List {
	if len(rules) == 0 {
		return nil
	}
	key := checkKey{"resource", rs.scope.module.Path, rs.addr.Resource.String()}
	var diags diag.List
	for _, rule := range rules {
		status, problem, d := evaluateRule(rs.scope, rule, rep, self, summary, severity)
		b.note(key, rs.addr.Module, rep.key, status, problem)
		diags = append(diags, d...)
	}
	return diags
}

// runOutput evaluates an output's preconditions.
func (b *checkBook) runOutput(s *scope, out *configs.Output) diag.List {
	var diags diag.List
	key := checkKey{"output_value", s.module.Path, out.Name}
	for _, rule := range out.Preconditions {
		status, problem, d := evaluateRule(s, rule, repetition{}, cty.NilVal, "Module output value precondition failed", diag.Error)
		b.note(key, s.addr, addrs.NoKey, status, problem)
		diags = append(diags, d...)
	}
	return diags
}

// validateVariable evaluates a variable's validation rules.
func (b *checkBook) validateVariable(s *scope, name string) diag.List {
	v := s.module.Variables[name]
	if len(v.Validations) == 0 {
		return nil
	}
	val, prior := s.variable(name)
	if prior.HasErrors() {
		return nil
	}
	_ = val
	key := checkKey{"var", s.module.Path, name}
	var diags diag.List
	for _, rule := range v.Validations {
		status, problem, d := evaluateRule(s, rule, repetition{}, cty.NilVal, "Invalid value for variable", diag.Error)
		b.note(key, s.addr, addrs.NoKey, status, problem)
		for i := range d {
			if d[i].Summary == "Invalid value for variable" {
				d[i].Subject = variableSubject(s, v).Subject
				d[i].Detail += "\n\nThis was checked by the validation rule at " + rule.DeclRange.String() + "."
			}
		}
		diags = append(diags, d...)
	}
	return diags
}

// variableSubject points at where a bad value came from: the argument of the
// call, or the variable's declaration.
func variableSubject(s *scope, v *configs.Variable) diag.Diagnostic {
	rng := v.DeclRange
	if s.parent != nil {
		if expr := s.module.Call.Arguments[v.Name]; expr != nil {
			rng = expr.Range()
		}
	}
	return diag.Diagnostic{Subject: rng.Ptr()}
}

// runCheckBlock evaluates a check block's assertions; failures are warnings.
func (b *checkBook) runCheckBlock(s *scope, c *configs.Check) diag.List {
	key := checkKey{"check", s.module.Path, c.Name}
	b.reset(key, s.addr, addrs.NoKey)
	var diags diag.List
	for _, rule := range c.Asserts {
		status, problem, d := evaluateRule(s, rule, repetition{}, cty.NilVal, "Check block assertion failed", diag.Warning)
		b.note(key, s.addr, addrs.NoKey, status, problem)
		diags = append(diags, softened(d, true)...)
	}
	return diags
}

// evaluateRule evaluates one condition. An unknown condition is not a problem:
// it will be known later.
func evaluateRule(s *scope, rule *configs.CheckRule, rep repetition, self cty.Value, summary string, severity diag.Severity) (plans.CheckStatus, string, diag.List) {
	refs, diags := lang.ExprReferences(rule.Condition)
	more, d := lang.ExprReferences(rule.ErrorMessage)
	diags = append(diags, d...)
	ctx, d := s.contextFor(append(refs, more...), rep, self)
	diags = append(diags, d...)
	if diags.HasErrors() {
		return plans.CheckError, "", diags
	}
	status, message, d := judge(ctx, rule, summary, severity)
	return status, message, append(diags, d...)
}

// judge evaluates a condition, and its message where it does not hold.
func judge(ctx *hcl.EvalContext, rule *configs.CheckRule, summary string, severity diag.Severity) (plans.CheckStatus, string, diag.List) {
	var diags diag.List
	val, hclDiags := rule.Condition.Value(ctx)
	diags = append(diags, diag.FromHCL(hclDiags)...)
	if hclDiags.HasErrors() {
		return plans.CheckError, "", diags
	}
	bare, _ := val.UnmarkDeep()
	bad := func(detail string) (plans.CheckStatus, string, diag.List) {
		return plans.CheckError, "", append(diags, diag.ErrorAt(rule.Condition.Range(), "Invalid condition result", "%s", detail)...)
	}
	if !bare.IsKnown() {
		return plans.CheckUnknown, "", diags
	}
	if bare.IsNull() {
		return bad("Condition expression must return either true or false, not null.")
	}
	result, err := convert.Convert(bare, cty.Bool)
	if err != nil {
		return bad("Invalid condition result value: " + err.Error() + ".")
	}
	if result.True() {
		return plans.CheckPass, "", diags
	}
	message := "The condition does not hold, but its error message could not be evaluated."
	msg, hclDiags := rule.ErrorMessage.Value(ctx)
	if hclDiags.HasErrors() {
		diags = append(diags, diag.FromHCL(hclDiags)...)
	} else if marks.Contains(msg, marks.Sensitive) || marks.Contains(msg, marks.Ephemeral) {
		message = "The error message included a sensitive value, so it will not be displayed."
		diags = append(diags, diag.WarningAt(rule.ErrorMessage.Range(), "Error message refers to sensitive values",
			"The error expression used to explain this condition refers to sensitive or ephemeral values, so the resulting message is not shown.\n\nYou can correct this by removing references to sensitive values, or by carefully using the nonsensitive() function if the expression will not reveal the sensitive data.")...)
	} else if text, err := convert.Convert(msg, cty.String); err == nil && text.IsKnown() && !text.IsNull() {
		message = strings.TrimSpace(text.AsString())
	}
	rng := rule.Condition.Range()
	return plans.CheckFail, message, append(diags, diag.Diagnostic{
		Severity: severity, Summary: summary, Detail: message, Subject: &rng,
		Expression: rule.Condition, EvalContext: ctx,
	})
}
