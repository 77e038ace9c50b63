package policy

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/tutti-dev/tutti/internal/diag"
)

// What a policy is asked for: its rules named deny, violation and warn, or the
// decisions that are named for it. A decision is one of
//
//   - true or false: whether the plan may be carried out. Undefined is false;
//   - an object with "allow", "allowed" or "valid", true or false, and why, in "reason",
//     "reasons", "message", "messages" or "msg";
//   - a set or list of messages, as deny gives: none lets the plan pass.
//
// Anything else cannot be evaluated, and lets nothing pass.

// findRules lists what is to be asked for, by package and name.
func (p *Policy) findRules(dir string, decisions []string) diag.List {
	var diags diag.List
	found := map[string]*rule{}
	for _, d := range decisions {
		path := strings.TrimPrefix(strings.ReplaceAll(strings.Trim(d, "/"), "/", "."), "data.")
		one := map[string]*rule{}
		p.each(func(pkg, name string, m *ast.Module, r *ast.Rule) {
			if pkg+"."+name == path {
				p.asks(one, pkg, name, m, r).decides = !counts(name) // those keep their meaning
			}
		})
		if len(one) == 0 {
			p.each(func(pkg, name string, m *ast.Module, r *ast.Rule) {
				if pkg == path && counts(name) {
					p.asks(one, pkg, name, m, r)
				}
			})
		}
		if len(one) == 0 {
			diags = append(diags, diag.Errorf("Decision not found", "The Rego files in %s, the source of policy %q, have neither a rule %s nor a package of this name with rules named deny, violation or warn. %s", dir, p.Name, path, p.hasInstead())...)
		}
		for key, r := range one {
			found[key] = r
		}
	}
	if len(decisions) == 0 {
		p.each(func(pkg, name string, m *ast.Module, r *ast.Rule) {
			if counts(name) {
				p.asks(found, pkg, name, m, r)
			}
		})
		if len(found) == 0 {
			p.each(func(pkg, name string, m *ast.Module, r *ast.Rule) {
				if p.notesOf(r).entrypoint {
					p.asks(found, pkg, name, m, r).decides = true
				}
			})
		}
		if len(found) == 0 {
			diags = append(diags, diag.Errorf("Policy has no rules", "Nothing in %s, the source of policy %q, is judged: rules that count are named deny, violation or warn (or deny_NAME …), and there are none. %s", dir, p.Name, p.hasInstead())...)
		}
	}
	excepts := map[string]bool{}
	p.each(func(pkg, name string, _ *ast.Module, _ *ast.Rule) { excepts[pkg] = excepts[pkg] || name == "exception" })
	for _, key := range sorted(found) {
		r := found[key]
		r.excepts = excepts[r.pkg] && !r.decides
		p.rules = append(p.rules, r)
	}
	sort.Slice(p.rules, func(i, j int) bool { return p.rules[i].query < p.rules[j].query })
	return diags
}

func counts(name string) bool { return denies.MatchString(name) || warns.MatchString(name) }

// each goes through the rules of all modules.
func (p *Policy) each(do func(pkg, name string, m *ast.Module, r *ast.Rule)) {
	for _, file := range sorted(p.modules) {
		m := p.modules[file]
		pkg := strings.TrimPrefix(m.Package.Path.String(), "data.")
		for _, r := range m.Rules {
			do(pkg, ruleName(r), m, r)
		}
	}
}

// is reports whether the rule is one of those that are asked for by this name.
func (r *rule) is(of *ast.Rule) bool {
	return of.Module != nil && "data."+r.pkg == of.Module.Package.Path.String() && ruleName(of) == r.name
}

func ruleName(r *ast.Rule) string {
	if r.Head.Name == "" && len(r.Head.Reference) > 0 {
		return strings.Trim(r.Head.Reference[0].Value.String(), `"`)
	}
	return string(r.Head.Name)
}

