package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/events"
)

// TestAuditOfStrangeServers: what a server sends that it should not is shown for what it
// is.
func TestAuditOfStrangeServers(t *testing.T) {
	for _, hash := range []string{"", "ab", strings.Repeat("ab", 33), strings.Repeat("ab", 31) + "xy"} {
		if l := linkFromThere(&client.Event{Hash: hash, PreviousHash: hash}); l.Hash != (events.Hash{}) || l.Previous != (events.Hash{}) {
			t.Errorf("%q is the hash %s, behind %s", hash, l.Hash, l.Previous)
		}
	}
	hash := strings.Repeat("ab", 32)
	if l := linkFromThere(&client.Event{Hash: hash, PreviousHash: hash}); l.Hash.String() != hash || l.Previous.String() != hash {
		t.Errorf("%q is the hash %s, behind %s", hash, l.Hash, l.Previous)
	}
	var problems bytes.Buffer
	number := int64(7)
	app := newApp(strings.NewReader(""), &bytes.Buffer{}, &problems, nil)
	if code := app.showVerification(verification{Event: &number}, false); code != exitFailed || !strings.Contains(problems.String(), "Event 7 is not as it was written.") {
		t.Errorf("code %d: %s", code, &problems)
	}
}
