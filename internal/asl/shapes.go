package asl

import "slices"

// shape is what a response of a service may look like, as far as a mocked one
// is checked.
type shape struct {
	kind     string // string, number, object or array
	required []string
	fields   map[string]shape // of an object
	element  *shape           // of an array
	low      float64          // of a number, where high is set
	high     float64
	oneOf    []string
}

var (
	textShape   = shape{kind: "string"}
	numberShape = shape{kind: "number"}
)

func objectShape(fields map[string]shape, required ...string) shape {
	return shape{kind: "object", fields: fields, required: required}
}

// shapes are those of the integrations people mock most, by resource: facts
// from the services' API references. What is not here is not checked.
var shapes = map[string]shape{
	"arn:aws:states:::states:startExecution": objectShape(map[string]shape{
		"ExecutionArn": textShape, "StartDate": textShape,
	}, "ExecutionArn", "StartDate"),
	"arn:aws:states:::lambda:invoke": objectShape(map[string]shape{
		"StatusCode": numberShape, "FunctionError": textShape, "LogResult": textShape, "ExecutedVersion": textShape,
	}),
	"arn:aws:states:::events:putEvents": objectShape(map[string]shape{
		"FailedEntryCount": numberShape,
		"Entries": {kind: "array", element: &shape{kind: "object", fields: map[string]shape{
			"EventId": textShape, "ErrorCode": textShape, "ErrorMessage": textShape,
		}}},
	}),
	"arn:aws:states:::sqs:sendMessage": objectShape(map[string]shape{
		"MessageId": textShape, "MD5OfMessageBody": textShape, "MD5OfMessageAttributes": textShape, "SequenceNumber": textShape,
	}),
	"arn:aws:states:::sns:publish": objectShape(map[string]shape{
		"MessageId": textShape, "SequenceNumber": textShape,
	}),
	"arn:aws:states:::dynamodb:putItem":    dynamodbShape("Attributes"),
	"arn:aws:states:::dynamodb:updateItem": dynamodbShape("Attributes"),
	"arn:aws:states:::dynamodb:deleteItem": dynamodbShape("Attributes"),
	"arn:aws:states:::dynamodb:getItem":    dynamodbShape("Item"),
	"arn:aws:states:::aws-sdk:lambda:getFunction": objectShape(map[string]shape{
		"Configuration": objectShape(map[string]shape{
			"FunctionName": textShape, "FunctionArn": textShape, "Runtime": textShape, "Role": textShape, "Handler": textShape,
			"CodeSize": numberShape, "Description": textShape, "LastModified": textShape, "CodeSha256": textShape, "Version": textShape,
			"MemorySize": {kind: "number", low: 128, high: 10240}, "Timeout": {kind: "number", low: 1, high: 1 << 31},
			"PackageType": {kind: "string", oneOf: []string{"Zip", "Image"}},
			"State":       {kind: "string", oneOf: []string{"Pending", "Active", "Inactive", "Failed"}},
		}),
		"Code": objectShape(map[string]shape{"RepositoryType": textShape, "Location": textShape, "ImageUri": textShape}),
		"Tags": {kind: "object"},
	}),
	"arn:aws:states:::aws-sdk:s3:getObject": objectShape(map[string]shape{
		"ContentLength": numberShape, "ContentType": textShape, "ContentEncoding": textShape, "ETag": textShape,
		"LastModified": textShape, "VersionId": textShape, "Metadata": {kind: "object"}, "TagCount": numberShape,
		"ServerSideEncryption": {kind: "string", oneOf: []string{"AES256", "aws:kms", "aws:kms:dsse"}},
		"StorageClass": {kind: "string", oneOf: []string{
			"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER",
			"DEEP_ARCHIVE", "OUTPOSTS", "GLACIER_IR", "SNOW", "EXPRESS_ONEZONE",
		}},
	}),
}

func dynamodbShape(item string) shape {
	capacity := map[string]shape{"TableName": textShape, "CapacityUnits": numberShape, "ReadCapacityUnits": numberShape, "WriteCapacityUnits": numberShape}
	return objectShape(map[string]shape{item: {kind: "object"}, "ConsumedCapacity": objectShape(capacity)})
}

// check says what is wrong with a mocked response. Where strict is false, only
// what is there is looked at. name is the field it is the value of.
func (s shape) check(v any, name string, strict bool) error {
	const start = "Mock result schema validation error: "
	if kindOf(v) != s.kind {
		article := "a"
		if s.kind == "array" || s.kind == "object" {
			article = "an"
		}
		return invalid(start+"Field '%s' must be %s %s", name, article, s.kind)
	}
	switch v := v.(type) {
	case *Object:
		for _, field := range s.required {
			if strict && !v.Has(field) {
				return invalid(start+"Required field '%s' is missing", field)
			}
		}
		for _, key := range v.Keys() {
			if field, ok := s.fields[key]; ok {
				if err := field.check(v.at(key), key, strict); err != nil {
					return err
				}
			}
		}
	case []any:
		for _, e := range v {
			if s.element != nil {
				if err := s.element.check(e, name, strict); err != nil {
					return err
				}
			}
		}
	case string:
		if s.oneOf != nil && !slices.Contains(s.oneOf, v) {
			return invalid(start+"Field '%s' is not an expected value", name)
		}
	default:
		n, _ := float(v)
		switch {
		case s.high != 0 && n < s.low:
			return invalid(start+"Field '%s' is less than the minimum value", name)
		case s.high != 0 && n > s.high:
			return invalid(start+"Field '%s' exceeds the maximum value", name)
		}
	}
	return nil
}
