package views

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

// Diagnostics prints diagnostics with the source lines they are about, in
// frames where there is colour. Warnings that say the same about several places
// are shown once, with the number of the others.
func (t *Terminal) Diagnostics(list diag.List, sources map[string][]byte) {
	if len(list) == 0 {
		return
	}
	if t.CompactWarnings && !list.HasErrors() {
		t.compactWarnings(list)
		return
	}
	var b strings.Builder
	for _, g := range consolidate(list) {
		t.diagnostic(&b, g, sources)
	}
	_, _ = io.WriteString(t.Out, b.String())
}

// diagnosticGroup is a diagnostic and how many others are like it.
type diagnosticGroup struct {
	diag.Diagnostic
	others int
}

// consolidate joins warnings that have the same summary and a source range,
// keeping the first. Errors stay, and so does what has a rank: each has to be dealt with.
func consolidate(list diag.List) []diagnosticGroup {
	out := make([]diagnosticGroup, 0, len(list))
	first := map[string]int{}
	for _, d := range list {
		if d.Severity == diag.Warning && d.Subject != nil && d.Rank == 0 {
			if i, ok := first[d.Summary]; ok {
				out[i].others++
				continue
			}
			first[d.Summary] = len(out)
		}
		out = append(out, diagnosticGroup{Diagnostic: d})
	}
	return out
}

func (t *Terminal) compactWarnings(list diag.List) {
	t.printf("\n%s\n\n", t.paint(yellow, "Warnings:"))
	for _, g := range consolidate(list) {
		t.printf("%s\n", strings.ReplaceAll(wrap("- "+oneLine(g.Summary), t.Width-2), "\n", "\n  "))
		if g.Subject == nil {
			continue
		}
		more := ""
		if g.others > 0 {
			more = fmt.Sprintf(" (and %d more)", g.others)
		}
		t.printf("  on %s line %d%s\n", printable(g.Subject.Filename), g.Subject.Start.Line, more)
	}
	t.printf("\nTo see the full warning notes, run without -compact-warnings.\n\n")
}

func oneLine(text string) string { return strings.ReplaceAll(printable(text), "\n", " ") }

