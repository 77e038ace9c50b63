package asl

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"github.com/recolabs/gnata"
)

// conversions turn values into those that JSONata works on and back, and
// remember the large ones: every iteration of a Map sees the whole input of its
// execution, and would convert it again. Neither side is ever changed.
type conversions struct {
	objects map[*Object]settable
	lists   map[*any][]any // by the first element, of the whole list
	back    map[settable]*Object
	listed  map[*any][]any
}

// settable is an object of JSONata, whose type has no other name outside its
// package.
type settable interface {
	Set(key string, value any)
	Range(visit func(key string, value any) bool)
}

const (
	largeValue    = 32  // parts from which a value is remembered
	maxRemembered = 500 // values
)

// null is the null of JSONata; a nil is nothing.
func null() any {
	v, err := gnata.DecodeJSON([]byte("null"))
	if err != nil {
		panic(err) // a constant
	}
	return v
}

func newSettable() settable {
	v, err := gnata.DecodeJSON([]byte("{}"))
	if err != nil {
		panic(err) // a constant
	}
	return v.(settable)
}

func newConversions() *conversions {
	c := &conversions{}
	c.forget()
	return c
}

func (c *conversions) forget() {
	c.objects, c.lists = map[*Object]settable{}, map[*any][]any{}
	c.back, c.listed = map[settable]*Object{}, map[*any][]any{}
}

// to converts a value of this package.
func (c *conversions) to(v any) any {
	if len(c.objects)+len(c.lists) > maxRemembered {
		c.forget()
	}
	out, _ := c.convert(v)
	return out
}

// convert counts what it looks at, too.
func (c *conversions) convert(v any) (any, int) {
	switch v := v.(type) {
	case nil:
		return null(), 1
	case *Object:
		if known, ok := c.objects[v]; ok {
			return known, 1
		}
		out, size := newSettable(), 1
		for _, k := range v.Keys() {
			inner, n := c.convert(v.at(k))
			out.Set(k, inner)
			size += n
		}
		if size >= largeValue {
			c.objects[v], c.back[out] = out, v
		}
		return out, size
	case []any:
		if len(v) == 0 {
			return []any{}, 1
		}
		if known, ok := c.lists[&v[0]]; ok && len(known) == len(v) {
			return known, 1
		}
		out, size := make([]any, len(v)), 1
		for i, e := range v {
			inner, n := c.convert(e)
			out[i] = inner
			size += n
		}
		if size >= largeValue {
			c.lists[&v[0]], c.listed[&out[0]] = out, v
		}
		return out, size
	}
	return v, 1
}

var errUnsupported = errors.New("unsupported")

// from takes a result over. Functions have no JSON form.
func (c *conversions) from(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, errUnsupported
	case bool, string, json.Number:
		return v, nil
	case float64:
		return fromFloat(v)
	case int:
		return number(int64(v)), nil
	case []any:
		if len(v) > 0 {
			if known, ok := c.listed[&v[0]]; ok && len(known) == len(v) {
				return known, nil
			}
		}
		out := make([]any, 0, len(v))
		for _, e := range v {
			inner, err := c.from(e)
			if err != nil {
				return nil, err
			}
			out = append(out, inner)
		}
		return out, nil
	case settable:
		if known, ok := c.back[v]; ok {
			return known, nil
		}
		out := NewObject()
		var failed error
		v.Range(func(key string, val any) bool {
			inner, err := c.from(val)
			if err != nil {
				failed = err
				return false
			}
			out.Set(key, inner)
			return true
		})
		return out, failed
	case map[string]any:
		data, err := json.Marshal(v)
		if err != nil {
			return nil, errUnsupported
		}
		return Decode(data)
	}
	if gnata.IsNull(v) {
		return nil, nil
	}
	if n := gnata.NormalizeValue(v); n != nil {
		if list, ok := n.([]any); ok {
			return c.from(list)
		}
	}
	return nil, errUnsupported
}

func fromFloat(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errUnsupported
	}
	if f == 0 {
		return json.Number("0"), nil // never -0
	}
	if f == math.Trunc(f) && math.Abs(f) < 1e21 {
		return json.Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
}
