package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// value is a value as the files have it: the member named like the type is set.
type value struct {
	String  *string           `json:"string,omitempty"`
	Number  *string           `json:"number,omitempty"`
	Boolean *bool             `json:"boolean,omitempty"`
	List    *[]value          `json:"list,omitempty"`
	Set     *[]value          `json:"set,omitempty"`
	Map     *map[string]value `json:"map,omitempty"`
	Object  *map[string]value `json:"object,omitempty"`
}

// document is a file.
type document struct {
	Values map[string]value `json:"values"`
}

// store keeps objects as files in a folder.
type store struct{ dir string }

func (s store) path(id string) (string, error) {
	if id == "" || strings.ContainsAny(id, `/\`) || id == ".." {
		return "", fmt.Errorf("%q cannot be an id: it names a file", id)
	}
	return filepath.Join(s.dir, id+".json"), nil
}

// read returns an object; false where there is none.
func (s store) read(id string, ty tftypes.Object) (tftypes.Value, bool, error) {
	path, err := s.path(id)
	if err != nil {
		return tftypes.Value{}, false, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return tftypes.Value{}, false, nil
	}
	if err != nil {
		return tftypes.Value{}, false, err
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return tftypes.Value{}, false, fmt.Errorf("cannot read %s: %w", path, err)
	}
	v, err := fromFile(value{Object: &doc.Values}, ty)
	return v, true, err
}

func (s store) write(id string, v tftypes.Value) error {
	path, err := s.path(id)
	if err != nil {
		return err
	}
	out, err := toFile(v)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(document{Values: *out.Object}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644) //nolint:gosec // nothing secret is mocked
}

func (s store) remove(id string) error {
	path, err := s.path(id)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// toFile turns a known value into its form in files. Null attributes are left
// out.
func toFile(v tftypes.Value) (value, error) {
	ty := v.Type()
	switch {
	case ty.Is(tftypes.String):
		var s string
		err := v.As(&s)
		return value{String: &s}, err
	case ty.Is(tftypes.Bool):
		var b bool
		err := v.As(&b)
		return value{Boolean: &b}, err
	case ty.Is(tftypes.Number):
		f := new(big.Float)
		err := v.As(&f)
		text := f.Text('g', -1)
		return value{Number: &text}, err
	case ty.Is(tftypes.Object{}), ty.Is(tftypes.Map{}):
		var members map[string]tftypes.Value
		if err := v.As(&members); err != nil {
			return value{}, err
		}
		out := map[string]value{}
		for name, member := range members {
			if member.IsNull() {
				continue
			}
			inner, err := toFile(member)
			if err != nil {
				return value{}, err
			}
			out[name] = inner
		}
		if ty.Is(tftypes.Map{}) {
			return value{Map: &out}, nil
		}
		return value{Object: &out}, nil
	}
	var elements []tftypes.Value
	if err := v.As(&elements); err != nil {
		return value{}, err
	}
	out := []value{}
	for _, e := range elements {
		inner, err := toFile(e)
		if err != nil {
			return value{}, err
		}
		out = append(out, inner)
	}
	if ty.Is(tftypes.Set{}) {
		return value{Set: &out}, nil
	}
	return value{List: &out}, nil
}

// fromFile turns the form in files into a value of a type. What is absent is
// null.
func fromFile(v value, ty tftypes.Type) (tftypes.Value, error) {
	switch t := ty.(type) {
	case tftypes.Object:
		if v.Object == nil {
			return tftypes.NewValue(ty, nil), nil
		}
		out := map[string]tftypes.Value{}
		for name, inner := range t.AttributeTypes {
			member, err := fromFile((*v.Object)[name], inner)
			if err != nil {
				return member, err
			}
			out[name] = member
		}
		return tftypes.NewValue(ty, out), nil
	case tftypes.Map:
		if v.Map == nil {
			return tftypes.NewValue(ty, nil), nil
		}
		out := map[string]tftypes.Value{}
		for name, member := range *v.Map {
			inner, err := fromFile(member, t.ElementType)
			if err != nil {
				return inner, err
			}
			out[name] = inner
		}
		return tftypes.NewValue(ty, out), nil
	case tftypes.List:
		return sequence(v.List, ty, t.ElementType)
	case tftypes.Set:
		return sequence(v.Set, ty, t.ElementType)
	}
	switch {
	case ty.Is(tftypes.String) && v.String != nil:
		return tftypes.NewValue(ty, *v.String), nil
	case ty.Is(tftypes.Bool) && v.Boolean != nil:
		return tftypes.NewValue(ty, *v.Boolean), nil
	case ty.Is(tftypes.Number) && v.Number != nil:
		f, _, err := big.ParseFloat(*v.Number, 10, 512, big.ToNearestEven)
		if err != nil {
			return tftypes.Value{}, err
		}
		return tftypes.NewValue(ty, f), nil
	}
	return tftypes.NewValue(ty, nil), nil
}

func sequence(list *[]value, ty, element tftypes.Type) (tftypes.Value, error) {
	if list == nil {
		return tftypes.NewValue(ty, nil), nil
	}
	out := []tftypes.Value{}
	for _, e := range *list {
		inner, err := fromFile(e, element)
		if err != nil {
			return inner, err
		}
		out = append(out, inner)
	}
	return tftypes.NewValue(ty, out), nil
}
