//go:build !unix

package patterns

import "time"

var started = time.Now()

// processorTime is the time that has passed: as good as it gets here.
func processorTime() time.Duration { return time.Since(started) }
