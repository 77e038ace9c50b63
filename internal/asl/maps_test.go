package asl

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// mapped is a distributed Map with further fields whose items go through one
// Pass; where an item is 0, its execution fails.
func mapped(language, fields string) string {
	condition := `"Variable": "$", "NumericEquals": 0`
	if language == "JSONata" {
		condition = `"Condition": "{% $states.input = 0 %}"`
	}
	return fmt.Sprintf(`{"QueryLanguage": %q, "StartAt": "M", "States": {"M": {"Type": "Map", "Label": "L", "End": true, %s, "ItemProcessor": {
		"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "C", "States": {
			"C": {"Type": "Choice", "Choices": [{%s, "Next": "F"}], "Default": "P"}, "P": {"Type": "Pass", "End": true},
			"F": {"Type": "Fail", "Error": "Zero", "Cause": "it is 0"}}}}}}`, language, fields, condition)
}

const getObject = `"Resource": "arn:aws:states:::s3:getObject"`

// TestReaders reads items in every form, and what is none.
func TestReaders(t *testing.T) {
	for _, c := range []struct{ name, config, content, want string }{
		{"array", `{"InputType": "JSON"}`, `[1, {"a": 2}]`, `[1,{"a":2}]`},
		{"array of which some", `{"InputType": "JSON", "MaxItems": 2}`, `[1, 2, 3]`, `[1,2]`},
		{"as many as a path says", `{"InputType": "JSON", "MaxItemsPath": "$.n"}`, `[1, 2, 3]`, `[1]`},
		{"all", `{"InputType": "JSON", "MaxItems": 0}`, `[1, 2, 3]`, `[1,2,3]`},
		{"pointer", `{"InputType": "JSON", "ItemsPointer": "/a~1b/1/c~0d"}`, `{"a/b": [0, {"c~d": [7]}]}`, `[7]`},
		{"nothing", `{"InputType": "JSON"}`, `[]`, `[]`},
		{"byte order mark", `{"InputType": "JSON"}`, "\ufeff[1]", `[1]`},
		{"object", `{"InputType": "JSON"}`, `{"a": 1}`, `FAILED States.ItemReaderFailed: Attempting to map over non-iterable node.`},
		{"pointer to nothing", `{"InputType": "JSON", "ItemsPointer": "/a/b"}`, `{"a": {}}`, `FAILED States.ItemReaderFailed: the ItemsPointer "/a/b" leads nowhere: there is no "b"`},
		{"wrong pointer", `{"InputType": "JSON", "ItemsPointer": "$.a"}`, `{"a": []}`, `FAILED States.ItemReaderFailed: the ItemsPointer "$.a" must begin with /`},
		{"no JSON", `{"InputType": "JSON"}`, `[1`, `FAILED States.ItemReaderFailed: the object is not JSON: it ends too early`},

		{"lines", `{"InputType": "JSONL"}`, "{\"a\": 1}\n\n2\r\n", `[{"a":1},2]`},
		{"some lines", `{"InputType": "JSONL", "MaxItems": 1}`, "1\n{", `[1]`},
		{"a broken line", `{"InputType": "JSONL"}`, "1\n{", `FAILED States.ItemReaderFailed: line 2 is not JSON: it ends too early`},

		{"first row", `{"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}`, "id,name\n1,\"Lovelace, Ada\"\n2\n3,x,y\n", `[{"id":"1","name":"Lovelace, Ada"},{"id":"2","name":""},{"id":"3","name":"x"}]`},
		{"given", `{"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["id", "name"], "MaxItems": 1}`, "1,a\n2,b", `[{"id":"1","name":"a"}]`},
		{"delimiter", `{"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": "PIPE"}`, "a|b\n1|2", `[{"a":"1","b":"2"}]`},
		{"only headers", `{"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}`, "a,b\n", `[]`},
		{"empty", `{"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}`, "", `FAILED States.ItemReaderFailed: the object is empty: it has no row with the headers`},
		{"an open quote", `{"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}`, "a\n\"b", `[{"a":"b"}]`},
	} {
		s := tell(t, mapped("JSONPath", `"ItemReader": {`+getObject+`, "ReaderConfig": `+c.config+`, "Parameters": {"Bucket": "b", "Key.$": "$.key"}}`), `{"key": "k", "n": 1}`,
			func(_ int, e Effect) *answer {
				if want := (Reading{Bucket: "b", Key: "k"}); e.Kind != Read || *e.Reading != want {
					t.Errorf("%s: %+v", c.name, e)
				}
				content, _ := json.Marshal(c.content)
				return &answer{outcome: Outcome{Output: content}}
			})
		t.Log(c.name)
		s.result(c.want)
		s.replays()
	}
}

