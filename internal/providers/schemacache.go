package providers

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/providers/internal/wire"
	"google.golang.org/protobuf/proto"
)

// cacheMagic opens a cached schema and names its layout: a checksum of the rest
// (4 bytes), the size of the schemas (8 bytes), the schemas, the identities.
const (
	cacheMagic = "tutti schemas 2\n"
	cacheHead  = len(cacheMagic) + 4
)

// rawSchemas are a provider's own words about itself.
type rawSchemas struct {
	schemas    *wire.SchemaResponse
	identities *wire.IdentitySchemasResponse
}

// build turns them into Schemas.
func (r rawSchemas) build() (*Schemas, error) {
	reader := &schemaReader{}
	s := reader.whole(r.schemas)
	for name, id := range r.identities.GetIdentitySchemas() {
		if schema, ok := s.ResourceTypes[name]; ok {
			schema.Identity = reader.identity(id)
			s.ResourceTypes[name] = schema
		}
	}
	return s, reader.err
}

// describedType is the one provider known whose types a file in the working
// directory says.
const describedType = "tfcoremock"

// cachePath is where a provider's schemas are kept; empty for nowhere.
func (p *Pool) cachePath(addr addrs.Provider, found Installed) string {
	if p.opts.CacheDir == "" || found.Digest == "" {
		return ""
	}
	text := addr.Canonical().String() + "\n" + found.Version + "\n" + found.Digest
	if addr.Type == describedType {
		described, err := os.ReadFile(filepath.Join(p.opts.Dir, "dynamic_resources.json"))
		if err == nil {
			text += "\n" + string(described)
		}
	}
	sum := sha256.Sum256([]byte(text))
	return filepath.Join(p.opts.CacheDir, "schemas", addr.Type+"-"+hex.EncodeToString(sum[:12]))
}

// checksum finds files that a crash or a disk has damaged.
func checksum(data []byte) uint32 {
	return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
}

// cached reads schemas from the cache; nil where it has none, or none that can
// be read.
func (p *Pool) cached(addr addrs.Provider, found Installed) *Schemas {
	path := p.cachePath(addr, found)
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) < cacheHead+8 || string(data[:len(cacheMagic)]) != cacheMagic {
		return nil
	}
	sum := binary.BigEndian.Uint32(data[len(cacheMagic):])
	data = data[cacheHead:]
	if checksum(data) != sum {
		return nil
	}
	size := binary.BigEndian.Uint64(data)
	data = data[8:]
	if size > uint64(len(data)) {
		return nil
	}
	raw := rawSchemas{&wire.SchemaResponse{}, &wire.IdentitySchemasResponse{}}
	if proto.Unmarshal(data[:size], raw.schemas) != nil || proto.Unmarshal(data[size:], raw.identities) != nil {
		return nil
	}
	s, err := raw.build()
	if err != nil {
		return nil
	}
	return s
}

// store writes schemas to the cache. That it cannot is no problem: they are
// asked for again next time.
func (p *Pool) store(addr addrs.Provider, found Installed, raw rawSchemas) {
	path := p.cachePath(addr, found)
	if path == "" {
		return
	}
	schemas, err := proto.Marshal(raw.schemas)
	if err != nil {
		return
	}
	identities, err := proto.Marshal(raw.identities)
	if err != nil {
		return
	}
	data := make([]byte, cacheHead, cacheHead+8+len(schemas)+len(identities))
	copy(data, cacheMagic)
	data = binary.BigEndian.AppendUint64(data, uint64(len(schemas)))
	data = append(append(data, schemas...), identities...)
	binary.BigEndian.PutUint32(data[len(cacheMagic):], checksum(data[cacheHead:]))
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}