// asks adds a rule to those that are asked for.
func (p *Policy) asks(found map[string]*rule, pkg, name string, m *ast.Module, r *ast.Rule) *rule {
	key := pkg + "." + name
	if found[key] == nil {
		ref := m.Package.Path.Copy().Append(ast.StringTerm(name))
		found[key] = &rule{pkg: pkg, name: name, query: ref.String(), warns: warns.MatchString(name), at: place(r.Location), followed: true}
	}
	out := found[key]
	out.followed = out.followed && !r.Default && r.Else == nil && (r.Head.Key == nil || r.Head.Value == nil)
	if r.Default {
		return out
	}
	one := body{place(r.Location), p.notesOf(r)}
	if out.bodies = append(out.bodies, one); len(out.bodies) == 1 {
		out.at, out.notes = one.at, one.notes
	} else {
		out.notes = out.notes.common(one.notes)
	}
	return out
}

// hasInstead names what a policy could have been meant to be asked for.
func (p *Policy) hasInstead() string {
	var likely, near []string
	p.each(func(pkg, name string, _ *ast.Module, r *ast.Rule) {
		decision := strings.ReplaceAll(pkg, ".", "/") + "/" + name
		switch lower := strings.ToLower(name); {
		case slices.Contains([]string{"allow", "allowed", "authz", "authorized", "approve", "pass", "main", "rule"}, lower), r.Default:
			likely = append(likely, decision)
		case strings.HasPrefix(lower, "den") || strings.HasPrefix(lower, "violat") || strings.HasPrefix(lower, "warn") || strings.HasPrefix(lower, "fail"):
			near = append(near, decision)
		}
	})
	likely = append(likely, near...)
	if len(likely) == 0 {
		return "Name the rule that decides, with the argument decision of the policy: decision = \"PACKAGE/RULE\"."
	}
	return fmt.Sprintf("If %s is what decides, say so in the policy block: decision = %q.", strings.ReplaceAll(likely[0], "/", "."), likely[0])
}

// notes are what annotations (# METADATA) say of a rule.
type notes struct {
	title, description, severity, fix string
	entrypoint                        bool
}

// notesOf collects the annotations of a rule: its own, those of all rules of the
// name, and for what these leave open those of the package, and what its file says
// in __rego_metadata__, as Trivy and others have it.
func (p *Policy) notesOf(r *ast.Rule) notes {
	var n notes
	if r.Module == nil {
		return n
	}
	say := func(title, description string, more map[string]any) {
		n.title, n.description = orElse(n.title, title), orElse(n.description, description)
		n.severity = orElse(n.severity, strings.ToLower(firstText(more, "severity")))
		n.fix = orElse(n.fix, firstText(more, append([]string{"recommended_action", "recommended_actions"}, fixNames...)...))
	}
	add := func(a *ast.Annotations) {
		if a != nil {
			say(a.Title, a.Description, a.Custom)
			n.entrypoint = n.entrypoint || a.Entrypoint && a.Scope != "package"
		}
	}
	if set := p.annotations; set != nil {
		for _, a := range r.Annotations {
			add(a)
		}
		add(set.GetDocumentScope(r.Ref().GroundPrefix()))
		add(set.GetPackageScope(r.Module.Package)) // it may hold one rule and describe that
	}
	for _, about := range r.Module.Rules {
		if ruleName(about) == "__rego_metadata__" && about.Head.Value != nil && about.Head.Value.IsGround() {
			if v, err := ast.JSON(about.Head.Value.Value); err == nil {
				m, _ := v.(map[string]any)
				say(firstText(m, "title"), firstText(m, "description"), m)
			}
		}
	}
	return n
}

// common is what is said of two rules alike.
func (n notes) common(other notes) notes {
	same := func(a, b string) string {
		if a == b {
			return a
		}
		return ""
	}
	return notes{same(n.title, other.title), same(n.description, other.description), same(n.severity, other.severity), same(n.fix, other.fix), n.entrypoint || other.entrypoint}
}

