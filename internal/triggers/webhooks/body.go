package webhooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"
)

// object is what a body is read as; what is not looked at stays as it is.
type object map[string]json.RawMessage

// text is a string or a number in an object, given by the names that lead to it;
// empty where there is none.
func (o object) text(path ...string) string {
	for _, name := range path[:len(path)-1] {
		var inner object
		if json.Unmarshal(o[name], &inner) != nil {
			return ""
		}
		o = inner
	}
	raw := o[path[len(path)-1]]
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		return number.String()
	}
	return ""
}

// checkJSON says what is wrong with JSON from outside: it is in UTF-8, not nested
// without end, and says nothing twice.
func checkJSON(body []byte) *Rejection {
	if !utf8.Valid(body) {
		return reject(Malformed, "the body is not in UTF-8")
	}
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return reject(Malformed, "the body is nested too deep")
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	if !json.Valid(body) {
		return reject(Malformed, "the body is not JSON")
	}
	// From here on only what is valid is read.
	type level struct {
		names map[string]bool // nil in arrays
		value bool            // what comes next is a value, not a name
	}
	var levels []level
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return reject(Malformed, "the body is not JSON")
		}
		top := len(levels) - 1
		if name, ok := token.(string); ok && top >= 0 && levels[top].names != nil && !levels[top].value {
			if levels[top].names[name] {
				return reject(Ambiguous, "a name is there more than once in an object of the body")
			}
			levels[top].names[name], levels[top].value = true, true
			continue
		}
		if top >= 0 {
			levels[top].value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:top]
		}
	}
}

// readObject reads a body that is one object.
func readObject(body []byte) (object, *Rejection) {
	if rejection := checkJSON(body); rejection != nil {
		return nil, rejection
	}
	var o object
	if json.Unmarshal(body, &o) != nil || o == nil {
		return nil, reject(Malformed, "the body is not a JSON object")
	}
	return o, nil
}

// maxForm is how many values a form may have.
const maxForm = 1000

// readForm reads a body that is a form, in which every name is there once.
func readForm(body []byte) (map[string]string, *Rejection) {
	if bytes.Count(body, []byte("&")) >= maxForm {
		return nil, reject(Malformed, "the form has too many values")
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, reject(Malformed, "the body is not a form")
	}
	out := map[string]string{}
	for name, list := range values {
		if len(list) > 1 {
			return nil, reject(Ambiguous, "a name is there more than once in the form")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(list[0]) {
			return nil, reject(Malformed, "the form is not in UTF-8")
		}
		out[name] = list[0]
	}
	return out, nil
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// payload is the JSON object of a body that is one, or a form with one in "payload",
// as some senders can be told to send it.
func (r *Request) payload(forms bool) ([]byte, object, *Rejection) {
	media, rejection := r.mediaType()
	if rejection != nil {
		return nil, nil, rejection
	}
	body := r.Body
	switch {
	case media == jsonType:
	case media == formType && forms:
		form, rejection := readForm(body)
		if rejection != nil {
			return nil, nil, rejection
		}
		body = []byte(form["payload"])
	default:
		return nil, nil, reject(UnknownType, "the body must be JSON")
	}
	o, rejection := readObject(body)
	return body, o, rejection
}

// isJSONType reports whether a media type is of JSON.
func isJSONType(media string) bool {
	return media == jsonType || media == "text/json" || strings.HasSuffix(media, "+json")
}
