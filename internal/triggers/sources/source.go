package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// Inbox is where events go.
type Inbox interface {
	// Take keeps events for ever, and with them what their source has to remember; nil
	// where it is as before. When it returns without an error both are on disk. An event
	// whose source and id are there already is passed over.
	Take(ctx context.Context, events []webhooks.Received, memory []byte) error
	// Memory is what was last to be remembered; nil for nothing.
	Memory(ctx context.Context) ([]byte, error)
}

// Source is something that is watched.
type Source interface {
	// Run watches until ctx is cancelled, and goes on after errors, which it reports to
	// trouble: each when it begins, nil when all is well again. It calls trouble from
	// several goroutines, one at a time where it is about the same error.
	Run(ctx context.Context, inbox Inbox, trouble func(error))
}

// digest is a short name for some texts together.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		// The length keeps the parts apart.
		h.Write([]byte{byte(len(part) >> 24), byte(len(part) >> 16), byte(len(part) >> 8), byte(len(part))})
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var errTooMuch = errors.New("the answer is longer than 8 MB")