// TestWrongReaders refuses what cannot be read, before it is read.
func TestWrongReaders(t *testing.T) {
	for fields, want := range map[string]string{
		`{` + getObject + `, "ReaderConfig": {"InputType": "MANIFEST"}, "Parameters": {"Bucket": "b", "Key": "k"}}`:                                `States.ItemReaderFailed: The InputType MANIFEST is not supported: there are CSV, JSON and JSONL`,
		`{` + getObject + `, "ReaderConfig": {"InputType": "PARQUET"}, "Parameters": {"Bucket": "b", "Key": "k"}}`:                                 `States.ItemReaderFailed: The InputType PARQUET is not supported: there are CSV, JSON and JSONL`,
		`{` + getObject + `, "ReaderConfig": {"InputType": "XML"}, "Parameters": {"Bucket": "b", "Key": "k"}}`:                                     `States.ItemReaderFailed: There is no InputType "XML": there are CSV, JSON and JSONL`,
		`{` + getObject + `, "ReaderConfig": {"InputType": "CSV", "CSVDelimiter": "DOT"}, "Parameters": {"Bucket": "b", "Key": "k"}}`:              `States.ItemReaderFailed: There is no CSVDelimiter "DOT": there are COMMA, PIPE, SEMICOLON, SPACE and TAB`,
		`{` + getObject + `, "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "GIVEN"}, "Parameters": {"Bucket": "b", "Key": "k"}}`:       `States.ItemReaderFailed: CSVHeaders are missing, which the CSVHeaderLocation GIVEN needs`,
		`{` + getObject + `, "Parameters": {"Bucket": "b"}}`:                                                                                       `The field "Key" is required but was missing`,
		`{` + getObject + `, "Parameters": {"Bucket": 1, "Key": "k"}}`:                                                                             `The value for the field 'Bucket' must be a STRING, not 1`,
		`{` + getObject + `, "ReaderConfig": {"MaxItems": -1}, "Parameters": {"Bucket": "b", "Key": "k"}}`:                                         `MaxItems must be a non-negative integer, not -1`,
		`{` + getObject + `, "ReaderConfig": {"MaxItemsPath": "$.key"}, "Parameters": {"Bucket": "b", "Key": "k"}}`:                                `The MaxItemsPath field refers to value "k" which is not a valid integer: $.key`,
		`{"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Key": "k"}}`:                                                 `The resource "arn:aws:states:::s3:putObject" cannot be used here: there is arn:aws:states:::s3:getObject and arn:aws:states:::s3:listObjectsV2`,
		`{"Resource": "arn:aws:states:::s3:listObjectsV2", "ReaderConfig": {"Transformation": "LOAD_AND_FLATTEN"}, "Parameters": {"Bucket": "b"}}`: `The transformation "LOAD_AND_FLATTEN" of listed objects is not supported: there is NONE`,
	} {
		s := tell(t, mapped("JSONPath", `"ItemReader": `+fields), `{"key": "k"}`, nil)
		if r := s.m.Result(); r.Status != "FAILED" || !strings.HasSuffix(r.Error+": "+r.Cause, want) {
			t.Errorf("%s\n\t%+v", fields, r)
		}
		s.replays()
	}
	for name, a := range map[string]*answer{
		"NoSuchKey: it is gone": fails("NoSuchKey", "it is gone"), "NoSuchKey": fails("NoSuchKey", ""), "gone": fails("", "gone"),
		"the content of the object is no text": succeeds(`[]`),
	} {
		s := tell(t, mapped("JSONPath", `"ItemReader": {`+getObject+`, "Parameters": {"Bucket": "b", "Key": "k"}}`), `{}`, func(int, Effect) *answer { return a })
		s.result(`FAILED States.ItemReaderFailed: ` + name)
	}
	s := tell(t, mapped("JSONPath", `"ItemReader": {"Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": {"Bucket": "b"}}`), `{}`, func(int, Effect) *answer { return succeeds(`{}`) })
	s.result(`FAILED States.ItemReaderFailed: the list of objects is no array`)
}

