package asl

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Diagnostic is a finding in a definition, in the form of the service's
// ValidateStateMachineDefinition.
type Diagnostic struct {
	Severity string `json:"severity"` // ERROR or WARNING
	Code     string `json:"code"`
	Message  string `json:"message"`
	Location string `json:"location"` // a path of keys, / for the whole
}

// Options say what a definition is judged for.
type Options struct {
	Express bool // as one of the type EXPRESS
}

// Validate judges a definition. Errors mean that it cannot be created.
func Validate(data []byte, options Options) []Diagnostic {
	v := &validator{options: options, found: []Diagnostic{}}
	value, err := Decode(data)
	if err != nil {
		v.add("INVALID_JSON_DESCRIPTION", "", "The definition is not JSON: %s", err)
		return v.found
	}
	o, ok := value.(*Object)
	if !ok {
		v.add("INVALID_JSON_DESCRIPTION", "", "The definition must be a JSON object")
		return v.found
	}
	v.language(o, "")
	v.level(o, "", o.at("QueryLanguage") == "JSONata")
	return v.found
}

type validator struct {
	alone   bool // one state without its machine: it may name others
	options Options
	found   []Diagnostic
}

func (v *validator) add(code, at, format string, args ...any) {
	if at == "" {
		at = "/"
	}
	v.found = append(v.found, Diagnostic{"ERROR", code, fmt.Sprintf(format, args...), at})
}

func (v *validator) schema(at, format string, args ...any) {
	v.add("SCHEMA_VALIDATION_FAILED", at, format, args...)
}

func (v *validator) language(o *Object, at string) {
	if l, ok := o.Get("QueryLanguage"); ok && l != "JSONPath" && l != "JSONata" {
		v.schema(at+"/QueryLanguage", "Value is not one of the allowed values: [JSONPath, JSONata]")
	}
}

