package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// inboundNumber is an event as a host of code sends it.
func inboundNumber(i int) runs.Inbound {
	sum := sha256.Sum256(fmt.Append(nil, i))
	text := hex.EncodeToString(sum[:])
	return runs.Inbound{
		Event: events.Event{
			ID: text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:32], Source: "https://github.com/acme/shop", Type: "com.github.push",
			Subject: "refs/heads/main", Actor: "webhook:github", Time: time.Unix(int64(i), 0), Data: json.RawMessage(`{"after":"` + text + `"}`),
		},
		Extra: json.RawMessage(`{"datacontenttype":"application/json"}`), Digest: text,
	}
}

// BenchmarkAccept takes an event behind many others, and says what each leaves.
func BenchmarkAccept(b *testing.B) {
	ctx := context.Background()
	for _, before := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(before), func(b *testing.B) {
			dir := b.TempDir()
			s := open(b, dir)
			const together = 1000
			begun := time.Now()
			for i := 0; i < before; i += together {
				list := make([]runs.Inbound, together)
				for j := range list {
					list[j] = inboundNumber(i + j)
				}
				if _, err := s.Accept(ctx, list); err != nil {
					b.Fatal(err)
				}
			}
			filled := time.Since(begun)
			for i := 0; b.Loop(); i++ {
				if _, err := s.Accept(ctx, []runs.Inbound{inboundNumber(before + i)}); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(filled.Seconds()*1e6/float64(before), "µs/filled")
			if info, err := os.Stat(s.path()); err == nil {
				b.ReportMetric(float64(info.Size())/float64(before), "B/event")
			}
		})
	}
}