// TestReaderHistory tells a Map whose reader fails, and one that goes well.
func TestReaderHistory(t *testing.T) {
	definition := mapped("JSONata", `"ItemReader": {"Resource": "arn:aws:states:::s3:listObjectsV2", "ReaderConfig": {"MaxItems": "{% 1 + 1 %}"}, "Arguments": {"Bucket": "{% $states.input.b %}", "Prefix": "p/"}},
		"Items": "{% [] %}", "Retry": [{"ErrorEquals": ["States.ItemReaderFailed"], "MaxAttempts": 1}]`)
	n := 0
	s := tell(t, definition, `{"b": "bucket"}`, func(_ int, e Effect) *answer {
		if want := (Reading{List: true, Bucket: "bucket", Prefix: "p/", Max: 2}); *e.Reading != want {
			t.Errorf("%+v", e.Reading)
		}
		if n++; n == 1 {
			return fails("", "slow down")
		}
		return succeeds(`[{"Key": "p/a"}, {"Key": "p/b"}, {"Key": "p/c"}]`)
	})
	s.result(`[{"Key":"p/a"},{"Key":"p/b"}]`)
	var types []string
	for _, e := range s.m.History() {
		types = append(types, e.Type)
	}
	want := []string{
		"ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapRunStarted", "MapRunFailed", "MapStateStarted", "MapRunStarted",
		"MapRunSucceeded", "MapStateSucceeded", "MapStateExited", "ExecutionSucceeded",
	}
	if !reflect.DeepEqual(types, want) {
		t.Errorf("%s", types)
	}
	if got := text(s.m.History()[4].Details); got != `{"cause":"slow down","error":"States.ItemReaderFailed"}` {
		t.Error(got)
	}
	s.replays()
}

