// Package diag holds diagnostics: what is wrong with something the user gave
// us, where in their files it is, and what they can do about it.
//
// A diagnostic is for problems a user can cause (configuration, plan, state,
// provider answers about their objects). Problems of the world (disk, network)
// are ordinary errors until they reach a place that can say which object they
// concern. Diagnostics are collected, never first-wins: a function that checks
// ten things returns a [List] with all that it found.
package diag

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Severity says whether a diagnostic stops the work.
type Severity byte

// The severities, in the spelling of Terraform's JSON output.
const (
	Error   Severity = 'E'
	Warning Severity = 'W'
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Diagnostic is one finding.
type Diagnostic struct {
	Severity Severity
	Summary  string // one short line, no full stop
	Detail   string // what to do; may have several paragraphs
	Address  string // the object concerned, e.g. a resource instance; may be empty

	// Subject is the source range at fault, Context a larger one that helps to
	// read it. Both may be nil.
	Subject *hcl.Range
	Context *hcl.Range

	// Expression and EvalContext, where set, let the printer show the values
	// that went into a failing expression. The printer must hide marked values.
	Expression  hcl.Expression
	EvalContext *hcl.EvalContext

	// Rank, where it is not 0, says how grave it is among those of its severity: the
	// gravest come first, and none of them stands for others like it.
	Rank int

	// Attribute is the path inside the block at Subject that a provider
	// complained about. [List.InConfigBody] turns it into a source range.
	Attribute cty.Path
}

// Error makes Diagnostic an error for the few places that must return one.
func (d Diagnostic) Error() string {
	var b strings.Builder
	if d.Subject != nil {
		fmt.Fprintf(&b, "%s:%d,%d: ", d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column)
	}
	b.WriteString(d.Summary)
	if d.Detail != "" {
		b.WriteString("; ")
		b.WriteString(d.Detail)
	}
	return b.String()
}

// List is a collection of diagnostics in the order found.
type List []Diagnostic

// Errorf returns a list of one error without source range.
func Errorf(summary, detail string, args ...any) List {
	return List{{Severity: Error, Summary: summary, Detail: fmt.Sprintf(detail, args...)}}
}

// ErrorAt returns a list of one error at a source range.
func ErrorAt(subject hcl.Range, summary, detail string, args ...any) List {
	return List{{Severity: Error, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: subject.Ptr()}}
}

// WarningAt returns a list of one warning at a source range.
func WarningAt(subject hcl.Range, summary, detail string, args ...any) List {
	return List{{Severity: Warning, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: subject.Ptr()}}
}

// Warningf returns a list of one warning without source range.
func Warningf(summary, detail string, args ...any) List {
	return List{{Severity: Warning, Summary: summary, Detail: fmt.Sprintf(detail, args...)}}
}

// FromError turns an error into a list of one; a wrapped [Diagnostic] or
// [List] is unpacked. A nil error gives a nil list.
func FromError(err error) List {
	if err == nil {
		return nil
	}
	if list := Of(err); list != nil {
		return list
	}
	summary, detail, _ := strings.Cut(err.Error(), "\n")
	return List{{Severity: Error, Summary: upperFirst(summary), Detail: detail}}
}

// Of returns the diagnostics that an error is made of; nil where it is made of
// none.
func Of(err error) List {
	var one Diagnostic
	if errors.As(err, &one) {
		return List{one}
	}
	var many listError
	if errors.As(err, &many) {
		return List(many)
	}
	return nil
}

// FromHCL converts the parser's and evaluator's diagnostics.
func FromHCL(in hcl.Diagnostics) List {
	if len(in) == 0 {
		return nil
	}
	out := make(List, 0, len(in))
	for _, d := range in {
		sev := Error
		if d.Severity == hcl.DiagWarning {
			sev = Warning
		}
		out = append(out, Diagnostic{
			Severity: sev, Summary: d.Summary, Detail: d.Detail,
			Subject: d.Subject, Context: d.Context,
			Expression: d.Expression, EvalContext: d.EvalContext,
		})
	}
	return out
}

// HasErrors reports whether the list holds at least one error.
func (l List) HasErrors() bool {
	for i := range l {
		if l[i].Severity != Warning {
			return true
		}
	}
	return false
}

// Err returns the list as an error, or nil where it holds no error.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return listError(l)
}

// WithAddress returns the list with the address set on every diagnostic that
// has none.
func (l List) WithAddress(address string) List {
	for i := range l {
		if l[i].Address == "" {
			l[i].Address = address
		}
	}
	return l
}

// InConfigBody gives every diagnostic that has no subject the best source range
// body can offer for its attribute path: where the body begins, if it is not in
// there. The fallback is for bodies without a place.
func (l List) InConfigBody(body hcl.Body, fallback hcl.Range) List {
	for i := range l {
		if l[i].Subject != nil {
			continue
		}
		rng := fallback
		if body != nil {
			rng = attributeRange(body, l[i].Attribute, missingRange(body, fallback))
		}
		if rng.Filename != "" {
			l[i].Subject = rng.Ptr()
		}
	}
	return l
}

// attributeRange follows the leading attribute and block names of path.
func attributeRange(body hcl.Body, path cty.Path, best hcl.Range) hcl.Range {
	for i, step := range path {
		get, ok := step.(cty.GetAttrStep)
		if !ok {
			continue
		}
		content, _, _ := body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: get.Name}}})
		if content != nil {
			if attr, ok := content.Attributes[get.Name]; ok {
				return attr.Expr.Range()
			}
		}
		content, _, _ = body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: get.Name}}})
		if content == nil || len(content.Blocks) == 0 {
			return best
		}
		index := 0
		if i+1 < len(path) {
			if idx, ok := path[i+1].(cty.IndexStep); ok && idx.Key.Type() == cty.Number && idx.Key.IsKnown() {
				n, _ := idx.Key.AsBigFloat().Int64()
				index = int(n)
			}
		}
		if index < 0 || index >= len(content.Blocks) {
			index = 0
		}
		block := content.Blocks[index]
		best, body = missingRange(block.Body, block.DefRange), block.Body
	}
	return best
}

// missingRange is where to point at for something that is not in a body.
func missingRange(body hcl.Body, fallback hcl.Range) hcl.Range {
	if rng := body.MissingItemRange(); rng.Filename != "" {
		return rng
	}
	return fallback
}

// Sorted returns a copy with errors after warnings, each by file and line, so
// that the most important text ends up next to the prompt. Those with a rank come
// before others of their severity.
func (l List) Sorted() List {
	out := append(List(nil), l...)
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Severity != b.Severity {
			return a.Severity == Warning
		}
		if a.Rank != b.Rank {
			return a.Rank > b.Rank
		}
		if (a.Subject == nil) != (b.Subject == nil) {
			return a.Subject == nil
		}
		if a.Subject == nil {
			return false
		}
		if a.Subject.Filename != b.Subject.Filename {
			return a.Subject.Filename < b.Subject.Filename
		}
		return a.Subject.Start.Byte < b.Subject.Start.Byte
	})
	return out
}

type listError List

func (l listError) Error() string {
	var parts []string
	for _, d := range l {
		if d.Severity != Warning {
			parts = append(parts, d.Error())
		}
	}
	return strings.Join(parts, "\n")
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
