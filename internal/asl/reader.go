package asl

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Reading is what the items of a distributed Map are read from. The outcome of
// getting an object is its content, as one JSON string; that of listing, an
// array of objects with Key, Size, LastModified, Etag and StorageClass.
type Reading struct {
	List         bool // list the objects whose keys begin with Prefix, instead of getting Key
	Bucket       string
	Key, Version string // Version is empty for the latest
	Prefix       string
	Max          int // more than so many objects of a list are not needed; 0 for all
}

// reader is the ItemReader of a Map, evaluated.
type reader struct {
	reading   Reading
	resource  Resource
	input     string // InputType
	headers   []string
	given     bool // headers are in the definition, not in the first row
	delimiter rune
	pointer   string
	max       int // items; 0 for all
}

// readerFailed is the error of a reader, which a state can catch.
func readerFailed(format string, args ...any) *stateError {
	return failed("States.ItemReaderFailed", fmt.Sprintf(format, args...))
}

var delimiters = map[string]rune{"COMMA": ',', "PIPE": '|', "SEMICOLON": ';', "SPACE": ' ', "TAB": '\t'}

// newReader evaluates the ItemReader; nil if the state has none, or is tested
// alone and must not read.
func (g *mapping) newReader() (*reader, error) {
	fields, ok := g.t.state.fields.at("ItemReader").(*Object)
	if !ok || g.t.trial != nil {
		return nil, nil
	}
	if !g.distributed {
		return nil, runtimeError("Only a Map of the mode DISTRIBUTED can have an ItemReader")
	}
	r := &reader{input: "JSON", delimiter: ','}
	var err error
	if r.resource, err = resourceOf(fields, "s3:getObject", "s3:listObjectsV2"); err != nil {
		return nil, err
	}
	arguments, err := g.argumentsOf(fields, "ItemReader")
	if err != nil {
		return nil, err
	}
	r.reading.List = r.resource.Action == "listObjectsV2"
	for _, field := range []struct {
		name     string
		into     *string
		required bool
	}{
		{"Bucket", &r.reading.Bucket, true}, {"Key", &r.reading.Key, !r.reading.List},
		{"Prefix", &r.reading.Prefix, false}, {"VersionId", &r.reading.Version, false},
	} {
		if err := textField(arguments, field.name, field.into, field.required); err != nil {
			return nil, err
		}
	}
	config, _ := fields.at("ReaderConfig").(*Object)
	n, ok, err := g.number(config, "MaxItems", "ItemReader/ReaderConfig")
	if err != nil {
		return nil, err
	}
	if ok {
		r.max = int(n)
	}
	if r.reading.List {
		r.reading.Max = r.max
		if config.Has("Transformation") && config.at("Transformation") != "NONE" {
			return nil, readerFailed("The transformation %s of listed objects is not supported: there is NONE", text(config.at("Transformation")))
		}
		return r, nil
	}
	return r, r.configure(config)
}

// configure takes over how an object is to be understood.
func (r *reader) configure(config *Object) error {
	if v, ok := config.Get("InputType"); ok {
		r.input, _ = v.(string)
	}
	if v, ok := config.Get("ItemsPointer"); ok {
		r.pointer, _ = v.(string)
	}
	switch r.input {
	case "JSON", "JSONL":
		return nil
	case "CSV":
	case "MANIFEST", "PARQUET":
		return readerFailed("The InputType %s is not supported: there are CSV, JSON and JSONL", r.input)
	default:
		return readerFailed("There is no InputType %q: there are CSV, JSON and JSONL", r.input)
	}
	if v, ok := config.Get("CSVDelimiter"); ok {
		name, _ := v.(string)
		if r.delimiter, ok = delimiters[name]; !ok {
			return readerFailed("There is no CSVDelimiter %s: there are COMMA, PIPE, SEMICOLON, SPACE and TAB", text(v))
		}
	}
	switch location := config.at("CSVHeaderLocation"); location {
	case "FIRST_ROW", nil:
		return nil
	case "GIVEN":
		r.given = true
	default:
		return readerFailed("There is no CSVHeaderLocation %s: there are FIRST_ROW and GIVEN", text(location))
	}
	list, _ := config.at("CSVHeaders").([]any)
	for _, h := range list {
		name, ok := h.(string)
		if !ok {
			return readerFailed("CSVHeaders must be strings, not %s", text(h))
		}
		r.headers = append(r.headers, name)
	}
	if len(list) == 0 {
		return readerFailed("CSVHeaders are missing, which the CSVHeaderLocation GIVEN needs")
	}
	return nil
}

// resourceOf returns the Resource of a reader or writer, which must be one of
// some actions.
func resourceOf(fields *Object, actions ...string) (Resource, error) {
	source, _ := fields.at("Resource").(string)
	for _, action := range actions {
		if source == "arn:aws:states:::"+action {
			return ParseResource(source)
		}
	}
	return Resource{}, runtimeError("The resource %q cannot be used here: there is arn:aws:states:::%s", source, strings.Join(actions, " and arn:aws:states:::"))
}

// argumentsOf evaluates the Parameters or Arguments of a reader or writer.
func (g *mapping) argumentsOf(fields *Object, field string) (*Object, error) {
	var v any
	var err error
	if g.t.state.jsonata {
		v, err = g.t.scope(g.t.input).query(fields.at("Arguments"), field+"/Arguments")
	} else {
		v, err = g.t.scope(g.input).template(fields.at("Parameters"))
	}
	o, _ := v.(*Object)
	return o, err
}