// errNoDecision says that a decision is of no kind that is understood.
var errNoDecision = errors.New("no decision")

// decided turns what a decision came to into what it says against the plan.
// Undefined is nil.
func (r *rule) decided(v ast.Value, most int) ([]said, error) {
	no := func(term string, reasons ...string) []said {
		if len(reasons) == 0 {
			reasons = []string{orElse(orElse(r.notes.title, r.notes.description), fmt.Sprintf("The decision %s is %s", r, term))}
		}
		var out []said
		for _, reason := range reasons {
			out = append(out, said{term: term, value: reason})
		}
		return out
	}
	switch v := v.(type) {
	case nil:
		return no("undefined"), nil
	case ast.Boolean:
		if v {
			return nil, nil
		}
		return no("false"), nil
	case ast.Set, *ast.Array:
		return members(most)(v)
	case ast.Object:
		for _, name := range []string{"allow", "allowed", "valid"} {
			allowed := v.Get(ast.StringTerm(name))
			if allowed == nil {
				continue
			}
			yes, ok := allowed.Value.(ast.Boolean)
			switch {
			case !ok:
				return nil, fmt.Errorf("%w: the member %q of %s must be true or false", errNoDecision, name, r)
			case bool(yes):
				return nil, nil
			}
			return no(v.String(), reasons(v)...), nil
		}
		return nil, fmt.Errorf("%w: %s is an object without \"allow\". It must be true or false, an object with \"allow\", or a set of messages", errNoDecision, r)
	}
	return nil, fmt.Errorf("%w: %s is %s. It must be true or false, an object with \"allow\", or a set of messages", errNoDecision, r, ast.ValueName(v))
}

// reasons are why an object does not allow something.
func reasons(o ast.Object) (out []string) {
	for _, name := range []string{"reasons", "reason", "messages", "message", "msg", "deny", "violations"} {
		t := o.Get(ast.StringTerm(name))
		if t == nil {
			continue
		}
		add := func(t *ast.Term) {
			if s := text(t); s != "" {
				out = append(out, s)
			} else if o, ok := t.Value.(ast.Object); ok {
				out = append(out, reasons(o)...)
			}
		}
		switch v := t.Value.(type) {
		case *ast.Array:
			v.Foreach(add)
		case ast.Set:
			v.Foreach(add)
		default:
			add(t)
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// members are what a rule says: the members of a set or list; the values in an
// object (of rules like deny.NAME), or its names where the values only say that
// they are there; itself, where it is something else. More than most messages are an
// error.
func members(most int) saying {
	return func(v ast.Value) ([]said, error) { return membersOf(v, most) }
}

func membersOf(v ast.Value, most int) (out []said, err error) {
	size := 0
	add := func(t *ast.Term) error {
		one := said{term: t.String()}
		if size += len(one.term); len(out) == most || size > most*mostText {
			return fmt.Errorf("it gives more than %d messages, or more than %d MiB of them", most, most*mostText>>20)
		}
		one.value, err = ast.JSON(t.Value)
		out = append(out, one)
		return err
	}
	switch v := v.(type) {
	case nil:
	case ast.Set:
		err = v.Iter(add)
	case *ast.Array:
		err = v.Iter(add)
	case ast.Object:
		if t := v.Get(ast.StringTerm("msg")); t != nil && text(t) != "" {
			err = add(ast.NewTerm(v))
			break
		}
		err = v.Iter(func(name, t *ast.Term) error {
			switch nested := t.Value.(type) {
			case ast.Set:
				return nested.Iter(add)
			case *ast.Array:
				return nested.Iter(add)
			case ast.Boolean:
				if !nested {
					return nil
				}
			case ast.String:
				return add(ast.StringTerm(text(name) + ": " + string(nested)))
			case ast.Object:
				return add(t)
			}
			return add(name)
		})
	case ast.Boolean:
		if v {
			err = add(ast.NewTerm(v))
		}
	default:
		err = add(ast.NewTerm(v))
	}
	return out, err
}
