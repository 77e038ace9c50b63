package runs

import (
	"crypto/rand"
	"time"
)

// idAlphabet are the digits of run ids in rising order; letters that are
// mistaken for others are left out.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID makes the id of a run created at a time: nine digits of milliseconds,
// so that ids sort by creation, and three at random.
func NewID(now time.Time) string {
	var id [12]byte
	ms := now.UnixMilli()
	for i := 8; i >= 0; i-- {
		id[i] = idAlphabet[ms&31]
		ms >>= 5
	}
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	for i, b := range random {
		id[9+i] = idAlphabet[b&31]
	}
	return string(id[:])
}
