package views

import (
	"bytes"
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

// Diagnostics prints diagnostics, each in a frame, quoting the source lines.
func (t *Terminal) Diagnostics(list diag.List, sources map[string][]byte) {
	if t.CompactWarnings && !list.HasErrors() {
		t.compactWarnings(list)
		return
	}
	var b strings.Builder
	for _, d := range list {
		t.diagnostic(&b, d, sources)
	}
	fmt.Fprint(t.Out, b.String())
}

func (t *Terminal) compactWarnings(list diag.List) {
	t.printf("\n%s\n\n", t.paint(yellow, "Warnings:"))
	for _, d := range list {
		where := ""
		if d.Subject != nil {
			where = fmt.Sprintf("\n  on %s line %d", d.Subject.Filename, d.Subject.Start.Line)
		}
		t.printf("- %s%s\n", printable(d.Summary), where)
	}
	t.printf("\nTo see the full warning notes, run without -compact-warnings.\n\n")
}

func (t *Terminal) diagnostic(b *strings.Builder, d diag.Diagnostic, sources map[string][]byte) {
	color, word := red, "Error"
	if d.Severity == diag.Warning {
		color, word = yellow, "Warning"
	}
	bar := t.paint(color, "│") + " "
	line := func(text string) {
		b.WriteString(strings.TrimRight(bar+text, " "))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(t.paint(color, "╷"))
	b.WriteByte('\n')
	line(t.paint(color, word+": ") + t.paint(bold, printable(d.Summary)))
	line("")
	if d.Address != "" {
		line("  with " + d.Address + ",")
	}
	if d.Subject != nil {
		for _, text := range t.quote(d, sources) {
			line(text)
		}
	}
	if d.Address != "" || d.Subject != nil {
		line("")
	}
	if d.Detail != "" {
		for _, text := range strings.Split(wrap(printable(d.Detail), t.Width-2), "\n") {
			line(text)
		}
	}
	b.WriteString(t.paint(color, "╵"))
	b.WriteByte('\n')
}

// quote shows the lines of source a diagnostic is about, and the values that
// went into a failing expression.
func (t *Terminal) quote(d diag.Diagnostic, sources map[string][]byte) []string {
	s := snippetFor(d, sources)
	place := fmt.Sprintf("  on %s line %d", d.Subject.Filename, d.Subject.Start.Line)
	if s == nil {
		return []string{place + ":"}
	}
	if s.Context != nil {
		place += ", in " + *s.Context
	}
	out := []string{place + ":"}
	code := s.Code
	if t.Color {
		start, end := s.HighlightStart, s.HighlightEnd
		code = code[:start] + t.paint(underline, code[start:end]) + code[end:]
	}
	for i, text := range strings.Split(printableKeepingStyle(code, t.Color), "\n") {
		out = append(out, fmt.Sprintf("%4d: %s", s.StartLine+i, text))
	}
	if len(s.Values) > 0 {
		out = append(out, "    ├────────────────")
		for _, v := range s.Values {
			out = append(out, "    │ "+v.Traversal+" "+v.Statement)
		}
	}
	return out
}

// printableKeepingStyle is printable for text that was just painted.
func printableKeepingStyle(text string, painted bool) string {
	if painted {
		return strings.Map(func(r rune) rune {
			if r < ' ' && r != '\n' && r != '\t' && r != '\x1b' {
				return -1
			}
			return r
		}, text)
	}
	return printable(text)
}

// DiagnosticJSON is a diagnostic as "validate -json" and the event stream have
// it.
type DiagnosticJSON struct {
	Severity string       `json:"severity"`
	Summary  string       `json:"summary"`
	Detail   string       `json:"detail"`
	Address  string       `json:"address,omitempty"`
	Range    *RangeJSON   `json:"range,omitempty"`
	Snippet  *SnippetJSON `json:"snippet,omitempty"`
}

// RangeJSON is a part of a source file.
type RangeJSON struct {
	Filename string  `json:"filename"`
	Start    PosJSON `json:"start"`
	End      PosJSON `json:"end"`
}

// PosJSON is a position: line and column from 1, byte from 0.
type PosJSON struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// SnippetJSON is the source text around a range.
type SnippetJSON struct {
	Context        *string     `json:"context"`
	Code           string      `json:"code"`
	StartLine      int         `json:"start_line"`
	HighlightStart int         `json:"highlight_start_offset"`
	HighlightEnd   int         `json:"highlight_end_offset"`
	Values         []ValueJSON `json:"values"`
}

// ValueJSON says what a reference in a failing expression was.
type ValueJSON struct {
	Traversal string `json:"traversal"`
	Statement string `json:"statement"`
}

// DiagnosticsJSON converts diagnostics.
func DiagnosticsJSON(list diag.List, sources map[string][]byte) []DiagnosticJSON {
	out := make([]DiagnosticJSON, 0, len(list))
	for _, d := range list {
		j := DiagnosticJSON{Severity: d.Severity.String(), Summary: d.Summary, Detail: d.Detail, Address: d.Address}
		if d.Subject != nil {
			j.Range = &RangeJSON{
				Filename: d.Subject.Filename,
				Start:    PosJSON(d.Subject.Start),
				End:      PosJSON(d.Subject.End),
			}
			j.Snippet = snippetFor(d, sources)
		}
		out = append(out, j)
	}
	return out
}

// snippetFor cuts the lines of a diagnostic out of its source; nil where the
// source is not known.
func snippetFor(d diag.Diagnostic, sources map[string][]byte) *SnippetJSON {
	src, ok := sources[d.Subject.Filename]
	if !ok || d.Subject.Start.Byte > len(src) {
		return nil
	}
	highlight := *d.Subject
	shown := highlight
	if d.Context != nil {
		shown = hcl.RangeOver(*d.Context, highlight)
	}
	from := bytes.LastIndexByte(src[:min(shown.Start.Byte, len(src))], '\n') + 1
	to := min(max(shown.End.Byte, from), len(src))
	if to > from && src[to-1] == '\n' {
		to-- // a range that ends at the start of a line does not include it
	} else if end := bytes.IndexByte(src[to:], '\n'); end >= 0 {
		to += end
	} else {
		to = len(src)
	}
	s := &SnippetJSON{
		Code: string(src[from:to]), StartLine: shown.Start.Line - bytes.Count(src[from:min(shown.Start.Byte, len(src))], []byte("\n")),
		Values: failingValues(d),
	}
	s.HighlightStart = clamp(highlight.Start.Byte-from, 0, len(s.Code))
	s.HighlightEnd = clamp(highlight.End.Byte-from, s.HighlightStart, len(s.Code))
	if s.HighlightEnd == s.HighlightStart && s.HighlightEnd < len(s.Code) {
		s.HighlightEnd++
	}
	if name := enclosingBlock(src, highlight); name != "" {
		s.Context = &name
	}
	return s
}

func clamp(n, low, high int) int { return max(low, min(n, high)) }

// enclosingBlock finds the header of the top-level block around a range by
// looking for the last line that begins without indentation and opens a block.
func enclosingBlock(src []byte, rng hcl.Range) string {
	if strings.HasSuffix(rng.Filename, ".json") {
		return ""
	}
	lines := bytes.Split(src[:min(rng.Start.Byte, len(src))], []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		text := strings.TrimRight(string(lines[i]), " \t\r")
		if i == len(lines)-1 {
			continue // the header itself is shown anyway
		}
		if text == "}" {
			return ""
		}
		if text != "" && text[0] != ' ' && text[0] != '\t' && strings.HasSuffix(text, "{") {
			return strings.TrimSpace(strings.TrimSuffix(text, "{"))
		}
	}
	return ""
}

// failingValues describes what the references of an expression were when it
// failed. Sensitive values are not shown.
func failingValues(d diag.Diagnostic) []ValueJSON {
	out := []ValueJSON{}
	if d.Expression == nil || d.EvalContext == nil {
		return out
	}
	seen := map[string]bool{}
	for _, traversal := range d.Expression.Variables() {
		text := traversalText(traversal)
		if seen[text] {
			continue
		}
		seen[text] = true
		v, diags := traversal.TraverseAbs(d.EvalContext)
		if diags.HasErrors() {
			continue
		}
		if statement := describeValue(v); statement != "" {
			out = append(out, ValueJSON{Traversal: text, Statement: statement})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Traversal < out[j].Traversal })
	return out
}

// describeValue says in a few words what a value is.
func describeValue(v cty.Value) string {
	switch {
	case marks.Contains(v, marks.Sensitive):
		return "has a sensitive value"
	case marks.Contains(v, marks.Ephemeral):
		return "has an ephemeral value"
	}
	v, _ = v.UnmarkDeep()
	ty := v.Type()
	switch {
	case !v.IsKnown():
		if ty == cty.DynamicPseudoType {
			return ""
		}
		return "is a " + ty.FriendlyName() + ", known only after apply"
	case v.IsNull():
		return "is null"
	case ty == cty.String:
		return fmt.Sprintf("is %s", quoted(v.AsString()))
	case ty == cty.Number, ty == cty.Bool:
		return "is " + ConsoleValue(v)
	case ty.IsCollectionType(), ty.IsTupleType():
		n := v.LengthInt()
		switch n {
		case 0:
			return "is empty " + ty.FriendlyName()
		case 1:
			return "is " + ty.FriendlyName() + " with 1 element"
		}
		return fmt.Sprintf("is %s with %d elements", ty.FriendlyName(), n)
	case ty.IsObjectType():
		n := len(ty.AttributeTypes())
		if n == 1 {
			return "is object with 1 attribute"
		}
		return fmt.Sprintf("is object with %d attributes", n)
	}
	return "is " + ty.FriendlyName()
}

// traversalText writes a reference as it stands in source.
func traversalText(t hcl.Traversal) string {
	var b strings.Builder
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(step.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + step.Name)
		case hcl.TraverseIndex:
			b.WriteString("[")
			if step.Key.IsKnown() && !step.Key.IsNull() && step.Key.Type().IsPrimitiveType() {
				b.WriteString(ConsoleValue(step.Key))
			} else {
				b.WriteString("...")
			}
			b.WriteString("]")
		}
	}
	return b.String()
}
