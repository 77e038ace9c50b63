package asl

import (
	"fmt"
	"strings"
	"time"
)

// Writing are the results of a distributed Map to store.
type Writing struct {
	Bucket string
	Prefix string // of all keys, without a slash at its end
	// Files are the contents of the objects Prefix/name, by name.
	Files map[string]string
}

// item is what an item of a distributed Map came to, as far as a writer tells.
type item struct {
	name           string // of its execution
	input, output  any
	failure        *stateError
	started, ended time.Time
}

// writer is the ResultWriter of a Map, evaluated.
type writer struct {
	resource       Resource
	stores         bool // else it only says what the state's result looks like
	bucket, prefix string
	transformation string
	lines          bool // JSONL
}

// newWriter evaluates the ResultWriter; nil if the state has none or is tested
// alone.
func (g *mapping) newWriter() (*writer, error) {
	fields, ok := g.t.state.fields.at("ResultWriter").(*Object)
	if !ok || g.t.trial != nil {
		return nil, nil
	}
	if !g.distributed {
		return nil, runtimeError("Only a Map of the mode DISTRIBUTED can have a ResultWriter")
	}
	w := &writer{stores: fields.Has("Resource"), transformation: "COMPACT"}
	if w.stores {
		w.transformation = "NONE"
	}
	config, _ := fields.at("WriterConfig").(*Object)
	for _, field := range []struct {
		name string
		into *string
		of   string
	}{
		{"Transformation", &w.transformation, "NONE COMPACT FLATTEN"}, {"OutputType", new(string), "JSON JSONL"},
	} {
		v, ok := config.Get(field.name)
		if !ok {
			continue
		}
		given, _ := v.(string)
		if given == "" || !strings.Contains(" "+field.of+" ", " "+given+" ") {
			return nil, runtimeError("There is no %s %s: there are %s", field.name, text(v), strings.ReplaceAll(field.of, " ", ", "))
		}
		*field.into = given
		w.lines = w.lines || given == "JSONL"
	}
	if !w.stores {
		return w, nil
	}
	var err error
	if w.resource, err = resourceOf(fields, "s3:putObject"); err != nil {
		return nil, err
	}
	arguments, err := g.argumentsOf(fields, "ResultWriter")
	if err != nil {
		return nil, err
	}
	if err := textField(arguments, "Bucket", &w.bucket, true); err != nil {
		return nil, err
	}
	err = textField(arguments, "Prefix", &w.prefix, false)
	w.prefix = strings.TrimSuffix(w.prefix, "/")
	return w, err
}

// results are the results of items as the writer presents them.
func (w *writer) results(items []any) []any {
	out := []any{}
	for _, v := range items {
		it, _ := v.(*item)
		list, isList := it.output.([]any)
		switch {
		case it.failure != nil || w.transformation == "NONE":
			out = append(out, it.described())
		case w.transformation == "FLATTEN" && isList:
			out = append(out, list...)
		default:
			out = append(out, it.output)
		}
	}
	return out
}

// described is an item with all that is known of its execution.
func (it *item) described() *Object {
	included := NewObject().Set("Included", true)
	o := NewObject()
	if e := it.failure; e != nil {
		if e.hasCause {
			o.Set("Cause", e.cause)
		}
		if e.name != "" {
			o.Set("Error", e.name)
		}
	}
	o.Set("ExecutionArn", executionARN+it.name).Set("Input", text(it.input)).Set("InputDetails", included).Set("Name", it.name)
	status := "FAILED"
	if it.failure == nil {
		status = "SUCCEEDED"
		o.Set("Output", text(it.output)).Set("OutputDetails", included)
	}
	return o.Set("StartDate", instant(it.started)).Set("StateMachineArn", machineARN).
		Set("Status", status).Set("StopDate", instant(it.ended))
}

// files are the objects to store: results by how they ended, and a manifest
// that lists them.
func (w *writer) files(arn, prefix string, items []any) map[string]string {
	by := map[string][]any{}
	for _, v := range items {
		status := "SUCCEEDED"
		if it, _ := v.(*item); it.failure != nil {
			status = "FAILED"
		}
		by[status] = append(by[status], v)
	}
	files, listed := map[string]string{}, NewObject()
	for _, status := range []string{"FAILED", "PENDING", "SUCCEEDED"} {
		list := []any{}
		if len(by[status]) > 0 {
			name, content := status+"_0.json", w.format(w.results(by[status]))
			if w.lines {
				name += "l"
			}
			files[name] = content
			list = append(list, NewObject().Set("Key", prefix+"/"+name).Set("Size", number(int64(len(content)))))
		}
		listed.Set(status, list)
	}
	files["manifest.json"] = text(NewObject().Set("DestinationBucket", w.bucket).Set("MapRunArn", arn).Set("ResultFiles", listed))
	return files
}

func (w *writer) format(results []any) string {
	if !w.lines {
		return text(results)
	}
	var b strings.Builder
	for _, r := range results {
		b.WriteString(text(r) + "\n")
	}
	return b.String()
}

// write stores the results, and ends the state with where they are.
func (g *mapping) write() {
	t, w := g.t, g.writer
	prefix := g.run
	if w.prefix != "" {
		prefix = w.prefix + "/" + g.run
	}
	writing := &Writing{Bucket: w.bucket, Prefix: prefix, Files: w.files(g.arn, prefix, g.results)}
	g.results, g.items = nil, nil
	t.m.effect(t, Effect{Kind: Write, Resource: w.resource.Text, Target: w.resource, Writing: writing}, func(out Outcome, ok bool) {
		if !ok {
			g.ends(failed("States.ResultWriterFailed", spoken(out)))
			return
		}
		g.succeeded()
		details := NewObject().Set("Bucket", w.bucket).Set("Key", fmt.Sprintf("%s/manifest.json", prefix))
		t.check(t.finish(NewObject().Set("MapRunArn", g.arn).Set("ResultWriterDetails", details)))
	})
}