// TestBatches puts items together, by number and by size.
func TestBatches(t *testing.T) {
	for fields, want := range map[string]string{
		`{"MaxItemsPerBatch": 2}`:                                `[{"Items":[10,20]},{"Items":[30]}]`,
		`{"MaxItemsPerBatchPath": "$.n"}`:                        `[{"Items":[10]},{"Items":[20]},{"Items":[30]}]`,
		`{"MaxItemsPerBatch": 2, "BatchInput": {"of.$": "$.n"}}`: `[{"BatchInput":{"of":1},"Items":[10,20]},{"BatchInput":{"of":1},"Items":[30]}]`,
		`{"MaxInputBytesPerBatch": 17}`:                          `[{"Items":[10,20]},{"Items":[30]}]`, // {"Items":[10,20]}
		`{"MaxInputBytesPerBatch": 16}`:                          `[{"Items":[10]},{"Items":[20]},{"Items":[30]}]`,
		`{"MaxInputBytesPerBatch": 1}`:                           `[{"Items":[10]},{"Items":[20]},{"Items":[30]}]`,
		`{"MaxInputBytesPerBatchPath": "$.bytes"}`:               `[{"Items":[10,20,30]}]`,
		`{"MaxItemsPerBatch": 0}`:                                `[{"Items":[10,20,30]}]`,
		`{"MaxItemsPerBatchPath": "$.name"}`:                     `FAILED States.Runtime: An error occurred while executing the state 'M' (entered at the event id #2). The MaxItemsPerBatchPath field refers to value "x" which is not a valid integer: $.name`,
		`{"MaxItemsPerBatchPath": "$.none"}`:                     `FAILED States.Runtime: An error occurred while executing the state 'M' (entered at the event id #2). The MaxItemsPerBatchPath parameter does not reference an input value: $.none`,
	} {
		s := tell(t, mapped("JSONPath", `"ItemsPath": "$.items", "ItemBatcher": `+fields), `{"items": [10, 20, 30], "n": 1, "bytes": 1000, "name": "x"}`, nil)
		s.result(want)
		s.replays()
	}
	s := tell(t, mapped("JSONata", `"Items": [10, 20, 30], "ItemBatcher": {"MaxItemsPerBatch": "{% $states.input %}", "BatchInput": "{% 'x' %}"}`), `2`, nil)
	s.result(`[{"BatchInput":"x","Items":[10,20]},{"BatchInput":"x","Items":[30]}]`)
	s = tell(t, mapped("JSONata", `"Items": [10, 20, 30], "ItemBatcher": {"MaxItemsPerBatch": "{% $states.input %}"}`), `"two"`, nil)
	if r := s.m.Result(); r.Error != "States.QueryEvaluationError" {
		t.Errorf("%+v", r)
	}
}

// TestWriters presents and stores results, of items that failed too.
func TestWriters(t *testing.T) {
	const tolerant = `"ItemsPath": "$.items", "ToleratedFailureCount": 1, `
	for fields, want := range map[string]string{
		`{"WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSON"}}`: `[[1,2],{"Cause":"it is 0","Error":"Zero","ExecutionArn":"E","Input":"0","InputDetails":{"Included":true},"Name":"N",` +
			`"StartDate":"2026-01-02T03:04:05.000Z","StateMachineArn":"` + machineARN + `","Status":"FAILED","StopDate":"2026-01-02T03:04:05.000Z"},3]`,
		`{"WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSON"}}`: `[1,2,{"Cause":"it is 0","Error":"Zero","ExecutionArn":"E","Input":"0","InputDetails":{"Included":true},"Name":"N",` +
			`"StartDate":"2026-01-02T03:04:05.000Z","StateMachineArn":"` + machineARN + `","Status":"FAILED","StopDate":"2026-01-02T03:04:05.000Z"},3]`,
	} {
		s := tell(t, mapped("JSONPath", tolerant+`"ResultWriter": `+fields), `{"items": [[1, 2], 0, 3]}`, nil)
		got := text(s.m.Result().Output)
		list, _ := s.m.Result().Output.([]any)
		for _, v := range list {
			if o, ok := v.(*Object); ok {
				name, _ := o.values["Name"].(string)
				got = strings.ReplaceAll(strings.ReplaceAll(got, executionARN+name, "E"), name, "N")
			}
		}
		if got != want {
			t.Errorf("%s\n\t got %s\n\twant %s", fields, got, want)
		}
	}

	var stored *Writing
	store := func(_ int, e Effect) *answer { stored = e.Writing; return succeeds(`null`) }
	put := func(config string) string {
		return tolerant + `"ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix.$": "$.at"}` + config + `}`
	}
	s := tell(t, mapped("JSONPath", put(`, "WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSONL"}`)), `{"at": "out/", "items": [[1, 2], 3, 0]}`, store)
	_, run, _ := strings.Cut(stored.Prefix, "out/")
	if stored.Files["SUCCEEDED_0.jsonl"] != "1\n2\n3\n" || !strings.HasPrefix(stored.Files["FAILED_0.jsonl"], `{"Cause":"it is 0",`) || len(stored.Files) != 3 {
		t.Errorf("%+v", stored)
	}
	failed := len(stored.Files["FAILED_0.jsonl"])
	if want := fmt.Sprintf(`{"DestinationBucket":"b","MapRunArn":"%[1]sL:%[2]s","ResultFiles":{"FAILED":[{"Key":"out/%[2]s/FAILED_0.jsonl","Size":%[3]d}],"PENDING":[],"SUCCEEDED":[{"Key":"out/%[2]s/SUCCEEDED_0.jsonl","Size":6}]}}`,
		mapRunARN, run, failed); stored.Files["manifest.json"] != want {
		t.Errorf("%s\n%s", stored.Files["manifest.json"], want)
	}
	s.result(fmt.Sprintf(`{"MapRunArn":"%sL:%s","ResultWriterDetails":{"Bucket":"b","Key":"out/%[2]s/manifest.json"}}`, mapRunARN, run))
	s.replays()

	tell(t, mapped("JSONPath", put("")), `{"at": "", "items": [5]}`, store)
	if got := stored.Files["SUCCEEDED_0.json"]; !strings.Contains(got, `"Output":"5"`) || !strings.HasPrefix(got, "[{") || strings.Contains(stored.Prefix, "/") {
		t.Errorf("%+v", stored)
	}
	s = tell(t, mapped("JSONPath", put("")), `{"at": "", "items": []}`, store)
	if len(stored.Files) != 1 {
		t.Errorf("%+v", stored)
	}
	s.replays()
	s = tell(t, mapped("JSONPath", put("")), `{"at": "x", "items": [5]}`, func(int, Effect) *answer { return fails("AccessDenied", "not yours") })
	s.result(`FAILED States.ResultWriterFailed: AccessDenied: not yours`)
	s = tell(t, mapped("JSONPath", put("")), `{"at": "x", "items": [0, 0]}`, nil)
	s.result(`FAILED States.ExceedToleratedFailureThreshold: The specified tolerated failure threshold was exceeded`)
	s = tell(t, mapped("JSONPath", put("")), `{"at": 1, "items": []}`, nil)
	if r := s.m.Result(); !strings.HasSuffix(r.Cause, "The value for the field 'Prefix' must be a STRING, not 1") {
		t.Errorf("%+v", r)
	}
	s = tell(t, mapped("JSONata", `"Items": [], "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {"Bucket": "{% 'b' %}"}}`), `{}`, store)
	if stored.Bucket != "b" {
		t.Errorf("%+v", stored)
	}
	s.replays()
}