// level judges a machine, a branch or what runs for the items of a Map.
func (v *validator) level(o *Object, at string, jsonata bool) {
	var missing []string
	for _, name := range []string{"StartAt", "States"} {
		if !o.Has(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		v.schema(at, "These fields are required: [%s]", strings.Join(missing, ", "))
	}
	states, ok := o.at("States").(*Object)
	if !ok {
		if o.Has("States") {
			v.schema(at+"/States", "Expected value of type Object")
		}
		return
	}
	start, isText := o.at("StartAt").(string)
	switch {
	case o.Has("StartAt") && !isText:
		v.schema(at+"/StartAt", "Expected value of type String")
	case isText && !states.Has(start):
		v.add("MISSING_TRANSITION_TARGET", at+"/StartAt", "Missing 'Next' target: %s", start)
	}
	if len(states.Keys()) == 0 {
		v.schema(at+"/States", "There must be at least one state")
	}
	for _, name := range states.Keys() {
		here := at + "/States/" + name
		if utf8.RuneCountInString(name) > maxName {
			v.schema(here, "The name of a state must not have more than %d characters", maxName)
		}
		s, ok := states.at(name).(*Object)
		if !ok {
			v.schema(here, "Expected value of type Object")
			continue
		}
		v.state(s, states, here, jsonata)
	}
}

const maxName = 80 // characters of a state's name

// fieldsOf are the fields of each type besides those every state may have.
var fieldsOf = map[string]string{
	"Pass":     "Next End InputPath OutputPath Parameters Result ResultPath Assign Output",
	"Task":     "Next End InputPath OutputPath Parameters ResultSelector ResultPath Resource Retry Catch TimeoutSeconds TimeoutSecondsPath HeartbeatSeconds HeartbeatSecondsPath Credentials Assign Output Arguments",
	"Choice":   "InputPath OutputPath Choices Default Assign Output",
	"Wait":     "Next End InputPath OutputPath Seconds SecondsPath Timestamp TimestampPath Assign Output",
	"Succeed":  "InputPath OutputPath Output",
	"Fail":     "Error ErrorPath Cause CausePath",
	"Parallel": "Next End InputPath OutputPath Parameters ResultSelector ResultPath Branches Retry Catch Assign Output Arguments",
	"Map":      "Next End InputPath OutputPath Parameters ItemSelector ItemsPath Items ItemProcessor Iterator ItemReader ItemBatcher ResultWriter ResultSelector ResultPath MaxConcurrency MaxConcurrencyPath ToleratedFailureCount ToleratedFailureCountPath ToleratedFailurePercentage ToleratedFailurePercentagePath Label Retry Catch Assign Output",
}

func (v *validator) state(s, states *Object, at string, jsonata bool) {
	kind, ok := s.at("Type").(string)
	if !ok {
		v.schema(at, "These fields are required: [Type]")
		return
	}
	allowed, ok := fieldsOf[kind]
	if !ok {
		v.schema(at+"/Type", "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]")
		return
	}
	v.language(s, at)
	inner := jsonata
	if l, ok := s.Get("QueryLanguage"); ok {
		if jsonata && l == "JSONPath" {
			v.schema(at, "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine")
		}
		jsonata = l == "JSONata"
	}
	fields := " Type Comment QueryLanguage " + allowed + " "
	for _, name := range s.Keys() {
		if !strings.Contains(fields, " "+name+" ") {
			v.schema(at, "Field '%s' is not supported", name)
		}
	}
	v.transitions(kind, s, states, at)
	v.expressions(s, at, jsonata)
	switch kind {
	case "Task":
		v.task(s, at, jsonata)
	case "Choice":
		v.choices(s, states, at, jsonata)
	case "Wait":
		v.one(s, at, "Seconds", "SecondsPath", "Timestamp", "TimestampPath")
		v.whole(s, at, "Seconds", 0, jsonata)
		if t, ok := s.Get("Timestamp"); ok && !dynamic(t, jsonata) {
			if words, isText := t.(string); !isText {
				v.schema(at+"/Timestamp", "Expected value of type String")
			} else if _, valid := timestamp(words); !valid {
				v.schema(at+"/Timestamp", "Value is not a valid ISO-8601 extended offset date-time: %s", words)
			}
		}
	case "Fail":
		v.notBoth(s, at, "Error", "ErrorPath")
		v.notBoth(s, at, "Cause", "CausePath")
		for _, name := range []string{"Error", "Cause"} {
			if t, ok := s.Get(name); ok && kindOf(t) != "string" {
				v.schema(at+"/"+name, "Expected value of type String")
			}
		}
	case "Parallel":
		v.branches(s, at, inner)
	case "Map":
		v.mapState(s, at, inner)
		v.whole(s, at, "MaxConcurrency", 0, jsonata)
	}
	v.handlers(s, states, at)
}

// dynamic reports whether a value is an expression, which only running it can
// judge.
func dynamic(value any, jsonata bool) bool {
	_, is := expressionOf(value)
	return jsonata && is
}

// whole judges a field that must be a whole number, if it is there.
func (v *validator) whole(s *Object, at, name string, least int64, jsonata bool) {
	value, ok := s.Get(name)
	if !ok || dynamic(value, jsonata) {
		return
	}
	switch n, isWhole := integer(value); {
	case !isWhole:
		v.schema(at+"/"+name, "Expected value of type Integer")
	case n < least:
		v.schema(at+"/"+name, "Value must not be less than %d", least)
	case n > maxSeconds && strings.HasSuffix(name, "Seconds"):
		v.schema(at+"/"+name, "Value must not be greater than %d", maxSeconds)
	}
}

func (v *validator) transitions(kind string, s, states *Object, at string) {
	if kind == "Choice" || kind == "Succeed" || kind == "Fail" {
		return
	}
	end, hasEnd := s.Get("End")
	next, hasNext := s.Get("Next")
	switch {
	case hasEnd && hasNext:
		v.schema(at, "'Next' and 'End' can not be used together")
	case !hasEnd && !hasNext, hasEnd && end != true:
		v.schema(at, "One of these fields is required: [Next, End]")
	case hasNext:
		v.target(next, states, at+"/Next")
	}
}

func (v *validator) target(next any, states *Object, at string) {
	name, ok := next.(string)
	switch {
	case !ok:
		v.schema(at, "Expected value of type String")
	case !states.Has(name) && !v.alone:
		v.add("MISSING_TRANSITION_TARGET", at, "Missing 'Next' target: %s", name)
	}
}

func (v *validator) one(s *Object, at string, names ...string) {
	n := 0
	for _, name := range names {
		if s.Has(name) {
			n++
		}
	}
	if n != 1 {
		v.schema(at, "Exactly one of these fields is required: [%s]", strings.Join(names, ", "))
	}
}

func (v *validator) notBoth(s *Object, at, a, b string) {
	if s.Has(a) && s.Has(b) {
		v.schema(at, "'%s' and '%s' can not be used together", a, b)
	}
}

// onlyJSONPath and onlyJSONata are the fields of one language.
var (
	onlyJSONPath = []string{"InputPath", "OutputPath", "Parameters", "ResultSelector", "ResultPath", "ItemsPath",
		"SecondsPath", "TimestampPath", "ErrorPath", "CausePath", "TimeoutSecondsPath", "HeartbeatSecondsPath",
		"MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"}
	onlyJSONata = []string{"Arguments", "Output", "Items"}
)

func (v *validator) expressions(s *Object, at string, jsonata bool) {
	foreign, language := onlyJSONata, "JSONPath"
	if jsonata {
		foreign, language = onlyJSONPath, "JSONata"
	}
	for _, name := range foreign {
		if s.Has(name) {
			v.schema(at, "The field '%s' is not supported when the query language is '%s'", name, language)
		}
	}
	if assign, ok := s.Get("Assign"); ok {
		o, isObject := assign.(*Object)
		if !isObject && !dynamic(assign, jsonata) {
			v.schema(at+"/Assign", "Expected value of type Object")
		}
		if o.Has("states") || o.Has("states.$") {
			v.schema(at+"/Assign", "A variable must not be called 'states'")
		}
	}
	if jsonata {
		for _, name := range s.Keys() {
			if name != "ItemProcessor" && name != "Iterator" && name != "Branches" && name != "Comment" {
				v.queries(s.at(name), at+"/"+name)
			}
		}
		return
	}
	for _, name := range []string{"Parameters", "ResultSelector", "ItemSelector", "Assign"} {
		if t, ok := s.Get(name); ok {
			v.template(t, at+"/"+name)
		}
	}
	for _, name := range onlyJSONPath {
		source, ok := s.at(name).(string)
		if !ok || name == "Parameters" || name == "ResultSelector" {
			continue
		}
		if !validExpression(source) || name == "ResultPath" && !referencePath(source) {
			v.schema(at+"/"+name, "Value is not a Reference Path: %s", source)
		}
	}
}

func referencePath(source string) bool {
	p, err := parsePath(source)
	return err == nil && p.definite && p.root == "$"
}

func validExpression(source string) bool {
	var err error
	if strings.HasPrefix(source, "$") {
		_, err = parsePath(source)
	} else {
		_, err = parseCall(source)
	}
	return err == nil
}

// queries judges the expressions in a value.
func (v *validator) queries(value any, at string) {
	switch value := value.(type) {
	case *Object:
		for _, key := range value.Keys() {
			v.queries(value.at(key), at+"/"+key)
		}
	case []any:
		for i, e := range value {
			v.queries(e, fmt.Sprintf("%s[%d]", at, i))
		}
	case string:
		source, ok := expressionOf(value)
		if !ok {
			return
		}
		if _, err := compile(source); err != nil {
			v.schema(at, "Value is not a valid JSONata expression: %s", err)
		}
	}
}

// template judges the fields .$ of a payload template.
func (v *validator) template(t any, at string) {
	switch t := t.(type) {
	case *Object:
		for _, key := range t.Keys() {
			if !strings.HasSuffix(key, ".$") {
				v.template(t.at(key), at+"/"+key)
				continue
			}
			if source, ok := t.at(key).(string); !ok || !validExpression(source) {
				v.schema(at, "The value for the field '%s' must be a valid JSONPath or a valid intrinsic function call", key)
			}
		}
	case []any:
		for i, e := range t {
			v.template(e, fmt.Sprintf("%s[%d]", at, i))
		}
	}
}

func (v *validator) task(s *Object, at string, jsonata bool) {
	resource, ok := s.at("Resource").(string)
	switch {
	case !s.Has("Resource"):
		v.schema(at, "These fields are required: [Resource]")
		return
	case !ok:
		v.schema(at+"/Resource", "Expected value of type String")
		return
	}
	if r, err := ParseResource(resource); err != nil || r.Kind == Integration && r.Service == "" {
		v.schema(at+"/Resource", "Value is not a valid resource ARN")
		return
	}
	if v.options.Express {
		switch {
		case strings.Contains(resource, ":activity:"):
			v.schema(at+"/Resource", "Express state machine does not support Activity ARN")
		case strings.HasSuffix(resource, ".sync"), strings.HasSuffix(resource, ".sync:2"):
			v.schema(at+"/Resource", "Express state machine does not support '.sync' service integration")
		case strings.HasSuffix(resource, ".waitForTaskToken"):
			v.schema(at+"/Resource", "Express state machine does not support '.waitForTaskToken' service integration ")
		}
	}
	for _, name := range []string{"TimeoutSeconds", "HeartbeatSeconds"} {
		v.notBoth(s, at, name, name+"Path")
		v.whole(s, at, name, 1, jsonata)
	}
	timeout, isNumber := integer(s.at("TimeoutSeconds"))
	if heartbeat, ok := integer(s.at("HeartbeatSeconds")); ok && isNumber && heartbeat >= timeout {
		v.schema(at+"/HeartbeatSeconds", "HeartbeatSeconds must be smaller than TimeoutSeconds")
	}
	if c, ok := s.at("Credentials").(*Object); ok && !c.Has("RoleArn") && !c.Has("RoleArn.$") {
		v.schema(at+"/Credentials", "The field 'RoleArn' is required but was missing")
	}
}

func (v *validator) branches(s *Object, at string, jsonata bool) {
	list, ok := s.at("Branches").([]any)
	if !ok {
		v.schema(at, "These fields are required: [Branches]")
		return
	}
	for i, b := range list {
		here := fmt.Sprintf("%s/Branches[%d]", at, i)
		if o, ok := b.(*Object); ok {
			v.level(o, here, jsonata)
		} else {
			v.schema(here, "Expected value of type Object")
		}
	}
}

func (v *validator) mapState(s *Object, at string, jsonata bool) {
	name := "ItemProcessor"
	if !s.Has(name) && s.Has("Iterator") {
		name = "Iterator"
	}
	processor, ok := s.at(name).(*Object)
	if !ok {
		v.schema(at, "These fields are required: [ItemProcessor]")
		return
	}
	v.level(processor, at+"/"+name, jsonata)
	v.notBoth(s, at, "ToleratedFailureCount", "ToleratedFailureCountPath")
	v.notBoth(s, at, "ToleratedFailurePercentage", "ToleratedFailurePercentagePath")
	v.notBoth(s, at, "MaxConcurrency", "MaxConcurrencyPath")
	if label, ok := s.at("Label").(string); ok {
		v.label(label, at+"/Label")
	}
}

const maxLabel = 40 // characters

func (v *validator) label(label, at string) {
	if label == "" {
		v.schema(at, "Label cannot be empty")
	}
	if utf8.RuneCountInString(label) > maxLabel {
		v.schema(at, "Label cannot exceed %d characters", maxLabel)
	}
	for _, r := range label {
		if unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`?*<>{}[]:;,\|^~$#%&`+"`\"", r) {
			v.schema(at, "Label contains invalid character: %q", r)
			return
		}
	}
}

