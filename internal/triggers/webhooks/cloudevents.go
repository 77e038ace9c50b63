package webhooks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tutti-dev/tutti/internal/events"
)

// attributeName is how CloudEvents names attributes.
var attributeName = regexp.MustCompile(`^[a-z0-9]{1,100}$`)

const (
	structuredType = "application/cloudevents+json"
	batchType      = "application/cloudevents-batch+json"
)

// readCloudEvents takes the three modes of the HTTP binding of CloudEvents 1.0: the
// event as the body, several of them, or attributes in headers and data in the body.
func readCloudEvents(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	media, rejection := r.mediaType()
	if rejection != nil && len(r.Body) > 0 {
		return nil, rejection
	}
	var list []object
	switch {
	case media == structuredType:
		o, rejection := readObject(r.Body)
		if rejection != nil {
			return nil, rejection
		}
		list = []object{o}
	case media == batchType:
		if rejection := checkJSON(r.Body); rejection != nil {
			return nil, rejection
		}
		if json.Unmarshal(r.Body, &list) != nil || list == nil {
			return nil, reject(Malformed, "a batch is a JSON array of events")
		}
	case strings.HasPrefix(media, "application/cloudevents"):
		return nil, reject(UnknownType, "events are taken in the JSON format")
	default:
		return e.readBinary(r, media, now)
	}
	if len(list) > MaxEvents {
		return nil, reject(TooManyEvents, "there are too many events in one batch")
	}
	d := &Delivery{}
	for _, o := range list {
		received, rejection := readStructured(o, now)
		if rejection != nil {
			return nil, rejection
		}
		d.Events = append(d.Events, received)
	}
	return d, nil
}

// readStructured reads an event in the JSON format.
func readStructured(o object, now time.Time) (Received, *Rejection) {
	attributes := map[string]json.RawMessage{}
	for name, value := range o {
		if name == "data" || name == "data_base64" || string(value) == "null" {
			continue
		}
		attributes[name] = value
	}
	r, rejection := readAttributes(attributes, now)
	if rejection != nil {
		return r, rejection
	}
	data, hasData := o["data"]
	encoded, hasEncoded := o["data_base64"]
	switch {
	case hasData && hasEncoded:
		return r, reject(Ambiguous, "the event has both data and data_base64")
	case hasEncoded:
		var text string
		if json.Unmarshal(encoded, &text) != nil {
			return r, reject(Malformed, "data_base64 is not a text")
		}
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return r, reject(Malformed, "data_base64 is not base64")
		}
		return r, r.setData(r.ContentType, bytes)
	case hasData:
		r.Data = data
		if r.ContentType == "" {
			r.ContentType = jsonType
		}
	}
	return r, nil
}

// readBinary reads an event whose attributes are in headers that begin with "ce-".
func (e *Endpoint) readBinary(r *Request, media string, now time.Time) (*Delivery, *Rejection) {
	attributes := map[string]json.RawMessage{}
	for key := range r.Header {
		name, ok := strings.CutPrefix(strings.ToLower(key), "ce-")
		if !ok {
			continue
		}
		value, rejection := r.header(key)
		if rejection != nil {
			return nil, rejection
		}
		if len(value) >= 2 && strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
			value = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(value[1 : len(value)-1])
		}
		text, err := url.PathUnescape(value)
		if err != nil || !utf8.ValidString(text) {
			return nil, reject(Malformed, "an attribute of the event is not percent-encoded UTF-8")
		}
		if name == "datacontenttype" {
			return nil, reject(Ambiguous, "the type of the data is that of the body")
		}
		if attributes[name], err = json.Marshal(text); err != nil {
			return nil, reject(Malformed, "an attribute of the event is malformed")
		}
	}
	if len(attributes) == 0 {
		return nil, reject(UnknownType, "the request is not a CloudEvent in the structured, the batched or the binary mode")
	}
	received, rejection := readAttributes(attributes, now)
	if rejection != nil {
		return nil, rejection
	}
	if len(r.Body) > 0 {
		if rejection := received.setData(media, r.Body); rejection != nil {
			return nil, rejection
		}
	}
	return &Delivery{Events: []Received{received}}, nil
}

// setData takes in data of a media type.
func (r *Received) setData(media string, data []byte) *Rejection {
	r.ContentType = media
	switch {
	case media == "" || isJSONType(strings.TrimSpace(strings.Split(media, ";")[0])):
		if rejection := checkJSON(data); rejection != nil {
			if media != "" {
				return rejection
			}
			break // bytes of which nothing is known
		}
		r.Data = data
		return nil
	case strings.HasPrefix(media, "text/") && utf8.Valid(data):
		text, err := json.Marshal(string(data))
		if err != nil {
			return reject(Malformed, "the data cannot be written down")
		}
		r.Data = text
		return nil
	}
	text, err := json.Marshal(base64.StdEncoding.EncodeToString(data))
	if err != nil {
		return reject(Malformed, "the data cannot be written down")
	}
	r.Data, r.Base64 = text, true
	return nil
}

// readAttributes reads the attributes of an event.
func readAttributes(attributes map[string]json.RawMessage, now time.Time) (Received, *Rejection) {
	r := Received{Event: events.Event{Time: now}}
	for name, raw := range attributes {
		if !attributeName.MatchString(name) {
			return r, reject(Malformed, "the name of an attribute is not of small letters and digits")
		}
		var text string
		isText := json.Unmarshal(raw, &text) == nil
		known := true
		switch name {
		case "specversion":
			if text != "1.0" {
				return r, reject(Malformed, "the event is not of CloudEvents 1.0")
			}
		case "id":
			r.ID = text
		case "source":
			if _, err := url.Parse(text); err != nil {
				return r, reject(Malformed, "the source of the event is not a URI reference")
			}
			r.Source = text
		case "type":
			r.Type = text
		case "subject":
			r.Subject = text
		case "time":
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				return r, reject(Malformed, "the time of the event is not in RFC 3339")
			}
			r.Time = at
		case "datacontenttype":
			r.ContentType = text
		case "data":
			return r, reject(Ambiguous, "data is no attribute")
		default:
			known = false
			var value any
			if json.Unmarshal(raw, &value) != nil || len(raw) > maxAttribute {
				return r, reject(Malformed, "an attribute of the event is too long or malformed")
			}
			switch value.(type) {
			case string, bool, float64:
			default:
				return r, reject(Malformed, "an attribute of the event is neither a text, a number nor a boolean")
			}
			if r.Extensions == nil {
				r.Extensions = map[string]json.RawMessage{}
			}
			r.Extensions[name] = raw
		}
		if known && (!isText || text == "") {
			return r, reject(Malformed, "the attribute "+name+" of the event must be a text that is not empty")
		}
	}
	if attributes["specversion"] == nil {
		return r, reject(Malformed, "the event has no specversion")
	}
	return r, nil
}

// Structured are the headers of a request for clients that call JSON by no other name
// than application/json: where no header has an attribute of an event, the body is the
// event, or a list of them.
func Structured(header http.Header, body []byte) http.Header {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != jsonType {
		return header
	}
	for name := range header {
		if strings.HasPrefix(strings.ToLower(name), "ce-") {
			return header
		}
	}
	header = header.Clone()
	header.Set("Content-Type", structuredType)
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		header.Set("Content-Type", batchType)
	}
	return header
}
