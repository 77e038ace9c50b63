package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
)

// Object is a JSON object that remembers the order of its keys. Objects inside
// a running machine are shared and never changed.
//
// Values of this package are nil, bool, json.Number, string, []any and *Object.
type Object struct {
	keys   []string
	values map[string]any
}

// NewObject returns an empty object.
func NewObject() *Object { return &Object{values: map[string]any{}} }

// Get returns the value of a key; a nil object has none.
func (o *Object) Get(key string) (any, bool) {
	if o == nil {
		return nil, false
	}
	v, ok := o.values[key]
	return v, ok
}

// at is the value of a key, nil where there is none.
func (o *Object) at(key string) any {
	v, _ := o.Get(key)
	return v
}

// Set gives a key a value. A new key comes last.
func (o *Object) Set(key string, value any) *Object {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
	return o
}

// Has reports whether there is such a key.
func (o *Object) Has(key string) bool {
	_, ok := o.Get(key)
	return ok
}

// Keys returns the keys in order. The caller must not change them.
func (o *Object) Keys() []string {
	if o == nil {
		return nil
	}
	return o.keys
}

// remove takes a key out.
func (o *Object) remove(key string) {
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// clone returns a copy that may be changed.
func (o *Object) clone() *Object {
	if o == nil {
		return NewObject()
	}
	out := &Object{keys: append([]string(nil), o.keys...), values: make(map[string]any, len(o.values))}
	for k, v := range o.values {
		out.values[k] = v
	}
	return out
}

// MarshalJSON writes the keys in order.
func (o *Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := write(&b, o)
	return b.Bytes(), err
}

// maxNesting is how deep JSON may be nested: what recurses over values must not
// run out of stack.
const maxNesting = 10000

// Decode reads one JSON value. Numbers keep their text.
func Decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("it ends too early")
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the JSON value")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if depth == maxNesting {
			return nil, fmt.Errorf("it is nested deeper than %d", maxNesting)
		}
		if t == '{' {
			return decodeObject(d, depth+1)
		}
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	default:
		return t, nil
	}
}

func decodeObject(d *json.Decoder, depth int) (any, error) {
	o := NewObject()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(d, depth)
		if err != nil {
			return nil, err
		}
		o.Set(key.(string), v)
	}
	_, err := d.Token()
	return o, err
}

// text writes a value as compact JSON.
func text(v any) string {
	var b bytes.Buffer
	if err := write(&b, v); err != nil {
		return fmt.Sprintf("%v", v) // only values from outside this package
	}
	return b.String()
}

func write(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case *Object:
		b.WriteByte('{')
		for i, k := range v.Keys() {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, k)
			b.WriteByte(':')
			if err := write(b, v.values[k]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := write(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case string:
		writeString(b, v)
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprintf(b, "%t", v)
	case json.Number:
		b.WriteString(string(v))
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b.Write(data)
	}
	return nil
}

func writeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string and a buffer cannot fail
	b.Truncate(b.Len() - 1)
}

// equal compares values, numbers by their value.
func equal(a, b any) bool {
	switch a := a.(type) {
	case *Object:
		o, ok := b.(*Object)
		if !ok || len(a.keys) != len(o.keys) {
			return false
		}
		for k, v := range a.values {
			other, ok := o.values[k]
			if !ok || !equal(v, other) {
				return false
			}
		}
		return true
	case []any:
		list, ok := b.([]any)
		if !ok || len(a) != len(list) {
			return false
		}
		for i := range a {
			if !equal(a[i], list[i]) {
				return false
			}
		}
		return true
	case json.Number:
		n, ok := b.(json.Number)
		return ok && compareNumbers(a, n) == 0
	}
	switch b.(type) {
	case *Object, []any:
		return false
	}
	return a == b
}

func rational(n json.Number) *big.Rat {
	if r, ok := new(big.Rat).SetString(string(n)); ok {
		return r
	}
	return new(big.Rat)
}

func compareNumbers(a, b json.Number) int {
	if a == b {
		return 0
	}
	// An exponent of a million digits is no number anybody compares exactly.
	if tooLong(a) || tooLong(b) {
		x, _ := a.Float64()
		y, _ := b.Float64()
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return rational(a).Cmp(rational(b))
}

func tooLong(n json.Number) bool {
	_, exponent, found := strings.Cut(strings.ToLower(string(n)), "e")
	return found && len(strings.TrimLeft(exponent, "+-0")) > 3
}

// integer returns a number that has no fraction and fits.
func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok || tooLong(n) {
		return 0, false
	}
	r := rational(n)
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// float returns a number as one of the machine.
func float(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

func number(i int64) json.Number { return json.Number(fmt.Sprint(i)) }

// kindOf names the JSON type of a value.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}
