// Package clientgen writes the Go client of the API from its description. A test
// holds client/api.go against what it writes.
package clientgen

import (
	"fmt"
	"go/format"
	"slices"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// header begins the file. Tools know by it that nobody wrote it.
const header = `// Code generated from the API's description; DO NOT EDIT.
// To make it anew: go test ./internal/server/clientgen -write

package client

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strconv"
	"time"
)

var _ = strconv.Itoa
`

// Client writes the types and methods for what a description has.
func Client(doc *huma.OpenAPI) ([]byte, error) {
	g := &generator{schemas: doc.Components.Schemas.Map()}
	g.WriteString(header)
	for _, name := range sortedKeys(g.schemas) {
		if !strings.HasPrefix(name, "Error") { // Problem, in client.go
			g.object(name, g.schemas[name])
		}
	}
	for _, path := range sortedKeys(doc.Paths) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op != nil {
				g.operation(path, op)
			}
		}
	}
	if g.problem != nil {
		return nil, g.problem
	}
	out, err := format.Source([]byte(g.String()))
	if err != nil {
		return nil, fmt.Errorf("%w in\n%s", err, g.String())
	}
	return out, nil
}

type generator struct {
	strings.Builder
	schemas map[string]*huma.Schema
	problem error
}

func (g *generator) printf(format string, args ...any) { fmt.Fprintf(g, format, args...) }

func (g *generator) object(name string, s *huma.Schema) {
	g.printf("\n// %s is a shape of the API.\ntype %s struct {\n", name, name)
	for _, member := range sortedKeys(s.Properties) {
		p := s.Properties[member]
		if member == "$schema" {
			continue
		}
		required := slices.Contains(s.Required, member)
		kind, tag := g.kind(p), member
		if !required {
			tag += ",omitempty"
			if p.Type == "" && p.Ref != "" || p.Format == "date-time" || p.Type == "boolean" && strings.HasSuffix(name, "ChangeRequest") && member == "refresh" {
				kind = "*" + kind
			}
		}
		if p.Description != "" {
			g.printf("// %s\n", p.Description)
		}
		g.printf("%s %s `json:%q`\n", goName(member), kind, tag)
	}
	g.printf("}\n")
}

// kind is the Go type of a schema.
func (g *generator) kind(s *huma.Schema) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Format == "date-time":
		return "time.Time"
	}
	switch s.Type {
	case "string":
		return "string"
	case "integer":
		if s.Format == "int64" {
			return "int64"
		}
		return "int"
	case "number":
		return "float64"
	case "boolean":
		return "bool"
	case "array":
		return "[]" + g.kind(s.Items)
	case "object":
		if inner, ok := s.AdditionalProperties.(*huma.Schema); ok {
			return "map[string]" + g.kind(inner)
		}
		return "map[string]json.RawMessage"
	}
	return "json.RawMessage"
}

