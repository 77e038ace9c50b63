package windows

import (
	"bytes"
	"encoding/json"
	"errors"
)

// ErrNoKey says that a field that events are told apart by is missing, or is an
// object or an array.
var ErrNoKey = errors.New("an event has no value in a field of the key")

// Key makes the key of an event from the values of some of its fields, each given by
// the names that lead to it. It is a JSON array: values that differ in their type
// give different keys.
func Key(event []byte, paths [][]string) (string, error) {
	values := make([]any, len(paths))
	for i, path := range paths {
		at := json.RawMessage(event)
		for _, name := range path {
			var object map[string]json.RawMessage
			if err := json.Unmarshal(at, &object); err != nil {
				return "", ErrNoKey
			}
			var there bool
			if at, there = object[name]; !there {
				return "", ErrNoKey
			}
		}
		d := json.NewDecoder(bytes.NewReader(at))
		d.UseNumber()
		if err := d.Decode(&values[i]); err != nil {
			return "", ErrNoKey
		}
		switch values[i].(type) {
		case map[string]any, []any:
			return "", ErrNoKey
		}
	}
	key, err := json.Marshal(values)
	return string(key), err
}
