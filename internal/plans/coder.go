package plans

import (
	"encoding/binary"
	"fmt"
	"sort"
	"time"

	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// A coder goes over a plan's fields in one fixed order, in one of two
// directions: it appends them to buf, or reads them from buf. One description
// of the layout for both directions cannot disagree with itself.
//
// Repeated strings (addresses, provider names), types and state objects are
// written once and then referred to by number. The first failure sticks; after
// it nothing more is read.
type coder struct {
	encoding bool
	buf      []byte
	pos      int // decoding: the next byte
	depth    int // nesting of types and values, so that forged data cannot exhaust the stack
	err      error

	stringIDs map[string]uint64
	strings   []string

	types *typeTable

	instanceIDs map[*states.Instance]uint64
	instances   []*states.Instance
}

// maxDepth bounds the nesting of types and values.
const maxDepth = 500

// newEncoder leaves room for the header.
func newEncoder(sizeHint int) *coder {
	return &coder{
		encoding: true, buf: make([]byte, headerSize, headerSize+sizeHint),
		types: newTypeTable(), stringIDs: map[string]uint64{},
		instanceIDs: map[*states.Instance]uint64{},
	}
}

// finish appends the type table, and where it begins.
func (c *coder) finish() {
	at := uint64(len(c.buf) - headerSize)
	c.buf = c.types.append(c.buf)
	c.buf = binary.BigEndian.AppendUint64(c.buf, at)
}

// newDecoder reads the type table and stands at the beginning of the rest.
func newDecoder(payload []byte) *coder {
	c := &coder{types: newTypeTable()}
	if len(payload) < 8 {
		c.fail("unexpected end")
		return c
	}
	end := len(payload) - 8
	at := binary.BigEndian.Uint64(payload[end:])
	if at > uint64(end) {
		c.fail("no type table")
		return c
	}
	c.buf, c.pos = payload[:end], int(at)
	c.types.read(c)
	if c.rest() != 0 {
		c.fail("malformed type table")
	}
	c.buf, c.pos = payload[:at], 0
	return c
}

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *coder) rest() int { return len(c.buf) - c.pos }

func (c *coder) byte(b *byte) {
	if c.encoding {
		c.buf = append(c.buf, *b)
		return
	}
	if c.err != nil || c.rest() < 1 {
		c.fail("unexpected end")
		return
	}
	*b = c.buf[c.pos]
	c.pos++
}

func (c *coder) uint(u *uint64) {
	if c.encoding {
		c.buf = binary.AppendUvarint(c.buf, *u)
		return
	}
	if c.err != nil {
		*u = 0
		return
	}
	v, n := binary.Uvarint(c.buf[c.pos:])
	if n <= 0 {
		c.fail("malformed number")
		return
	}
	*u = v
	c.pos += n
}

func (c *coder) int64(i *int64) {
	u := uint64(*i<<1) ^ uint64(*i>>63)
	c.uint(&u)
	*i = int64(u>>1) ^ -int64(u&1)
}

func (c *coder) int(i *int) {
	v := int64(*i)
	c.int64(&v)
	*i = int(v)
}

func (c *coder) bool(b *bool) {
	var v byte
	if *b {
		v = 1
	}
	c.byte(&v)
	*b = v != 0
}

// length codes the length of what follows, of which every element takes at
// least one byte.
func (c *coder) length(n int) int {
	u := uint64(n)
	c.uint(&u)
	if !c.encoding && u > uint64(c.rest()) {
		c.fail("length %d beyond the end", u)
		return 0
	}
	return int(u)
}

// text codes a string that is not expected to occur again.
func (c *coder) text(s *string) {
	n := c.length(len(*s))
	if c.encoding {
		c.buf = append(c.buf, *s...)
	} else if c.err == nil {
		*s = string(c.buf[c.pos : c.pos+n])
		c.pos += n
	}
}

// blob codes bytes; nil and empty are told apart.
func (c *coder) blob(b *[]byte) {
	present := *b != nil
	c.bool(&present)
	if !present {
		*b = nil
		return
	}
	n := c.length(len(*b))
	if c.encoding {
		c.buf = append(c.buf, *b...)
	} else if c.err == nil {
		*b = append(make([]byte, 0, n), c.buf[c.pos:c.pos+n]...)
		c.pos += n
	}
}

