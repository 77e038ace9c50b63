package plans

import (
	"bytes"
	"fmt"
)

// IsSealed reports whether data is what [Encode] or [EncodeValues] wrote with a
// sealer.
func IsSealed(data []byte) bool {
	return len(data) > headerSize && (bytes.HasPrefix(data, []byte(magic)) || bytes.HasPrefix(data, []byte(valuesMagic))) && data[len(magic)+1] == flagSealed
}

// Reseal replaces the seal of what [Encode] or [EncodeValues] wrote. The content
// and its digest stay as they are. What is not sealed comes back unchanged; other
// data is [ErrNotPlan].
func Reseal(data []byte, reseal func(sealed []byte) ([]byte, error)) ([]byte, error) {
	if len(data) < headerSize || !bytes.HasPrefix(data, []byte(magic)) && !bytes.HasPrefix(data, []byte(valuesMagic)) {
		return nil, ErrNotPlan
	}
	if !IsSealed(data) {
		return data, nil
	}
	sealed, err := reseal(data[headerSize:])
	if err != nil {
		return nil, fmt.Errorf("cannot seal the plan anew: %w", err)
	}
	return append(bytes.Clone(data[:headerSize]), sealed...), nil
}