func (g *generator) operation(path string, op *huma.Operation) {
	name := goName(op.OperationID)
	var args, query []string
	address := strings.Split(path, "{")
	target := fmt.Sprintf("%q", address[0])
	for _, part := range address[1:] {
		parameter, rest, _ := strings.Cut(part, "}")
		args = append(args, parameter+" string")
		target += " + url.PathEscape(" + parameter + ")"
		if rest != "" {
			target += fmt.Sprintf(" + %q", rest)
		}
	}
	for _, p := range op.Parameters {
		if p.In == "query" {
			query = append(query, p.Name)
		}
	}
	if len(query) > 0 {
		g.printf("\n// %sQuery are the parameters of [Client.%s]; what is zero is not sent.\ntype %[1]sQuery struct {\n", name, name)
		for _, p := range op.Parameters {
			if p.In == "query" {
				if p.Description != "" {
					g.printf("// %s\n", p.Description)
				}
				g.printf("%s %s\n", goName(p.Name), g.kind(p.Schema))
			}
		}
		g.printf("}\n\nfunc (q %sQuery) values() url.Values {\n\tv := url.Values{}\n", name)
		for _, p := range op.Parameters {
			if p.In != "query" {
				continue
			}
			field := "q." + goName(p.Name)
			switch kind := g.kind(p.Schema); kind {
			case "string":
				g.printf("if %s != \"\" { v.Set(%q, %s) }\n", field, p.Name, field)
			case "int", "int64":
				g.printf("if %s != 0 { v.Set(%q, strconv.FormatInt(int64(%s), 10)) }\n", field, p.Name, field)
			case "time.Time":
				g.printf("if !%s.IsZero() { v.Set(%q, %s.Format(time.RFC3339Nano)) }\n", field, p.Name, field)
			case "bool":
				g.printf("if %s { v.Set(%q, \"true\") }\n", field, p.Name)
			default:
				g.problem = fmt.Errorf("the parameter %s of %s has the type %s", p.Name, op.OperationID, kind)
			}
		}
		g.printf("return v\n}\n")
		args = append(args, "query "+name+"Query")
	}
	body := "nil"
	if op.RequestBody != nil {
		if document := op.RequestBody.Content["application/json"]; document != nil {
			args, body = append(args, "body "+g.kind(document.Schema)), "body"
		} else {
			args, body = append(args, "body []byte"), "archive(body)"
		}
	}
	values := "nil"
	if len(query) > 0 {
		values = "query.values()"
	}
	for _, status := range []string{"200", "201", "202"} {
		r := op.Responses[status]
		if r == nil {
			continue
		}
		if stream := r.Content["text/event-stream"]; stream != nil {
			g.stream(name, op, args, target, values, stream.Schema)
			return
		}
		if r.Content["application/json"] == nil {
			g.printf("\n// %[1]s: %[2]s. The caller closes what it reads from.\nfunc (c *Client) %[1]s(ctx context.Context, %[3]s) (io.ReadCloser, error) {\n", name, op.Summary, strings.Join(args, ", "))
			g.printf("return c.read(ctx, %s, %s)\n}\n", target, values)
			return
		}
		result := g.kind(r.Content["application/json"].Schema)
		g.printf("\n// %[1]s: %[2]s.\nfunc (c *Client) %[1]s(ctx context.Context, %[3]s) (*%[4]s, error) {\n", name, op.Summary, strings.Join(args, ", "), result)
		g.printf("out := new(%s)\nreturn out, c.do(ctx, %q, %s, %s, %s, out)\n}\n", result, op.Method, target, values, body)
		return
	}
	g.printf("\n// %[1]s: %[2]s.\nfunc (c *Client) %[1]s(ctx context.Context, %[3]s) error {\n", name, op.Summary, strings.Join(args, ", "))
	g.printf("return c.do(ctx, %q, %s, %s, %s, nil)\n}\n", op.Method, target, values, body)
}

// stream writes the method of a stream, and what hears its messages.
func (g *generator) stream(name string, op *huma.Operation, args []string, target, values string, s *huma.Schema) {
	type message struct{ event, kind string }
	var messages []message
	for _, one := range s.Items.Extensions["oneOf"].([]*huma.Schema) {
		event, _ := one.Properties["event"].Extensions["const"].(string)
		messages = append(messages, message{event, g.kind(one.Properties["data"])})
	}
	sort.Slice(messages, func(i, k int) bool { return messages[i].event < messages[k].event })
	g.printf("\n// %sHearer hears the messages of [Client.%[1]s]; nil for those that do not matter.\ntype %[1]sHearer struct {\n", name)
	for _, m := range messages {
		g.printf("%s func(%s) error\n", goName(m.event), m.kind)
	}
	g.printf("}\n\n// %[1]s: %[2]s. It returns when the stream has ended.\nfunc (c *Client) %[1]s(ctx context.Context, %[3]s, hear %[1]sHearer) error {\n", name, op.Summary, strings.Join(args, ", "))
	g.printf("return c.stream(ctx, %s, %s, func(event string, data []byte) error {\nswitch event {\n", target, values)
	for _, m := range messages {
		g.printf("case %q:\nif hear.%s != nil {\nvar v %s\nif err := json.Unmarshal(data, &v); err != nil { return err }\nreturn hear.%[2]s(v)\n}\n", m.event, goName(m.event), m.kind)
	}
	g.printf("}\nreturn nil\n})\n}\n")
}

// goName makes a name of the API one of Go: depends_on is DependsOn, list-runs
// ListRuns.
func goName(name string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if word == "id" || word == "url" {
			b.WriteString(strings.ToUpper(word))
			continue
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