// str codes a string that is likely to occur again.
func (c *coder) str(s *string) {
	if c.encoding {
		id, seen := c.stringIDs[*s]
		c.uint(&id)
		if !seen {
			c.stringIDs[*s] = uint64(len(c.stringIDs) + 1)
			c.text(s)
		}
		return
	}
	var id uint64
	c.uint(&id)
	if id == 0 {
		c.text(s)
		if c.err == nil {
			c.strings = append(c.strings, *s)
		}
		return
	}
	if id > uint64(len(c.strings)) {
		c.fail("unknown string")
		return
	}
	*s = c.strings[id-1]
}

// strOf codes a value of a string type.
func strOf[S ~string](c *coder, s *S) {
	v := string(*s)
	c.str(&v)
	*s = S(v)
}

// byteOf codes a value of a byte type.
func byteOf[B ~byte](c *coder, b *B) {
	v := byte(*b)
	c.byte(&v)
	*b = B(v)
}

// listOf codes a slice; an empty one comes back as nil.
func listOf[T any](c *coder, list *[]T, elem func(*coder, *T)) {
	n := c.length(len(*list))
	if !c.encoding {
		*list = nil
		if n > 0 {
			*list = make([]T, 0, min(n, 1<<12))
		}
	}
	for i := 0; i < n && c.err == nil; i++ {
		if !c.encoding {
			var zero T
			*list = append(*list, zero)
		}
		elem(c, &(*list)[i])
	}
}

// pointersOf codes a slice of pointers, none of which is nil.
func pointersOf[T any](c *coder, list *[]*T, elem func(*coder, *T)) {
	listOf(c, list, func(c *coder, p **T) {
		if !c.encoding {
			*p = new(T)
		}
		elem(c, *p)
	})
}

// mapOf codes a map in the order of its keys; an empty one comes back as made
// by the field's owner: nil.
func mapOf[K comparable, V any](c *coder, m *map[K]V, less func(a, b K) bool, key func(*coder, *K), value func(*coder, *V)) {
	n := c.length(len(*m))
	if c.encoding {
		keys := make([]K, 0, n)
		for k := range *m {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool { return less(keys[i], keys[j]) })
		for _, k := range keys {
			v := (*m)[k]
			key(c, &k)
			value(c, &v)
		}
		return
	}
	*m = nil
	if n > 0 {
		*m = make(map[K]V, min(n, 1<<12))
	}
	for i := 0; i < n && c.err == nil; i++ {
		var k K
		var v V
		key(c, &k)
		value(c, &v)
		(*m)[k] = v
	}
}

func lessString[S ~string](a, b S) bool { return a < b }

// stringMap codes a map whose keys are strings.
func stringMap[V any](c *coder, m *map[string]V, value func(*coder, *V)) {
	mapOf(c, m, lessString[string], (*coder).str, value)
}

// time codes an instant, in UTC.
func (c *coder) time(t *time.Time) {
	zero := t.IsZero()
	c.bool(&zero)
	if zero {
		*t = time.Time{}
		return
	}
	sec, nsec := t.Unix(), int64(t.Nanosecond())
	c.int64(&sec)
	c.int64(&nsec)
	if !c.encoding {
		*t = time.Unix(sec, nsec).UTC()
	}
}

// path codes a path into a value.
func (c *coder) path(p *cty.Path) {
	n := c.length(len(*p))
	if !c.encoding {
		*p = make(cty.Path, n)
	}
	for i := 0; i < n && c.err == nil; i++ {
		c.pathStep(&(*p)[i])
	}
}

func (c *coder) pathStep(step *cty.PathStep) {
	kind := byte('a')
	var name string
	var index cty.Value
	switch s := (*step).(type) {
	case cty.GetAttrStep:
		name = s.Name
	case cty.IndexStep:
		kind, index = 'i', s.Key
	default:
		if c.encoding {
			c.fail("unsupported path step %T", s)
			return
		}
	}
	c.byte(&kind)
	if kind == 'a' {
		c.str(&name)
		*step = cty.GetAttrStep{Name: name}
		return
	}
	c.anyValue(&index)
	*step = cty.IndexStep{Key: index}
}
