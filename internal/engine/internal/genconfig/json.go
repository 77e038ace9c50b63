package genconfig

import (
	"bytes"
	"encoding/json"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// decodeJSON reads a JSON document that encoding it again would reproduce, but
// for white space: only then is a call of jsonencode the same value.
func decodeJSON(text string) (cty.Value, bool) {
	ty, err := ctyjson.ImpliedType([]byte(text))
	if err != nil {
		return cty.NilVal, false
	}
	v, err := ctyjson.Unmarshal([]byte(text), ty)
	if err != nil {
		return cty.NilVal, false
	}
	back, err := ctyjson.Marshal(v, ty)
	if err != nil {
		return cty.NilVal, false
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) != nil || !bytes.Equal(compact.Bytes(), back) || compact.String() != text {
		return cty.NilVal, false
	}
	return v, true
}
