package stacks

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/tutti-dev/tutti/internal/plans"
)

// Reseal replaces the seals of what [Plan.Encode] wrote: the manifest's and those
// of the parts. open is needed to find the parts. Content and digests stay as
// they are.
func Reseal(data []byte, open, reseal func(sealed []byte) ([]byte, error)) ([]byte, error) {
	if len(data) < planHeader+8 || !IsPlan(data) {
		return nil, plans.ErrNotPlan
	}
	size := binary.BigEndian.Uint64(data[planHeader:])
	rest := data[planHeader+8:]
	if size > uint64(len(rest)) {
		return nil, plans.ErrTampered
	}
	text, rest := rest[:size], rest[size:]
	stored := text
	if data[len(planMagic)+1] == 1 {
		var err error
		if stored, err = reseal(text); err == nil {
			text, err = open(text)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot seal the plan anew: %w", err)
		}
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("cannot read plan: %w", err)
	}
	out := bytes.Clone(data[:planHeader])
	out = binary.BigEndian.AppendUint64(out, uint64(len(stored)))
	out = append(out, stored...)
	for _, s := range m.Stacks {
		if s.Size < 0 || s.Size > len(rest) {
			return nil, plans.ErrTampered
		}
		part, err := plans.Reseal(rest[:s.Size], reseal)
		if err != nil {
			return nil, err
		}
		if len(part) != s.Size {
			return nil, plans.ErrTampered // the digest is of sizes too
		}
		out, rest = append(out, part...), rest[s.Size:]
	}
	return append(out, rest...), nil
}
