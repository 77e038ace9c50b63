package plans

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"
)

// magic opens every encoded plan; the byte behind it is the format version.
const magic = "TUTTI PLAN\n"

// valuesMagic opens encoded values. It is as long as magic.
const valuesMagic = "TUTTI VALS\n"

// formatVersion is what this program writes. A change of the layout in
// codeplan.go that older readers would misread must increment it.
const formatVersion = 1

// The flags byte of the header.
const flagSealed = 1

// headerSize is magic, version, flags and SHA-256 digest.
const headerSize = len(magic) + 1 + 1 + sha256.Size

// Errors of [Decode], for callers that say something more useful about them.
var (
	// ErrNotPlan says that the data is something else than an encoded plan.
	ErrNotPlan = errors.New("not a plan file")
	// ErrSealed says that the plan is encrypted and no key, or the wrong one,
	// was given.
	ErrSealed = errors.New("the plan is encrypted with a key that is not available here")
	// ErrTampered says that the content is not what its digest speaks of.
	ErrTampered = errors.New("the plan does not match its digest: the file is damaged or was changed")
)

// Sealer encrypts and authenticates what leaves the process. Open must fail on
// anything Seal did not return.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Encode writes the plan in a self-contained form and sets its Digest. Equal
// plans give equal content and digest. Where sealer is not nil the content is
// sealed as a whole, so that sensitive values are not on disk in clear; the
// digest is of the unsealed content. It fails where the plan holds values that
// must not be stored: ephemeral ones.
func Encode(p *Plan, sealer Sealer) ([]byte, error) {
	c := newEncoder(4096 + 512*(len(p.Changes)+len(p.Adjust)))
	planFields(c, p)
	if c.err != nil {
		return nil, fmt.Errorf("cannot encode plan: %w", c.err)
	}
	data, digest, err := c.seal(magic, sealer)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt plan: %w", err)
	}
	p.Digest = digest
	return data, nil
}

// EncodeValues writes values, with marks, the way [Encode] writes a plan. They
// are those that a plan was made without; see [Variable].
func EncodeValues(values map[string]cty.Value, sealer Sealer) ([]byte, error) {
	c := newEncoder(1024)
	stringMap(c, &values, (*coder).anyValue)
	if c.err != nil {
		return nil, fmt.Errorf("cannot encode values: %w", c.err)
	}
	data, _, err := c.seal(valuesMagic, sealer)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt values: %w", err)
	}
	return data, nil
}

// seal ends encoding: it puts the header in front of the content, which is
// encrypted where sealer is not nil.
func (c *coder) seal(magic string, sealer Sealer) (data []byte, digest string, err error) {
	c.finish()
	payload := c.buf[headerSize:]
	sum := sha256.Sum256(payload)
	flags := byte(0)
	out := c.buf
	if sealer != nil {
		sealed, err := sealer.Seal(payload)
		if err != nil {
			return nil, "", err
		}
		flags = flagSealed
		out = make([]byte, headerSize, headerSize+len(sealed))
		out = append(out, sealed...)
	}
	n := copy(out, magic)
	out[n], out[n+1] = formatVersion, flags
	copy(out[n+2:], sum[:])
	return out, hex.EncodeToString(sum[:]), nil
}

// IsEncoded reports whether data looks like something [Encode] wrote, sealed
// or not. The first few bytes of a file are enough.
func IsEncoded(data []byte) bool {
	return bytes.HasPrefix(data, []byte(magic))
}

// Decode reads what [Encode] wrote and sets Digest. The error wraps
// [ErrNotPlan], [ErrSealed] or [ErrTampered] where that is the reason. It never
// panics, whatever the data.
func Decode(data []byte, sealer Sealer) (p *Plan, err error) {
	payload, digest, err := unseal(magic, data, sealer)
	if err != nil {
		return nil, err
	}
	if p, err = decodePayload(payload); err != nil {
		return nil, err
	}
	p.Digest = digest
	return p, nil
}

// DecodeValues reads what [EncodeValues] wrote. Its errors are those of
// [Decode].
func DecodeValues(data []byte, sealer Sealer) (values map[string]cty.Value, err error) {
	payload, _, err := unseal(valuesMagic, data, sealer)
	if err != nil {
		return nil, err
	}
	err = decodeAll(payload, func(c *coder) { stringMap(c, &values, (*coder).anyValue) })
	if err != nil {
		return nil, fmt.Errorf("cannot read values: %w", err)
	}
	return values, nil
}

// unseal takes the header off, decrypts what is behind it and holds it against
// its digest.
func unseal(magic string, data []byte, sealer Sealer) (payload []byte, digest string, err error) {
	if len(data) < headerSize || !bytes.HasPrefix(data, []byte(magic)) {
		return nil, "", ErrNotPlan
	}
	version, flags := data[len(magic)], data[len(magic)+1]
	if version != formatVersion {
		return nil, "", fmt.Errorf("cannot read plan: it has format version %d, this program reads version %d; make the plan anew", version, formatVersion)
	}
	if flags&^flagSealed != 0 {
		return nil, "", ErrTampered
	}
	want, payload := data[len(magic)+2:headerSize], data[headerSize:]
	if flags&flagSealed != 0 {
		if sealer == nil {
			return nil, "", ErrSealed
		}
		if payload, err = sealer.Open(payload); err != nil {
			return nil, "", fmt.Errorf("%w: %w", ErrSealed, err)
		}
	}
	sum := sha256.Sum256(payload)
	if !bytes.Equal(sum[:], want) {
		return nil, "", ErrTampered
	}
	return payload, hex.EncodeToString(sum[:]), nil
}

// decodePayload reads the content behind the header of a plan.
func decodePayload(payload []byte) (*Plan, error) {
	p := &Plan{}
	if err := decodeAll(payload, func(c *coder) { planFields(c, p) }); err != nil {
		return nil, fmt.Errorf("cannot read plan: %w", err)
	}
	return p, nil
}

// decodeAll reads content to its end. cty's constructors panic on impossible
// values, which only a forged file can hold; that is an error here.
func decodeAll(payload []byte, fields func(*coder)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed content: %v", r)
		}
	}()
	c := newDecoder(payload)
	fields(c)
	if c.err == nil && c.pos != len(c.buf) {
		c.fail("%d bytes too many", len(c.buf)-c.pos)
	}
	if c.err != nil {
		return fmt.Errorf("malformed content: %w", c.err)
	}
	return nil
}
