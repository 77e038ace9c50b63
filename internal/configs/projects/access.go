package projects

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
)

// Verbs are what a permission can be about, in the order of the documents.
var Verbs = []string{"plan", "apply", "destroy", "run", "approve", "cancel", "signal", "state", "secret", "override", "admin", "read", "audit"}

// Role is a role block: what whoever is granted it may do, and must not.
type Role struct {
	Name        string
	Allow, Deny []Permission
	DeclRange   hcl.Range
}

// Permission is VERB:ENVIRONMENT/RESOURCE: patterns in which a star stands for any
// characters and a question mark for one. Without a resource it is about all.
type Permission struct {
	Verb, Environment, Resource string
	Text                        string // as it was written
}

// Grant is a grant block: it gives a role to users, groups, services and
// triggers.
type Grant struct {
	Role      Reference
	To        []string // KIND:NAME
	DeclRange hcl.Range
}

// SubjectKinds are what stands before the colon in the "to" of a grant.
var SubjectKinds = []string{"user", "group", "service", "trigger"}

// maxPattern bounds the text of a permission.
const maxPattern = 512

// ParsePermission reads VERB:ENVIRONMENT/RESOURCE.
func ParsePermission(text string) (Permission, error) {
	p := Permission{Text: text}
	verb, place, ok := strings.Cut(text, ":")
	if !ok || len(text) > maxPattern {
		return p, fmt.Errorf("%s is not a permission: write VERB:ENVIRONMENT/RESOURCE, for example \"apply:staging/*\" or \"plan:*\"", shorten(text))
	}
	if verb != "*" && !slices.Contains(Verbs, verb) {
		return p, fmt.Errorf("%s is not something that can be allowed or denied; the verbs are %s, and * for all", shorten(verb), strings.Join(Verbs, ", "))
	}
	environment, resource, given := strings.Cut(place, "/")
	if !given {
		resource = "*"
	}
	for _, pattern := range []string{environment, resource} {
		if !validPattern(pattern) {
			return p, fmt.Errorf("%s has no environment or resource that there could be: %s must be a name, in which * stands for any characters and ? for one", shorten(text), shorten(pattern))
		}
	}
	p.Verb, p.Environment, p.Resource = verb, environment, resource
	return p, nil
}

// validPattern refuses what no name of an environment, a stack or a workflow is
// like: it would never be met, and a rule that denies would deny nothing.
func validPattern(pattern string) bool {
	return pattern != "" && strings.IndexFunc(pattern, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("*?-_.~$&+=@:", r) || r == unicode.ReplacementChar
	}) < 0
}

func shorten(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		text = string(runes[:60]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// ParseSubject checks the name of somebody: KIND:NAME.
func ParseSubject(text string) error {
	kind, name, ok := strings.Cut(text, ":")
	if !ok || !slices.Contains(SubjectKinds, kind) || name == "" || len(text) > maxPattern || strings.IndexFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r) || unicode.IsSpace(r) && r != ' ' || r == ':' || r == '*' || r == '?' || r == unicode.ReplacementChar
	}) >= 0 {
		return fmt.Errorf("%s is nobody: write KIND:NAME with the kind user, group, service or trigger, for example \"group:sre\"", shorten(text))
	}
	return nil
}

func (d *decoder) role(block *hcl.Block) *Role {
	d.project.Guarded = true
	content := d.content(block, nil, []string{"allow", "deny"})
	r := &Role{Name: block.Labels[0], DeclRange: block.DefRange}
	r.Allow, r.Deny = d.permissions(content, "allow"), d.permissions(content, "deny")
	return r
}

func (d *decoder) permissions(content *hcl.BodyContent, name string) []Permission {
	var out []Permission
	d.texts(content, name, func(text string) error {
		p, err := ParsePermission(text)
		if err == nil {
			out = append(out, p)
		}
		return err
	})
	return out
}

// texts reads a list of literal strings, each with its own place in the file.
func (d *decoder) texts(content *hcl.BodyContent, name string, take func(string) error) {
	attr := content.Attributes[name]
	if attr == nil {
		return
	}
	exprs, diags := hcl.ExprList(attr.Expr)
	if diags.HasErrors() {
		d.errorAt(attr.Expr.Range(), "Invalid "+name, "The argument %q must be a list written out: [\"...\", ...].", name)
		return
	}
	for _, expr := range exprs {
		v, diags := expr.Value(nil)
		if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type().FriendlyName() != "string" {
			d.errorAt(expr.Range(), "Invalid "+name, "What stands in %q must be constant text.", name)
			continue
		}
		if err := take(v.AsString()); err != nil {
			d.errorAt(expr.Range(), "Invalid "+name, "%s.", upper(err.Error()))
		}
	}
}

func upper(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func (d *decoder) grant(block *hcl.Block) {
	d.project.Guarded = true
	content := d.content(block, []string{"role", "to"}, nil)
	g := &Grant{DeclRange: block.DefRange}
	if attr := content.Attributes["role"]; attr != nil {
		g.Role, _ = d.reference(attr.Expr, "role")
	}
	d.texts(content, "to", func(text string) error {
		err := ParseSubject(text)
		if err == nil {
			g.To = append(g.To, text)
		}
		return err
	})
	d.project.Grants = append(d.project.Grants, g)
}
