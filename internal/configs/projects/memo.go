package projects

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/tutti-dev/tutti/internal/diag"
)

// memo remembers what was parsed last. A server asks for its project with every
// request, as its files may have changed; and runs of a workflow are pinned to a
// snapshot that most of them share. Reading the files is cheap, parsing them is not.
type memo struct {
	mu     sync.Mutex
	known  map[[sha256.Size]byte]*memoized
	oldest [][sha256.Size]byte // in the order in which they came
}

type memoized struct {
	project *Project
	diags   diag.List
}

// memoSize bounds how many projects are remembered: the one of the files, and
// snapshots of runs that go on.
const memoSize = 64

var parsed = memo{known: map[[sha256.Size]byte]*memoized{}}

// project is parse of these files, done once as long as it is remembered.
func (m *memo) project(dir string, files map[string][]byte) (*Project, diag.List) {
	key := memoKey(dir, files)
	m.mu.Lock()
	found := m.known[key]
	m.mu.Unlock()
	if found == nil {
		found = &memoized{}
		found.project, found.diags = parse(dir, files)
		m.keep(key, found)
	}
	own := *found.project
	own.Files = maps.Clone(files)
	if own.Files == nil {
		own.Files = map[string][]byte{}
	}
	return &own, slices.Clone(found.diags)
}

func (m *memo) keep(key [sha256.Size]byte, found *memoized) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[key] != nil {
		return
	}
	if len(m.oldest) == memoSize {
		delete(m.known, m.oldest[0])
		m.oldest = slices.Delete(m.oldest, 0, 1)
	}
	m.known[key] = found
	m.oldest = append(m.oldest, key)
}

// memoKey is a digest of all that parsing depends on; every part is led by its length.
func memoKey(dir string, files map[string][]byte) (key [sha256.Size]byte) {
	h := sha256.New()
	add := func(part []byte) {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		_, _ = h.Write(part)
	}
	add([]byte(dir))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		add([]byte(name))
		add(files[name])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