func textField(o *Object, field string, into *string, required bool) error {
	v, ok := o.Get(field)
	if !ok {
		if required {
			return runtimeError("The field %q is required but was missing", field)
		}
		return nil
	}
	if *into, ok = v.(string); !ok {
		return runtimeError("The value for the field '%s' must be a STRING, not %s", field, text(v))
	}
	return nil
}

// number evaluates a field that is a non-negative whole number, the path to
// one or an expression for one. at is where the object stands.
func (g *mapping) number(o *Object, field, at string) (int64, bool, error) {
	s := g.t.scope(g.input)
	v, ok := o.Get(field)
	source, isPath := "", false
	switch {
	case g.t.state.jsonata:
		if !ok {
			return 0, false, nil
		}
		var err error
		if v, err = g.t.scope(g.t.input).query(v, at+"/"+field); err != nil {
			return 0, false, err
		}
	case o.Has(field + "Path"):
		isPath = true
		source, _ = o.at(field + "Path").(string)
		var err error
		if v, err = g.t.reference(s, source, field+"Path"); err != nil {
			return 0, false, err
		}
		v = numeral(v)
	case !ok:
		return 0, false, nil
	}
	n, whole := integer(v)
	switch {
	case whole && n >= 0:
		return n, true, nil
	case isPath:
		return 0, false, runtimeError("The %sPath field refers to value \"%s\" which is not a valid integer: %s", field, plain(v), source)
	case g.t.state.jsonata:
		if _, is := expressionOf(o.at(field)); is {
			return 0, false, wrongType(o.at(field), at+"/"+field, "positive integer", v)
		}
	}
	return 0, false, runtimeError("%s must be a non-negative integer, not %s", field, text(v))
}

// read gets the items from outside, and goes on with them.
func (g *mapping) read() {
	reading := g.reader.reading
	e := Effect{Kind: Read, Resource: g.reader.resource.Text, Target: g.reader.resource, Reading: &reading}
	g.t.m.effect(g.t, e, func(out Outcome, ok bool) {
		if !ok {
			g.ends(readerFailed("%s", spoken(out)))
			return
		}
		items, err := g.reader.items(out.Output)
		if err != nil {
			g.ends(readerFailed("%s", err))
			return
		}
		g.items = items
		g.t.check(g.launch())
	})
}

// spoken are the words for a failure of a reader or writer.
func spoken(out Outcome) string {
	switch {
	case out.Cause == "":
		return out.Error
	case out.Error == "":
		return out.Cause
	}
	return out.Error + ": " + out.Cause
}

// ends ends the map run, and with it the state, with an error.
func (g *mapping) ends(e *stateError) {
	t := g.t
	t.last = t.history.tell(g.started, "MapRunFailed", "mapRunFailedEventDetails", failure(e))
	t.fails(e)
}

// items makes items of what was read.
func (r *reader) items(output json.RawMessage) ([]any, error) {
	v, err := Decode(output)
	if err != nil {
		return nil, fmt.Errorf("what was read is not JSON: %w", err)
	}
	var items []any
	if r.reading.List {
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("the list of objects is no array")
		}
		items = list
	} else {
		content, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("the content of the object is no text")
		}
		content = strings.TrimPrefix(content, "\ufeff")
		switch r.input {
		case "CSV":
			items, err = r.rows(content)
		case "JSONL":
			items, err = r.lines(content)
		default:
			items, err = r.array(content)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.max > 0 && len(items) > r.max {
		items = items[:r.max]
	}
	return items, nil
}

// array reads a JSON document: the array it is, or the one in it at the pointer.
func (r *reader) array(content string) ([]any, error) {
	v, err := Decode([]byte(content))
	if err != nil {
		return nil, fmt.Errorf("the object is not JSON: %w", err)
	}
	if r.pointer != "" {
		if v, err = pointed(v, r.pointer); err != nil {
			return nil, err
		}
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("Attempting to map over non-iterable node.")
	}
	return list, nil
}

// pointed follows a JSON pointer (RFC 6901).
func pointed(v any, pointer string) (any, error) {
	if !strings.HasPrefix(pointer, "/") {
		return nil, fmt.Errorf("the ItemsPointer %q must begin with /", pointer)
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, token := range strings.Split(pointer[1:], "/") {
		token = unescape.Replace(token)
		found := false
		switch at := v.(type) {
		case *Object:
			v, found = at.Get(token)
		case []any:
			if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(at) {
				v, found = at[i], true
			}
		}
		if !found {
			return nil, fmt.Errorf("the ItemsPointer %q leads nowhere: there is no %q", pointer, token)
		}
	}
	return v, nil
}

func (r *reader) lines(content string) ([]any, error) {
	items := []any{}
	for i, line := range strings.Split(content, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if r.max > 0 && len(items) == r.max {
			break
		}
		v, err := Decode([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("line %d is not JSON: %w", i+1, err)
		}
		items = append(items, v)
	}
	return items, nil
}

// rows makes an object of every row. Values that are missing are empty, those
// without a column are left out.
func (r *reader) rows(content string) ([]any, error) {
	in := csv.NewReader(strings.NewReader(content))
	in.Comma, in.FieldsPerRecord, in.LazyQuotes, in.ReuseRecord = r.delimiter, -1, true, true
	headers := r.headers
	if !r.given {
		row, err := in.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("the object is empty: it has no row with the headers")
		case err != nil:
			return nil, fmt.Errorf("the row with the headers cannot be read: %w", err)
		}
		headers = append([]string(nil), row...)
	}
	items := []any{}
	for r.max == 0 || len(items) < r.max {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the rows cannot be read: %w", err)
		}
		o := NewObject()
		for i, h := range headers {
			value := ""
			if i < len(row) {
				value = row[i]
			}
			o.Set(h, value)
		}
		items = append(items, o)
	}
	return items, nil
}