func (t *Terminal) diagnostic(b *strings.Builder, d diagnosticGroup, sources map[string][]byte) {
	color, word := red, "Error"
	if d.Severity == diag.Warning {
		color, word = yellow, "Warning"
	}
	// Acceptance tests of providers match plain text with its line breaks: they are
	// where Terraform has them, and a summary, which often is the text of an error,
	// has none.
	bar, inside, head := "", t.Width-1, math.MaxInt
	if t.Color {
		bar, inside, head = t.paint(color, "│")+" ", t.Width-2, t.Width-2
	}
	line := func(text string) {
		b.WriteString(strings.TrimRight(bar+text, " "))
		b.WriteByte('\n')
	}
	paragraph := func(text string) {
		for _, part := range strings.Split(wrap(text, inside), "\n") {
			line(part)
		}
	}
	b.WriteByte('\n')
	if t.Color {
		b.WriteString(t.paint(color, "╷") + "\n")
	}
	for i, part := range strings.Split(wrap(word+": "+oneLine(d.Summary), head), "\n") {
		if i == 0 {
			line(t.paint(color, word+":") + t.paint(bold, strings.TrimPrefix(part, word+":")))
			continue
		}
		line(t.paint(bold, part))
	}
	line("")
	if d.Address != "" && d.Subject != nil {
		line("  with " + printable(d.Address) + ",")
	} else if d.Address != "" {
		line("  with " + printable(d.Address))
	}
	if d.Subject != nil {
		for _, text := range t.quote(d.Diagnostic, sources) {
			line(text)
		}
	}
	if d.Address != "" || d.Subject != nil {
		line("")
	}
	if detail := strings.TrimRight(printable(d.Detail), "\n"); detail != "" {
		paragraph(detail)
	}
	if d.others > 0 {
		line("")
		paragraph(fmt.Sprintf("(and %d more similar %s elsewhere)", d.others, plural(d.others, "warning")))
	}
	if t.Color {
		b.WriteString(t.paint(color, "╵") + "\n")
	}
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// quote shows the lines of source a diagnostic is about, and the values that
// went into a failing expression.
func (t *Terminal) quote(d diag.Diagnostic, sources map[string][]byte) []string {
	place := fmt.Sprintf("  on %s line %d", printable(d.Subject.Filename), d.Subject.Start.Line)
	s := snippetFor(d, sources)
	if s == nil {
		return []string{place + ":", "  (source code not available)"}
	}
	if s.Context != nil {
		place += ", in " + printable(*s.Context)
	}
	out := []string{place + ":"}
	offset := 0
	for i, text := range strings.Split(s.Code, "\n") {
		start := clamp(s.HighlightStart-offset, 0, len(text))
		end := clamp(s.HighlightEnd-offset, start, len(text))
		shown := printable(text[:start]) + t.paint(underline, printable(text[start:end])) + printable(text[end:])
		out = append(out, fmt.Sprintf("%4d: %s", s.StartLine+i, shown))
		offset += len(text) + 1
	}
	if len(s.Values) > 0 {
		out = append(out, "    ├────────────────")
		for _, v := range s.Values {
			out = append(out, "    │ "+v.Traversal+" "+v.Statement)
		}
	}
	return out
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
		j := DiagnosticJSON{Severity: d.Severity.String(), Summary: printable(d.Summary), Detail: printable(d.Detail), Address: d.Address}
		if d.Subject != nil {
			j.Range = &RangeJSON{
				Filename: d.Subject.Filename,
				Start:    PosJSON(d.Subject.Start),
				End:      PosJSON(d.Subject.End),
			}
			if j.Range.Start.Byte == j.Range.End.Byte { // no reader has to deal with nothing
				j.Range.End.Byte, j.Range.End.Column = j.Range.End.Byte+1, j.Range.End.Column+1
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
// A range in the header itself is not inside the block.
func enclosingBlock(src []byte, rng hcl.Range) string {
	if strings.HasSuffix(rng.Filename, ".json") {
		return ""
	}
	at := min(rng.Start.Byte, len(src))
	lineStart := bytes.LastIndexByte(src[:at], '\n') + 1
	line := src[lineStart:]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	if header, opened := blockHeader(line); opened {
		if at-lineStart >= len(header) { // the brace is the body's
			return strings.TrimSpace(header)
		}
		return ""
	}
	for rest := src[:lineStart]; len(rest) > 0; {
		rest = rest[:len(rest)-1]
		start := bytes.LastIndexByte(rest, '\n') + 1
		line, rest = rest[start:], rest[:start]
		if len(line) > 0 && line[0] == '}' {
			return ""
		}
		if header, opened := blockHeader(line); opened {
			if bytes.HasSuffix(bytes.TrimRight(line, " \t\r"), []byte("}")) {
				return "" // a block of one line ends where it begins
			}
			return strings.TrimSpace(header)
		}
	}
	return ""
}

// blockHeader returns what stands before the brace of a line that opens a
// top-level block.
func blockHeader(line []byte) (string, bool) {
	if len(line) == 0 || strings.IndexByte(" \t#/}", line[0]) >= 0 {
		return "", false
	}
	header, _, opened := strings.Cut(string(line), "{")
	return header, opened && !strings.Contains(header, "=")
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
		v, used := reachable(traversal, d.EvalContext)
		text := traversalText(used)
		if len(used) == 0 || seen[text] {
			continue
		}
		seen[text] = true
		if statement := describeValue(v); statement != "" {
			out = append(out, ValueJSON{Traversal: text, Statement: statement})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Traversal < out[j].Traversal })
	return out
}

// reachable follows a reference as far as there is something: what is wrong may
// be its last step. Whole namespaces such as "var" are not worth telling.
func reachable(traversal hcl.Traversal, ctx *hcl.EvalContext) (cty.Value, hcl.Traversal) {
	for n := len(traversal); n > 1; n-- {
		if v, diags := traversal[:n].TraverseAbs(ctx); !diags.HasErrors() {
			return v, traversal[:n]
		}
	}
	if len(traversal) == 1 && !traversal.IsRelative() {
		if v, diags := traversal.TraverseAbs(ctx); !diags.HasErrors() {
			return v, traversal
		}
	}
	return cty.NilVal, nil
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
		return "is " + quoted(v.AsString())
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
		switch n {
		case 0:
			return "is object with no attributes"
		case 1:
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