// TestTolerance says how many items may fail, of given and of read ones.
func TestTolerance(t *testing.T) {
	for _, c := range []struct {
		fields string
		good   bool
	}{
		{`"ToleratedFailureCount": 2`, true},
		{`"ToleratedFailureCount": 1`, false},
		{`"ToleratedFailureCountPath": "$.two"`, true},
		{`"ToleratedFailurePercentage": 50`, true},
		{`"ToleratedFailurePercentage": 49.9`, false},
		{`"ToleratedFailurePercentage": 100`, true},
		{`"ToleratedFailurePercentagePath": "$.fifty"`, true},
		{`"ToleratedFailureCount": 1, "ToleratedFailurePercentage": 100`, false},
		{`"ToleratedFailureCount": 4, "ToleratedFailurePercentage": 10`, false},
		{`"MaxConcurrency": 1`, false},
	} {
		for _, read := range []bool{false, true} {
			from := `"ItemsPath": "$.items"`
			if read {
				from = `"ItemReader": {` + getObject + `, "Parameters": {"Bucket": "b", "Key": "k"}}`
			}
			s := tell(t, mapped("JSONPath", from+`, `+c.fields), `{"items": [0, 1, 0, 2], "two": 2, "fifty": 50}`, func(int, Effect) *answer { return succeeds(`"[0, 1, 0, 2]"`) })
			want := `FAILED States.ExceedToleratedFailureThreshold: The specified tolerated failure threshold was exceeded`
			if c.good {
				want = `[1,2]`
			}
			s.result(want)
			s.replays()
		}
	}
}
