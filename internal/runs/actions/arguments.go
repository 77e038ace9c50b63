package actions

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Builtin are the actions that come with the program, by kind.
func Builtin() map[string]Action {
	return map[string]Action{"exec": Exec, "script": Script, "http": HTTP, "ansible": Ansible}
}

// The getters below read arguments that may be null.

func text(v cty.Value, name string) string {
	if a := v.GetAttr(name); !a.IsNull() {
		return a.AsString()
	}
	return ""
}

func texts(v cty.Value, name string) []string {
	a := v.GetAttr(name)
	if a.IsNull() {
		return nil
	}
	out := make([]string, 0, a.LengthInt())
	for _, e := range a.Elements() {
		if e.IsNull() {
			out = append(out, "")
		} else {
			out = append(out, e.AsString())
		}
	}
	return out
}

// mapping leaves out what is null: an entry that does not apply.
func mapping(v cty.Value, name string) map[string]string {
	out := map[string]string{}
	if a := v.GetAttr(name); !a.IsNull() {
		for key, e := range a.Elements() {
			if !e.IsNull() {
				out[key.AsString()] = e.AsString()
			}
		}
	}
	return out
}

func flag(v cty.Value, name string) bool {
	a := v.GetAttr(name)
	return !a.IsNull() && a.True()
}

func invalid(format string, args ...any) error {
	return Errorf("Tutti.InvalidArgument", format, args...)
}

// log is where a stream goes, with secrets hidden. Whoever writes flushes.
func (c *Call) log(stream string, m *Mask) *MaskedWriter {
	if c.Logs == nil {
		return m.Writer(io.Discard)
	}
	return m.Writer(c.Logs(stream))
}

func (c *Call) beat() {
	if c.Beat != nil {
		c.Beat()
	}
}

// value makes a string of what came from outside, which may be any bytes.
func value(s string) cty.Value {
	return cty.StringVal(strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// decode reads one JSON value, of the type it implies.
func decode(data []byte) (cty.Value, error) {
	// It refuses what is nested so deeply that the functions below, which are
	// recursive and trust their input, would use up the stack.
	if !json.Valid(data) {
		var v any
		err := json.Unmarshal(data, &v)
		if err == nil {
			err = errors.New("no JSON")
		}
		return cty.NilVal, err
	}
	ty, err := ctyjson.ImpliedType(data)
	if err != nil {
		return cty.NilVal, err
	}
	return ctyjson.Unmarshal(data, ty)
}