// handlers judges Retry and Catch.
func (v *validator) handlers(s, states *Object, at string) {
	for _, name := range []string{"Retry", "Catch"} {
		field, ok := s.Get(name)
		if !ok {
			continue
		}
		list, ok := field.([]any)
		if !ok {
			v.schema(at+"/"+name, "Expected value of type Array")
			continue
		}
		for i, h := range list {
			here := fmt.Sprintf("%s/%s[%d]", at, name, i)
			o, ok := h.(*Object)
			if !ok {
				v.schema(here, "Expected value of type Object")
				continue
			}
			v.handler(o, here, i == len(list)-1)
			if name == "Retry" {
				v.retrier(o, here)
			}
			if name == "Catch" {
				if next, ok := o.Get("Next"); ok {
					v.target(next, states, here+"/Next")
				} else {
					v.schema(here, "These fields are required: [Next]")
				}
			}
		}
	}
}

func (v *validator) handler(o *Object, at string, last bool) {
	names, ok := o.at("ErrorEquals").([]any)
	if !ok || len(names) == 0 {
		v.schema(at, "These fields are required: [ErrorEquals]")
		return
	}
	for _, n := range names {
		if _, ok := n.(string); !ok {
			v.schema(at+"/ErrorEquals", "Expected values of type String")
		}
		if n == "States.ALL" && (len(names) > 1 || !last) {
			v.schema(at+"/ErrorEquals", "States.ALL must appear alone, and in the last entry")
		}
	}
}

// retrier judges the numbers of a retrier.
func (v *validator) retrier(o *Object, at string) {
	v.whole(o, at, "IntervalSeconds", 1, false)
	v.whole(o, at, "MaxAttempts", 0, false)
	v.whole(o, at, "MaxDelaySeconds", 1, false)
	if rate, ok := o.Get("BackoffRate"); ok {
		if n, isNumber := float(rate); !isNumber || n < 1 {
			v.schema(at+"/BackoffRate", "Value must be a number that is not less than 1")
		}
	}
	if s, ok := o.Get("JitterStrategy"); ok && s != "FULL" && s != "NONE" {
		v.schema(at+"/JitterStrategy", "Value is not one of the allowed values: [FULL, NONE]")
	}
	interval := numberField(o, "IntervalSeconds", 1)
	if o.Has("MaxDelaySeconds") && numberField(o, "MaxDelaySeconds", 0) < interval {
		v.schema(at+"/MaxDelaySeconds", "MaxDelaySeconds must not be less than IntervalSeconds")
	}
}
